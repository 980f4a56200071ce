"""
The command `kf`: one file for each of its commands, imported when the command is run or its help is shown.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

import click

from ..errors import KeyfactorError

# Each is a file of this package, which has a command of the same name.
COMMANDS: Final = ("get", "list", "wait", "certificate", "doctor", "policy", "sandbox", "completion")

# What a command ends with where it is none of a wait's outcomes: exits.py has those.
_FAULT: Final = 1
_INTERRUPTED: Final = 130
_TERMINATED: Final = 143
_BROKEN_PIPE: Final = 141  # as a shell says it of a program that SIGPIPE ends


class LazyGroup(click.Group):
    """
    A group whose commands are imported when they are asked for: `kf --version` must not wait for what they need.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """
        The names, in the order of the help.
        """
        del ctx
        return [*COMMANDS]  # `list` is a command here, as soon as it has been imported

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        The command of this name, or None.
        """
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{cmd_name}", __name__), f"{cmd_name}_command")
        return command


@click.group(name="kf", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kf-provider", prog_name="kf")
def main() -> None:
    """
    Keyfactor Command workflow instances on the command line.

    Settings come from the environment (KEYFACTOR_HOSTNAME, ...) and from the profile file of Keyfactor's own tools.
    """


def run(arguments: list[str] | None = None) -> NoReturn:
    """
    Run the command line, and end the process with its exit code; whatever goes wrong is one line on stderr.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main.main(arguments, prog_name="kf", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has ended: nothing is left to say, also at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _BROKEN_PIPE
    except KeyfactorError as error:
        from .exits import code_of
        from .options import said_of

        click.echo(f"kf: {said_of(error)}", err=True)
        code = code_of(error)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("kf_provider"):
            raise
        click.echo(f"kf: this needs {missing.name}: pip install 'kf-provider[{_extra_of(missing.name)}]'", err=True)
        code = _FAULT
    except Exception as fault:
        from ..errors import unforeseen

        click.echo(f"kf: {unforeseen(fault)}", err=True)
        code = _FAULT
    sys.exit(code if isinstance(code, int) else 0)


def _extra_of(module: str) -> str:
    name = module.partition(".")[0]
    return {"starlette": "sandbox", "uvicorn": "sandbox", "trustme": "sandbox"}.get(name, "cli")


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_TERMINATED)
