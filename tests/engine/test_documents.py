"""
Every block of the README and of the pages in `docs/`, the examples and the demo, run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
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


def documents() -> list[Path]:
    return [
        path
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
        if "node_modules" not in path.parts
    ] + [ROOT / "kf_provider" / "sandbox" / "README.md"]


def with_commands() -> list[object]:
    """The pages of `docs/` with shell blocks, but those whose blocks have a test of their own."""
    pages = [page for page in PAGES[1:] if blocks(page, "sh") and page.stem != "quick-start"]
    return [pytest.param(page, id=page.stem) for page in pages]


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

    for run in (stack.run("up", "--yes"), stack.up("--expect-no-changes")):  # the first with its preview
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


def test_readme_is_short() -> None:
    """
    The README is the first screen and the map: at most 900 words.
    """
    text = (ROOT / "README.md").read_text()
    first_screen = "\n".join(text.splitlines()[:24])

    assert 900 >= len(text.split())
    assert [] == [found for found in ("make demo", "make test", "](docs/gate.svg)") if found not in first_screen]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "kf_provider" / "sandbox" / "README.md"], ids=lambda page: page.name)
def test_curl_of_any_age(page: Path) -> None:
    """
    No page uses an option of curl that came after 2019.
    """
    assert not re.search(r"curl.*(--json|--fail-with-body|--retry-all-errors|--url-query)", page.read_text())


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in documents()])
def test_nothing_after_an_update(page: Path) -> None:
    """
    No block goes on after a command with Pulumi's live display: it reads the keyboard, and takes what is pasted behind.
    """
    shell = re.findall(r"^```(?:sh|shell)?\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    live = re.compile(r"^pulumi (?:up|preview|destroy|refresh)\b(?!.*--json).*\n(?=.)", re.MULTILINE)

    assert [] == [found[0] for block in shell for found in live.finditer(block)]


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in documents()])
def test_install_is_marked(page: Path) -> None:
    """
    Where a page installs from an index, it says that this works when the package is published.
    """
    text = page.read_text()

    for found in re.finditer(r"^.*(?:pip|pipx) install [^`\n]*kf-provider.*$", text, re.MULTILINE):
        assert "when it is published" in found[0] or "is published" in found[0], found[0]


@pytest.mark.parametrize("name", [path.parent.name for path in sorted((ROOT / "examples").glob("*/Pulumi.yaml"))])
def test_example_says_what_it_needs(name: str) -> None:
    """
    The README of each stack names the installation that its `Pulumi.yaml` does; its project's name is short, because
    Pulumi's live table gives a row's text what names leave of the width.
    """
    project = (ROOT / "examples" / name / "Pulumi.yaml").read_text()

    assert "virtualenv: ../../.venv" in project
    assert "`.venv` (`make" in (ROOT / "examples" / name / "README.md").read_text()
    assert len(project.splitlines()[0]) <= len("name: renewal")


def test_readme_commands(new_stack: NewStack) -> None:
    """
    The README's shell lines: make's targets are there, and the configuration can be set.
    """
    make, pip, config = blocks(ROOT / "README.md", "sh")
    for target in [*re.findall(r"^make (\w+)", make, re.MULTILINE), "dist"]:
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


def test_quick_start(cli_folder: Path, tmp_path: Path) -> None:
    """
    The quick start as it stands, in two terminals: own folder, own venv, the wait, the approval, the second update.
    """
    install, start, make, login, request, update, again, remove = blocks(ROOT / "docs" / "quick-start.md", "sh")
    assert install.startswith("git clone ")
    script = f"""
        ln -s {ROOT} kf_provider
        {install.partition(chr(10))[2]}
        (
        {start.rstrip()} & echo $! > sandbox.pid
        )
        until [ -s sandbox.json ]; do sleep 0.1; done
        trap 'kill $(cat sandbox.pid)' EXIT
        {make}
        {login}
        {request.rstrip()} > printed
        approve=$(sed -n 's/^Or in another terminal: //p' printed)
        {{ until curl -s "$url/sandbox/journal" | grep -q "/Workflow/Instances/$id"; do sleep 0.3; done; sleep 2
        $approve; }} > approval &
        {update}
        {again}
        {remove}
    """
    clean = {name: text for name, text in os.environ.items() if not re.match("KEYFACTOR_|PULUMI_|VIRTUAL_ENV", name)}
    environment = {
        "PATH": f"{cli_folder}{os.pathsep}{clean.pop('PATH')}",
        "HOME": str(tmp_path),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**clean, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\+ +4 created", done.stdout), done.stdout
    assert re.search(r"4 unchanged", done.stdout), done.stdout
    assert re.search(r"- +4 deleted", done.stdout), done.stdout


def test_removing_a_gate(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A gate that is taken out of the program goes from the state without a request, and what waited for it stays.
    """
    after = blocks(ROOT / "docs" / "removing-a-gate.md", "python")[0]
    stack = new_stack(blocks(ROOT / "docs" / "migrating-from-a-script.md", "python")[0], server.environment())
    stack.config(**{"gate:instanceId": approved})
    assert stack.up().code == 0
    before = stack.resource("listener")
    asked = len(server.journal())

    stack.write(after)
    run = stack.up()

    assert (0, asked) == (run.code, len(server.journal())), run
    assert before is not None
    assert before["outputs"] == (stack.resource("listener") or {}).get("outputs")
    assert "2 deleted" in run.text.replace("- ", ""), run
    assert "2 unchanged" in run.text, run
    assert [] == [res["urn"] for res in stack.resources if "keyfactor" in res["type"]]


