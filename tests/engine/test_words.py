"""
What the CLI of Pulumi shows of the words of others, and of settings that are wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kf_provider.sandbox import Sandbox

from .stack import Stack

NewStack = Callable[..., Stack]

ORDERS = "no\n::add-mask::web\n##vso[task.complete]\x1b[31mred\x07<{%fg 1%}>\u202e"
TOLD = "no : :add-mask: :web # #vso[task.complete] [31mred < {%fg 1%}>"


def test_words_of_others(new_stack: NewStack, server: Sandbox) -> None:
    """
    A message of the server gives no orders to those who read the CLI's output, and stays as it is in an output.
    """
    failed = server.start_enrollment()
    server.fail(failed, ORDERS)
    stack = new_stack(
        f'pulumi.export("message", kf.get_workflow_instance("{failed}").status_message)', server.environment()
    )
    assert stack.up().code == 0
    stack.write(f'kf.WorkflowApproval("g", "{failed}")')
    run = stack.preview()

    assert ORDERS == stack.outputs["message"]
    assert run.code != 0
    assert TOLD in run.text
    assert not [order for order in ("\n::", "##vso", "\x1b", "\x07", "<{%", "\u202e") if order in run.text]


@pytest.mark.parametrize(
    "program",
    [
        'kf.WorkflowInstance("a", "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94")',
        'kf.get_workflow_instance("0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94")',
        'kf.WorkflowApproval("g", "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94")',
    ],
    ids=["resource", "function", "gate"],
)
def test_missing_settings(new_stack: NewStack, program: str) -> None:
    """
    Missing settings are a line for each way to log in, without a traceback, wherever they are missing.
    """
    stack = new_stack(program, {"KEYFACTOR_HOSTNAME": "127.0.0.1:1"})
    run = stack.preview()

    assert run.code != 0
    assert not run.tracebacks, run
    assert "missing settings: credentials, in one of these ways:" in run.text
    for field in ("access_token", "client_id", "username"):
        assert f"- {field} (keyfactor:" in run.text, run


def test_unknown_key_of_the_stack(new_stack: NewStack, server: Sandbox) -> None:
    """
    A key of the stack's configuration that is no setting is one warning, and the run goes on.
    """
    pending = server.start_enrollment()
    stack = new_stack(
        f"""
        kf.get_workflow_instance("{pending}")
        kf.get_workflow_instances()
        """,
        server.environment(),
    )
    stack.config(hostnme="a", api_path="b", gates="wait")
    run = stack.preview()

    assert run.code == 0, run
    diagnostics = run.text.partition("Diagnostics:")[2]
    for key, nearest in (("hostnme", "hostname"), ("api_path", "apiPath")):
        text = f"keyfactor:{key} in the stack's configuration is no setting of kf_provider; did you mean keyfactor:"
        assert 1 == diagnostics.count(f"warning: {text}{nearest}?"), run
