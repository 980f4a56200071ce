"""
Finding a Pulumi CLI, on machines made of shell scripts: nothing is downloaded and nothing is built.
"""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FIND = CHECKOUT / "tools/pulumi/find.py"

COMPANIONS = ("pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")

# Plays what find.py asks of Go. `build` logs itself and, while the file `hold` exists, takes for ever.
GO = """
case "$1 $2" in
  "env GOVERSION") [ -e "$M/go-is-old" ] && { echo "go: go.mod requires go >= 1.26.6" >&2; exit 1; }; echo go1.26.8;;
  "list -m") echo "$M/sdk";;
  "list -find")
    shift 4
    for name in "$@"; do
      /bin/mkdir -p "$M/gomod/$name/testdata"
      for file in setup.go env.go env_test.go testdata/one.go; do echo theirs > "$M/gomod/$name/$file"; done
      printf 'found\\t%s\\t%s\\t%s\\t%s\\n' "$name" "$M/gomod/$name" "$name" "$M/gomod/$name"
    done;;
  "mod edit") echo "$3" >> "$M/replaced";;
  "list "*) echo "package one"; echo "package two";;
  "build "*)
    echo $$ >> "$M/builds"
    [ -d modules ] && /bin/cp -r modules "$M/built"
    while [ -e "$M/hold" ]; do /bin/sleep 0.05; done
    [ -e "$M/go-fails" ] && { echo "dial tcp: no such host" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho v3.274.1\\n' > "$2"; /bin/chmod +x "$2";;
esac
"""


def script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def cli(folder: Path, answer: str = "echo v3.274.1") -> Path:
    """A folder with a CLI that gives this answer to `pulumi version`, and its companions."""
    script(folder / "pulumi", answer)
    for name in COMPANIONS:
        script(folder / name, "exit 0")
    return folder


class Machine:
    """A machine with nothing on PATH, an empty cache and no network."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "path"
        self.path.mkdir()
        self.cache = root / "cache" / "kf-provider"
        self.env = {
            "M": str(root),
            "PATH": str(self.path),
            "HOME": str(root / "home"),
            "XDG_CACHE_HOME": str(root / "cache"),
            # Nobody listens on this port: every download is refused at once.
            "https_proxy": "http://127.0.0.1:1",
        }
        for name in ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python"):
            script(root / "sdk" / name, "exit 0")
        self.finder = FIND
        self._running: list[subprocess.Popen[str]] = []

    @property
    def cached(self) -> Path:
        """The folder in which find.py keeps its CLI."""
        system, machine = os.uname().sysname.lower(), os.uname().machine
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
        return self.cache / f"pulumi-v3.274.1-{system}-{machine}-{runpy.run_path(str(FIND))['recipe']()}"

    @property
    def builds(self) -> list[int]:
        """The process ids of all calls of `go build`; one build of the CLI makes two."""
        log = self.root / "builds"
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def has(self, name: str) -> None:
        (self.root / name).touch()

    def install_go(self) -> None:
        script(self.path / "go", GO)

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, self.finder], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._running.append(process)
        return process

    def find(self) -> tuple[int, str, str]:
        """Run find.py: its exit status, its stdout without the last line's end, its stderr."""
        return self.finish(self.start())

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        stdout, stderr = process.communicate(timeout=120)
        return process.returncode, stdout.removesuffix("\n"), stderr

    def left(self) -> set[str]:
        """What is in the cache, the lock apart."""
        return {file.name for file in self.cache.glob("*")} - {f"{self.cached.name}.lock"}

    def close(self) -> None:
        (self.root / "hold").unlink(missing_ok=True)
        for process in self._running:
            with process:
                process.kill()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 60 s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


# ---- the CLI on PATH


def test_recent_cli_on_path(machine: Machine) -> None:
    """
    A recent CLI on PATH is used, without a word and without touching the cache.
    """
    cli(machine.path, "echo v3.300.0")

    assert machine.find() == (0, str(machine.path), "")
    assert not machine.cache.exists()


