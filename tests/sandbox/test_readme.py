"""
The sandbox's README: its blocks run, and its tables are those of the code.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kf_provider.sandbox
from kf_provider.sandbox import FaultKind, Sandbox
from kf_provider.sandbox.faults import unkind_rules
from kf_provider.sandbox.wire import INVENTED_NUMBERS

README = (Path(kf_provider.sandbox.__file__).parent / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_python_block() -> None:
    """
    The program runs as it stands.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block("python")], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "KEYFACTOR_HOSTNAME" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_block(tmp_path: Path) -> None:
    """
    The curl lines show an instance before and after its approval, and the report card.
    """
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-e", "-c", block("sh")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\w+$", done.stdout, re.MULTILINE) == ["Suspended", "Complete"]
    assert "requests that were wrong (400): 0" in done.stdout


def test_fault_table() -> None:
    """
    Every kind has its row, and the right ones are passing.
    """
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (yes|no)[^|]*\|$", README, re.MULTILINE))

    assert set(rows) == set(FaultKind)
    assert {kind for kind, passing in rows.items() if passing == "yes"} == {rule.kind for rule in unkind_rules(1)}


def test_numbers() -> None:
    """
    The invented numbering is the documented one.
    """
    assert ", ".join(f"{status} {number}" for status, number in INVENTED_NUMBERS.items()) in README


def test_modules() -> None:
    """
    Every module is in the table of modules.
    """
    modules = {path.name for path in Path(kf_provider.sandbox.__file__).parent.glob("*.py")} - {"__init__.py"}

    assert {name for name in modules if f"`{name}`" not in README} == set()


def test_modules_without_http() -> None:
    """
    What the table says to know no HTTP is imported where there is neither Starlette nor uvicorn.
    """
    rows = re.findall(r"^\| (`\w+\.py`.*) \| .*(?:no HTTP|without HTTP).*\|$", README, re.MULTILINE)
    names = re.findall(r"`(\w+)\.py`", " ".join(rows))
    code = "import sys; sys.modules.update(dict.fromkeys(['starlette', 'uvicorn']))\n"
    code += "".join(f"import kf_provider.sandbox.{name}\n" for name in names)

    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)

    assert {"workflow", "accounts", "report"} <= set(names)


def test_documented_paths(server: Sandbox) -> None:
    """
    Every path that the server knows is in the table.
    """
    from .clients import connect

    with connect(server) as client:
        paths = client.get("/Status/Endpoints").json()

    assert [path for path in paths if path.removeprefix("/Workflow/Instances/{instanceId}") not in README] == []
