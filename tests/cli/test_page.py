"""
docs/command-line.md: the help of every command, and every exit code.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kf_provider.cli import COMMANDS, main
from kf_provider.cli.exits import OF_OUTCOME

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
COLUMNS = 100


def help_of(command: str) -> str:
    return CliRunner().invoke(main, [command, "--help"], prog_name="kf", terminal_width=COLUMNS).output


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    """
    The page has the help of each command as it is printed.
    """
    assert f"### `kf {command}`\n\n```text\n{help_of(command)}```\n" in PAGE.read_text()


def test_exit_codes() -> None:
    """
    The page has the exit code of each outcome.
    """
    text = PAGE.read_text()

    assert [] == [outcome for outcome, code in OF_OUTCOME.items() if f"| {code} | `{outcome}` |" not in text]
