"""
Durations, read and told.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kf_provider import durations


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("8h", 28_800),
        ("90m", 5400),
        ("1h30m", 5400),
        ("45s", 45),
        ("1.5h", 5400),
        ("PT8H", 28_800),
        ("P2DT1H", 176_400),
        ("30d", 2_592_000),
        ("1d12h", 129_600),
        ("600", 600),
        (" 0.5 ", 0.5),
        (" 5M ", 300),
        (90, 90),
        (0.5, 0.5),
        (timedelta(minutes=5), 300),
    ],
)
def test_duration(written: str | float | timedelta, seconds: float) -> None:
    """
    Durations are taken as people, Go, ISO 8601 and Python write them.
    """

    assert seconds == durations.duration_seconds(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "h",
        "8 hours",
        "1d 12h",
        "PT",
        "P",
        "-5m",
        0,
        -1,
        True,
        float("nan"),
        float("inf"),
        "inf",
        "0",
        "-5",
        10**400,
        "9" * 400 + "d",
        None,
        [],
    ],
)
def test_duration_refused(written: object) -> None:
    """
    What is no duration above zero is refused with the forms that are understood.
    """

    with pytest.raises(ValueError, match=r"is not a duration: give seconds, \"90m\""):
        durations.duration_seconds(written)  # type: ignore[arg-type]  # what a user may pass all the same


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
        (172_800, "2 d"),
    ],
)
def test_spoken(seconds: float, text: str) -> None:
    """
    Durations are told as people say them.
    """

    assert text == durations.spoken(seconds)


@pytest.mark.parametrize("value", [10**400, 10**5000, "9" * 5000 + "x"], ids=["401", "5001", "text"])
def test_a_long_value_is_cut(value: Any) -> None:
    """
    What is no duration is quoted in a line that somebody can read.
    """
    with pytest.raises(ValueError, match="is not a duration: give seconds") as refused:
        durations.duration_seconds(value)

    assert len(str(refused.value)) < 200
