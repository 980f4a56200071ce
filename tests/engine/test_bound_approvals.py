"""
What an approval is bound to: the instance, what is expected of it, and the server.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from kf_provider.sandbox import Sandbox

from .stack import NewStack, Stack

PROGRAM = """
    approval = kf.WorkflowApproval("web", "{0}", timeout="20s"{2})
    pulumi.Stash("after", input="{1}", opts=pulumi.ResourceOptions(depends_on=[approval]))
"""


@pytest.fixture
def other() -> Iterator[Sandbox]:
    """Another server, which makes the same ids as the first."""
    with Sandbox(seed=7) as running:
        yield running


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as running:
        yield running


@pytest.fixture
def id_(server: Sandbox, other: Sandbox) -> str:
    """An instance that is approved on the first server, and pending on the other."""
    made = server.start_enrollment(subject="CN=web.example.com")
    assert made == other.start_enrollment(subject="CN=web.example.com")
    server.approve(made)
    return str(made)


def record(stack: Stack) -> dict[str, Any]:
    found = stack.resource("web", "ApprovalRecord")
    assert found is not None
    return found


def value_of(stack: Stack) -> object:
    found = stack.resource("after")
    return found["inputs"]["input"] if found else None


def moved(stack: Stack, id_: str, other: Sandbox, how: str) -> None:
    """Let the same stack ask the other server."""
    match how:
        case "environment":
            stack.environment |= other.environment()
        case "configuration":
            stack.config(hostname=other.url, username=other.username, password=other.password)
        case "provider":
            provider = f"""
    provider = kf.Provider("p", hostname="{other.url}", username={other.username!r}, password={other.password!r})
    """
            stack.write(provider + PROGRAM.format(id_, "new", ", opts=pulumi.ResourceOptions(provider=provider)"))


@pytest.mark.parametrize("how", ["environment", "configuration", "provider"])
def test_another_server(new_stack: NewStack, server: Sandbox, other: Sandbox, id_: str, how: str) -> None:
    """
    An approval of one server opens no gate at another, however the stack moved there; the old evidence stays.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0
    stack.write(PROGRAM.format(id_, "new", ""))
    moved(stack, id_, other, how)
    other.deny(id_)

    for run in (stack.preview(), stack.up()):
        assert run.code != 0, run
        assert "is Rejected by an approver" in run.text
        assert not run.tracebacks, run
    assert ("old", f"{server.url}/KeyfactorAPI") == (value_of(stack), record(stack)["outputs"]["server"])


@pytest.mark.parametrize("missing", ["password", "settings of a provider", "a name that makes no sense"])
def test_another_server_with_settings_that_are_missing(
    new_stack: NewStack, server: Sandbox, other: Sandbox, id_: str, missing: str
) -> None:
    """
    Nor does it open where the other server cannot be asked because settings are missing: a record excuses its own
    server alone.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0
    stack.write(PROGRAM.format(id_, "new", ""))
    match missing:
        case "password":
            stack.environment |= {"KEYFACTOR_HOSTNAME": other.url, "KEYFACTOR_PASSWORD": ""}
        case "settings of a provider":
            stack.environment |= {"KEYFACTOR_PASSWORD": ""}
            provider = f'provider = kf.Provider("p", hostname="{other.url}", username="u")'
            option = ", opts=pulumi.ResourceOptions(provider=provider)"
            stack.write(f"{provider}\n{textwrap.dedent(PROGRAM.format(id_, 'new', option))}")
        case _:
            stack.environment |= {"KEYFACTOR_HOSTNAME": "http://evil.example.com"}

    for run in (stack.preview(), stack.up()):
        assert run.code != 0, run
        assert not run.tracebacks, run
    assert "old" == value_of(stack)


def test_a_recorded_approval_without_credentials(new_stack: NewStack, server: Sandbox, id_: str) -> None:
    """
    What is recorded on the server that is named opens without credentials, and says that nothing was asked.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0

    run = stack.up("--expect-no-changes", KEYFACTOR_PASSWORD="")

    assert run.code == 0, run
    assert "warning: nothing is asked, and what is recorded opens: missing settings: password (" in run.text


