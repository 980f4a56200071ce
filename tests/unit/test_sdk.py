"""
The private names of the Pulumi SDK: in one file, each needed for one thing.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import kf_provider

PACKAGE = Path(kf_provider.__file__).parent


def is_private(module: str, name: str) -> bool:
    parts = [*module.split("."), name]
    return parts[0] == "pulumi" and any(part.startswith("_") and not part.startswith("__") for part in parts)


def private_imports(file: Path) -> Iterator[tuple[str, str]]:
    """The private names of the SDK that a file imports, and those that it reaches as attributes of its modules."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.module, alias.name) for alias in node.names if is_private(node.module, alias.name))
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if is_private(alias.name, ""))
        elif isinstance(node, ast.Attribute) and is_private(module := ast.unparse(node.value), node.attr):
            yield module, node.attr


NEEDED = sorted(set(private_imports(PACKAGE / "sdk.py")))


@pytest.mark.parametrize(("module", "name"), NEEDED, ids=[name for _, name in NEEDED])
def test_private_name_is_there(module: str, name: str) -> None:
    """
    Each private name is in the SDK that is installed, and can be called.
    """
    found = getattr(import_module(module), name, None)

    assert callable(found), (
        f"pulumi {version('pulumi')} has no {module}.{name} any more: find what took its place, and change "
        f"kf_provider/sdk.py, the only file that names it"
    )


def test_private_methods_are_there() -> None:
    """
    So are the attributes that are reached through objects.
    """
    import pulumi
    from pulumi.runtime.rpc_manager import RPCManager

    hint = f"pulumi {version('pulumi')} has changed: mend kf_provider/sdk.py"

    assert callable(getattr(pulumi.InvokeOutputOptions, "_depends_on_list", None)), hint
    assert RPCManager().unhandled_exception is None, hint  # type: ignore[no-untyped-call]  # the SDK's


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE).with_suffix(""))
)
def test_nobody_else_names_them(file: Path) -> None:
    """
    `sdk.py` is the only file with private names of the SDK.
    """
    assert file.name == "sdk.py" or not list(private_imports(file))


@pytest.mark.parametrize(("module", "name"), NEEDED, ids=[name for _, name in NEEDED])
def test_a_missing_one_does_not_break_the_import(module: str, name: str) -> None:
    """
    An SDK without one of them still lets a program import every public name.
    """
    program = f"import {module} as module; del module.{name}; from kf_provider import *"

    subprocess.run([sys.executable, "-c", program], check=True)
