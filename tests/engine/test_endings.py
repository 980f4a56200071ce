"""
How a run with waiting gates ends: never late, never with something left behind.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from kf_provider.sandbox import Endpoint, FaultKind, Sandbox

from .stack import RUN_SECONDS, NewStack, Stack, wait_until

GATE = """
    approval = kf.WorkflowApproval("web", "{0}")
    pulumi.Stash("after", input="made", opts=pulumi.ResourceOptions(depends_on=[approval]))
"""


@pytest.fixture
def pending(server: Sandbox) -> str:
    return str(server.start_enrollment(subject="CN=web.example.com"))


PROGRAM = "pulumi-language-python-exec"


# What does not end in time waits for an hour, or for an answer for as long as this.
NO_ANSWER = {"KEYFACTOR_CLIENT_TIMEOUT": "600"}


def nothing_runs(stack: Stack) -> None:
    wait_until(lambda: not stack.processes(), what=lambda: str(stack.processes()))


def is_asked(server: Sandbox) -> None:
    """Wait for a request that hangs."""
    server.wait_for_journal(lambda records: any(one.fault == FaultKind.HANG for one in records), timeout=RUN_SECONDS)


@pytest.mark.parametrize("reaches", ["cli", "group"])
def test_interrupt(new_stack: NewStack, server: Sandbox, pending: str, reaches: str) -> None:
    """
    Ctrl-C, to the CLI alone or to the program too, ends a waiting run within seconds and without a traceback; the next
    one starts as if nothing had been.
    """
    stack = new_stack(GATE.format(pending), server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")

    (os.killpg if reaches == "group" else os.kill)(update.pid, signal.SIGINT)
    run = stack.end(update)

    assert run.code != 0
    assert not run.tracebacks, run
    assert stack.resource("after") is None
    nothing_runs(stack)
    server.approve(pending)
    again = stack.up()
    assert again.code == 0, again
    assert stack.resource("after") is not None


@pytest.mark.parametrize(("work", "is_shown"), [("asyncio.sleep(20)", False), ("time.sleep(20)", True)])
def test_interrupt_when_nothing_waits(
    new_stack: NewStack, server: Sandbox, pending: str, work: str, is_shown: bool
) -> None:
    """
    The engine interrupts the program of a run that it has refused: that is no news, and a traceback only where code of
    the program is interrupted.
    """
    stack = new_stack(
        f"""
        import asyncio, os, signal, threading, time
        approval = kf.WorkflowApproval("web", "{pending}")
        after = pulumi.Stash("after", input="made", opts=pulumi.ResourceOptions(depends_on=[approval]))
        def act(_):
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            return {work}
        after.urn.apply(act)
        """,
        server.environment(),
    )

    run = stack.preview()

    assert run.code != 0
    assert is_shown == ("Traceback" in run.text), run
    assert is_shown == ("in act" in run.text), run
    assert "program exited" in run.text


def test_engine_is_gone(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    An error that the SDK cannot tell an engine that has ended is no traceback: the engine has told what it refuses.
    """
    server.deny(pending)
    stack = new_stack(
        f"""
        import grpc
        from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc
        approval = kf.WorkflowApproval("web", "{pending}")
        nobody = engine_pb2_grpc.EngineStub(grpc.insecure_channel("127.0.0.1:1"))
        pulumi.log.error = lambda text: nobody.Log(engine_pb2.LogRequest(message=text))
        """,
        server.environment(),
    )

    run = stack.preview()

    assert run.code != 0
    assert f"workflow instance {pending} is Rejected" in run.text
    assert "Traceback" not in run.text, run


