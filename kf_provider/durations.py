"""
Durations, as people write and say them: arithmetic alone, for settings and waits alike.

All times are in seconds.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = (86_400, 3600, 60, 1)
_GO_DURATION: Final = re.compile(
    "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "dhms"), re.ASCII | re.IGNORECASE
)  # with days, which Go does without
_ISO_DURATION: Final = re.compile(
    r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII | re.IGNORECASE
)


def duration_seconds(value: str | float | timedelta) -> float:
    """
    A duration in seconds: `"8h"`, `"1d12h"`, `"90s"`, `"PT8H"`, a number of seconds or its text, or a timedelta.

    Raises ValueError, with the forms that are understood, for anything else and for what is not above zero.
    """
    seconds = seconds_in(value)
    if seconds is None or not 0 < seconds < float("inf"):
        raise ValueError(
            f'{_shown(value)} is not a duration: give seconds, "90m", "8h", "1h30m", "30d", "PT8H" or a timedelta'
        )
    return seconds


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:59]}…"


def seconds_in(value: object) -> float | None:
    """
    The seconds that any of these forms names, also none, less than none and infinitely many; None for another form.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
    except ValueError:
        text = str(value).strip()
    found = _GO_DURATION.fullmatch(text) or _ISO_DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        return None
    return sum(float(count or 0) * unit for count, unit in zip(found.groups(), _UNITS, strict=True))


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
