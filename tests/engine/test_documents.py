"""
Every block of the README, the examples and the demo, run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kf_provider.sandbox import Sandbox

from .stack import ROOT, NewStack

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
PROGRAMS = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [code for language, code in BLOCKS if language == "sh"]


@pytest.fixture
def approved(server: Sandbox) -> str:
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    return str(id_)


@pytest.mark.parametrize("program", [code for code in PROGRAMS if "import pulumi" in code])
def test_readme_program(new_stack: NewStack, server: Sandbox, approved: str, program: str) -> None:
    """
    Each Pulumi program of the README does a preview, an update, and a second one without a change.
    """
    stack = new_stack("", server.environment())
    (stack.folder / "__main__.py").write_text(program)
    stack.config(
        **{
            "gate:instanceId": approved,
            "gate:secondHostname": server.url,
            "gate:secondUsername": server.username,
            "gate:secondPassword": server.password,
        }
    )

    for run in (stack.preview(), stack.up(), stack.up("--expect-no-changes")):
        assert run.code == 0, run


@pytest.mark.parametrize("script", [code for code in PROGRAMS if not re.search("import pulumi|def test_", code)])
def test_readme_script(server: Sandbox, script: str) -> None:
    """
    Each script of the README runs as it stands.
    """
    server.start_enrollment(subject="CN=web.example.com")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, **server.environment()},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.strip()


@pytest.mark.parametrize("test", [code for code in PROGRAMS if "def test_" in code])
def test_readme_test(tmp_path: Path, test: str) -> None:
    """
    Each test of the README passes, where kf-provider is installed and nothing else is set up.
    """
    (tmp_path / "test_block.py").write_text(test)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "1 passed" in done.stdout, done.stdout


def test_readme_commands(new_stack: NewStack, tmp_path: Path) -> None:
    """
    The README's shell lines: make's targets are there, the configuration can be set, the sandbox starts and obeys curl.
    """
    make, pip, config, start, drive = COMMANDS
    for target in re.findall(r"^make (\w+)", make, re.MULTILINE):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)
    assert pip.startswith("pip install . ")

    stack = new_stack("")
    subprocess.run(
        ["bash", "-euc", config.replace("pulumi config", "pulumi --stack test config")],
        cwd=stack.folder,
        env=stack.environment,
        check=True,
    )
    written = (stack.folder / "Pulumi.test.yaml").read_text()
    assert "keyfactor:hostname: keyfactor.example.com" in written
    assert "a password" not in written

    install, run = start.splitlines()
    assert install == "pip install 'kf-provider[sandbox]'"
    script = f"""
        {run} > line 2> told & pid=$!
        while [ ! -s line ]; do kill -0 $pid; sleep 0.1; done
        SANDBOX=$(python -c 'import json; print(json.load(open("line"))["url"])')
        {drive}
        kill $pid; wait $pid
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done


def test_readme_settings() -> None:
    """
    The README names every setting, by both of its names.
    """
    from kf_provider.keyfactor.settings import CONFIG_KEYS, ENVIRONMENT

    text = (ROOT / "README.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("| `keyfactor:")]
    told = {name for line in table for name in re.findall(r"`(?:keyfactor:)?(\w+)`", line.split("|")[1])}
    variables = [re.findall(r"`(\w+)`", line.split("|")[2]) for line in table]
    full = {
        name if name.startswith("KEYFACTOR") else names[0][: names[0].rindex("_", 0, len(names[0]) - 3)] + name
        for names in variables
        for name in names
    }

    assert set(CONFIG_KEYS) == told
    short = {name.rsplit("_", 1)[-1] for name in full}
    assert {name.rsplit("_", 1)[-1] for name in ENVIRONMENT if name != "KEYFACTOR_PORT"} <= short


@pytest.mark.parametrize("example", sorted(path.parent.name for path in (ROOT / "examples").glob("*/__main__.py")))
def test_example(new_stack: NewStack, server: Sandbox, approved: str, example: str) -> None:
    """
    Each example does a preview, an update, a second one without a change, and is destroyed.
    """
    stack = new_stack("", server.environment())
    shutil.copy(ROOT / "examples" / example / "__main__.py", stack.folder)
    stack.config(**{"gate:instanceId": approved})

    for run in (stack.preview(), stack.up(), stack.up("--expect-no-changes"), stack.destroy()):
        assert run.code == 0, run


def test_tested_stack() -> None:
    """
    Users' own tests run under mocks, without an engine, a server or a setting.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYFACTOR_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=.", "."],
        cwd=ROOT / "examples" / "tested-stack",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "3 passed" in done.stdout, done.stdout


def test_demo(cli_folder: Path) -> None:
    """
    `make demo` goes from a waiting update to a destroyed stack by itself.
    """
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "demo.py"],
        env={**os.environ, "PATH": f"{cli_folder}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Suspended at "Manager approval"' in done.stdout
    assert "4 created" in done.stdout
    assert "4 unchanged" in done.stdout
