"""
The ways round the gate, each tried with an old approval on record: none updates what depends on it.
"""

from __future__ import annotations

import pytest

from kf_provider.sandbox import Sandbox

from .stack import RUN_SECONDS, NewStack, Run, Stack

DEPENDENT = "urn:pulumi:test::gate::pulumi:index:Stash::after"
RECORD = "urn:pulumi:test::gate::keyfactor:index:WorkflowApproval$pulumi-python:dynamic/keyfactor:ApprovalRecord::web"


def program(instance_id: str, value: str, gate: str = "", dependent: str = "depends_on=[approval]") -> str:
    return f"""
        approval = kf.WorkflowApproval("web", "{instance_id}"{gate})
        pulumi.Stash("after", input="{value}", opts=pulumi.ResourceOptions({dependent}))
    """


@pytest.fixture
def old(server: Sandbox) -> str:
    """An approved instance."""
    id_ = server.start_enrollment(subject="CN=old.example.com")
    server.approve(id_)
    return str(id_)


@pytest.fixture
def new(server: Sandbox) -> str:
    """A pending one."""
    return str(server.start_enrollment(subject="CN=new.example.com"))


def value_of(stack: Stack, name: str = "after") -> object:
    resource = stack.resource(name)
    return resource["inputs"]["input"] if resource else None


def recorded(stack: Stack) -> object:
    resource = stack.resource("web", "ApprovalRecord")
    return resource["outputs"]["instance_id"] if resource else None


def refused(run: Run, stack: Stack, old: str) -> None:
    assert run.code != 0, run
    assert not run.tracebacks, run
    assert "old" == value_of(stack)
    assert old == recorded(stack)


def test_target_the_dependent(new_stack: NewStack, server: Sandbox, old: str, new: str) -> None:
    """
    `--target` on the dependent leaves the record out; the old approval does not open the new gate.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    server.approve(new)
    stack.write(program(new, "new"))

    run = stack.up("--target", DEPENDENT)

    refused(run, stack, old)
    assert (
        f"approval 'web': the record in this stack is for {old}, not for {new}: it was left out of this run" in run.text
    )


def test_target_with_another_expectation(new_stack: NewStack, server: Sandbox, old: str) -> None:
    """
    Nor does an approval that was recorded with other expectations.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    stack.write(program(old, "new", ', expect={"current_state_data.Subject": "CN=old.example.com"}'))

    run = stack.up("--target", DEPENDENT)

    refused(run, stack, old)
    assert "with what is expected of it now" in run.text


def test_exclude_the_record(new_stack: NewStack, server: Sandbox, old: str, new: str) -> None:
    """
    `--exclude` of the record neither.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    server.approve(new)
    stack.write(program(new, "new"))

    run = stack.up("--exclude", RECORD)

    refused(run, stack, old)


def test_exclude_a_record_never_made(new_stack: NewStack, server: Sandbox, old: str) -> None:
    """
    A record that was never made opens nothing.
    """
    stack = new_stack(program(old, "new"), server.environment())

    run = stack.up("--exclude", RECORD)

    assert run.code != 0
    assert value_of(stack) is None
    assert not run.tracebacks, run


def test_target_nothing_new(new_stack: NewStack, server: Sandbox, old: str) -> None:
    """
    `--target` on the dependent is fine while the record is the one that the program asks for.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    stack.write(program(old, "new"))

    run = stack.up("--target", DEPENDENT)

    assert run.code == 0, run
    assert "new" == value_of(stack)


def test_target_with_gates_off(new_stack: NewStack, server: Sandbox, old: str, new: str) -> None:
    """
    The guard holds with `gates` set to `off` as well: nothing looks or waits, and what was not approved opens nothing.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    stack.write(program(new, "new"))

    run = stack.up("--target", DEPENDENT, KEYFACTOR_GATES="off")

    refused(run, stack, old)


def test_target_what_is_recorded_with_gates_off(new_stack: NewStack, server: Sandbox, old: str) -> None:
    """
    With `gates` set to `off`, what depends on a recorded approval goes on without a request.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    stack.write(program(old, "new"))
    asked = len(server.journal())

    run = stack.up("--target", DEPENDENT, KEYFACTOR_GATES="off")

    assert (0, "new") == (run.code, value_of(stack)), run
    assert asked == len(server.journal())