def test_linked_cli_on_path(machine: Machine) -> None:
    """
    A link on PATH to a CLI elsewhere leads to the folder that has the language host as well.
    """
    folder = cli(machine.root / "opt")
    (machine.path / "pulumi").symlink_to(folder / "pulumi")

    assert machine.find() == (0, str(folder), "")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("echo v3.271.9", "is 3.271.9; 3.272.0 or a newer 3.x is needed"),
        ("echo v4.0.0", "is 4.0.0; 3.272.0 or a newer 3.x is needed"),
        ("echo hello", "does not answer with a version"),
        ("echo broken >&2; exit 3", "`pulumi version`: broken"),
    ],
    ids=["too old", "another major version", "not a version", "broken"],
)
def test_unfit_cli_on_path(machine: Machine, answer: str, reason: str) -> None:
    """
    A CLI on PATH that is too old or does not work is passed over, and the reason is told.
    """
    cli(machine.path, answer)
    folder = cli(machine.cached / "bin")

    status, stdout, stderr = machine.find()

    assert (status, stdout) == (0, str(folder))
    assert "passing over the pulumi on PATH" in stderr
    assert reason in stderr


def test_cli_on_path_without_language_host(machine: Machine) -> None:
    """
    A CLI alone cannot run a Python program: it is passed over.
    """
    cli(machine.path)
    (machine.path / "pulumi-language-python").unlink()
    folder = cli(machine.cached / "bin")

    status, stdout, stderr = machine.find()

    assert (status, stdout) == (0, str(folder))
    assert "pulumi-language-python is missing or not executable" in stderr


# ---- the cache


def test_cached_cli(machine: Machine) -> None:
    """
    A cached CLI is used in silence.
    """
    folder = cli(machine.cached / "bin")

    assert machine.find() == (0, str(folder), "")


@pytest.mark.parametrize(
    "breakage",
    [
        lambda folder: (folder / "pulumi").write_text("#!/bin/sh\nexit 1\n"),
        lambda folder: (folder / "pulumi").write_text("#!/bin/sh\necho v3.273.0\n"),
        lambda folder: (folder / "pulumi").write_bytes(b"\x7fELF"),
        lambda folder: (folder / "pulumi-language-python").chmod(0o644),
        lambda folder: (folder / "pulumi-resource-pulumi-python").unlink(),
    ],
    ids=["fails", "another version", "truncated", "not executable", "missing file"],
)
def test_broken_cache(machine: Machine, breakage: Callable[[Path], object]) -> None:
    """
    A cached CLI that does not work is made anew, and told about.
    """
    breakage(cli(machine.cached / "bin"))
    machine.install_go()

    status, stdout, stderr = machine.find()

    assert (status, stdout) == (0, str(machine.cached / "bin"))
    assert "making the cached CLI anew" in stderr
    assert len(machine.builds) == 2


def test_relative_cache_variable(machine: Machine) -> None:
    """
    A relative XDG_CACHE_HOME is invalid and ignored: nothing is written into the working directory.
    """
    machine.env["XDG_CACHE_HOME"] = "somewhere"
    machine.install_go()

    status, stdout, _ = machine.find()

    assert status == 0
    assert stdout == str(machine.root / "home/.cache/kf-provider" / machine.cached.name / "bin")


# ---- the build


def test_build(machine: Machine) -> None:
    """
    Without any CLI one is built from Go modules, whole and executable; the second run finds it.
    """
    machine.install_go()

    status, stdout, stderr = machine.find()

    assert (status, stdout) == (0, str(machine.cached / "bin"))
    assert "this takes 2 to 5 minutes" in stderr
    assert {"pulumi", *COMPANIONS} == {file.name for file in Path(stdout).iterdir() if os.access(file, os.X_OK)}
    assert machine.left() == {machine.cached.name}
    assert machine.find() == (0, stdout, "")
    assert len(machine.builds) == 2


def test_left_out(machine: Machine) -> None:
    """
    The build has what left-out.txtar says in place of the files it names, in copies: Go's own modules stay as they are.
    """
    text = (FIND.parent / "cli/left-out.txtar").read_text()
    sections = re.findall(r"^-- (\S+) (\S+) --\n(package \w+)$", text, re.MULTILINE)
    assert text.count("\npackage ") == len(sections)
    machine.install_go()

    assert machine.find()[0] == 0

    for package, pattern, first_line in sections:
        theirs, built = machine.root / "gomod" / package, machine.root / "built" / package
        kept = set() if pattern == "*.go" else {"env.go"}
        assert {"left_out.go", *kept} == {file.name for file in built.iterdir()}
        assert (built / "left_out.go").read_text().startswith(f"{first_line}\n")
        assert {"setup.go", "env.go", "env_test.go", "testdata"} == {file.name for file in theirs.iterdir()}
    assert len(sections) == len((machine.root / "replaced").read_text().split())


