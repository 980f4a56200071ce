"""
Killed updates: whoever dies, and whenever, the next `pulumi up` succeeds without `refresh`.

What may stay is the engine's warning of a pending operation, when the CLI died while something was created.

A kill is a seed: the victim by turns, the moment by chance, from the start of the CLI to a little after its end.
Fifteen by default, fifty with KF_FULL=1.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import pytest

from kf_provider.sandbox import Endpoint, FaultKind, FaultRule, Sandbox
from tests.engine.stack import RUN_SECONDS, NewStack, Stack, wait_until

from .conftest import IS_FULL

KILLS: Final = 50 if IS_FULL else 15
LONGEST_UPDATE: Final = 5.0  # seconds; an update that nobody kills takes three or four
READS: Final = {Endpoint.GET, Endpoint.LIST, Endpoint.DEFINITIONS}

PROGRAM: Final = """
    for name, instance_id in {{"done": "{done}", "late": "{late}"}}.items():
        approval = kf.WorkflowApproval(name, instance_id)
        pulumi.Stash(f"after-{{name}}", input="made", opts=pulumi.ResourceOptions(depends_on=[approval]))
"""

# Which process, and which signal; `group` is what Ctrl-C in a terminal sends.
VICTIMS: Final = [
    ("cli", signal.SIGKILL),
    ("program", signal.SIGKILL),
    ("plugin", signal.SIGKILL),
    ("cli", signal.SIGINT),
    ("cli", signal.SIGTERM),
    ("group", signal.SIGINT),
]
COMMANDS: Final = {"program": "pulumi-language-python-exec", "plugin": "pulumi.dynamic"}


def kill(stack: Stack, update: subprocess.Popen[str], victim: str, signum: signal.Signals) -> bool:
    """
    Kill as soon as there is such a process; False when the update has ended before.
    """
    while update.poll() is None:
        match victim:
            case "cli":
                update.send_signal(signum)
                return True
            case "group":
                os.killpg(update.pid, signum)
                return True
        for pid in stack.processes(COMMANDS[victim]):
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                continue
            return True
        time.sleep(0.02)
    return False


def locks(stack: Stack) -> list[Path]:
    return [path for path in (stack.folder / "backend" / ".pulumi" / "locks").rglob("*.json") if path.is_file()]


def checkpoint(stack: Stack) -> dict[str, Any]:
    if not stack.state_file.exists():
        return {}
    latest: dict[str, Any] = json.loads(stack.state_file.read_text())["checkpoint"]["latest"] or {}
    return latest


def pending_in(state: dict[str, Any]) -> list[tuple[str, str]]:
    """
    The pending operations of a state: what was being done, and to which resource.
    """
    return [(entry["type"], entry["resource"]["urn"]) for entry in state.get("pending_operations") or []]


def recorded(state: dict[str, Any]) -> set[str]:
    """
    The instances of which the state has an approval.
    """
    return {
        resource["outputs"]["instance_id"]
        for resource in state.get("resources", [])
        if "ApprovalRecord" in resource["type"] and resource.get("outputs", {}).get("status") is not None
    }


@pytest.mark.parametrize("seed", range(KILLS))
def test_kill(new_stack: NewStack, server: Sandbox, seed: int) -> None:
    """
    The next update succeeds; nothing is recorded that was not approved; the requests are those of the documentation.

    Only a CLI that is killed in the moment of a create leaves a pending operation, which stays until a refresh ends it.
    """
    rng = random.Random(seed)
    victim, signum = VICTIMS[seed % len(VICTIMS)]
    moment, approved_after = rng.uniform(0, LONGEST_UPDATE), rng.choice([0.3, 1.0, 100.0])
    done = server.start_enrollment(subject="CN=done.example.com", approvals=0)
    late = server.start_enrollment(subject="CN=late.example.com")
    stack = new_stack(PROGRAM.format(done=done, late=late), server.environment())

    begun = time.monotonic()
    update = stack.start("up", "--yes", "--skip-preview")
    approved = False
    first_poll: float | None = None
    while (now := time.monotonic()) < begun + moment and update.poll() is None:
        if first_poll is None and any(str(record.instance_id) == late for record in server.journal()):
            first_poll = now
        if not approved and first_poll is not None and now >= first_poll + approved_after:
            server.approve(late)
            approved = True
        time.sleep(0.02)
    died = kill(stack, update, victim, signum)
    if victim == "plugin" and not approved:  # a gate waits without its plugin, until it is to be recorded
        server.approve(late)
        approved = True
    killed = stack.end(update)
    # A plugin that was starting when the CLI died stays: it is Pulumi's own, and asks nothing of anybody.
    left_plugin = stack.processes(COMMANDS["plugin"]) if (victim, signum) == ("cli", signal.SIGKILL) else []
    if left_plugin:
        wait_until(lambda: not stack.processes(COMMANDS["program"]))
        for pid in stack.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not stack.processes(), what=lambda: f"{stack.processes()}")

    state = checkpoint(stack)
    assert recorded(state) <= ({done, late} if approved else {done})
    asked = server.journal()
    assert all(record.method == "GET" and record.endpoint in READS for record in asked)
    # A list, the definition, of each gate a poll and the GET of its record; and one poll more every two seconds.
    assert len(asked) <= 6 + killed.seconds / 2
    pending = pending_in(state)
    assert not pending or (victim, signum) == ("cli", signal.SIGKILL)
    left_lock = bool(locks(stack))
    # With the file backend the lock is a file, which a killed CLI cannot remove: `pulumi cancel` is for that.
    assert not left_lock or (victim, signum) == ("cli", signal.SIGKILL)
    if left_lock:
        command = [stack.cli, "cancel", "--yes", "--stack", "test"]
        subprocess.run(command, cwd=stack.folder, env=stack.environment, check=True, capture_output=True)
    if not approved:
        server.approve(late)

    again = stack.up()

    assert again.code == 0, f"{victim} {signum.name} at {moment:.2f} s\n{killed}\n{again}"
    state = checkpoint(stack)
    assert recorded(state) == {done, late}
    # The engine keeps it through an update, whoever the provider is, and says so.
    assert pending == pending_in(state)
    assert bool(pending) == ("pending operations from previous deployment" in again.text), again
    if pending:
        assert {operation for operation, _ in pending} == {"creating"}
        refreshed = stack.refresh("--clear-pending-creates")
        assert refreshed.code == 0, refreshed
        assert pending_in(checkpoint(stack)) == []
    # Both look for pending operations, too.
    assert stack.resource("after-done") is not None
    assert stack.resource("after-late") is not None
    # Of each gate a poll and the GET of its record; and for a refresh the GET of each record.
    assert len(server.journal()) <= len(asked) + 4 + 2 * bool(pending)
    print(  # noqa: T201 - the figures, with pytest -rP
        f"\nKILL {seed} {victim} {signum.name} at {moment:.2f} s: exit {killed.code}, hit {died}, approved {approved}, "
        f"recorded {len(recorded(state))}, pending {pending}, lock {left_lock}, plugin left {bool(left_plugin)}, "
        f"requests {len(asked)} + {len(server.journal()) - len(asked)}, ended {killed.seconds - moment:.1f} s after"
    )


@pytest.mark.parametrize(("victim", "operations"), [("group", ["creating"]), ("plugin", [])])
def test_kill_while_an_approval_is_recorded(
    new_stack: NewStack, server: Sandbox, victim: str, operations: list[str]
) -> None:
    """
    The next update succeeds without refresh; what a killed CLI leaves in the state is a warning, until a refresh with
    --clear-pending-creates.
    """
    done = server.start_enrollment(subject="CN=done.example.com", approvals=0)
    server.add_fault(FaultRule(kind=FaultKind.SLOW_BODY, delay_seconds=0, times=1))  # the program's poll
    server.add_fault(FaultRule(kind=FaultKind.HANG, times=1))  # the provider's own
    program = """
        approval = kf.WorkflowApproval("done", "{0}")
        pulumi.Stash("after", input="made", opts=pulumi.ResourceOptions(depends_on=[approval]))
    """
    stack = new_stack(program.format(done), server.environment())

    update = stack.start("up", "--yes", "--skip-preview")
    server.wait_for_journal(lambda asked: any(record.fault == FaultKind.HANG for record in asked), timeout=RUN_SECONDS)
    assert "/pulumirpc.ResourceProvider/Create" in [call["method"] for call in stack.grpc()]
    assert kill(stack, update, victim, signal.SIGKILL)
    killed = stack.end(update)

    assert killed.code != 0, killed
    assert [record.status for record in server.journal()] == [200, None]
    state = checkpoint(stack)
    assert recorded(state) == set()
    assert [operation for operation, _ in pending_in(state)] == operations
    assert bool(locks(stack)) == (victim == "group")
    if victim == "group":
        assert stack.run("cancel", "--yes").code == 0

    again = stack.up()

    # The engine starts a plugin in a group of its own: the group's kill spares it, and it stays, as in `test_kill`.
    for pid in stack.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert again.code == 0, again
    assert ("with 1 pending operations from previous deployment" in again.text) == (victim == "group"), again
    state = checkpoint(stack)
    assert recorded(state) == {done}
    assert any(resource["urn"].endswith("Stash::after") for resource in state["resources"])
    assert [operation for operation, _ in pending_in(state)] == operations

    refreshed = stack.refresh("--clear-pending-creates")

    assert refreshed.code == 0, refreshed
    assert stack.resource("after") is not None  # which looks for pending operations too
    last = stack.up("--expect-no-changes")
    assert last.code == 0, last
    assert "pending operations" not in last.text, last
    asked = server.journal()
    assert all(record.method == "GET" and record.endpoint is Endpoint.GET for record in asked)
    assert [record.status for record in asked] == [200, None, 200, 200, 200]
