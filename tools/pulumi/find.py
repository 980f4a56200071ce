#!/usr/bin/env python3
"""
Find a working Pulumi CLI, or make one, and print its folder.

Prints one line on stdout: a folder to put first on PATH. All that is meant for people goes to stderr.
Exit status: 0 with a folder, 1 without one (and then a text that says what to install).

Tried in this order:

1. the `pulumi` on PATH, when it is MINIMUM or newer and its Python language host is there too;
2. the cache: `$XDG_CACHE_HOME/kf-provider/pulumi-VERSION-OS-ARCH-RECIPE/bin` (`~/.cache` without the variable);
3. the SDK's own installer, into that cache, when the checkout's `.venv` has the SDK and there is a network;
4. a build from Go modules, into that cache, in the versions that `cli/` and `language/` beside this file pin, and
   without what `cli/left-out.txtar` names. RECIPE is a hash of these two folders, so that what they made before
   they changed is not taken.

Runs before any virtual environment exists: Python 3.11 and its standard library are enough.
All times are in seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

Version = tuple[int, int, int]

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]

# The oldest SDK that pyproject.toml allows. Pulumi releases CLI and SDK together and tests a CLI with its own SDK and
# with older ones, never with a newer one; and what the gate relies on (a failed check that ends the run with one line,
# `--exclude`, `--run-program`, transforms) was measured on 3.274.1.
MINIMUM: Version = (3, 272, 0)

CLI = "pulumi"
COMPANIONS = ("pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")

# Where the SDK's installer downloads from. Asked first, because the installer has no time limit of its own.
INSTALLER_URL = "https://get.pulumi.com/install.sh"
INSTALL = """
import subprocess, sys
from pulumi.automation import PulumiCommand
from semver import VersionInfo
try:
    PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
except subprocess.CalledProcessError as error:
    sys.exit(error.output.decode(errors="replace") or str(error))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

ANSWER_SECONDS = 60  # for `pulumi version` and `go env`: far more than they need, also on a busy machine
PROBE_SECONDS = 8
INSTALL_SECONDS = 600
FETCH_SECONDS = 1200
BUILD_SECONDS = 3600
HEARTBEAT_SECONDS = 10

TAGS = "osusergo,grpcnotrace"

# What ends this program by way of its `finally` blocks, which end children and remove what is unfinished.
ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class UnusableError(Exception):
    """One way to a CLI is closed; the text says why."""


def pin(pattern: str) -> str:
    """What cli/go.mod pins, as the group of `pattern`."""
    match = re.search(pattern, (HERE / "cli/go.mod").read_text(), re.MULTILINE)
    if not match:
        raise SystemExit(f"{HERE / 'cli/go.mod'} has no line {pattern}")
    return match[1]


def parse(text: str) -> Version | None:
    match = re.search(r"^v?(\d+)\.(\d+)\.(\d+)", text, re.MULTILINE)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def dotted(version: Version) -> str:
    return ".".join(map(str, version))


# What the tests of this repository were run on, and what builds it.
PINNED = pin(r"^require github\.com/pulumi/pulumi/pkg/v3 v(\S+)$")
NEEDED_GO = pin(r"^go (\S+)$")


# ---- what people see


def say(text: str) -> None:
    print(f"pulumi-cli: {text}", file=sys.stderr, flush=True)


