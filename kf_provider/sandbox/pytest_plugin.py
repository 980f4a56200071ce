"""
Fixtures for tests of programs that speak to Keyfactor Command; pytest finds them where kf-provider is installed.

    def test_waits_for_approval(keyfactor_sandbox):
        instance_id = keyfactor_sandbox.start_enrollment("CN=web.keyexample.com")
        ...

Nothing but pytest is imported before a fixture is used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from . import Sandbox

FIXTURES: Final = ("keyfactor_sandbox", "unkind_keyfactor_sandbox")
SEEDS: Final = "keyfactor_seeds"
DEFAULT_SEEDS: Final = ("1", "2", "3")
DEFAULT_FAULT_RATE: Final = "0.3"


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    Add the settings for seeds, and the option that repeats one of them.
    """
    parser.addini(SEEDS, "seeds of the faults that unkind_keyfactor_sandbox plays", type="args", default=DEFAULT_SEEDS)
    parser.addini(
        "keyfactor_fault_rate", "share of the requests that meet a fault there, from 0 to 1", default=DEFAULT_FAULT_RATE
    )
    parser.getgroup("keyfactor").addoption(
        "--keyfactor-seed",
        type=int,
        action="append",
        metavar="N",
        help="run tests of unkind_keyfactor_sandbox with this seed only; can be given again for more",
    )


def pytest_configure(config: pytest.Config) -> None:
    """
    Make the markers known.
    """
    config.addinivalue_line(
        "markers",
        "keyfactor_sandbox(**options): how the Keyfactor sandbox is made, as for kf_provider.sandbox.Sandbox: "
        'dialect="11", statuses="numbers", tls="valid", seed=7, ...',
    )
    config.addinivalue_line("markers", f"{SEEDS}(*seeds): the seeds of the faults of unkind_keyfactor_sandbox")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    Run a test of `unkind_keyfactor_sandbox` for each seed: the command line's, else the marker's, else the ini file's.
    """
    fixture = FIXTURES[1]
    if fixture not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker(SEEDS)
    seeds = metafunc.config.getoption("keyfactor_seed") or (marker.args if marker else metafunc.config.getini(SEEDS))
    metafunc.parametrize(fixture, [int(seed) for seed in seeds], ids=lambda seed: f"seed={seed}", indirect=True)


@pytest.fixture
def keyfactor_sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """
    A Keyfactor Command in memory, started; the environment makes every client use it for the length of the test.

    The marker `keyfactor_sandbox(dialect="11", ...)` says how it is made.
    """
    with _started_sandbox(request, tmp_path_factory, {}) as server:
        yield server


@pytest.fixture
def unkind_keyfactor_sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    """
    Like `keyfactor_sandbox`, with faults that a patient client survives; the test runs once for each seed of them.

    Seeds are 1, 2 and 3 unless the marker `keyfactor_seeds(4, 5)` or the ini setting of that name says otherwise.
    A failed test tells its seed; `--keyfactor-seed N` repeats it.
    """
    rate = float(request.config.getini("keyfactor_fault_rate"))
    with _started_sandbox(request, tmp_path_factory, {"unkind": rate, "seed": request.param}) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Show with a failed test what the sandbox has seen, and how to repeat it.
    """
    report = yield
    if report.failed and call.when == "call":
        for name in FIXTURES:
            server: Sandbox | None = getattr(item, "funcargs", {}).get(name)
            if server is not None:
                report.sections.append((f"{name} (seed {server.seed})", server.report().card()))
    return report


@contextmanager
def _started_sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]
) -> Iterator[Sandbox]:
    for marker in reversed(list(request.node.iter_markers("keyfactor_sandbox"))):
        options = options | marker.kwargs
    server, missing = None, ""
    try:
        from .sandbox import Sandbox

        server = Sandbox(**options)  # with TLS it imports one package more
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing in {"", "kf_provider"}:
            raise
    if server is None:
        pytest.fail(f"the sandbox needs {missing}: pip install 'kf-provider[sandbox]'", pytrace=False)
    with server, pytest.MonkeyPatch.context() as patch:
        _point_clients_at(server, patch, tmp_path_factory.mktemp("keyfactor"))
        yield server


def _point_clients_at(server: Sandbox, patch: pytest.MonkeyPatch, folder: Path) -> None:
    """
    Take every setting of the developer's own Keyfactor away, and put the sandbox's in its place.
    """
    for name in [name for name in os.environ if name.startswith("KEYFACTOR_")]:
        patch.delenv(name)
    # The profile file's credentials would be used beside those of the environment, and sent to where it says.
    profiles = folder / "command_config.json"
    profiles.write_text(json.dumps({"servers": {"default": {}}}))
    patch.setenv("KEYFACTOR_AUTH_CONFIG_FILE", str(profiles))
    for name, text in server.environment().items():
        patch.setenv(name, text)
    for name in ("NO_PROXY", "no_proxy"):
        own = ["127.0.0.1", "localhost", "::1"]
        patch.setenv(name, ",".join(filter(None, [os.environ.get(name), *own])))
