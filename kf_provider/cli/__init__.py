"""
The command `kf`: one file for each of its commands, imported when the command is run or its help is shown.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

# Each is a file of this package, which has a command of the same name.
COMMANDS: Final = ("sandbox",)


class LazyGroup(click.Group):
    """
    A group whose commands are imported when they are asked for: `kf --version` must not wait for what they need.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """
        The names, in the order of the help.
        """
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        The command of this name, or None.
        """
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{cmd_name}", __name__), cmd_name)
        return command


@click.group(name="kf", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kf-provider", prog_name="kf")
def main() -> None:
    """
    Keyfactor Command workflow instances on the command line.
    """