def test_approved_on_another_server(new_stack: NewStack, server: Sandbox, other: Sandbox, id_: str) -> None:
    """
    Approved there too, it is recorded anew, in the old record's place; the next update changes nothing.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0
    before = record(stack)
    other.approve(id_)
    moved(stack, id_, other, "environment")

    run = stack.up()

    assert run.code == 0, run
    after = record(stack)
    assert (before["id"], f"{other.url}/KeyfactorAPI") == (after["id"], after["outputs"]["server"])
    assert stack.up("--expect-no-changes").code == 0


def test_a_server_under_a_new_name(new_stack: NewStack, server: Sandbox, other: Sandbox, id_: str) -> None:
    """
    A server that was renamed does not know the instance, says the refusal, and with its former address it need not.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0
    other.purge(id_)
    moved(stack, id_, other, "environment")

    refused = stack.preview()
    stack.environment["KEYFACTOR_FORMER_SERVERS"] = f"https://older.example.com, {server.url.upper()}/keyfactorapi/"
    renamed = stack.up("--expect-no-changes")

    assert refused.code != 0, refused
    assert f"the approval was recorded on {server.url}/KeyfactorAPI" in refused.text
    assert "add the old one to keyfactor:formerServers or KEYFACTOR_FORMER_SERVERS" in refused.text
    assert renamed.code == 0, renamed


def test_a_server_under_its_old_name_again(new_stack: NewStack, server: Sandbox, id_: str) -> None:
    """
    A server that has its old name back keeps what was recorded under it, also after an update under the new name.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0
    new_name = server.url.replace("127.0.0.1", "localhost")
    server.purge(id_)

    there = stack.up("--expect-no-changes", KEYFACTOR_HOSTNAME=new_name, KEYFACTOR_FORMER_SERVERS=server.url)
    back = stack.up("--expect-no-changes")

    assert (0, 0) == (there.code, back.code), f"{there}{back}"


@pytest.mark.parametrize("path", ["keyfactorapi", "KEYFACTORAPI/"])
def test_another_spelling_of_the_server(new_stack: NewStack, server: Sandbox, id_: str, path: str) -> None:
    """
    Another spelling of the same address is the same server.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0

    run = stack.up("--expect-no-changes", KEYFACTOR_API_PATH=path)

    assert run.code == 0, run


PROTECT_ALL = """
    def protect(args):
        options = pulumi.ResourceOptions(protect=True, retain_on_delete=True, delete_before_replace=True)
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, options))
    pulumi.runtime.register_stack_transformation(protect)
"""


@pytest.mark.parametrize("protect", ["option", "transformation"])
def test_the_next_approval_of_a_protected_gate(new_stack: NewStack, server: Sandbox, id_: str, protect: str) -> None:
    """
    The next approval is recorded in the old one's place, so `protect` keeps no gate shut.
    """
    new = server.start_enrollment(subject="CN=new.example.com")
    server.approve(new)
    prefix = PROTECT_ALL if protect == "transformation" else ""
    option = "" if prefix else ", opts=pulumi.ResourceOptions(protect=True)"
    stack = new_stack(prefix + PROGRAM.format(id_, "old", option), server.environment())
    assert stack.up().code == 0
    stack.write(prefix + PROGRAM.format(new, "new", option))

    preview, run = stack.preview(), stack.up()

    assert (0, 0) == (preview.code, run.code), run
    assert ("new", new) == (value_of(stack), record(stack)["outputs"]["approved_instance_id"])
    assert "ApprovalRecord web updated" in run.text
    assert stack.up("--expect-no-changes").code == 0


