"""
The sandbox's clock: the real time, plus what was skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

MOST_SECONDS: Final = 100 * 365.25 * 86_400  # beyond, Python's dates end sooner or later


def utc_now() -> datetime:
    """
    The real time, with its zone.
    """
    return datetime.now(UTC)


class VirtualClock:
    """
    A clock that runs like the real one and can be moved forward, so that a three-day approval takes milliseconds.
    """

    def __init__(self, source: Callable[[], datetime] = utc_now) -> None:
        self._source = source
        self._skipped = timedelta()

    def now(self) -> datetime:
        """
        The sandbox's present, in UTC.
        """
        return self._source() + self._skipped

    def advance(self, seconds: float) -> None:
        """
        Skip `seconds`; time never goes back, so a negative number is a `ValueError`.
        """
        if not seconds >= 0:
            raise ValueError(f"time goes forward only: {seconds} seconds")
        if seconds + self._skipped.total_seconds() > MOST_SECONDS:
            raise ValueError(
                f"the clock can be moved forward by {MOST_SECONDS:.0f} seconds (100 years) in all, not more"
            )
        self._skipped += timedelta(seconds=seconds)

    def reset(self) -> None:
        """
        Return to the real time.
        """
        self._skipped = timedelta()
