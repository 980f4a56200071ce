"""
Asks the server itself about an approval that is to be recorded, where no event loop runs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

from .poller import Server
from .threads import RequestThreads
from .verdict import Conditions, Outcome, Verdict
from .watcher import Watcher

PATIENCE_SECONDS: Final = 120.0
_MAY_PASS: Final = frozenset({Outcome.PENDING, Outcome.UNREACHABLE})


class Patience:
    """
    The two minutes that all records of a process have together with a server that confirms none of them.

    Many gates open at once, and four threads record them: each with two minutes of its own, a server that answers
    nothing would hold a run for hours. A verdict that settles something begins the two minutes anew.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failing_since: float | None = None

    def left(self) -> float:
        """
        The seconds that a record which is asked about now may take.
        """
        with self._lock:
            since = self._clock() if self._failing_since is None else self._failing_since
            return max(since + PATIENCE_SECONDS - self._clock(), 0.0)

    def heard(self, verdict: Verdict, *, begun: float) -> None:
        """
        Note what happened to a record that was asked about since `begun`.
        """
        with self._lock:
            if verdict.outcome not in _MAY_PASS:
                self._failing_since = None
            elif self._failing_since is None:
                self._failing_since = begun


_PATIENCE: Final = Patience()


def verify(server: Server, instance_id: str, conditions: Conditions, *, patience: Patience = _PATIENCE) -> Verdict:
    """
    The verdict of a wait of its own, by the same rules as the program's; the instance of an approved one is whole.

    What may pass is waited for, no longer than two minutes for all records together: pending may be an answer from
    before the approval, and a server that many gates ask at once may ask for patience. Blocks. Raises nothing.
    """

    async def ask() -> Verdict:
        # Nothing else polls here, so nothing is gathered.
        watcher = Watcher(server, RequestThreads(), gather_seconds=0)
        return await watcher.wait(instance_id, conditions, timeout=left, first_answer_seconds=PATIENCE_SECONDS)

    begun, left = time.monotonic(), patience.left()
    verdict = asyncio.run(ask())
    patience.heard(verdict, begun=begun)
    return verdict
