"""
What is sent and what comes back, as plain values.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kf_provider.keyfactor.answers import retry_after_seconds

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Tue, 24 Nov 2026 12:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 12:01:30 -0000", 90.0),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """
    Both forms of RFC 9110 are read; what is neither is ignored.
    """

    assert seconds == retry_after_seconds(header, now=NOW)
