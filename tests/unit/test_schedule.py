"""
The arithmetic of waiting.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kf_provider import schedule

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("waited", "pause"), [(0, 2.0), (40, 2.0), (60, 3.0), (600, 30.0), (1200, 60.0), (86_400, 60.0)]
)
def test_poll_interval(waited: float, pause: float) -> None:
    """
    5 % of the time waited, from 2 to 60 seconds.
    """

    assert pause == schedule.poll_interval(waited, luck=0.0)


@given(waited=st.floats(0, 1e7), luck=st.floats(0, 1))
def test_poll_interval_bounds(waited: float, luck: float) -> None:
    """
    Luck makes a pause up to 20 % longer, and never shorter.
    """

    pause = schedule.poll_interval(waited, luck=0.0)

    assert pause <= schedule.poll_interval(waited, luck=luck) <= pause * 1.2


@given(waited=st.floats(0, 1e6), left=st.floats(-10, 1e6), luck=st.floats(0, 1), asked=st.none() | st.floats(0, 1e9))
def test_next_look_never_after_the_deadline(waited: float, left: float, luck: float, asked: float | None) -> None:
    """
    The last look is at the deadline, whatever the server asks.
    """

    assert 0 <= schedule.next_look(waited, left=left, luck=luck, retry_after=asked) <= max(left, 0)


def test_next_look_retry_after_wins() -> None:
    """
    A server that asks to be left alone is left alone, also for longer than the interval.
    """

    assert schedule.next_look(0, left=3600, luck=0.5, retry_after=300) == 300


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

    assert seconds == schedule.retry_after_seconds(header, now=NOW)


@given(waited=st.floats(0, 1e7))
def test_heartbeat_is_never_silent_for_long(waited: float) -> None:
    """
    Never more than five minutes of silence: some CI systems end a job after ten.
    """

    assert 30 <= schedule.heartbeat_interval(waited) <= 300
