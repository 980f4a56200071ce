"""
When to ask again: pure arithmetic, no clock, no network.

All times are in seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

SHORTEST_INTERVAL: Final = 2.0
LONGEST_INTERVAL: Final = 60.0
PROPORTION: Final = 0.05
JITTER: Final = 0.2

SHORTEST_HEARTBEAT: Final = 30.0
LONGEST_HEARTBEAT: Final = 300.0  # some CI systems end a job that is silent for ten minutes


def poll_interval(waited: float, *, luck: float) -> float:
    """
    How long to leave the server alone after waiting for `waited` seconds.

    5 % of the time waited, from 2 to 60 seconds, so that an approval is seen soon after it is given and a wait of days
    asks once a minute. `luck`, from 0 to 1, spreads the waits of many processes: up to 20 % longer.
    """
    return min(max(waited * PROPORTION, SHORTEST_INTERVAL), LONGEST_INTERVAL) * (1 + JITTER * luck)


def heartbeat_interval(waited: float) -> float:
    """
    How long to be silent while nothing changes: as long as has been waited, from 30 seconds to 5 minutes.
    """
    return min(max(waited, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)


def next_look(waited: float, *, left: float, luck: float, retry_after: float | None = None) -> float:
    """
    How long to sleep before the next look; `retry_after` wins over the interval, `left` over both.

    The last look is at the deadline, not before it.
    """
    pause = poll_interval(waited, luck=luck)
    if retry_after is not None:
        pause = max(retry_after, SHORTEST_INTERVAL)
    return max(min(pause, left), 0.0)


def retry_after_seconds(header: str | None, *, now: datetime | None = None) -> float | None:
    """
    The seconds that a `Retry-After` header asks for, or None when it says nothing usable.

    Both forms of RFC 9110, section 10.2.3: a number of seconds, or a date. A time in the past is 0.
    """
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - (now or datetime.now(UTC))).total_seconds(), 0.0)
