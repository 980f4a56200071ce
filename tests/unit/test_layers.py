"""
Imports go downwards: the layers of the package, read from its source; nothing imports a test, and each module has some.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import kf_provider

PACKAGE = Path(kf_provider.__file__).parent
ROOT = Path(__file__).parents[2]

# From the bottom up, by dotted name. A module imports only from layers below its own; a new module fails until it has
# a place here.
LAYERS = [
    {"words"},
    {"errors", "durations", "keyfactor", "waiting"},  # of a sub-package, its `__init__`: its modules have their own
    {"keyfactor.values"},
    {
        "keyfactor.addresses",
        "keyfactor.inputs",
        "keyfactor.answers",
        "keyfactor.challenges",
        "keyfactor.deadline",
        "keyfactor.models",
    },
    {"keyfactor.sources", "keyfactor.credentials", "keyfactor.matching", "keyfactor.search"},
    {"keyfactor.bearer", "keyfactor.finding", "keyfactor.issued", "keyfactor.kinds.kind"},
    {"keyfactor.kinds.*"},
    {"keyfactor.kinds"},
    {"keyfactor.settings"},
    {"keyfactor.advice", "keyfactor.tls"},
    {"keyfactor.translation"},
    {"keyfactor.connections"},
    {"keyfactor.socks_connection"},
    {"keyfactor.transport"},
    {"keyfactor.auth", "keyfactor.refusals"},
    {"keyfactor.client"},
    {"waiting.changes", "waiting.progress", "waiting.schedule", "waiting.threads", "waiting.verdict"},
    {"waiting.login"},
    {"waiting.poller", "waiting.wait"},
    {"waiting.restarts"},
    {"waiting.watcher"},
    {"waiting.verify"},
    {"sdk", "results"},
    {"provider"},
    {"ending", "functions", "instance", "approval"},
    {"gate"},
    {"policy.certificates", "policy.parameters"},
    {"policy.graph"},
    {"policy.findings", "policy.names"},
    {"policy.ledger"},
    {"policy.rules"},
    {"policy.configuration", "policy.pack"},
    {"policy"},
    {"cli.exits", "cli.options"},
    {"cli.checks", "cli.ci", "cli.live", "cli.reports", "cli.resume"},
    {"cli.certificate", "cli.completion", "cli.doctor", "cli.get", "cli.list", "cli.policy", "cli.sandbox", "cli.wait"},
    {"cli"},
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}

# Not in the order: the public names, and the start of the command line.
ENTRANCES = {"__init__", "__main__"}

# Outside packages that only some modules may know.
PULUMI = {"sdk", "results", "provider", "ending", "functions", "instance", "approval", "gate"}
HTTP = {
    "keyfactor.advice",
    "keyfactor.tls",
    "keyfactor.translation",
    "keyfactor.connections",
    "keyfactor.transport",
}
RESERVED = {
    "pulumi": PULUMI,
    "pulumi_policy": {"policy.pack"},
    "requests": HTTP,
    "urllib3": HTTP,
}

# Modules whose tests are not in the file of their name under tests/unit: where they are, and why.
TESTED_ELSEWHERE = {
    "__main__": "sandbox/test_cli.py",  # a process of its own
    **dict.fromkeys(  # processes of their own
        (f"cli.{name}" for name in ("certificate", "completion", "exits", "get", "list", "options")),
        "cli/test_commands.py",
    ),
    "policy.findings": "unit/policy/test_rules.py",  # what rules yield
    "policy.configuration": "cli/test_policy.py",  # honoured by that command alone
    **dict.fromkeys((f"cli.{name}" for name in ("policy", "reports")), "cli/test_policy.py"),
    **dict.fromkeys((f"cli.{name}" for name in ("checks", "doctor")), "cli/test_doctor.py"),
    **dict.fromkeys((f"cli.{name}" for name in ("ci", "live", "resume", "wait")), "cli/test_wait.py"),
    "waiting.changes": "unit/waiting/test_poller.py",  # by the lists that the poller asks for
    "waiting.progress": "unit/waiting/test_wait.py",  # data alone, which a wait fills
    "cli.sandbox": "sandbox/test_cli.py",  # starts what the tests in that folder are about
    "approval": "plugin/test_approval_provider.py",  # answers the engine, in the plugin process
    "instance": "plugin/test_instance_provider.py",  # as above; its outputs are in engine/test_reading.py
    "ending": "engine/test_endings.py",  # how a program ends that an engine has started
    "keyfactor.socks_connection": "unit/keyfactor/test_connections.py",  # one of the connections
    "keyfactor.bearer": "unit/keyfactor/kinds/test_client_credentials.py",  # the kind with most to say of it
    "keyfactor.inputs": "unit/test_provider.py",  # types alone: mypy reads `is_checked` there
}


class Import(NamedTuple):
    """One import: its file, its line, and the absolute name that it asks for."""

    file: str
    line: int
    target: str


def imports(file: Path, package: Path = PACKAGE) -> Iterator[Import]:
    """Every import of a file, also inside functions, with absolute names: `kf_provider.errors`, `pulumi.dynamic`."""
    parents = (package.name, *file.parent.relative_to(package).parts)
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file.name, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = (".".join(parents[: len(parents) - node.level + 1]),) if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else ())))
            if module == PACKAGE.name or (package.parent / module.replace(".", "/")).is_dir():
                # `from . import client` and `from kf_provider import Client` name a module or a public name.
                for alias in node.names:
                    yield Import(file.name, node.lineno, f"{module}.{alias.name}")
            else:
                yield Import(file.name, node.lineno, module)


def modules() -> list[Path]:
    """The package's own files, the sandbox apart."""
    sandbox = PACKAGE / "sandbox"
    return sorted(file for file in PACKAGE.rglob("*.py") if sandbox not in file.parents)


