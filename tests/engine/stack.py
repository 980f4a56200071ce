"""
A stack of the real Pulumi CLI: its program, its runs and its state, in a folder of its own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = "gate"
RUN_SECONDS = 120  # the longest, on a busy machine: a gate that does not open, and a run that does not end, take hours

# The frames of Pulumi's SDK in a program's process, and how its traceback ends when the engine has ended its call.
SDK = re.compile(
    r"/site-packages/(pulumi/runtime|pulumi/output\.py|pulumi/log\.py|grpc)\b"
    r"|/lib/python[\d.]+/(asyncio|concurrent)/|/pulumi-language-python-exec$"
)
ANOTHER = re.compile(r"(?:During handling of the above|The above exception was the direct)[^\n]+:\s+Traceback")
ENDED = re.compile(r"^ *Exception: context canceled$|^\s+status = StatusCode\.(CANCELLED|UNAVAILABLE)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one run of the CLI printed, and how it ended."""

    code: int
    text: str
    seconds: float

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.1f} s\n{self.text}"

    @property
    def tracebacks(self) -> list[str]:
        """
        The tracebacks, but for those of Pulumi's SDK about a call of the program that the engine ended.

        A run that is refused has one of these now and then: the program ends before the engine does, or after it. What
        the rows tell line by line, the diagnostics tell once more.
        """
        *_, told = self.text.split("\nDiagnostics:\n", 1)
        _, *chains = ANOTHER.sub("\0", told).split("Traceback")
        return [f"Traceback{chain}" for chain in chains if not _ended_by_engine(chain)]


def _ended_by_engine(chain: str) -> bool:
    """Whether a chain of tracebacks is the SDK's alone, and the last of them is about a call that the engine ended."""
    files = re.findall(r'^ *File "(.+?)", line \d', chain, re.MULTILINE)
    *_, last = chain.split("\0")
    return (
        any(file.endswith("/pulumi-language-python-exec") for file in files)
        and all(SDK.search(file) for file in files)
        and ENDED.search(last) is not None
    )


@dataclass
class Stack:
    """
    One stack of one small program. Every run's output and engine log stays in `folder`, for the secret audit.
    """

    folder: Path
    cli: str
    environment: dict[str, str]
    runs: list[Run] = field(default_factory=list)
    name: str = "test"

    def write(self, program: str) -> None:
        (self.folder / "__main__.py").write_text("import pulumi\nimport kf_provider as kf\n" + textwrap.dedent(program))

    def up(self, *flags: str, **environment: str) -> Run:
        return self.run("up", "--yes", "--skip-preview", *flags, **environment)

    def preview(self, *flags: str, **environment: str) -> Run:
        return self.run("preview", *flags, **environment)

    def refresh(self, *flags: str, **environment: str) -> Run:
        return self.run("refresh", "--yes", "--skip-preview", *flags, **environment)

    def destroy(self, *flags: str, **environment: str) -> Run:
        return self.run("destroy", "--yes", "--skip-preview", *flags, **environment)

    def run(self, *arguments: str, **environment: str) -> Run:
        process = self.start(*arguments, **environment)
        return self.end(process)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the CLI in a process group of its own."""
        command = [self.cli, *arguments, "--stack", self.name, "--non-interactive", "--color", "never"]
        log = (self.folder / "output.txt").open("a+")
        log.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._begun, self._offset = time.monotonic(), log.tell()
        log.close()
        return process

    def end(self, process: subprocess.Popen[str], *, within: float = RUN_SECONDS) -> Run:
        try:
            code = process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            pytest.fail(f"still running after {within} s:\n{self.output()}")
        run = Run(code, self.output(), time.monotonic() - self._begun)
        self.runs.append(run)
        return run

    def output(self) -> str:
        """What the last run has printed so far."""
        with (self.folder / "output.txt").open() as log:
            log.seek(self._offset)
            return log.read()

    def wait_for(self, text: str) -> None:
        """Wait until the run prints a text."""
        wait_until(lambda: text in self.output(), what=lambda: f"{text!r} in:\n{self.output()}")

    def config(self, **settings: str) -> None:
        """Set `keyfactor:*` in the stack's configuration file."""
        lines = [
            f"  {'keyfactor' if ':' not in key else ''}{':' if ':' not in key else ''}{key}: {json.dumps(value)}"
            for key, value in settings.items()
        ]
        (self.folder / "Pulumi.test.yaml").write_text("config:\n" + "\n".join(lines) + "\n")

    @property
    def state_file(self) -> Path:
        return self.folder / "backend" / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    @property
    def resources(self) -> list[dict[str, Any]]:
        checkpoint = json.loads(self.state_file.read_text())["checkpoint"]["latest"] or {}
        assert not checkpoint.get("pending_operations"), "the state has pending operations"
        return list(checkpoint.get("resources", []))

    @property
    def outputs(self) -> dict[str, Any]:
        return next(
            (dict(res.get("outputs", {})) for res in self.resources if res["type"] == "pulumi:pulumi:Stack"), {}
        )

    def resource(self, name: str, kind: str = "") -> dict[str, Any] | None:
        """The resource of this name in the state, by the last part of its type where the name is not enough."""
        found = [res for res in self.resources if res["urn"].endswith(f"{kind}::{name}")]
        assert len(found) <= 1, found
        return found[0] if found else None

    def processes(self, command: str = "") -> dict[int, str]:
        """
        What still runs for this stack, by its backend in the environment: process ids and command lines with `command`.

        But for the language host: that is Pulumi's own, and looks for a dead engine only every few minutes.
        """
        marker = f"PULUMI_BACKEND_URL=file://{self.folder}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if marker in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return {
            pid: line
            for pid, line in found.items()
            if command in line and "pulumi-language-python " not in line and line
        }

    def grpc(self) -> list[dict[str, Any]]:
        """The engine's own record of every provider call."""
        text = (self.folder / "grpc.json").read_text()
        return [json.loads(line) for line in text.splitlines()]


NewStack = Callable[..., Stack]  # of a program and an environment


def wait_until(is_true: Callable[[], bool], *, what: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {RUN_SECONDS} s: {what()}")
        time.sleep(0.05)


def cli_environment(cli_folder: Path, folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not re.match("KEYFACTOR_|PULUMI_|AWS_", name)}
    return {
        **clean,
        "PATH": f"{cli_folder}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "PULUMI_HOME": str(folder / "home" / ".pulumi"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase for tests",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_DEBUG_GRPC": str(folder / "grpc.json"),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
