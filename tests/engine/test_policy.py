"""
The recommended policies on the real engine, where a Stash stands for a certificate.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kf_provider.policy import Graph, StackFileError, rules
from kf_provider.sandbox import Sandbox

from .stack import ROOT, NewStack

TYPES = ["pulumi:index:Stash"]
PAGE = (ROOT / "docs" / "policies.md").read_text()
GATE = """
    def certificate(name, **how):
        return pulumi.Stash(name, input=name, opts=pulumi.ResourceOptions(**how))
    approval = kf.WorkflowApproval("web", "{0}", timeout="20s")
"""


def block(language: str, number: int = 0) -> str:
    """
    A block of the page on policies.
    """
    return str(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number])


@pytest.fixture
def pack(tmp_path: Path) -> str:
    """
    The page's policy pack.
    """
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text(block("yaml"))
    program = block("py").replace("recommended()", f"recommended(types={TYPES})")
    (folder / "__main__.py").write_text(program)
    (folder / "run").write_text(block("shell").replace("exec python", f"exec {sys.executable}"))
    (folder / "run").chmod(0o755)
    return str(folder / "run")


@pytest.fixture
def approved(server: Sandbox) -> str:
    made = server.start_enrollment(subject="CN=web.example.com")
    server.approve(made)
    return made


def test_blocked_and_passing(new_stack: NewStack, server: Sandbox, approved: str, pack: str) -> None:
    """
    A certificate without an approval, or with another one's, is refused in preview; one of its own passes, directly and
    through a component, and what is written into the state passes the same rules.
    """
    stack = new_stack(GATE.format(approved) + "    certificate('bare')\n", server.environment())
    run = stack.preview("--policy-pack", pack)
    assert 0 != run.code, run
    assert "certificates-need-approval" in run.text, run
    assert "pulumi:index:Stash 'bare' waits for no approval" in run.text, run
    assert "depends_on=[approval]" in run.text, run

    stack.write(
        GATE.format(approved)
        + "    certificate('one', parent=approval)\n    certificate('two', depends_on=[approval])\n"
    )
    run = stack.preview("--policy-pack", pack)
    assert 0 != run.code, run
    assert "has no approval of its own" in run.text, run

    stack.write(
        GATE.format(approved)
        + """
    class House(pulumi.ComponentResource):
        def __init__(self):
            super().__init__("house:index:House", "house", None, pulumi.ResourceOptions(depends_on=[approval]))
            certificate("inside", parent=self)
    House()
    """
    )
    run = stack.preview("--policy-pack", pack)
    assert 0 == run.code, run
    assert "'web' is not recorded yet" in run.text, run
    run = stack.run("up", "--yes", "--policy-pack", pack)
    assert 0 == run.code, run
    graph = Graph.from_state(json.loads(stack.run("stack", "export").text))
    (inside,) = graph.of_types(TYPES.__contains__)
    assert inside.source == "__main__.py:5", inside
    assert not [
        *rules.certificates_need_approval(graph, types=TYPES),
        *rules.approvals_are_complete(graph, workflow_types=["Enrollment"], certificates=TYPES, max_age=3600),
        *rules.records_are_genuine(graph),
        *rules.no_insecure_settings(graph),
    ]


def test_preview_file(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A preview as JSON is read with what stays the same, and refused without it.
    """
    stack = new_stack(GATE.format(approved) + "    certificate('bound', depends_on=[approval])\n", server.environment())
    assert stack.up().code == 0
    text = stack.preview("--json", "--show-sames").text

    graph = Graph.from_preview(json.loads(text[text.index("{") :]))

    assert [True] == [bool(records) for records in graph.approvals(graph.of_types(TYPES.__contains__)).values()]
    assert ["Complete"] == [record.properties["status"] for record in graph.records]
    text = stack.preview("--json").text
    with pytest.raises(StackFileError, match="--show-sames"):
        Graph.from_preview(json.loads(text[text.index("{") :]))


def test_plan(new_stack: NewStack, server: Sandbox, approved: str, pack: str) -> None:
    """
    The page's pipeline: a preview that is refused leaves no plan, and one that passes is carried out.
    """
    preview, update = (line.split()[1:] for line in (block("shell", 1), block("shell", 2)))
    preview[preview.index("certificates/run")] = pack
    stack = new_stack(GATE.format(approved) + "    certificate('one')\n", server.environment())

    assert 0 != stack.run(*preview).code
    assert not (stack.folder / "plan.json").exists()

    stack.write(GATE.format(approved) + "    certificate('one', depends_on=[approval])\n")
    assert 0 == stack.run(*preview).code
    run = stack.run(*update)
    assert 0 == run.code, run
    assert stack.resource("one") is not None


def test_command_line(new_stack: NewStack, server: Sandbox, approved: str, cli_folder: Path) -> None:
    """
    The page's lines for a state and a preview, in a shell: refused, adopted, and what waits for an approval passes.
    """
    stack = new_stack(GATE.format(approved) + "    certificate('bare')\n", server.environment())
    assert stack.up().code == 0

    def shell(line: str) -> int:
        line = line.replace("pulumi stack", "pulumi --stack test stack").replace(
            "preview --json", "preview -s test --json"
        )
        kf = f"{sys.executable} -m kf_provider policy check --type '{TYPES[0]}'"
        return subprocess.run(
            ["bash", "-c", line.replace("kf policy check", kf)],
            cwd=stack.folder,
            env=stack.environment,
            check=False,
            capture_output=True,
        ).returncode

    state, preview = block("shell", 3).splitlines()
    adopt, check = block("shell", 4).splitlines()
    assert [20, 20, 0, 0] == [shell(line) for line in (state, preview, adopt, check)]

    stack.write(GATE.format(approved) + "    certificate('bare', depends_on=[approval])\n")
    assert stack.up().code == 0
    assert [0, 0] == [shell(line) for line in (state, preview)]


