"""
What a person sees: the CLI in a pseudo-terminal, and its screen.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kf_provider.sandbox import Sandbox
from tools.picture import Terminal

from .stack import ROOT, RUN_SECONDS, NewStack


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


@pytest.mark.parametrize("example", ["gate", "enroll"])
def test_demo_that_is_denied(cli_folder: Path, tmp_path: Path, example: str) -> None:
    """
    At 80 columns the demo shows what its gate waits for; a denial, by the line that it prints, is no fault of the demo,
    which stays up until Enter.
    """
    command = [sys.executable, str(ROOT / "tools" / "demo.py"), "--example", example, "--hold"]
    environment = {**os.environ, "PATH": f"{cli_folder}{os.pathsep}{os.environ['PATH']}"}
    terminal = Terminal(command, tmp_path, environment, columns=80)

    def found(pattern: str) -> re.Match[str] | None:
        return re.search(pattern, "".join(terminal.screen.display))  # a line that is too long goes on in the next

    try:
        terminal.read_until(lambda _: found(r"WorkflowAppro\S* +web-cert +\S.*\(\d+s\)\.* +0 of ") is not None)
        address = found(r"http://127\.0\.0\.1:\d+")
        assert address is not None
        line = found(r"curl -s \S+/deny .*?(?= {9})")  # all that is behind it, as one who copies the line has it
        deny = (
            line[0]
            if line
            else f"""id=$(curl -s {address[0]}/sandbox/instances | grep -o '[0-9a-f-]\\{{36\\}}')
            curl -s -X POST {address[0]}/sandbox/instances/$id/deny"""
        )
        subprocess.run(["bash", "-euc", deny], check=True, capture_output=True)
        terminal.read_until(lambda _: found("denied, so the update failed, as it should") is not None)
        terminal.read_until(lambda _: found("Press Enter to go on") is not None)
        subprocess.run(["curl", "-sf", address[0]], check=True, capture_output=True)
        terminal.press(b"\n")
        terminal.read(20)

        assert 0 == terminal.process.wait(RUN_SECONDS)
    finally:
        terminal.close()
