"""
The pack of examples/policy-pack on the real engine: what it refuses, when, and what passes.

The certificates are those of `pulumi-tls`; a plugin that echoes its inputs stands for its provider (echo_plugin).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kf_provider.policy import Graph, rules
from kf_provider.policy.graph import RECORD_TYPE
from kf_provider.sandbox import Sandbox

from .stack import PROJECT, ROOT, NewStack, Run, Stack

FOLDER = ROOT / "examples" / "policy-pack"
PACK = ("--policy-pack", str(FOLDER / "run"))

BEGINNING = """
        import pulumi_tls as tls

        def certificate(name, common_name="www.example.com", dns_names=None, **options):
            return tls.SelfSignedCert(
                name,
                allowed_uses=["server_auth"],
                dns_names=dns_names,
                private_key_pem="a key",
                validity_period_hours=12,
                subject=tls.SelfSignedCertSubjectArgs(common_name=common_name),
                opts=pulumi.ResourceOptions(**options),
            )
"""

UNGATED = """
        certificate("web")
"""

GATED = """
        approval = kf.WorkflowApproval("approved", "{instance_id}")
        certificate("web", depends_on=[approval])
"""

NO_LONGER_GATED = """
        approval = kf.WorkflowApproval("approved", "{instance_id}")
        certificate("web")
"""

IN_A_COMPONENT = """
        class Site(pulumi.ComponentResource):
            def __init__(self, name, opts):
                super().__init__("test:index:Site", name, None, opts)
                certificate("web", parent=self)

        approval = kf.WorkflowApproval("approved", "{instance_id}")
        Site("site", pulumi.ResourceOptions(depends_on=[approval]))
"""

SHARED = """
        approval = kf.WorkflowApproval("approved", "{instance_id}")
        certificate("web", depends_on=[approval])
        certificate("second", depends_on=[approval])
"""

EXPECTED = """
        approval = kf.WorkflowApproval(
            "approved", "{instance_id}", expect={{"current_state_data.Subject": "CN=www.example.com"}}
        )
        certificate("web", depends_on=[approval])
"""

CHILDREN = """
        approval = kf.WorkflowApproval("approved", "{instance_id}")
        certificate("web", parent=approval)
        house = pulumi.ComponentResource("test:index:House", "house", None, pulumi.ResourceOptions(parent=approval))
        certificate("deep", parent=house)
"""

OF_A_LIKENESS = """
        gate = pulumi.ComponentResource("keyfactor:index:WorkflowApproval", "approved")
        certificate("web", parent=gate)
"""

PROTECTED = """
        approval = kf.WorkflowApproval("approved", "{instance_id}")
        certificate("web", depends_on=[approval], protect=True)
"""

# The same certificate, moved into a component and known by its old name.
MOVED = """
        house = pulumi.ComponentResource("test:index:House", "house", None, pulumi.ResourceOptions({how}))
        old = pulumi.Alias(name="web", parent=pulumi.ROOT_STACK_RESOURCE)
        certificate("moved", parent=house, aliases=[old], protect=True)
"""

# The same certificate exists already, and its id is known.
IMPORTED = """
        approval = kf.WorkflowApproval(
            "approved", "{instance_id}", expect={{"current_state_data.Subject": "CN=www.example.com"}}
        )
        certificate("web", depends_on=[approval], import_="www.example.com")
"""

# The component of echo_plugin/house.py, whose certificate the program does not see.
REMOTE = """
        class House(pulumi.ComponentResource):
            def __init__(self, **options):
                super().__init__("house:index:House", "house", {{}}, pulumi.ResourceOptions(**options), True)

        approval = kf.WorkflowApproval("approved", "{instance_id}")
        House({how})
"""

NAMED = """
        expect = {{
            "current_state_data.Subject": "CN=www.example.com",
            "current_state_data.SANs.dns": ["www.example.com", "shop.example.com"],
        }}
        approval = kf.WorkflowApproval("approved", "{instance_id}", expect=expect)
        key = tls.PrivateKey("key", algorithm="RSA")
        certificate("web", {names}, depends_on=[approval])
"""

READ = """
        from kf_provider.approval import ApprovalRecordProvider
        from pulumi import dynamic

        class ApprovalRecord(dynamic.Resource, module="keyfactor", name="ApprovalRecord"):
            pass

        how = pulumi.ResourceOptions(id="mine")
        record = ApprovalRecord(ApprovalRecordProvider(), "read", {{"status": "Complete"}}, how)
        certificate("web", depends_on=[record])
