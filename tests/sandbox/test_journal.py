"""
The journal.
"""

from datetime import UTC, datetime

import pytest

from kf_provider.sandbox import Endpoint
from kf_provider.sandbox.journal import Journal

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_journal_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Old requests are dropped; what happens to one that is gone is nobody's business.
    """
    monkeypatch.setattr("kf_provider.sandbox.journal.MAX_RECORDS", 2)
    journal = Journal(now=lambda: NOW)
    numbers = [
        journal.add(
            endpoint=Endpoint.GET,
            method="GET",
            path=f"/{n}",
            query="",
            headers={},
            instance_id=None,
            identity=None,
            credential=None,
        )
        for n in range(3)
    ]
    for number in numbers:
        journal.amend(number, status=200 + number)

    assert [(record.path, record.status) for record in journal.records()] == [("/1", 202), ("/2", 203)]
    journal.clear()
    journal.amend(numbers[-1], status=500)
    assert journal.records() == []


def test_waiting_in_vain() -> None:
    """
    What never comes is a TimeoutError.
    """
    with pytest.raises(TimeoutError):
        Journal(now=lambda: NOW).wait_for(bool, timeout=0.01)
