"""
State files of earlier releases: what they recorded is read for ever.

`recorded/state-0.1.0.json` was written by `pulumi up` of the program below on the code of 2026-11-24, with the sandbox
at seed 11, before the package was taken apart into rooms; frames of the program's stack were taken out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kf_provider.sandbox import Sandbox

from .stack import NewStack, Stack

RECORDED = Path(__file__).parent / "recorded" / "state-0.1.0.json"
PROGRAM = """
import os
first, second = os.environ["FIRST"], os.environ["SECOND"]
bound = kf.WorkflowApproval("bound", first, timeout="1m", expect={
    "current_state_data.Subject": "CN=web.keyexample.com", "reference_id": 1, "definition.workflow_type": "Enrollment"})
followed = kf.WorkflowApproval("followed", second, timeout="1m", follow_restarts=True)
provider = kf.Provider("named", api_path="KeyfactorAPI")
named = kf.WorkflowApproval("named", first, timeout="1m", opts=pulumi.ResourceOptions(provider=provider))
whole = kf.WorkflowInstance("whole", first)
parts = kf.WorkflowInstance(
    "parts", first, state_data_keys=["Subject"], opts=pulumi.ResourceOptions(provider=provider))
dependent = pulumi.Stash(
    "dependent", input="443", opts=pulumi.ResourceOptions(depends_on=[bound, followed, named]))
child = pulumi.Stash("child", input="80", opts=pulumi.ResourceOptions(parent=bound))
pulumi.export("approved", followed.approved_instance_id)
pulumi.export("definition", bound.definition)
pulumi.export("status", whole.status)
pulumi.export("subject", parts.current_state_data["Subject"])
"""


@pytest.fixture
def server() -> Iterator[Sandbox]:
    """The sandbox as it was: the same seed makes the same ids."""
    with Sandbox(seed=11) as running:
        yield running


@pytest.fixture
def stack(new_stack: NewStack, server: Sandbox) -> Stack:
    """A stack whose state is the recorded one, at the address that the sandbox has now."""
    first = server.start_enrollment(subject="CN=web.keyexample.com")
    server.approve(first)
    second = server.start_enrollment(subject="CN=api.keyexample.com")
    server.approve(server.restart(second))
    made = new_stack(PROGRAM, server.environment() | {"FIRST": first, "SECOND": second})
    state = RECORDED.read_text().replace("http://127.0.0.1:PORT", server.url)
    salt = json.loads(state)["checkpoint"]["latest"]["secrets_providers"]["state"]["salt"]
    made.state_file.write_text(state)
    (made.folder / "Pulumi.test.yaml").write_text(f"encryptionsalt: {salt}\n")
    return made


def evidence_in(stack: Stack) -> dict[str, object]:
    """Ids and outputs of the records: inputs may gain keys."""
    return {res["urn"]: (res["id"], res["outputs"]) for res in stack.resources if "ApprovalRecord::" in res["urn"]}


def test_nothing_changes(stack: Stack) -> None:
    """
    The next preview and update of a stack of an earlier release change nothing.
    """
    recorded = evidence_in(stack)

    for run in (stack.preview("--expect-no-changes"), stack.up("--expect-no-changes")):
        assert (0, True) == (run.code, "10 unchanged" in run.text), run
    refreshed = stack.refresh("--expect-no-changes")
    assert (0, True) == (refreshed.code, "12 unchanged" in refreshed.text), refreshed  # with the two that are read

    assert recorded == evidence_in(stack)


def test_an_age_limit(stack: Stack) -> None:
    """
    A limit that is given to an approval of an earlier release changes no record, and judges it by the date in it.
    """
    recorded = evidence_in(stack)

    stack.write(PROGRAM.replace('timeout="1m"', 'timeout="1m", max_age="365000d"'))
    run = stack.up("--expect-no-changes")
    assert (0, True) == (run.code, "10 unchanged" in run.text), run
    stack.write(PROGRAM.replace('timeout="1m"', 'timeout="1m", max_age="1h"'))
    run = stack.up()

    assert 0 != run.code
    # The first of the gates ends the program, whichever it is.
    assert re.search(r"approval '(bound|followed|named)': workflow instance", run.text), run
    assert "is Complete since 2026-11-2" in run.text
    assert recorded == evidence_in(stack)


def test_refresh_of_what_had_a_problem_output(stack: Stack) -> None:
    """
    `problem`, an empty output of what an earlier release read, makes no change of a refresh; an update drops it.
    """
    assert stack.up().code == 0  # the sandbox's instances are of now, the recorded dates are not
    assert [False, False] == ["problem" in outputs for outputs in read_outputs(stack)]
    state = json.loads(stack.state_file.read_text())
    for res in state["checkpoint"]["latest"]["resources"]:
        if res["type"].endswith(":WorkflowInstance"):
            res["outputs"]["problem"] = ""
    stack.state_file.write_text(json.dumps(state))

    refreshed, updated = stack.refresh("--expect-no-changes"), stack.up("--expect-no-changes")

    assert (0, True) == (refreshed.code, "12 unchanged" in refreshed.text), refreshed
    assert 0 == updated.code, updated
    assert [False, False] == ["problem" in outputs for outputs in read_outputs(stack)]


def read_outputs(stack: Stack) -> list[dict[str, object]]:
    return [dict(res["outputs"]) for res in stack.resources if res["type"].endswith(":WorkflowInstance")]


def test_it_is_destroyed(stack: Stack) -> None:
    """
    What an earlier release made, this one deletes.
    """
    run = stack.destroy()

    assert (0, []) == (run.code, stack.resources), run
