"""
docs/command-line.md: the help of every command, and every exit code.
"""

from __future__ import annotations

import pytest

from kf_provider.cli import COMMANDS
from kf_provider.cli.exits import OF_OUTCOME
from tools import reference

PAGE = reference.COMMAND_LINE


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    """
    The page has the help of each command as it is printed; `make pages` writes it.
    """
    assert f"### `kf {command}`\n\n```text\n{reference.help_of(command)}```\n" in PAGE.read_text()


def test_exit_codes() -> None:
    """
    The page has the exit code of each outcome.
    """
    text = PAGE.read_text()

    assert [] == [outcome for outcome, code in OF_OUTCOME.items() if f"| {code} | `{outcome}` |" not in text]