def test_another_recipe(machine: Machine) -> None:
    """
    What was built from other modules, or with other parts left out, is not taken.
    """
    machine.install_go()
    before = machine.find()[1]
    shutil.copytree(FIND.parent, machine.root / "tools/pulumi")
    machine.finder = machine.root / "tools/pulumi/find.py"
    with (machine.root / "tools/pulumi/cli/left-out.txtar").open("a") as file:
        file.write("\n")

    status, after, _ = machine.find()

    assert (status, True) == (0, Path(after).is_dir())
    assert before != after
    assert len(machine.builds) == 4


def test_no_network_and_no_go(machine: Machine) -> None:
    """
    Without a network and without Go the error says what was tried and what to install, and nothing is left.
    """
    status, stdout, stderr = machine.find()

    assert (status, stdout) == (1, "")
    assert "the pulumi on PATH: there is none" in stderr
    assert "there is no Go on PATH (1.26.6 or newer is needed)" in stderr
    assert "install the Pulumi CLI 3.272.0 or newer" in stderr
    assert "install Go 1.26.6 or newer" in stderr
    assert "Traceback" not in stderr
    assert machine.left() == set()


@pytest.mark.parametrize(("fault", "reason"), [("go-is-old", "requires go >= 1.26.6"), ("go-fails", "no such host")])
def test_build_fails(machine: Machine, fault: str, reason: str) -> None:
    """
    When Go is too old or cannot have the modules, its own words are in the error, and nothing is left.
    """
    machine.install_go()
    machine.has(fault)

    status, stdout, stderr = machine.find()

    assert (status, stdout) == (1, "")
    assert reason in stderr
    assert machine.left() == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupted_build(machine: Machine, number: signal.Signals) -> None:
    """
    An interrupted build ends Go with it and leaves nothing; the next run builds.
    """
    machine.install_go()
    machine.has("hold")
    process = machine.start()
    until(lambda: bool(machine.builds))
    process.send_signal(number)

    status, stdout, _ = machine.finish(process)

    assert (status, stdout) == (128 + number, "")
    assert machine.left() == set()
    until(lambda: not alive(machine.builds[0]))
    (machine.root / "hold").unlink()
    assert machine.find()[:2] == (0, str(machine.cached / "bin"))


def test_interrupted_while_go_starts(machine: Machine) -> None:
    """
    Go does not outlive a signal that comes when it has just been started, and nobody has it in hand.
    """
    machine.install_go()
    machine.has("hold")
    program = f"""
import os, runpy, signal, subprocess, sys, time

class Popen(subprocess.Popen):
    def __init__(self, command, **options):
        super().__init__(command, **options)
        if "build" in command:
            while not os.path.exists({str(machine.root / "builds")!r}):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Popen
runpy.run_path({str(FIND)!r}, run_name="__main__")
"""

    ended = subprocess.run([sys.executable, "-c", program], env=machine.env, check=False, timeout=60)

    assert ended.returncode == 128 + signal.SIGTERM
    assert machine.left() == set()
    until(lambda: not alive(machine.builds[0]))


def test_killed_build(machine: Machine) -> None:
    """
    What a killed build leaves is never taken for a CLI, and goes with the next run.
    """
    machine.install_go()
    machine.has("hold")
    process = machine.start()
    until(lambda: bool(machine.builds))
    process.kill()
    process.wait()
    assert [name for name in machine.left() if ".unfinished-" in name]
    (machine.root / "hold").unlink()
    until(lambda: not alive(machine.builds[0]))

    status, stdout, stderr = machine.find()

    assert (status, stdout) == (0, str(machine.cached / "bin"))
    assert "removing what an interrupted run left" in stderr
    assert machine.left() == {machine.cached.name}


def test_two_at_once(machine: Machine) -> None:
    """
    Two runs at the same time build once, and both get the folder.
    """
    machine.install_go()
    machine.has("hold")
    first = machine.start()
    until(lambda: bool(machine.builds))
    second = machine.start()
    time.sleep(0.5)
    assert len(machine.builds) == 1
    (machine.root / "hold").unlink()

    for process in (first, second):
        assert machine.finish(process)[:2] == (0, str(machine.cached / "bin"))
    assert len(machine.builds) == 2


# ---- versions


def test_minimum_is_the_sdk_of_pyproject() -> None:
    """
    The oldest CLI that is accepted is that of the oldest SDK that is accepted.
    """
    dependencies = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert "pulumi>=3.272,<4" in dependencies
    assert "MINIMUM: Version = (3, 272, 0)" in FIND.read_text()
