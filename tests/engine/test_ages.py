"""
An approval ends: `max_age`, of what is asked and of what is recorded.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from kf_provider.sandbox import Sandbox

from .stack import NewStack, Stack

DAY = 86_400
PROGRAM = """
    approval = kf.WorkflowApproval("web", "{0}", timeout="20s", wait=False, max_age={1!r})
    pulumi.Stash("after", input="{2}", opts=pulumi.ResourceOptions(depends_on=[approval]))
    pulumi.export("until", approval.expires_at)
"""


@pytest.fixture
def old(server: Sandbox) -> str:
    made = server.start_enrollment(subject="CN=web.example.com")
    server.approve(made)
    return made


def record(stack: Stack) -> dict[str, Any]:
    found = stack.resource("web", "ApprovalRecord")
    assert found is not None
    return found


def value_of(stack: Stack) -> object:
    found = stack.resource("after")
    return found["inputs"]["input"] if found else None


def test_a_month(new_stack: NewStack, server: Sandbox, old: str) -> None:
    """
    An approval opens for its time and no longer, by the server's clock; another limit changes no record, and a newer
    approval updates it, which is told once.
    """
    stack = new_stack(PROGRAM.format(old, "30d", "first"), server.environment())
    assert stack.up().code == 0
    given = record(stack)["outputs"]["last_modified"]
    until = datetime.fromisoformat(stack.outputs["until"])
    assert timedelta(days=30) == until - datetime.fromisoformat(given)

    stack.write(PROGRAM.format(old, "60d", "first"))
    run = stack.up("--expect-no-changes")
    assert (0, True) == (run.code, "4 unchanged" in run.text), run

    server.advance(40 * DAY + 60)
    stack.write(PROGRAM.format(old, "60d", "second"))
    assert stack.up().code == 0  # 40 days are less
    stack.write(PROGRAM.format(old, "30d", "third"))
    for run in (stack.preview(), stack.up()):
        assert run.code != 0, run
        assert f"workflow instance {old} is Complete since {given}, 40 d ago, and may be no older than 30 d" in run.text
        assert not run.tracebacks, run
        assert "third" != value_of(stack)

    new = server.start_enrollment(subject="CN=web.example.com")
    server.approve(new)
    stack.write(PROGRAM.format(new, "30d", "third"))
    assert stack.preview().code == 0
    run = stack.up()
    assert 0 == run.code, run
    newer = record(stack)["outputs"]["last_modified"]
    told = f"approved on {newer}, replaces the approval of {given}"
    assert told in run.text
    assert ("third", new) == (value_of(stack), record(stack)["outputs"]["approved_instance_id"])

    run = stack.up("--expect-no-changes")
    assert (0, False) == (run.code, "replaces the approval" in run.text), run


@pytest.mark.parametrize("how", ["down", "off", "purged"])
def test_a_recorded_one(new_stack: NewStack, server: Sandbox, old: str, how: str) -> None:
    """
    A recorded approval that is too old opens nothing, also where nothing can be asked, in preview too; the record's own
    date counts. One that is young enough opens.
    """
    stack = new_stack(PROGRAM.format(old, None, "first"), server.environment())
    assert stack.up().code == 0
    match how:
        case "down":
            server.close()
        case "off":
            stack.environment["KEYFACTOR_GATES"] = "off"
        case "purged":
            server.purge(old)
    recorded_on(stack, "2026-01-31T00:00:00Z")

    stack.write(PROGRAM.format(old, "365000d", "second"))
    for run in (stack.preview(), stack.up()):
        assert 0 == run.code, run
    assert "second" == value_of(stack)

    stack.write(PROGRAM.format(old, "1d", "third"))
    for run in (stack.preview(), stack.up()):
        assert run.code != 0, run
        assert f"approval 'web': workflow instance {old} is Complete since 2026-01-31T00:00:00Z" in run.text
        assert "and may be no older than 1 d (max_age); start a new request" in run.text
        assert not run.tracebacks, run
        assert "second" == value_of(stack)

    recorded_on(stack, None)
    run = stack.up()
    assert (True, True) == (run.code != 0, "is Complete, but without a date" in run.text), run


def recorded_on(stack: Stack, date: str | None) -> None:
    """Give the record in the state another date, or none."""
    state = json.loads(stack.state_file.read_text())
    for res in state["checkpoint"]["latest"]["resources"]:
        if res["type"].endswith(":ApprovalRecord"):
            res["outputs"].pop("last_modified")
            res["outputs"] |= {"last_modified": date} if date else {}
    stack.state_file.write_text(json.dumps(state))
