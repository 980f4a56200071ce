"""
The real Pulumi CLI, on a file backend in a temporary folder, with its own home.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from kf_provider.sandbox import Sandbox

from .stack import PROJECT, ROOT, NewStack, Stack, cli_environment


@pytest.fixture(scope="session")
def cli_folder() -> Path:
    """The folder of a working Pulumi CLI, as `make test` found it, or found now."""
    folder = os.environ.get("KF_PULUMI_BIN")
    if folder is None:
        found = subprocess.run(
            [sys.executable, ROOT / "tools" / "pulumi" / "find.py"], stdout=subprocess.PIPE, text=True, check=True
        )
        folder = found.stdout.strip()
    assert (Path(folder) / "pulumi").exists()
    return Path(folder)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    This interpreter for the language host, which has it list its packages at each start: pip does that once for all.
    """
    folder = tmp_path_factory.mktemp("python")
    question = ["-m", "pip", "list", "-v", "--format", "json"]
    (folder / "packages.json").write_bytes(subprocess.check_output([sys.executable, *question]))
    file = folder / "python"
    file.write_text(f"""#!/bin/sh
[ "$*" = "{" ".join(question)}" ] && exec cat {folder / "packages.json"}
exec {sys.executable} "$@"
""")
    file.chmod(0o755)
    return file


@pytest.fixture(scope="session")
def template(cli_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty stack, made once: `stack init` takes a second."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    (folder / "backend").mkdir()
    subprocess.run(
        [cli_folder / "pulumi", "stack", "init", "test", "--non-interactive"],
        cwd=folder,
        env=cli_environment(cli_folder, folder),
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def new_stack(cli_folder: Path, python: Path, template: Path, tmp_path: Path) -> Iterator[NewStack]:
    """Make a stack of a program and an environment."""
    count = 0

    def make(program: str, environment: Mapping[str, str] | None = None) -> Stack:
        nonlocal count
        count += 1
        folder = tmp_path / f"stack{count}"
        shutil.copytree(template, folder)
        ours = {**cli_environment(cli_folder, folder), "PULUMI_PYTHON_CMD": str(python)}
        stack = Stack(folder, str(cli_folder / "pulumi"), {**ours, **(environment or {})})
        stack.write(program)
        return stack

    yield make
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Sandbox]:
    """A Keyfactor to try things on."""
    with Sandbox() as running:
        yield running
