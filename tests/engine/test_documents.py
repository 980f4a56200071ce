"""
Every block of the README and of the pages in `docs/`, the examples and the demo, run.
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

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a page that are written in this language, in their order; `text` is what a program shows."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def programs(pattern: str) -> list[object]:
    """The blocks in Python of all pages in which this is found, each with a name."""
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(blocks(page, "python"), 1)
        if re.search(pattern, code)
    ]


@pytest.fixture
def approved(server: Sandbox) -> str:
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    return str(id_)


@pytest.mark.parametrize("program", programs("import pulumi"))
def test_program(new_stack: NewStack, server: Sandbox, approved: str, program: str) -> None:
    """
    Each Pulumi program of a page does a preview, an update, and a second one without a change.
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


@pytest.mark.parametrize("script", programs(r"\A(?!(?s:.*)(import pulumi|def test_))"))
def test_script(server: Sandbox, script: str) -> None:
    """
    Each script of a page runs as it stands.
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


@pytest.mark.parametrize("test", programs("def test_"))
def test_test(tmp_path: Path, test: str) -> None:
    """
    Each test of a page passes, where kf-provider is installed and nothing else is set up.
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
    make, pip, config, start, drive = blocks(ROOT / "README.md", "sh")
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


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in PAGES[1:] if blocks(page, "sh")])
def test_commands(new_stack: NewStack, server: Sandbox, approved: str, page: Path) -> None:
    """
    The shell blocks of a page of `docs/` run in their order, as one script in the folder of a stack `test`.

    They find the sandbox in `KEYFACTOR_*` and `$SANDBOX`, and an approved instance in `$INSTANCE_ID`.
    """
    stack = new_stack("", {**server.environment(), "SANDBOX": server.url, "INSTANCE_ID": approved})
    path = os.pathsep.join([str(Path(sys.executable).parent), stack.environment["PATH"]])

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(["pulumi stack select test", *blocks(page, "sh")])],
        cwd=stack.folder,
        env={**stack.environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_page() -> None:
    """
    The page on settings names every setting, by each of its names, and no other.
    """
    from kf_provider.keyfactor.settings import CONFIG_KEYS, ENVIRONMENT

    text = (ROOT / "docs" / "settings.md").read_text()

    assert set(CONFIG_KEYS) == set(re.findall(r"`keyfactor:(\w+)`", text)) - {"keyfactor"}
    named = set(re.findall(r"KEYFACTOR_[A-Z_]+", text))
    assert set(ENVIRONMENT) == named - {"KEYFACTOR_AUTH_CONFIG_FILE", "KEYFACTOR_AUTH_CONFIG_PROFILE"}


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