def test_insecure_configuration(new_stack: NewStack, server: Sandbox, approved: str, pack: str) -> None:
    """
    skipVerify in the stack's configuration is refused, by the key that is to be removed.
    """
    stack = new_stack(GATE.format(approved), server.environment())
    stack.config(skipVerify="true")

    run = stack.preview("--policy-pack", pack)

    assert 0 != run.code, run
    assert "keyfactor:skipVerify" in run.text, run
    assert "no-insecure-settings" in run.text, run


BARE = "    certificate('bare')\n"
FAILING = """
    bare = certificate('bare')
    from pulumi.dynamic import Resource, ResourceProvider
    class Failing(ResourceProvider):
        def create(self, props):
            raise Exception("no")
    class Another(Resource, module="house", name="Another"):
        pass
    Another(Failing(), "failing", {}, pulumi.ResourceOptions(depends_on=[bare]))
"""


@pytest.mark.parametrize(
    ("program", "skipped", "is_refused"),
    [
        (BARE, ["--skip-preview"], True),
        ("    approval.status.apply(lambda _: certificate('bare'))\n", [], True),
        ("    if not pulumi.runtime.is_dry_run():\n        certificate('bare')\n", [], True),
        (FAILING, ["--skip-preview"], False),
    ],
    ids=["without a preview", "in an apply", "in an update only", "beside one that fails"],
)
def test_house_rule(
    new_stack: NewStack,
    server: Sandbox,
    approved: str,
    pack: str,
    program: str,
    skipped: list[str],
    is_refused: bool,
) -> None:
    """
    The page's table: what the recommended policies refuse after it was made, or never, the rule about parents refuses
    before.
    """
    program = GATE.format(approved) + program
    first = new_stack(program, server.environment())
    run = first.run("up", "--yes", *skipped, "--policy-pack", pack)

    assert 0 != run.code, run
    assert is_refused == ("[mandatory]" in run.text), run
    assert first.resource("bare") is not None

    with_rule_about_parents(pack)
    second = new_stack(program, server.environment())
    run = second.run("up", "--yes", *skipped, "--policy-pack", pack)

    assert "is no child of a gate" in run.text, run
    assert second.resource("bare") is None


def with_rule_about_parents(pack: str) -> None:
    """
    The page's pack with the rule about parents in its place.
    """
    rule = block("py", 3).replace("recommended()", f"recommended(types={TYPES})")
    rule = rule.replace("approval(", f"approval(types={TYPES}, ")
    (Path(pack).parent / "__main__.py").write_text(block("py").partition("PolicyPack(")[0] + rule)


def test_child_of_its_gate(new_stack: NewStack, server: Sandbox, approved: str, pack: str) -> None:
    """
    The page's program passes the rule about parents, and one that is there already moves below its gate and stays what
    it is.
    """
    with_rule_about_parents(pack)
    begin = GATE.partition("    approval")[0]
    stack = new_stack(begin + "    certificate('web')\n", server.environment())
    assert stack.up().code == 0
    child = block("py", 2).replace('"approval", instance_id', f'"approval", "{approved}"')
    stack.write(begin + textwrap.indent(child, "    "))
    without = stack.preview()
    assert "to delete" in without.text, without
    alias = "parent=approval, aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]"
    stack.write(begin + textwrap.indent(child, "    ").replace("parent=approval", alias))

    run = stack.run("up", "--yes", "--policy-pack", pack)

    assert 0 == run.code, run
    assert "[mandatory]" not in run.text, run
    assert "deleted" not in run.text, run
    assert stack.resource("web") is not None


def test_every_stack(new_stack: NewStack, tmp_path: Path, pack: str, cli_folder: Path) -> None:
    """
    The page's variable gives the pack to every update, beside the command's own; its loop names a stack that is
    refused.
    """
    stack = new_stack("    pulumi.Stash('bare', input='x')\n")
    variable = re.findall(r"^export (\w+)=\S+$", block("shell", 5), re.MULTILINE)[0]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "PulumiPolicy.yaml").write_text(block("yaml"))
    (tmp_path / "own" / "run").write_text(Path(pack).read_text())
    (tmp_path / "own" / "run").chmod(0o755)
    further = block("py").partition("PolicyPack(")[0] + block("py", 1).replace('"certificates"', '"own"')
    (tmp_path / "own" / "__main__.py").write_text(further)

    def shell(lines: str) -> str:
        lines = lines.replace("pulumi up", "pulumi --stack test up").replace("/srv/policies/certificates/run", pack)
        kf = f"{sys.executable} -m kf_provider policy check --type '{TYPES[0]}'"
        lines = lines.replace("kf policy check", kf).replace("python -c", f"{sys.executable} -c")
        return subprocess.run(
            ["bash", "-c", lines], cwd=stack.folder, env=stack.environment, check=False, capture_output=True, text=True
        ).stdout

    text = shell(block("shell", 5))
    assert "'bare' waits for no approval" in text, text
    both = shell(block("shell", 5).replace("--yes", f"--yes --policy-pack {tmp_path / 'own' / 'run'}"))
    assert "'bare' waits for no approval" in both, both
    assert "own@" in both, both
    assert stack.resource("bare") is None

    text = shell(block("shell", 5).replace(variable, "PULUMI_POLICY_PACKS"))
    assert "Policies:" not in text, text
    assert stack.resource("bare") is not None

    text = shell("pulumi stack init empty --no-select\n" + block("shell", 6))
    assert "test: refused" in text, text
    assert "empty: refused" not in text, text
