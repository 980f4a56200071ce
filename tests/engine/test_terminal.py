"""
What a person sees: the CLI in a pseudo-terminal, and its screen.
"""

from __future__ import annotations

import re

import pytest

from kf_provider.sandbox import Sandbox
from tools.picture import Terminal

from .stack import NewStack


@pytest.mark.parametrize("columns", [80, 120])
def test_row(new_stack: NewStack, server: Sandbox, columns: int) -> None:
    """
    The row of a gate says what it waits for, and in an outage what is wrong, also where little of it shows.
    """
    id_ = server.start_enrollment(approvals=2)
    stack = new_stack(f'kf.WorkflowApproval("web", "{id_}", timeout="5m")', server.environment())
    command = [stack.cli, "up", "--yes", "--skip-preview", "--stack", "test"]
    terminal = Terminal(command, stack.folder, stack.environment, columns=columns)
    shown = 6 if columns == 80 else 35  # characters of the last column that the CLI leaves beside the others

    def said(text: str) -> bool:
        return re.search(rf"WorkflowAppro.* {re.escape(text[:shown])}", "\n".join(terminal.screen.display)) is not None

    try:
        terminal.read_until(lambda _: said("0 of 2 signals: Manager approval"))
        server.approve(id_)
        terminal.read_until(lambda _: said("1 of 2 signals: Manager approval"))
        server.outage = True
        terminal.read_until(lambda _: said("no answer"))
        server.outage = False
        terminal.read_until(lambda _: said("1 of 2 signals: Manager approval"))
        server.approve(id_)
        terminal.read_until(lambda text: "Duration:" in text)
    finally:
        terminal.close()
