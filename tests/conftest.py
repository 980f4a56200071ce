"""
What holds for every test.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

# Nothing fails by chance. A busy machine is no fault of what is tested: no limit of time for one example, nor for
# drawing the first of them. And other examples each time are for those who look for faults, with KF_FULL.
settings.register_profile(
    "even", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not os.environ.get("KF_FULL")
)
settings.load_profile("even")

# Else pytest shows the values of a failed assertion only in tests and conftests; named before the first import.
pytest.register_assert_rewrite("tests.engine.stack", "tests.unit.loopback")

ROOT: Final = Path(__file__).parents[1]

# It needs what is compiled for minutes: `make test-kerberos` sets the variable.
collect_ignore = [] if os.environ.get("KF_KERBEROS") else ["kerberos"]

# What `make quick` leaves out, and why: folders, files, and single tests by the beginning of their ids.
NOT_QUICK: Final = {
    "tests/engine": "the Pulumi CLI",
    "tests/faults/test_fault_matrix.py": "minutes",
    "tests/faults/test_kills.py": "the Pulumi CLI",
    "tests/faults/test_watcher_model.py": "minutes",
    "tests/sandbox/test_other_clients.py": "Go, and clients that are installed",
    "tests/sandbox/test_portal_browser.py": "a browser",
    "tests/sandbox/test_portal_demo.py": "the Pulumi CLI and a browser",
    "tests/sandbox/test_pytest_plugin.py": "a pytest of its own for each test: half a minute",
    "tests/sandbox/test_same_origin_browser.py": "a browser",
    "tests/unit/waiting/test_poller.py::test_all_approved_at_once[1000]": "a thousand waits",
    "tests/unit/waiting/test_poller.py::test_many_waits_share_a_list[1000]": "a thousand waits",
}


def pytest_configure() -> None:
    """What a test starts can be ended by SIGINT, also where a shell runs pytest in the background, as a CI may."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)  # a handler, unlike SIG_IGN, is not handed on to a new program


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is not quick; a place that is gone is an error, lest a test that moved makes `make quick` slow."""
    ids = [item.nodeid for item in items]
    whole = {id_.partition("::")[0] for id_ in ids if not any("::" in argument for argument in config.args)}
    if gone := [
        place
        for place in NOT_QUICK
        if not (ROOT / place.partition("::")[0]).exists()
        or (place.partition("::")[0] in whole and not any(id_.startswith(place) for id_ in ids))
    ]:
        raise pytest.UsageError(f"NOT_QUICK in tests/conftest.py names what is not there: {', '.join(gone)}")
    for item in items:
        if item.nodeid.startswith(tuple(NOT_QUICK)):
            item.add_marker(pytest.mark.not_quick)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip that does not begin with "expected: " fails the run: a test that cannot run there proves nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None or session.exitstatus != pytest.ExitCode.OK:
        return
    skipped = [report for report in reporter.stats.get("skipped", []) if "expected: " not in str(report.longrepr)]
    if skipped:
        reporter.write_line("")
        for report in skipped:
            reporter.write_line(f"unexpected skip in CI: {report.nodeid}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