def dotted(file: Path) -> str:
    """The name of a file's module inside the package, such as `keyfactor.settings`; of an `__init__`, its package's."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def own_tests(file: Path) -> Path:
    """The file of a module's tests, such as `tests/unit/keyfactor/test_settings.py`."""
    name = file.parent.name if file.name == "__init__.py" else file.stem
    return ROOT / "tests" / "unit" / file.parent.relative_to(PACKAGE) / f"test_{name}.py"


def place(module: str) -> str:
    """Where a module stands in the layers: under its own name, or with all of its package."""
    package = module.rpartition(".")[0]
    return module if module in RANK or f"{package}.*" not in RANK else f"{package}.*"


def rank(name: str) -> int | None:
    """The rank of the module, inside the package, that a dotted name is or is in; None of what has no place."""
    while place(name) not in RANK and "." in name:
        name = name.rpartition(".")[0]
    return RANK.get(place(name))


def test_every_module_has_its_place() -> None:
    """
    A module that is in no layer fails here until somebody decides where it belongs.
    """
    placed = RANK.keys() | ENTRANCES

    assert not {place(dotted(file)) for file in modules()} - placed


def test_every_module_has_its_tests() -> None:
    """
    The tests of a module are in the file of its name, in the folder that mirrors its own; those of an `__init__` in
    the file of its package's name. What has no code needs none, and the list of exceptions is as short as it can be.
    """
    with_code = [file for file in modules() if len(ast.parse(file.read_text()).body) > 1]
    mirrored = {dotted(file): own_tests(file) for file in with_code}
    elsewhere = {module: ROOT / "tests" / path for module, path in TESTED_ELSEWHERE.items()}

    assert not {module for module, tests in (mirrored | elsewhere).items() if not tests.exists()}
    assert not {module for module in elsewhere if module not in mirrored or mirrored[module].exists()}


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_imports_go_downwards(file: Path) -> None:
    """
    A module imports only what is below it; the entrances may import all.
    """
    upwards = []
    for found in imports(file):
        package, _, rest = found.target.partition(".")
        if package == PACKAGE.name and (own := dotted(file)) not in ENTRANCES:
            below = rank(rest)
            # The sandbox is a program of its own that the command line starts.
            starts_sandbox = own == "cli.sandbox" and rest.startswith("sandbox")
            if (below is None or below >= RANK[place(own)]) and not starts_sandbox:
                upwards.append(found)

    assert not upwards


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_reserved_packages(file: Path) -> None:
    """
    Pulumi is known to the modules that run inside Pulumi, HTTP to the transport, to nothing else.
    """
    strangers = [
        found
        for found in imports(file)
        if (top := found.target.partition(".")[0]) in RESERVED and dotted(file) not in RESERVED[top]
    ]

    assert not strangers


@pytest.mark.parametrize(
    "file", sorted((PACKAGE / "sandbox").rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE / "sandbox"))
)
def test_sandbox_stands_alone(file: Path) -> None:
    """
    The sandbox imports nothing from the rest: it must be able to disagree with it.
    """
    sandbox = f"{PACKAGE.name}.sandbox"
    outside = [
        found
        for found in imports(file)
        if found.target.partition(".")[0] in {PACKAGE.name, *RESERVED}
        and found.target != sandbox
        and not found.target.startswith(f"{sandbox}.")
    ]

    assert not outside


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_nothing_imports_a_test(folder: str) -> None:
    """
    What tests and benchmarks share has a file of its own: no test module is imported, and no conftest by a benchmark.
    """
    private = ("test_", "conftest") if folder == "benchmarks" else ("test_",)
    found = [
        (str(file.relative_to(ROOT)), node.lineno)
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(), str(file)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None) or "", *(alias.name for alias in node.names))
        if any(part.startswith(private) for part in name.split("."))
    ]

    assert not found


def test_imports_are_read_in_every_spelling(tmp_path: Path) -> None:
    """
    Each way to write an import is seen by the tests above, and resolved to the same absolute name.
    """
    file = tmp_path / "sandbox" / "server.py"
    file.parent.mkdir()
    file.write_text(
        "import pulumi.dynamic as dynamic\n"
        "from .journal import Journal\n"
        "from ..errors import KeyfactorError\n"
        "from .. import client\n"
        "def late():\n"
        "    from kf_provider import models\n"
    )

    found = sorted(found.target for found in imports(file, tmp_path))

    top = tmp_path.name
    expected = ["pulumi.dynamic", "kf_provider.models", f"{top}.client", f"{top}.errors", f"{top}.sandbox.journal"]
    assert sorted(expected) == found


def test_contributing_draws_every_module() -> None:
    """
    CONTRIBUTING.md shows each module of the layers in its drawing.
    """
    drawing = (ROOT / "CONTRIBUTING.md").read_text().partition("```text")[2].partition("```")[0]
    names = {module.rpartition(".")[2] for layer in LAYERS for module in layer} - {"keyfactor", "waiting", "cli"}

    assert not {name for name in names if not re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", drawing)}


def test_contributing_names_tests_that_are_there() -> None:
    """
    Each test that CONTRIBUTING.md names is in the file that it says.
    """
    named = re.findall(r"`(?:\w+/)*(test_\w+)\.py::(test_\w+)`", (ROOT / "CONTRIBUTING.md").read_text())
    gone = {
        f"{file}::{test}"
        for file, test in named
        if not any(f"def {test}(" in path.read_text() for path in (ROOT / "tests").rglob(f"{file}.py"))
    }

    assert (True, set()) == (len(named) > 10, gone)
