"""
The arithmetic of waiting.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kf_provider.waiting import schedule


@pytest.mark.parametrize(
    ("waited", "pause"), [(0, 2.0), (40, 2.0), (60, 3.0), (600, 30.0), (1200, 60.0), (86_400, 60.0)]
)
def test_poll_interval(waited: float, pause: float) -> None:
    """
    5 % of the time without a change, from 2 to 60 seconds.
    """

    assert pause == schedule.poll_interval(waited, jitter=0.0)


@given(waited=st.floats(0, 1e7), jitter=st.floats(0, 1))
def test_poll_interval_bounds(waited: float, jitter: float) -> None:
    """
    Jitter makes a pause up to 20 % longer, and never shorter.
    """

    pause = schedule.poll_interval(waited, jitter=0.0)

    assert pause <= schedule.poll_interval(waited, jitter=jitter) <= pause * 1.2


TIMES = st.floats(0, 1e6)


def next_poll(schedule_: schedule.Schedule, **times: float) -> float:
    return schedule_.next_poll(**{"now": 0.0, "since": 0.0, "polled": 0.0, "not_before": 0.0, "deadline": 1e9, **times})


@given(jitter=st.floats(0, 1), phase=st.floats(0, 2), now=TIMES, not_before=st.floats(0, 1e9), left=TIMES)
def test_next_poll_never_after_the_deadline(
    jitter: float, phase: float, now: float, not_before: float, left: float
) -> None:
    """
    The last poll is at the deadline, whatever the server asks.
    """
    drawn = schedule.Schedule(jitter=jitter, phase=phase)

    assert next_poll(drawn, now=now, polled=now, not_before=not_before, deadline=now + left) <= now + left


@given(jitter=st.floats(0, 1), phase=st.floats(0, 2), now=TIMES, later=TIMES)
def test_next_poll_is_on_a_tick(jitter: float, phase: float, now: float, later: float) -> None:
    """
    The polls of one process are due on the same ticks, whenever their waits began.
    """
    drawn = schedule.Schedule(jitter=jitter, phase=phase)

    due = next_poll(drawn, now=now + later, since=now, polled=now + later)

    assert (due - phase) / schedule.TICK_SECONDS == pytest.approx(round((due - phase) / schedule.TICK_SECONDS))
    assert due >= now + later


def test_next_poll_not_before_the_server_wants_it() -> None:
    """
    A server that asks to be left alone is left alone, also for longer than the interval.
    """
    drawn = schedule.Schedule(jitter=0.5, phase=0.0)

    assert next_poll(drawn, not_before=300.0) == 300


def test_drawn_once() -> None:
    """
    Both lots of a process are drawn when its schedule is made, the phase within a tick.
    """
    lots = iter([0.25, 0.5])

    assert schedule.Schedule(jitter=0.25, phase=1.0) == schedule.Schedule.drawn(lambda: next(lots))


@given(waited=st.floats(0, 1e7))
def test_heartbeat_is_never_silent_for_long(waited: float) -> None:
    """
    Never more than five minutes of silence: some CI systems end a job after ten.
    """

    assert 30 <= schedule.heartbeat_interval(waited) <= 300