@pytest.mark.parametrize("victim", ["cli", "program"])
def test_kill(new_stack: NewStack, server: Sandbox, pending: str, victim: str) -> None:
    """
    SIGKILL leaves no process and no pending operation behind.
    """
    stack = new_stack(GATE.format(pending), server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")

    if victim == "cli":
        update.kill()
    else:
        for pid in stack.processes(PROGRAM):
            os.kill(pid, signal.SIGKILL)
    run = stack.end(update)

    assert run.code != 0
    assert stack.resource("after") is None
    nothing_runs(stack)
    asked = len(server.journal())
    subprocess.run(
        [stack.cli, "cancel", "--yes", "--stack", "test"], cwd=stack.folder, env=stack.environment, check=False
    )
    server.approve(pending)
    again = stack.up()
    assert again.code == 0, again
    assert stack.resource("after") is not None
    assert len(server.journal()) <= asked + 4


def test_one_of_two_is_refused(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    One rejection ends the run at once, although another gate still waits.
    """
    other = server.start_enrollment(subject="CN=other.example.com")
    stack = new_stack(GATE.format(pending) + f'    kf.WorkflowApproval("other", "{other}")\n', server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    server.wait_for_journal(lambda records: len(records) >= 4, timeout=RUN_SECONDS)

    server.deny(other)
    run = stack.end(update)

    assert run.code != 0
    assert f"workflow instance {other} is Rejected" in run.text


def test_program_raises(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    An error of the program ends its waits within seconds, and is shown with the user's own lines.
    """
    stack = new_stack(GATE.format(pending) + '    raise LookupError("mine")\n', server.environment())

    run = stack.up()

    assert run.code != 0
    assert "LookupError: mine" in run.text
    assert re.search(r'__main__\.py", line 6, in <module>\n +raise LookupError\("mine"\)', run.text), run


@pytest.mark.parametrize("code", [0, 3])
def test_program_exits(new_stack: NewStack, server: Sandbox, pending: str, code: int) -> None:
    """
    A program that leaves while a gate waits is an error: a quiet end would delete what had been behind the gate.
    """
    stack = new_stack(f"{GATE.format(pending)}    import sys; sys.exit({code})\n", server.environment())

    run = stack.up()

    assert run.code != 0
    assert "while an approval was waited for" in run.text


def test_registration_fails(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    An error in another resource's inputs ends the waits too.
    """
    stack = new_stack(
        GATE.format(pending)
        + '    broken = pulumi.Output.from_input(1).apply(lambda _: {}["mine"])\n'
        + '    pulumi.Stash("broken", input=broken)\n',
        server.environment(),
    )

    run = stack.up()

    assert run.code != 0
    assert "KeyError: 'mine'" in run.text


def test_server_never_answers(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A server that accepts and never answers does not hold Ctrl-C.
    """
    server.hang = True
    stack = new_stack(GATE.format(pending), server.environment() | NO_ANSWER)
    update = stack.start("up", "--yes", "--skip-preview")
    is_asked(server)

    update.send_signal(signal.SIGINT)
    run = stack.end(update)

    assert run.code != 0
    nothing_runs(stack)


def test_function_is_never_answered(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Nor does a function that is waiting for its answer.
    """
    server.hang = True
    stack = new_stack(f'kf.get_workflow_instance("{pending}")', server.environment() | NO_ANSWER)
    update = stack.start("up", "--yes", "--skip-preview")
    is_asked(server)

    update.send_signal(signal.SIGINT)
    run = stack.end(update)

    assert run.code != 0
    nothing_runs(stack)


def test_fifty_gates(new_stack: NewStack, server: Sandbox) -> None:
    """
    Fifty waiting gates hold no worker: an unrelated resource is created while they wait.
    """
    ids = [server.start_enrollment(subject=f"CN=web{n}.example.com") for n in range(50)]
    stack = new_stack(
        f"""
        class Provider(pulumi.dynamic.ResourceProvider):
            def create(self, props):
                return pulumi.dynamic.CreateResult("made", {{}})

        class Unrelated(pulumi.dynamic.Resource):
            def __init__(self, name):
                super().__init__(Provider(), name, {{}})

        for n, instance_id in enumerate({ids!r}):
            kf.WorkflowApproval(f"gate{{n}}", instance_id)
        Unrelated("unrelated")
        """,
        server.environment(),
    )
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("unrelated created")
    assert "ApprovalRecord" not in stack.output()

    for instance_id in ids:
        server.approve(instance_id)
    run = stack.end(update)

    assert run.code == 0, run
    assert 50 == len([res for res in stack.resources if "ApprovalRecord" in res["type"]])


def test_two_updates_in_one_process(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Two Automation API updates in two threads wait side by side, each with its own log.
    """
    other = server.start_enrollment(subject="CN=other.example.com")
    stack = new_stack("", server.environment())
    script = stack.folder / "automation.py"
    script.write_text(
        f"""
import sys, threading
import pulumi, pulumi.automation as auto
import kf_provider as kf

def run(name, instance_id):
    def program():
        approval = kf.WorkflowApproval(name, instance_id)
        pulumi.export("approved", approval.approved_instance_id)
    stack = auto.create_or_select_stack(stack_name=name, project_name="inline", program=program)
    lines = []
    result = stack.up(on_output=lines.append, suppress_progress=True)
    assert result.outputs["approved"].value == instance_id, result.outputs
    text = "".join(lines)
    assert name in text and "Manager approval" in text, text
    print("opened", name, flush=True)

threads = [threading.Thread(target=run, args=pair) for pair in (("one", "{pending}"), ("two", "{other}"))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    )
    process = subprocess.Popen(
        [stack.environment["PULUMI_PYTHON_CMD"], str(script)],
        env={**stack.environment, "TMPDIR": str(stack.folder)},  # the Automation API leaves its work folders
        cwd=stack.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server.wait_for_journal(
        lambda records: (
            {str(record.instance_id) for record in records if record.endpoint is Endpoint.GET} == {pending, other}
            and len(records) > 6
        ),
        timeout=RUN_SECONDS,
    )

    server.approve(pending)
    server.approve(other)
    text, _ = process.communicate(timeout=RUN_SECONDS)

    assert process.returncode == 0, text
    assert "opened one" in text
    assert "opened two" in text
    assert not re.search("Traceback", text), text
