"""
What holds for every test.
"""

from __future__ import annotations

import os

import pytest

# Else pytest shows the values of a failed assertion only in tests and conftests; named before the first import.
pytest.register_assert_rewrite("tests.engine.stack", "tests.unit.loopback")


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
