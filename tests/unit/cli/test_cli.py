"""
The command `kf` before one of its commands runs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import kf_provider.cli
from kf_provider.cli import COMMANDS, main


@pytest.mark.parametrize("module", ["pulumi", "requests", "pydantic", "starlette", "uvicorn", "kf_provider.sandbox"])
def test_version_imports_nothing_slow(module: str) -> None:
    """
    `kf --version` waits for nothing that only a command needs.
    """
    code = "import sys; sys.argv = ['kf', '--version']\nfrom kf_provider.cli import main\n"
    code += f"try:\n    main()\nfinally:\n    print({module!r} in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.startswith("kf, version ")
    assert "False" == done.stdout.splitlines()[-1]


SHARED = {"__init__", "checks", "ci", "exits", "live", "options", "reports", "resume"}


def test_every_file_is_a_command() -> None:
    """
    A file of the package is a command of its name, but for what commands share, and the help shows them all.
    """
    files = {file.stem for file in Path(kf_provider.cli.__file__).parent.glob("*.py")} - SHARED

    commands = [main.get_command(click.Context(main), name) for name in COMMANDS]

    assert set(COMMANDS) == files
    assert [*COMMANDS] == [command and command.name for command in commands]
    assert all(f"\n  {name} " in CliRunner().invoke(main, ["--help"]).output for name in COMMANDS)


def test_wait_imports_no_pulumi() -> None:
    """
    `kf wait` runs without Pulumi.
    """
    code = "import sys\nimport kf_provider.cli.wait\nprint('pulumi' in sys.modules, 'rich' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert "False False\n" == done.stdout


def test_unknown_command() -> None:
    """
    A command that does not exist is a usage error.
    """
    result = CliRunner().invoke(main, ["sandbx"])

    assert (2, True) == (result.exit_code, "No such command 'sandbx'" in result.output)


def test_no_command() -> None:
    """
    `kf` alone shows what there is: each command with what it does.
    """
    result = CliRunner().invoke(main, [], terminal_width=80)

    assert [] == [command for command in COMMANDS if not re.search(rf"^  {command} +[A-Z].*\.$", result.output, re.M)]
    assert "..." not in result.output.partition("Commands:")[2]  # which is how click cuts a sentence


def test_the_script_without_click() -> None:
    """
    The script `kf` names the extra that it needs, in one line, as `python -m kf_provider` does.
    """
    (script,) = entry_points(group="console_scripts", name="kf")
    module, _, function = script.value.partition(":")
    program = f"import sys; sys.modules['click'] = None\nfrom {module} import {function}\n{function}()"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr == "kf: the command line needs click: pip install 'kf-provider[cli]'\n"