class Progress:
    """How far a long step is: a bar on a terminal, otherwise a line every ten seconds."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self.unit = ""
        self._start = self._last = time.monotonic()
        self._live = sys.stderr.isatty()

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._last < (0.5 if self._live else HEARTBEAT_SECONDS):
            return
        self._last = now
        if self._live:
            sys.stderr.write(f"\r\x1b[Kpulumi-cli: {self._bar()}{self._text()}")
            sys.stderr.flush()
        else:
            say(self._text())

    def end(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _bar(self) -> str:
        if not self.total:
            return ""
        full = min(20, 20 * self.done // self.total)
        return f"[{'#' * full}{'.' * (20 - full)}] "

    def _text(self) -> str:
        elapsed = int(time.monotonic() - self._start)
        # "at most": what Go has in its own cache is not compiled again, and not counted.
        amount = f", {self.done} of at most {self.total} {self.unit}" if self.total else ""
        amount = amount or (f", {self.done} {self.unit}" if self.done else "")
        return f"{self.what}: {elapsed // 60}:{elapsed % 60:02d} min{amount}"


# ---- running other programs


def run(
    command: Sequence[str],
    *,
    limit: float,
    progress: Progress,
    count: re.Pattern[str] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> list[str]:
    """
    Run a long command to its end and return its lines (both streams); lines that match `count` move the progress.

    It has its own process group, which never outlives this call.
    Raises UnusableError with the last lines when the command fails or takes longer than `limit`.
    """
    lines: list[str] = []
    arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    # A signal between the start and the `try` would leave the command alone; it needs none itself, and is killed.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        raise

    def pump() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            arriving.put(line.rstrip())
        arriving.put(None)

    deadline = time.monotonic() + limit
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        threading.Thread(target=pump, daemon=True).start()
        while True:
            progress.tick()
            if time.monotonic() > deadline:
                raise UnusableError(f"no result within {int(limit)} s")
            try:
                line = arriving.get(timeout=0.5)
            except queue.Empty:
                continue
            if line is None:
                break
            lines.append(line)
            progress.done += bool(count and count.match(line))
        if process.wait():
            raise UnusableError("\n".join(lines[-8:]) or f"{command[0]} ended with status {process.returncode}")
    finally:
        progress.end()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return lines


def answer(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a short command and return its stdout; UnusableError with its stderr when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=ANSWER_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.CalledProcessError as error:
        text = error.stderr.strip() or f"ended with status {error.returncode}"
        raise UnusableError(f"`{Path(command[0]).name} {' '.join(command[1:])}`: {text}") from error
    except subprocess.TimeoutExpired as error:
        raise UnusableError(f"`{Path(command[0]).name}` did not answer within {ANSWER_SECONDS} s") from error
    except OSError as error:
        raise UnusableError(f"{command[0]} cannot be started: {error.strerror}") from error
    return done.stdout.strip()


# ---- is this folder a working CLI?


def inspect(folder: Path, *, path: str = "") -> Version:
    """
    The version of the CLI in `folder`; UnusableError when it does not work.

    Its companions must be executable in the same folder or, for a CLI that somebody installed, elsewhere on `path`.
    """
    search = f"{folder}{os.pathsep}{path}" if path else str(folder)
    for name in (CLI, *COMPANIONS):
        if not shutil.which(name, path=str(folder) if name == CLI else search):
            raise UnusableError(f"{folder / name} is missing or not executable")
    with tempfile.TemporaryDirectory(prefix="kf-pulumi-home-") as home:
        # Even `pulumi version` writes a log into PULUMI_HOME, which is ~/.pulumi by default.
        text = answer(
            [str(folder / CLI), "version"],
            env={**os.environ, "PULUMI_HOME": home, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    if not (version := parse(text)):
        raise UnusableError(f"`{folder / CLI} version` does not answer with a version")
    return version


def inspect_pinned(folder: Path) -> Path:
    """`folder`, when the CLI in it works and is exactly the pinned version."""
    if (version := inspect(folder)) != parse(PINNED):
        raise UnusableError(f"{folder / CLI} answers {dotted(version)} instead of {PINNED}")
    return folder


def from_path(path: str) -> Path:
    """The folder of PATH's CLI, when it is recent enough and whole."""
    command = shutil.which(CLI, path=path)
    if not command:
        raise UnusableError("there is none")
    folder = Path(command).absolute().parent
    try:
        version = inspect(folder, path=path)
    except UnusableError:
        # A link to a CLI elsewhere: the companions are beside the file itself.
        folder = Path(command).resolve().parent
        version = inspect(folder, path=path)
    if version < MINIMUM or version[0] != MINIMUM[0]:
        raise UnusableError(
            f"{command} is {dotted(version)}; {dotted(MINIMUM)} or a newer {MINIMUM[0]}.x is needed, "
            f"the release of the oldest SDK in pyproject.toml"
        )
    return folder


# ---- the cache