"""

FORGED = """
        from pulumi import dynamic

        class Provider(dynamic.ResourceProvider):
            def create(self, props):
                return dynamic.CreateResult("forged", props)

        class ApprovalRecord(dynamic.Resource, module="keyfactor", name="ApprovalRecord"):
            pass

        record = ApprovalRecord(Provider(), "forged", {{"instance_id": "{instance_id}", "status": "Complete"}})
        certificate("web", depends_on=[record])
"""

# The genuine text, but the plugin of another package keeps it; and a component, which nobody keeps.
COPIED = f"""
        asked = {{{{"current_state_data.Subject": "CN=www.example.com"}}}}
        copied = {{{{"__provider": "{rules.GENUINE}", "status": "Complete", "expect": asked}}}}
        copied["instance_id"] = copied["approved_instance_id"] = "{{instance_id}}"
"""
KEPT_BY_ANOTHER = f"""{COPIED}
        provider = tls.Provider("another")
        provider.package = provider._package = "pulumi-python"
        how = pulumi.ResourceOptions(provider=provider)
        record = pulumi.CustomResource("{RECORD_TYPE}", "forged", copied, how)
        certificate("web", depends_on=[record])
"""
KEPT_BY_NOBODY = f"""{COPIED}
        gate = pulumi.ComponentResource("keyfactor:index:WorkflowApproval", "gate")
        how = pulumi.ResourceOptions(parent=gate)
        record = pulumi.ComponentResource("{RECORD_TYPE}", "forged", copied, how)
        certificate("web", parent=gate, depends_on=[record])