@pytest.mark.parametrize("flags", [(), ("--exclude", RECORD)], ids=["whole", "exclude"])
def test_gates_off_without_a_record(new_stack: NewStack, server: Sandbox, old: str, flags: tuple[str, ...]) -> None:
    """
    With `gates` set to `off` nothing new is recorded: the gate, or what depends on it, ends the run in one line, and
    the state is whole.
    """
    stack = new_stack(program(old, "new"), server.environment())

    run = stack.up(*flags, KEYFACTOR_GATES="off")
    again = stack.preview(KEYFACTOR_GATES="off")

    assert run.code != 0, run
    assert (run.tracebacks, value_of(stack), recorded(stack)) == ([], None, None), run
    assert "this run left its record out" in run.text or "gates are off" in run.text
    assert "gates are off" in again.text
    assert "snapshot integrity" not in run.text + again.text


IGNORE = """
        def ignore(args):
            if "ApprovalRecord" in {type_}:
                return {result}(args.props, pulumi.ResourceOptions.merge(
                    args.opts, pulumi.ResourceOptions(ignore_changes=["instance_id", "expect", "problem"])))
        {register}(ignore)
"""
TRANSFORMATION = IGNORE.format(
    type_="args.type_",
    result="pulumi.ResourceTransformationResult",
    register="pulumi.runtime.register_stack_transformation",
)
TRANSFORM = IGNORE.format(
    type_="args.type_",
    result="pulumi.ResourceTransformResult",
    register="pulumi.runtime.register_resource_transform",
)


@pytest.mark.parametrize("way", [TRANSFORMATION, TRANSFORM], ids=["transformation", "transform"])
@pytest.mark.parametrize("act", ["approve", "deny"])
def test_ignore_changes(new_stack: NewStack, server: Sandbox, old: str, new: str, way: str, act: str) -> None:
    """
    `ignore_changes` on the record, by a transform, keeps the old record, and the guard sees it.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    getattr(server, act)(new)
    stack.write(way + program(new, "new"))

    refused(stack.up(), stack, old)


INNER = "pulumi.ComponentResource('test:index:Inner', 'inner', None, pulumi.ResourceOptions(parent=approval))"


@pytest.mark.parametrize(
    "dependent",
    [
        "parent=approval",
        "depends_on=[approval._record]",
        f"parent={INNER}",
    ],
    ids=["child", "record", "grandchild"],
)
def test_other_dependents(new_stack: NewStack, server: Sandbox, old: str, new: str, dependent: str) -> None:
    """
    Children and grandchildren of the gate wait as well.
    """
    stack = new_stack(program(old, "old", dependent=dependent), server.environment())
    assert stack.up().code == 0
    server.deny(new)
    stack.write(program(new, "new", dependent=dependent))

    run = stack.up()

    refused(run, stack, old)


def test_a_child_waits(new_stack: NewStack, server: Sandbox, new: str) -> None:
    """
    A child of a pending gate is not created while it waits.
    """
    stack = new_stack(program(new, "new", dependent="parent=approval"), server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")
    server.wait_for_journal(lambda records: len(records) >= 2, timeout=RUN_SECONDS)
    assert "Stash after" not in stack.output()

    server.approve(new)
    run = stack.end(update)

    assert run.code == 0, run
    assert "new" == value_of(stack)


def test_an_output_waits(new_stack: NewStack, server: Sandbox, old: str, new: str) -> None:
    """
    What uses an output of the gate waits, also with `--target`.
    """
    use = """
        approval = kf.WorkflowApproval("web", "{0}")
        pulumi.Stash("after", input=approval.title.apply(lambda _: "{1}"))
    """
    stack = new_stack(use.format(old, "old"), server.environment())
    assert stack.up().code == 0
    server.approve(new)
    stack.write(use.format(new, "new"))

    refused(stack.up("--target", DEPENDENT), stack, old)


@pytest.mark.parametrize("flags", [("--target", DEPENDENT), ("--exclude", RECORD)], ids=["target", "exclude"])
def test_code_in_an_apply_waits(
    new_stack: NewStack, server: Sandbox, old: str, new: str, flags: tuple[str, str]
) -> None:
    """
    Code in an `apply` on an output of the gate does not run under the old approval.
    """
    use = """
        approval = kf.WorkflowApproval("web", "{0}")
        pulumi.Stash("after", input="{1}", opts=pulumi.ResourceOptions(depends_on=[approval]))
        for output in (approval.approved_instance_id, approval.lineage, approval.expect, approval.server):
            output.apply(lambda _: pulumi.log.info("acted for {1}"))
    """
    stack = new_stack(use.format(old, "old"), server.environment())
    assert "acted for old" in stack.up().text
    server.approve(new)
    stack.write(use.format(new, "new"))

    run = stack.up(*flags)

    refused(run, stack, old)
    assert "acted for new" not in run.text


@pytest.mark.parametrize("command", ["refresh", "destroy"])
def test_a_program_run_by_another_command(new_stack: NewStack, server: Sandbox, old: str, command: str) -> None:
    """
    `refresh` and `destroy` with `--run-program` and a gate that was never recorded end in a line that says what to do.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up("--target", "urn:pulumi:test::gate::pulumi:pulumi:Stack::gate-test").code != 0

    run = stack.run(command, "--yes", "--skip-preview", "--run-program")

    assert run.code != 0
    assert "`destroy` and `refresh`: run them without --run-program" in run.text
    assert not run.tracebacks, run


