"""
When to poll again: pure arithmetic, no clock, no network.

All times are in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SHORTEST_INTERVAL: Final = 2.0
LONGEST_INTERVAL: Final = 60.0
PROPORTION: Final = 0.05
MOST_JITTER: Final = 0.2
TICK_SECONDS: Final = 2.0

SHORTEST_HEARTBEAT: Final = 30.0
LONGEST_HEARTBEAT: Final = 300.0  # some CI systems end a job that is silent for ten minutes


def poll_interval(unchanged: float, *, jitter: float) -> float:
    """
    How long to leave the server alone about an instance that has not changed for `unchanged` seconds.

    5 % of that time, from 2 to 60 seconds, so that an approval is seen soon after it is given and a wait of days asks
    once a minute. `jitter`, from 0 to 1, spreads the waits of many processes: up to 20 % longer.
    """
    return min(max(unchanged * PROPORTION, SHORTEST_INTERVAL), LONGEST_INTERVAL) * (1 + MOST_JITTER * jitter)


def heartbeat_interval(waited: float) -> float:
    """
    How long to be silent while nothing changes: as long as has been waited, from 30 seconds to 5 minutes.
    """
    return min(max(waited, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """
    When one process polls: on the ticks of a clock, so that the polls of its many waits fall together, and those of
    many processes do not.
    """

    jitter: float  # from 0 to 1
    phase: float  # of its ticks

    @classmethod
    def drawn(cls, random: Callable[[], float]) -> Schedule:
        return cls(jitter=random(), phase=random() * TICK_SECONDS)

    def next_poll(self, *, now: float, since: float, polled: float, not_before: float, deadline: float) -> float:
        """
        The tick for a wait that polled last at this time, and saw no change since another: after its interval, and not
        before the server wants it; at its deadline at the latest.
        """
        # The interval from now on: a server that keeps its polls waiting is left alone for as long as another.
        due = now + poll_interval(polled - since, jitter=self.jitter)
        earliest = max(polled + SHORTEST_INTERVAL, now, not_before)
        tick = max(round(self._ticks(due)), math.ceil(self._ticks(earliest) - 0.05))  # a hair late is on time
        return min(tick * TICK_SECONDS + self.phase, deadline)

    def _ticks(self, time: float) -> float:
        return (time - self.phase) / TICK_SECONDS
