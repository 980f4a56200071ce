"""
Draw docs/gate.svg: a terminal with a real `pulumi up` that waits at a gate, and after its approval. `make picture` runs it.

The CLI runs in a pseudo-terminal of 120 columns against a sandbox, as `make demo` does; pyte reads the screen and rich draws it.
"""  # noqa: E501 - a sentence a line

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tools.demo import CHECKOUT, Pulumi, Sandbox, end, sandbox

PICTURE: Final = CHECKOUT / "docs" / "gate.svg"
COLUMNS: Final = 120
ROWS: Final = 40
WAITED_SECONDS: Final = 4.0  # that the row has been seen with its clock
RUN_SECONDS: Final = 240.0
_WAITS: Final = r"web-cert .*s\)\.* +\S"  # the row has a clock, and says what it waits for

# rich's theme for a dark terminal has these names.
_COLORS: Final = {"brown": "yellow", "default": None}


class Terminal:
    """A program in a pseudo-terminal, and its screen."""

    def __init__(
        self, command: list[str], folder: Path, environment: Mapping[str, str], *, columns: int = COLUMNS
    ) -> None:
        self.screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def read(self, seconds: float) -> None:
        """Take what comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._master], [], [], left)[0]:
                return
            try:
                self._stream.feed(os.read(self._master, 65536))
            except OSError:  # EIO: the program has ended
                return

    def read_until(self, is_there: Callable[[str], bool]) -> None:
        """Take what comes until the screen is as wanted."""
        deadline = time.monotonic() + RUN_SECONDS
        while not is_there("\n".join(self.screen.display)):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("the picture was not seen:\n" + "\n".join(self.screen.display))
            self.read(0.2)

    def press(self, keys: bytes) -> None:
        """Type these keys."""
        os.write(self._master, keys)

    def close(self) -> None:
        """End the program, and let the terminal go."""
        end(self.process)
        os.close(self._master)

    def lines(self) -> list[Text]:
        """The screen with its colors, without the empty lines at its end."""
        lines = []
        for number in range(ROWS):
            line = Text()
            for column in range(COLUMNS):
                sign = self.screen.buffer[number][column]
                color = _COLORS.get(sign.fg, sign.fg)
                shade = f"#{color}" if color and len(color) == 6 and not color.isalpha() else color
                line.append(sign.data, Style(color=shade, bold=sign.bold, underline=sign.underscore))
            line.rstrip()
            lines.append(line)
        while lines and not lines[-1]:
            lines.pop()
        return lines


def screens(work: Path) -> tuple[list[Text], list[Text]]:
    """What a person sees while the gate waits, and at the end."""
    with sandbox(work) as server:
        instance_id = _requested(server)
        pulumi = Pulumi(work, server.account)
        pulumi.ask("stack", "init", "dev")
        pulumi.ask("config", "set", "instanceId", instance_id)
        command = ["pulumi", "up", "--yes", "--skip-preview", "--suppress-permalink=true"]
        terminal = Terminal(command, pulumi.project, pulumi.env)
        try:
            terminal.read_until(lambda text: re.search(_WAITS, text) is not None)
            terminal.read(WAITED_SECONDS)
            waiting = terminal.lines()
            server.call(f"/sandbox/instances/{instance_id}/approve", {"comment": "looks right"})
            terminal.read_until(lambda text: "Duration:" in text)
            return waiting, terminal.lines()
        finally:
            terminal.close()


def _requested(server: Sandbox) -> str:
    enrollment = server.call("/sandbox/enrollments", {"subject": "CN=web.keyexample.com", "approvals": 1})
    return str(enrollment["instance_id"])


def draw(waiting: list[Text], opened: list[Text]) -> str:
    """Both screens in one picture, one below the other."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text("$ pulumi up --yes", style="bold"))
    for line in waiting:
        console.print(line, no_wrap=True, overflow="crop")
    console.print()
    console.print(Text("# the manager approves the request in Keyfactor Command", style="bright_black"))
    console.print()
    for line in opened:
        console.print(line, no_wrap=True, overflow="crop")
    # Without the fonts that rich would fetch from elsewhere: whoever reads the page asks nobody.
    return re.sub(r"\s*@font-face \{.*?\}", "", console.export_svg(title="pulumi up"), flags=re.DOTALL)


def main(picture: Path = PICTURE) -> None:
    with tempfile.TemporaryDirectory(prefix="kf-picture-", ignore_cleanup_errors=True) as work:
        picture.write_text(draw(*screens(Path(work))))


if __name__ == "__main__":
    main(*(Path(name) for name in sys.argv[1:]))