def test_an_edited_state(new_stack: NewStack, server: Sandbox, old: str, new: str) -> None:
    """
    A record whose outputs were edited to another id is judged again.
    """
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    state = stack.state_file.read_text()
    stack.state_file.write_text(state.replace(old, new))
    stack.write(program(old, "new"))

    run = stack.up()

    assert run.code == 0, run
    assert old == recorded(stack)
    assert "ApprovalRecord web updated" in run.text


@pytest.mark.parametrize(
    "odd",
    ["../Instances/{0}", "{0}/../{1}", "{0}?x={1}", "{0}#", "{0}%2F..%2F{1}", "{1} or {0}", "42", ""],
)
def test_odd_ids(new_stack: NewStack, server: Sandbox, old: str, new: str, odd: str) -> None:
    """
    What is not a GUID is refused before anything is sent, plain or through an output.
    """
    id_ = odd.format(old, new)
    for argument in (f'"{id_}"', f'pulumi.Output.from_input("{id_}")'):
        stack = new_stack(
            f"""
            approval = kf.WorkflowApproval("web", {argument})
            pulumi.Stash("after", input="new", opts=pulumi.ResourceOptions(depends_on=[approval]))
            """,
            server.environment(),
        )
        run = stack.up()
        assert run.code != 0
        assert "reference id" in run.text or "is not the id of a workflow instance" in run.text, run
        assert value_of(stack) is None
    assert [] == server.journal()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("None", "is not the id of a workflow instance"),
        ('"{0}", expect={{"title": None}}', "expects None of 'title'"),
        ('"{0}", expect={{"titel": "x"}}', "expects 'titel', which no instance has"),
        ('"{0}", expect={{"reference_id": 2**53 + 1}}', "expects a number beyond 2^53"),
        ("42", "42 is a reference id: look it up with get_workflow_instance(reference_id=42)"),
        ('"{0}", timeout="soon"', "is not a duration"),
    ],
)
def test_refused_arguments(new_stack: NewStack, server: Sandbox, new: str, arguments: str, text: str) -> None:
    """
    Arguments that make no sense, or would weaken the gate, are refused in one line that names it.
    """
    stack = new_stack(f'kf.WorkflowApproval("web", {arguments.format(new)})', server.environment())

    run = stack.preview()

    assert run.code != 0
    assert any("WorkflowApproval 'web': " in line and text in line for line in run.text.splitlines()), run
    assert not run.tracebacks, run
    assert [] == server.journal()


def test_an_expectation_that_becomes_none(new_stack: NewStack, server: Sandbox, old: str) -> None:
    """
    An expectation that turns out to be None would vanish on the engine's wire, so it ends the run in one line.
    """
    expect = ', expect={"title": pulumi.Output.from_input(None)}'
    stack = new_stack(program(old, "old"), server.environment())
    assert stack.up().code == 0
    stack.write(program(old, "new", expect))

    run = stack.up()

    refused(run, stack, old)
    assert "WorkflowApproval 'web': expects None of 'title'" in run.text