def test_a_refused_update_keeps_the_old_evidence(new_stack: NewStack, server: Sandbox, id_: str) -> None:
    """
    A new instance that is rejected leaves the old record as it was, and what depends on it untouched.
    """
    stack = new_stack(PROGRAM.format(id_, "old", ""), server.environment())
    assert stack.up().code == 0
    before = record(stack)
    new = server.start_enrollment(subject="CN=new.example.com")
    server.deny(new)
    stack.write(PROGRAM.format(new, "new", ""))

    run = stack.up()

    assert run.code != 0, run
    assert (before["outputs"], "old") == (record(stack)["outputs"], value_of(stack))


def test_a_secret_id(new_stack: NewStack, server: Sandbox, id_: str) -> None:
    """
    A secret id is encrypted wherever the state has it, and in no text; nor are the outputs made from it plain.
    """
    program = f"""
        id_ = pulumi.Output.secret("{id_}")
        approval = kf.WorkflowApproval("web", id_, timeout="5s", follow_restarts=True)
        pulumi.export("approved", approval.approved_instance_id)
        pulumi.export("lineage", approval.lineage)
        pulumi.export("status", approval.status)
    """
    stack = new_stack(program, server.environment())

    preview, run, again = stack.preview(), stack.up(), stack.up("--expect-no-changes")

    assert (0, 0, 0) == (preview.code, run.code, again.code), run
    assert id_ not in stack.state_file.read_text()
    assert id_ not in preview.text + run.text + again.text
    assert "Complete" == stack.outputs["status"]


@pytest.mark.parametrize("ending", ["deny", "time out"])
def test_a_secret_id_in_texts(new_stack: NewStack, server: Sandbox, ending: str) -> None:
    """
    A text about an instance with a secret id names the gate instead.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    if ending == "deny":
        server.deny(id_)
    stack = new_stack(f'kf.WorkflowApproval("web", pulumi.Output.secret("{id_}"), timeout="1s")', server.environment())

    run = stack.up()

    assert run.code != 0
    assert "the workflow instance of gate 'web' is" in run.text
    assert id_ not in run.text


def test_a_secret_id_in_the_words_of_the_server(new_stack: NewStack, server: Sandbox) -> None:
    """
    Where the server's own words have the id, they stay a sentence without it.
    """
    id_ = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"
    stack = new_stack(f'kf.WorkflowApproval("web", pulumi.Output.secret("{id_}"))', server.environment())

    run = stack.up()

    assert "the workflow instance of gate 'web' was not found on" in run.text
    assert "no the workflow" not in run.text
    assert id_ not in run.text


def test_a_secret_that_is_no_id(new_stack: NewStack, server: Sandbox) -> None:
    """
    A secret that is not an id is not quoted.
    """
    stack = new_stack('kf.WorkflowApproval("web", pulumi.Output.secret("hunter2"))', server.environment())

    run = stack.up()

    assert run.code != 0
    assert "its secret instance id is not the id of a workflow instance" in run.text
    assert "hunter2" not in run.text


OWN_SETTINGS = """
    import os
    os.environ |= {0}
"""


def test_settings_that_the_program_made_itself(new_stack: NewStack, server: Sandbox, id_: str) -> None:
    """
    What a program puts into its own environment does not reach the plugin: that is one line, in preview already.
    """
    prefix = OWN_SETTINGS.format(json.dumps(server.environment()))
    stack = new_stack(prefix + PROGRAM.format(id_, "new", ""))

    preview, run = stack.preview(), stack.up()

    for failed in (preview, run):
        assert failed.code != 0
        assert "the provider's own process knows no server: settings that a program makes for itself" in failed.text
        assert not failed.tracebacks, failed


def test_another_server_than_the_plugin_asks(new_stack: NewStack, server: Sandbox, other: Sandbox, id_: str) -> None:
    """
    Nor may the program ask another server than the plugin would.
    """
    prefix = OWN_SETTINGS.format(json.dumps(server.environment()))
    stack = new_stack(prefix + PROGRAM.format(id_, "new", ""), other.environment())

    run = stack.preview()

    assert run.code != 0
    assert f"the program asks {server.url}/KeyfactorAPI, but the provider's own process asks {other.url}" in run.text
