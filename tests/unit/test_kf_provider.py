"""
The package's public names.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import kf_provider
import kf_provider.errors


@pytest.mark.parametrize("name", kf_provider.__all__)
def test_public_name(name: str) -> None:
    """
    Every public name is there, under its own name, and listed.
    """

    assert name == getattr(kf_provider, name).__name__
    assert name in dir(kf_provider)


def test_every_error_is_public() -> None:
    """
    Each class of the tree of errors can be named from the package.
    """
    found = [found for found in vars(kf_provider.errors).values() if isinstance(found, type)]
    errors = {error.__name__ for error in found if issubclass(error, Exception)}

    assert {"RestartError", "SettingsError"} <= errors <= set(kf_provider.__all__)


def test_dir_is_public() -> None:
    """
    `dir` shows the public names alone, and the version.
    """
    assert sorted([*kf_provider.__all__, "__version__"]) == dir(kf_provider)


def test_version() -> None:
    """
    The version is that of the distribution.
    """
    assert version("kf-provider") == kf_provider.__version__


def test_no_other_name() -> None:
    """
    A name that is not there is an AttributeError, as in any module.
    """

    with pytest.raises(AttributeError, match="has no attribute 'WorkflowAproval'"):
        kf_provider.WorkflowAproval  # type: ignore[attr-defined]  # noqa: B018 - reading it is the test


def test_sandbox_without_pulumi() -> None:
    """
    The sandbox, its pytest plugin and the command line do not import pulumi.
    """
    modules = "sys, kf_provider.sandbox.pytest_plugin, kf_provider.cli, kf_provider.sandbox"

    done = subprocess.run(
        [sys.executable, "-c", f"import {modules}; print('pulumi' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "False\n"


@pytest.mark.parametrize(("arguments", "code"), [(["", "127.0.0.1:1"], 1), (["__main__.py", "127.0.0.1:1"], 0)])
def test_stack_in_place_of_its_policy_pack(tmp_path: Path, arguments: list[str], code: int) -> None:
    """
    A program that an old language host starts as the policy pack says so in one line; no other start is refused.
    """
    (tmp_path / "__main__.py").write_text("import kf_provider\n")

    run = subprocess.run([sys.executable, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True)

    assert (code, code) == (run.returncode, run.stderr.count("\n"))
    assert bool(code) == ("--policy-pack FOLDER/run" in run.stderr)