def go_platform() -> tuple[str, str]:
    """This machine as Go names it: (GOOS, GOARCH)."""
    machine = platform.machine().lower()
    return platform.system().lower(), {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME", "")
    # A relative path there is invalid and to be ignored (XDG base directory specification).
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"
    return base / "kf-provider" / "-".join((f"pulumi-v{PINNED}", *go_platform(), recipe()))


def recipe() -> str:
    """What tells one way to build the pinned version from another: a hash of all that it is built by, but this file."""
    files = sorted(file for folder in ("cli", "language") for file in (HERE / folder).iterdir())
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()[:8]


def from_cache(target: Path) -> Path:
    """The cached CLI's folder; UnusableError when there is none or it is not exactly the pinned version."""
    if not target.exists():
        raise UnusableError("there is none yet")
    return inspect_pinned(target / "bin")


@contextlib.contextmanager
def lock(target: Path) -> Iterator[None]:
    """Only one process at a time makes `target`. The kernel frees the lock when its holder dies, however it dies."""
    with open(f"{target}.lock", "w") as file:
        progress = Progress("another process is making the CLI, waiting for it")
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress.tick()
                time.sleep(0.2)
        progress.end()
        yield


def unfinished(target: Path) -> str:
    """How the names of folders begin in which `target` is being made, or was when its maker died."""
    return f"{target.name}.unfinished-"


def make(target: Path) -> tuple[Path | None, list[str]]:
    """
    Make the CLI by the installer, else by the build; under the lock.

    Returns its folder, or None, and why each way that was tried is closed. `target` appears whole or not at all:
    it is made and checked in a folder beside it, which is then renamed.
    """
    reasons: list[str] = []
    if target.exists():
        shutil.rmtree(target)
    for leftover in target.parent.glob(unfinished(target) + "*"):
        say(f"removing what an interrupted run left: {leftover}")
        shutil.rmtree(leftover)
    for name, way in (("the SDK's installer", install), ("the build from Go modules", build)):
        work = Path(tempfile.mkdtemp(prefix=unfinished(target), dir=target.parent))
        try:
            (work / "bin").mkdir()
            way(work)
            inspect_pinned(work / "bin")
            (work / "MADE_BY").write_text(f"{name}\n")
            work.chmod(0o755)
            work.rename(target)
            return target / "bin", reasons
        except UnusableError as error:
            reasons.append(f"{name}: {error}")
            if way is install:
                say(reasons[-1])
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return None, reasons


# ---- the SDK's installer


def install(work: Path) -> None:
    """Let the SDK's installer download the official CLI into `work`/bin."""
    python = CHECKOUT / ".venv/bin/python"
    if not python.exists():
        raise UnusableError("there is no .venv with the Pulumi SDK (`make` sets one up)")
    if (reason := unreachable(INSTALLER_URL)) is not None:
        raise UnusableError(f"{INSTALLER_URL} is not reachable ({reason})")
    say(f"downloading the official CLI {PINNED} with the SDK's installer, once for this machine")
    run(
        [str(python), "-c", INSTALL, str(work), PINNED],
        limit=INSTALL_SECONDS,
        progress=Progress("downloading"),
        # The installer reads and writes under HOME: nothing of that is wanted.
        env={**os.environ, "HOME": str(work / "home"), "PULUMI_HOME": str(work / "home/.pulumi")},
    )
    shutil.rmtree(work / "home", ignore_errors=True)


def unreachable(url: str) -> str | None:
    """Why `url` does not answer within PROBE_SECONDS; None when it does."""
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=PROBE_SECONDS):  # a constant https address
                outcome.append(None)
        except (OSError, ValueError) as error:
            outcome.append(str(getattr(error, "reason", error)))

    # In a thread, because looking up a name has no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return outcome[0] if outcome else f"no answer within {PROBE_SECONDS} s"


# ---- the build from Go modules


def build(work: Path) -> None:
    """Build the CLI and the language host from the pinned Go modules into `work`/bin."""
    go = shutil.which("go")
    if not go:
        raise UnusableError(f"there is no Go on PATH ({NEEDED_GO} or newer is needed)")
    goos, goarch = go_platform()
    (work / "go-tmp").mkdir()
    env = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
        "GOOS": goos,
        "GOARCH": goarch,
        "GOTMPDIR": str(work / "go-tmp"),
    }
    # In the module's folder: there Go refuses when it is too old, or fetches a newer toolchain where it is allowed to.
    found = run(
        [go, "env", "GOVERSION"], limit=FETCH_SECONDS, progress=Progress("asking for Go"), cwd=HERE / "cli", env=env
    )[-1]
    say(f"building the Pulumi CLI {PINNED} with {found}, because no finished one can be had here;")
    say("this takes 2 to 5 minutes on two cores, once for this machine")
    modules = "github.com/pulumi/pulumi"
    leave_out(go, work / "cli", env)
    compile_module(go, work / "cli", f"{modules}/pkg/v3/cmd/pulumi", work / "bin", env)
    shutil.rmtree(work / "cli")
    # An old host, with a reason: language/tools.go.
    compile_module(go, HERE / "language", f"{modules}/sdk/v3/python/cmd/pulumi-language-python", work / "bin", env)
    sdk = Path(answer([go, "list", "-m", "-f", "{{.Dir}}", f"{modules}/sdk/v3"], cwd=HERE / "cli", env=env))
    for script in ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python"):
        copy = work / "bin" / Path(script).name
        copy.write_bytes((sdk / script).read_bytes())
        copy.chmod(0o755)
    shutil.rmtree(work / "go-tmp")


