"""
A sample of the sandbox's fault seeds through the real CLI: whatever passes, no run has to be repeated.
"""

from __future__ import annotations

import os

import pytest

from kf_provider.sandbox import Sandbox

from .stack import RUN_SECONDS, NewStack

SEEDS = 50 if os.environ.get("KF_FULL") else 8


@pytest.mark.parametrize("seed", range(SEEDS))
def test_passing_faults(new_stack: NewStack, seed: int) -> None:
    """
    With a third of all requests failing, gates open for what is approved, and only for that.
    """
    with Sandbox(seed=seed, unkind=0.3) as server:
        good = server.start_enrollment(subject="CN=good.example.com")
        bad = server.start_enrollment(subject="CN=bad.example.com", state_data={"canary": "canary in state data"})
        stack = new_stack(
            f"""
            for name, instance_id in (("good", "{good}"), ("bad", "{bad}")):
                gate = kf.WorkflowApproval(name, instance_id)
                pulumi.Stash(f"after-{{name}}", input="made", opts=pulumi.ResourceOptions(depends_on=[gate]))
            """,
            server.environment() | {"KEYFACTOR_CLIENT_TIMEOUT": "2"},
        )
        update = stack.start("up", "--yes", "--skip-preview")
        server.wait_for_journal(
            lambda records: {good, bad} <= {str(record.instance_id) for record in records}, timeout=RUN_SECONDS
        )
        server.approve(good)
        stack.wait_for("after-good created")
        assert "after-bad" not in stack.output()
        server.deny(bad)

        run = stack.end(update)

        assert run.code != 0
        assert stack.resource("after-bad") is None
        assert f"workflow instance {bad} is Rejected" in run.text
        assert not run.tracebacks, run
        for secret in ("canary", server.password):
            assert secret not in run.text
        records = {res["outputs"]["instance_id"] for res in stack.resources if "ApprovalRecord" in res["type"]}
        assert {good} == records