"""


@pytest.fixture
def stack(new_stack: NewStack, server: Sandbox) -> Stack:
    """A stack that finds the sandbox, the plugin for its certificates and an interpreter for the pack."""
    stack = new_stack("", {**server.environment(), "PYTHON": sys.executable})
    stack.environment["PATH"] = f"{Path(__file__).parent / 'echo_plugin'}{os.pathsep}{stack.environment['PATH']}"
    return stack


@pytest.fixture
def approved(server: Sandbox) -> str:
    """An approved instance."""
    id_ = server.start_enrollment(subject="CN=www.example.com")
    server.approve(id_)
    return str(id_)


def write(stack: Stack, program: str, instance_id: str = "", **parts: str) -> None:
    stack.write(BEGINNING + program.format(instance_id=instance_id, **parts))


def configured(stack: Stack, config: object) -> tuple[str, str]:
    """
    A policy configuration, for the CLI.
    """
    (stack.folder / "policy.json").write_text(json.dumps(config))
    return "--policy-pack-config", str(stack.folder / "policy.json")


def exported(stack: Stack) -> Graph:
    return Graph.from_state(json.loads(stack.run("stack", "export").text))


def own_pack(folder: Path, *policies: str) -> tuple[str, str]:
    """
    A pack of some policies, for the CLI.
    """
    program = "from pulumi_policy import PolicyPack\nfrom kf_provider import policy\n"
    folder = folder / "pack"
    folder.mkdir()
    (folder / "__main__.py").write_text(f"{program}PolicyPack('own', policies=[{', '.join(policies)}])\n")
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (folder / "run").write_text(f"#!/bin/sh\ncd '{folder}' && exec '{sys.executable}' -u -m pulumi.policy \"$1\" .\n")
    (folder / "run").chmod(0o755)
    return "--policy-pack", str(folder / "run")


def refused(run: Run, policy: str, *words: str) -> None:
    assert run.code != 0, run
    assert not run.tracebacks, run
    assert re.search(rf"\[mandatory\] \[severity: (high|critical)\]  {policy}  ", run.text), run
    for text in words:
        assert text in run.text, f"{text!r} in:\n{run}"


def test_ungated(stack: Stack) -> None:
    """
    A certificate that waits for nothing is refused in preview, by its name and with what to write.

    Without a preview it is refused after its creation: a stack is judged when all of it is there.
    """
    write(stack, UNGATED)

    preview = stack.preview(*PACK)
    update = stack.up(*PACK)

    for run in (preview, update):
        refused(run, "certificates-need-approval", "(tls:index:SelfSignedCert: web)", "depends_on=[approval]")
    assert stack.resource("web") is not None


def test_folder(stack: Stack) -> None:
    """
    The folder is a pack, too; where the language host is too old for that, the program says which file to give.
    """
    write(stack, UNGATED)

    run = stack.preview("--policy-pack", str(FOLDER))

    assert run.code != 0, run
    assert not run.tracebacks, run
    assert "'web' waits for no approval" in run.text or "give the pack's executable" in run.text, run


def test_gated(stack: Stack, approved: str) -> None:
    """
    One that depends on an approval passes, in preview and update, and so does one inside of a component that does.
    """
    write(stack, GATED, approved)
    runs = [stack.preview(*PACK), stack.up(*PACK)]
    write(stack, IN_A_COMPONENT, approved)
    runs += [stack.preview(*PACK), stack.up(*PACK)]

    for run in runs:
        assert run.code == 0, run
        assert "[mandatory]" not in run.text, run
    assert stack.resource("web") is not None


def test_shared(stack: Stack, approved: str) -> None:
    """
    One approval is for one certificate.
    """
    write(stack, SHARED, approved)

    run = stack.preview(*PACK)

    refused(run, "one-approval-one-certificate", "waits for the same one")


def test_forged(stack: Stack, approved: str) -> None:
    """
    A record that the program makes itself opens nothing, though it has the type and the status of an approval's.

    Without a preview, too, it is refused before it is made, and before the certificate is.
    """
    write(stack, FORGED, approved)

    preview = stack.preview(*PACK)
    update = stack.up(*PACK)

    for run in (preview, update):
        refused(run, "records-are-genuine", "is no record of kf_provider")
    assert stack.resource("forged") is None
    assert stack.resource("web") is None


@pytest.mark.parametrize(
    ("program", "by"), [(KEPT_BY_ANOTHER, "expect"), (KEPT_BY_NOBODY, "parent")], ids=["another plugin", "nobody"]
)
def test_forged_with_the_genuine_text(stack: Stack, server: Sandbox, tmp_path: Path, program: str, by: str) -> None:
    """
    So is one that has the text of kf_provider's own provider, which anybody can read in a state.
    """
    pack = own_pack(tmp_path, "policy.records_are_genuine()", f"policy.certificates_wait_for_approval(by={by!r})")
    write(stack, program, server.start_enrollment())

    update = stack.up(*pack)

    refused(update, "records-are-genuine", "is no record of kf_provider")
    assert stack.resource("web") is None


def test_before_creation(stack: Stack, approved: str, tmp_path: Path) -> None:
    """
    Without a preview, too, no certificate is made unless an approval of its subject is recorded before it.
    """
    pack = own_pack(tmp_path, "policy.certificates_wait_for_approval()")
    write(stack, UNGATED)
    bare = stack.up(*pack)

    refused(bare, "certificates-wait-for-approval", "'web' has a subject that no approval before it")
    assert stack.resource("web") is None

    write(stack, EXPECTED, approved)
    runs = [stack.preview(*pack), stack.up(*pack), stack.up(*pack)]
    for run in runs:
        assert run.code == 0, run
    assert stack.resource("web") is not None

    write(stack, EXPECTED + UNGATED.replace('"web"', '"second", common_name="other.example.com"'), approved)
    second = stack.up(*pack)

    refused(second, "certificates-wait-for-approval", "'second' has a subject that no approval before it")
    assert stack.resource("second") is None


def test_before_creation_by_parent(stack: Stack, approved: str, tmp_path: Path) -> None:
    """
    By the rule about parents a certificate is a child of its gate, at any depth; a component that only has the gate's
    type opens nothing.
    """
    pack = own_pack(tmp_path, 'policy.certificates_wait_for_approval(by="parent")')
    write(stack, UNGATED)
    bare = stack.up(*pack)
    write(stack, OF_A_LIKENESS)
    likeness = stack.up(*pack)

    for run in (bare, likeness):
        refused(run, "certificates-wait-for-approval", "is no child of a gate", "parent=approval")
    assert stack.resource("web") is None

    write(stack, CHILDREN, approved)
    runs = [stack.preview(*pack), stack.up(*pack), stack.up(*pack)]

    for run in runs:
        assert run.code == 0, run
    assert stack.resource("web") is not None
    assert stack.resource("deep") is not None


def test_moved(stack: Stack, approved: str) -> None:
    """
    A protected certificate that moves into a component, by an alias, is judged where it is now.
    """
    write(stack, PROTECTED, approved)
    first = stack.up(*PACK)
    assert first.code == 0, first

    gate = 'approval = kf.WorkflowApproval("approved", "{instance_id}")\n'
    bare = " " * 8 + gate + MOVED.replace("{how}", "")
    write(stack, bare, approved)
    refused(stack.preview(*PACK), "certificates-need-approval", "'moved' waits for no approval")

    write(stack, " " * 8 + gate + MOVED.replace("{how}", "depends_on=[approval]"), approved)
    runs = [stack.preview(*PACK), stack.up(*PACK)]
    for run in runs:
        assert run.code == 0, run
    assert stack.resource("moved") is not None
    assert stack.resource("web") is None


def test_moved_to_another_stack(stack: Stack, approved: str) -> None:
    """
    A certificate that moves to another stack with its approval still waits for it there; one that moves alone does not.
    """
    other = replace(stack, name="other")

    def move(*resources: str, source: str, dest: str) -> None:
        done = subprocess.run(
            [stack.cli, "state", "move", *resources, "--source", source, "--dest", dest, "--yes"],
            cwd=stack.folder,
            env=stack.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    def urn(name: str) -> str:
        return f"urn:pulumi:{name}::{PROJECT}::"

    certificate, gate = "tls:index/selfSignedCert:SelfSignedCert::web", "keyfactor:index:WorkflowApproval::approved"
    write(stack, GATED, approved)
    assert stack.up().code == 0
    assert other.run("stack", "init").code == 0

    move(urn("test") + gate, urn("test") + certificate, source="test", dest="other")
    run = other.preview(*PACK, "--expect-no-changes")
    assert run.code == 0, run
    assert not list(rules.certificates_need_approval(exported(other)))

    move(urn("other") + certificate, source="other", dest="test")
    (finding,) = rules.certificates_need_approval(exported(stack))
    assert finding.urn == urn("test") + certificate


def test_imported(stack: Stack, approved: str, tmp_path: Path) -> None:
    """
    An import needs an approval as a creation does. Without one it is refused in preview; an update without a preview
    refuses it too, but has written into the state by then what existed before.
    """
    pack = own_pack(tmp_path, "*policy.recommended()", "policy.certificates_wait_for_approval()")
    write(stack, IMPORTED, approved)
    for run in (stack.preview(*pack), stack.up(*pack)):
        assert run.code == 0, run
    imported = stack.resource("web")
    assert imported is not None
    assert imported["id"] == "www.example.com"

    id_ = "other.example.com"
    write(stack, IMPORTED + f'        certificate("second", "{id_}", import_="{id_}")\n', approved)
    refused(stack.preview(*pack), "certificates-need-approval", "'second' waits for no approval")
    refused(stack.up(*pack), "certificates-wait-for-approval", "'second' has a subject that no approval before it")
    assert stack.resource("second") is not None  # as docs/policies.md says


def test_remote_component(stack: Stack, approved: str, tmp_path: Path) -> None:
    """
    The certificate of a component that another process makes is judged as one of the program.
    """
    pack = own_pack(tmp_path, "*policy.recommended()", 'policy.certificates_wait_for_approval(by="parent")')
    write(stack, REMOTE, approved, how="")
    bare = stack.preview(*pack)
    write(stack, REMOTE, approved, how="depends_on=[approval]")
    waiting = stack.preview(*PACK)
    write(stack, REMOTE, approved, how="parent=approval")
    runs = [waiting, stack.preview(*pack), stack.up(*pack)]

    refused(bare, "certificates-need-approval", "'house-web' waits for no approval")
    refused(bare, "certificates-wait-for-approval", "'house-web' is no child of a gate")
    for run in runs:
        assert run.code == 0, run
        assert "[mandatory]" not in run.text, run
    assert stack.resource("house-web") is not None


def test_approval_matches(stack: Stack, server: Sandbox, tmp_path: Path) -> None:
    """
    A certificate asks for the subject and the names that were approved, or for less; in a preview a name that is not
    known yet is told, and the update judges it.
    """
    pack = own_pack(tmp_path, "*(match := [policy.approval_matches_certificate()])", "policy.verdicts_are_known(match)")
    names = ["www.example.com", "shop.example.com"]
    approved = server.start_enrollment(subject="CN=www.example.com", state_data={"SANs": {"dns": names}})
    server.approve(approved)

    write(stack, NAMED, approved, names='"other.example.com"')
    refused(stack.preview(*pack), "approval-matches-certificate", "'web' asks for a subject that its approval")
    write(stack, NAMED, approved, names='dns_names=["www.example.com", "evil.example.com"]')
    refused(stack.preview(*pack), "approval-matches-certificate", "'web' asks for other names that its approval")
    write(stack, NAMED, approved, names='dns_names=["shop.example.com"]')
    fits = stack.up(*pack)
    assert fits.code == 0, fits

    write(stack, NAMED.replace('"key",', '"new",'), approved, names="key.id")
    preview = stack.preview(*pack)
    assert preview.code == 0, preview
    assert "'web' cannot be compared with its approval" in preview.text, preview
    refused(stack.up(*pack), "approval-matches-certificate", "'web' asks for a subject that its approval")


def test_exceptions(stack: Stack) -> None:
    """
    What `kf policy check` writes for a stack of today is a policy configuration for Pulumi: its certificates pass, a
    new one is refused, and an exception without a reason too.
    """
    write(stack, UNGATED)
    assert stack.up().code == 0
    (stack.folder / "state.json").write_text(stack.run("stack", "export").text)
    file = stack.folder / "policy.json"
    written = subprocess.run(
        [sys.executable, "-m", "kf_provider", "policy", "check", "--state", "state.json", "--write-exceptions", file],
        cwd=stack.folder,
        check=False,
    )
    assert written.returncode == 0

    config = json.loads(file.read_text())
    adopted = stack.preview(*PACK, *configured(stack, config))
    assert adopted.code == 0, adopted
    assert "[exempted]  certificates-need-approval" in adopted.text, adopted

    write(stack, UNGATED + UNGATED.replace("web", "second"))
    new = stack.preview(*PACK, *configured(stack, config))
    refused(new, "certificates-need-approval", "'second' waits for no approval")
    assert "'web' waits for no approval" not in new.text, new

    for exception in config["exceptions"].values():
        del exception["reason"]
    unreasoned = stack.preview(*PACK, *configured(stack, config))
    assert unreasoned.code != 0, unreasoned
    assert '"reason" is required' in unreasoned.text, unreasoned


def test_configured(stack: Stack, approved: str) -> None:
    """
    A rule's parameters and level come from a policy configuration, without a change of the pack.
    """
    rule = "approvals-are-complete"
    write(stack, GATED, approved)
    strict = configured(stack, {rule: {"enforcementLevel": "mandatory", "definitions": ["Mail"]}})
    refused(stack.up(*PACK, *strict), rule, "'approved' is of a workflow definition that is not allowed here")

    advised = stack.preview(
        *PACK, *configured(stack, {rule: {"enforcementLevel": "advisory", "definitions": ["Mail"]}})
    )
    assert advised.code == 0, advised
    assert "is of a workflow definition that is not allowed here" in advised.text, advised

    wrong = stack.preview(*PACK, *configured(stack, {rule: {"definitions": "Mail"}}))
    assert wrong.code != 0, wrong
    assert not wrong.tracebacks, wrong
    assert "definitions: Invalid type" in wrong.text, wrong


def test_record_that_is_read(stack: Stack) -> None:
    """
    A record of the genuine provider that is read by an id, and not made, opens nothing: no server was asked for it.
    """
    write(stack, READ)

    refused(stack.preview(*PACK), "certificates-need-approval", "'web' waits for no approval")

    assert stack.up().code == 0  # without the pack
    (finding,) = rules.records_are_genuine(exported(stack))
    assert "was read by an id" in finding.message


def test_plan(stack: Stack, approved: str) -> None:
    """
    An update by the plan of a preview that passed does what was judged, and nothing else, without the pack.

    A program that drops the dependency afterwards is refused before its certificate is made.
    """
    plan = str(stack.folder / "plan.json")
    write(stack, GATED, approved)
    preview = stack.preview(*PACK, "--save-plan", plan)
    assert preview.code == 0, preview

    write(stack, NO_LONGER_GATED, approved)
    changed = stack.up("--plan", plan)

    assert changed.code != 0, changed
    assert "violates plan" in changed.text, changed
    assert stack.resource("web") is None

    write(stack, GATED, approved)
    unchanged = stack.up("--plan", plan)

    assert unchanged.code == 0, unchanged
    assert stack.resource("web") is not None
