"""
When to ask again: pure arithmetic, no clock, no network.

All times are in seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

SHORTEST_INTERVAL: Final = 2.0
LONGEST_INTERVAL: Final = 60.0
PROPORTION: Final = 0.05
JITTER: Final = 0.2

SHORTEST_HEARTBEAT: Final = 30.0
LONGEST_HEARTBEAT: Final = 300.0  # some CI systems end a job that is silent for ten minutes

_GO_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_ISO_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


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


def duration_seconds(value: str | float | timedelta) -> float:
    """
    A duration in seconds: `"8h"`, `"1h30m"`, `"90s"`, `"PT8H"`, a number of seconds, or a timedelta.

    Raises ValueError, with the forms that are understood, for anything else and for what is not above zero.
    """
    seconds = _seconds(value)
    if seconds is None or not 0 < seconds < float("inf"):
        raise ValueError(f'{value!r} is not a duration: give seconds, "90m", "8h", "1h30m", "PT8H" or a timedelta')
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if found := _GO_DURATION.fullmatch(text.lower()):
        days, (hours, minutes, seconds) = None, found.groups()
    elif found := _ISO_DURATION.fullmatch(text.upper()):
        days, hours, minutes, seconds = found.groups()
    else:
        return None
    if not any((days, hours, minutes, seconds)):
        return None
    return float(
        timedelta(
            days=float(days or 0), hours=float(hours or 0), minutes=float(minutes or 0), seconds=float(seconds or 0)
        ).total_seconds()
    )


def spoken(seconds: float) -> str:
    """
    A duration as people say it: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60 % 60, whole // 3600 % 24, whole // 86400
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"