def leave_out(go: str, module: Path, env: Mapping[str, str]) -> None:
    """
    Make `module` a copy of `cli/` that builds with the sections of left-out.txtar in place of the packages they name.

    The modules that these are in are copied beside it, as Go's own cache of modules is not to be changed, and Go lays
    nothing over it (`-overlay`). Go has compared them with go.sum when they came.
    """
    shutil.copytree(HERE / "cli", module)
    sections = re.split(r"^-- (\S+) (\S+) --\n", (module / "left-out.txtar").read_text(), flags=re.MULTILINE)[1:]
    fetching = Progress("fetching the modules of which a part is left out")
    form = "found\t{{.ImportPath}}\t{{.Dir}}\t{{.Module.Path}}\t{{.Module.Dir}}"
    lines = run(
        [go, "list", "-find", "-f", form, *sections[::3]], limit=FETCH_SECONDS, progress=fetching, cwd=module, env=env
    )
    found = {line.split("\t")[1]: line.split("\t")[2:] for line in lines if line.startswith("found\t")}
    for package, pattern, text in zip(sections[::3], sections[1::3], sections[2::3], strict=True):
        folder, name, source = found[package]
        copy = module / "modules" / name
        if not copy.exists():
            copy_module(Path(source), copy)
            answer([go, "mod", "edit", f"-replace={name}={copy}"], cwd=module, env=env)
        for file in (copy / Path(folder).relative_to(source)).glob(pattern):
            file.unlink()
        (copy / Path(folder).relative_to(source) / "left_out.go").write_text(text)


def copy_module(source: Path, copy: Path) -> None:
    """Copy what a build of the module needs, and not its modes: Go's cache of modules is read-only, folders too."""
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if name != "testdata"]
        target = copy / Path(folder).relative_to(source)
        target.mkdir(parents=True)
        for name in files:
            if not name.endswith("_test.go"):
                shutil.copyfile(Path(folder) / name, target / name)


def compile_module(go: str, module: Path, package: str, folder: Path, env: Mapping[str, str]) -> None:
    """Build one command of the module in the folder `module` into `folder`."""
    name = package.rsplit("/", 1)[-1]
    fetching = Progress(f"fetching the modules of {name}")
    fetching.unit = "downloaded"
    listed = run(
        [go, "list", "-tags", TAGS, "-deps", "-f", "package {{.ImportPath}}", package],
        limit=FETCH_SECONDS,
        progress=fetching,
        count=re.compile("go: downloading "),
        cwd=module,
        env=env,
    )
    compiling = Progress(f"compiling {name}", sum(line.startswith("package ") for line in listed))
    compiling.unit = "packages"
    run(
        [
            go, "build", "-v", "-trimpath", "-buildvcs=false", "-tags", TAGS,
            "-ldflags", f"-w -s -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PINNED}",
            "-o", str(folder / name), package,
        ],
        limit=BUILD_SECONDS,
        progress=compiling,
        count=re.compile(r"(?!go: )\S+$"),
        cwd=module,
        env=env,
    )  # fmt: skip


# ---- the order of the ways


def find() -> Path:
    """The folder of a working CLI, made if need be. SystemExit with a text when there is no way to one."""
    path = os.environ.get("PATH", "")
    reasons = []
    try:
        return from_path(path)
    except UnusableError as error:
        reasons.append(f"the pulumi on PATH: {error}")
        if shutil.which(CLI, path=path):
            say(f"passing over the pulumi on PATH: {error}")
    target = cache_folder()
    try:
        return from_cache(target)
    except UnusableError as error:
        reasons.append(f"the cache {target}: {error}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with lock(target):
            try:
                return from_cache(target)  # another process may have made it in the meantime
            except UnusableError as error:
                if target.exists():
                    say(f"making the cached CLI anew: {error}")
            folder, tried = make(target)
    except OSError as error:
        raise SystemExit(f"the cache {target.parent} cannot be written: {error}") from error
    if folder is None:
        explain([*reasons, *tried])
    say(f"ready in {folder}")
    return folder


def explain(reasons: Sequence[str]) -> NoReturn:
    listed = "\n".join("  - " + reason.replace("\n", "\n    ") for reason in reasons)
    raise SystemExit(
        f"No Pulumi CLI, and no way to get one on this machine:\n{listed}\n"
        f"Do one of these, then run the command again:\n"
        f"  - install the Pulumi CLI {dotted(MINIMUM)} or newer and put it on PATH "
        f"(https://www.pulumi.com/docs/install/);\n"
        f"  - connect this machine to the internet;\n"
        f"  - install Go {NEEDED_GO} or newer (https://go.dev/dl/) where Go can download modules."
    )


def main() -> None:
    def stop(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    for number in ENDS:
        signal.signal(number, stop)
    print(find())


if __name__ == "__main__":
    main()