def test_settings_page() -> None:
    """
    The page on settings names every setting, by each of its names, and no other.
    """
    from kf_provider.keyfactor.settings import CONFIG_KEYS, ENVIRONMENT

    text = (ROOT / "docs" / "settings.md").read_text()

    assert set(CONFIG_KEYS) == set(re.findall(r"`keyfactor:(\w+)`", text)) - {"keyfactor"}
    named = set(re.findall(r"KEYFACTOR_[A-Z_]+", text))
    assert set(ENVIRONMENT) == named - {"KEYFACTOR_AUTH_CONFIG_FILE", "KEYFACTOR_AUTH_CONFIG_PROFILE"}


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in documents()])
def test_links(page: Path) -> None:
    """
    Each link to a file of this repository leads to one, and to a heading that is there.
    """
    links = re.findall(r"\]\(([^)]+)\)", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    for link in links:
        if re.match("https?:", link):
            continue
        target, _, heading = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}, link


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir()))
def test_example_is_explained(example: str) -> None:
    """
    Each example has a README, and stands in the list of them.
    """
    assert (ROOT / "examples" / example / "README.md").read_text().startswith("# ")
    assert f"]({example})" in (ROOT / "examples" / "README.md").read_text()


@pytest.mark.parametrize("page", with_commands())
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
        timeout=600,
    )

    assert done.returncode == 0, done.stdout + done.stderr


# Waits for approvals of its own: test_renewals.py.
ENROLLS = "enroll-approve-deploy"


@pytest.mark.parametrize(
    "example", sorted({path.parent.name for path in (ROOT / "examples").glob("*/Pulumi.yaml")} - {ENROLLS})
)
def test_example(new_stack: NewStack, server: Sandbox, approved: str, example: str) -> None:
    """
    Each example does a preview, an update, a second one without a change, and is destroyed.
    """
    stack = new_stack("", server.environment())
    shutil.copy(ROOT / "examples" / example / "__main__.py", stack.folder)
    stack.config(**{"gate:instanceId": approved})

    for run in (
        stack.run("up", "--yes"),
        stack.up("--expect-no-changes"),
        stack.destroy(),
    ):  # the first with its preview
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

    assert "4 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(("example", "count"), [("gate", 4), ("enroll", 6)])
def test_demo(cli_folder: Path, example: str, count: int) -> None:
    """
    `make demo` goes from a waiting update to a destroyed stack by itself.
    """
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "demo.py", "--example", example],
        env={**os.environ, "PATH": f"{cli_folder}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 1 signals: Manager approval" in done.stdout
    assert f"{count} created" in done.stdout
    assert f"{count} unchanged" in done.stdout
