"""
Time that can be skipped.
"""

from datetime import UTC, datetime, timedelta

import pytest

from kf_provider.sandbox.clock import VirtualClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_advance_and_reset() -> None:
    """
    Skipped time adds up, until a reset.
    """
    clock = VirtualClock(lambda: START)
    clock.advance(60)
    clock.advance(0.5)

    assert clock.now() - START == timedelta(seconds=60.5)
    clock.reset()
    assert clock.now() == START


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_never_back(seconds: float) -> None:
    """
    Time goes forward only.
    """
    with pytest.raises(ValueError, match="forward"):
        VirtualClock().advance(seconds)
