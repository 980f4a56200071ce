"""
The real process `kf`, against a sandbox or a server that answers as a test says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kf_provider.sandbox import Sandbox


@dataclass(frozen=True)
class Run:
    """What one run printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Kf:
    """The command, its environment and its folder."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, said: str | None = None, **environment: str) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "kf_provider", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Run(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kf_provider", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def kf(tmp_path: Path, server: Sandbox) -> Kf:
    of_ci = "GITHUB_|CI|TF_BUILD|GITLAB_"
    clean = {name: text for name, text in os.environ.items() if not re.match(f"KEYFACTOR_|NO_COLOR|{of_ci}", name)}
    return Kf(tmp_path, {**clean, **server.environment(), "HOME": str(tmp_path)})
