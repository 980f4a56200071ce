"""
Waits for instances: one watcher for each event loop, server and identity.

It knows nothing of Pulumi. The gate in a Pulumi program and its record wait by the same code. All
times are in seconds, on the event loop's clock, which is monotonic.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec
from weakref import WeakKeyDictionary

from ..durations import spoken
from ..errors import KeyfactorError, NoAnswerError, RequestError, unforeseen
from ..keyfactor.client import client_for
from ..keyfactor.models import InstanceSummary
from ..keyfactor.settings import Settings
from .poller import GATHER_SECONDS, Poller, Server
from .progress import Progress
from .restarts import find_successor
from .schedule import TICK_SECONDS, Schedule
from .threads import RequestThreads, loop_time, threads_for
from .verdict import ANY, Conditions, Outcome, Verdict, failure, pending, waits_for_people
from .wait import FIRST_ANSWER_SECONDS, SHORTEST_REQUEST_TIMEOUT, Terms, Wait

_Given = ParamSpec("_Given")


def _always_a_verdict(
    wait: Callable[Concatenate[Watcher, str, _Given], Awaitable[Verdict]],
) -> Callable[Concatenate[Watcher, str, _Given], Coroutine[Any, Any, Verdict]]:
    """
    The wait, with a verdict for what nobody foresaw; what ends the program ends it, too.
    """

    @wraps(wait)
    async def judged(watcher: Watcher, instance_id: str, /, *args: _Given.args, **given: _Given.kwargs) -> Verdict:
        waiting = wait(watcher, instance_id, *args, **given)  # what does not fit the signature is Python's TypeError
        try:
            return await waiting
        except Exception as error:
            return replace(failure(_unforeseen(instance_id, error)), lineage=(instance_id,))

    return judged


class Watcher:
    """
    Owns every wait at one server. Waits whose polls fall on one tick are answered together.
    """

    def __init__(
        self,
        server: Server,
        threads: RequestThreads,
        *,
        random: Callable[[], float] = random.random,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self._server = server
        self._threads = threads
        self._poller = Poller(server, threads, gather_seconds=gather_seconds)
        self._schedule = Schedule.drawn(random)  # once: the waits of one process fall together

    @_always_a_verdict
    async def wait(
        self,
        instance_id: str,
        conditions: Conditions = ANY,
        *,
        timeout: float,  # noqa: ASYNC109 - a deadline that yields a verdict, not a cancellation
        may_be_new: bool = False,
        request_timeout: float | None = None,
        first_answer_seconds: float = FIRST_ANSWER_SECONDS,
        report: Callable[[str], None] | None = None,
        first_seen: Callable[[InstanceSummary], None] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Verdict:
        """
        Wait until the instance is approved under these conditions, or cannot be any more; pending at the deadline is a
        verdict too.

        The last poll is at the deadline, not before it: an approval that arrives with it wins, and a timeout of 0 is
        one poll. `report` is called with where the wait stands, on a change and then on a heartbeat; `progress` with
        how it goes, after each poll that leaves it pending; `first_seen` with a pending instance, whole, when it is
        first seen, and again with one that a restart made. `may_be_new` says that the instance may have been started
        just now, and that a server which does not know it yet is given time.
        `request_timeout` is that of the settings unless given; `first_answer_seconds` is how long a server may be
        silent that has answered nothing yet.

        Never raises, whatever happens: the verdict carries it.
        """
        settings = self._server.settings
        terms = Terms(
            timeout=timeout,
            conditions=conditions,
            may_be_new=may_be_new,
            request_timeout=settings.request_timeout if request_timeout is None else request_timeout,
            outage_seconds=settings.outage_seconds,
            first_answer_seconds=first_answer_seconds,
        )
        wait = Wait(instance_id, terms, begun=loop_time(), report=report, first_seen=first_seen, progress=progress)
        while True:
            polled = loop_time()
            verdict = await self._poll(wait)
            if not verdict.is_pending or polled >= wait.deadline:
                wait.report_end(verdict, loop_time())
                return replace(verdict, lineage=wait.lineage)
            await self._pause(wait, polled)

    async def _poll(self, wait: Wait) -> Verdict:
        """
        What one poll means for the wait, whatever comes back; after a restart, a poll of the successor as well.
        """
        polled = loop_time()
        is_last = polled >= wait.deadline
        timeout = wait.request_timeout(polled, has_answered=self._threads.has_answered)
        poll = self._poller.poll(
            wait.instance_id,
            latest=wait.latest,
            conditions=wait.terms.conditions,
            is_last=is_last,
            timeout=timeout,
        )
        try:
            verdict = wait.answered(await self._unless_silent(poll, wait.silence_left(polled)), loop_time())
            is_followed = verdict.outcome is Outcome.RESTARTED and wait.terms.conditions.follow_restarts
            if is_followed and wait.latest is not None:
                return await self._follow(wait, wait.latest, timeout=timeout)
        except Exception as error:
            return wait.failed(
                error if isinstance(error, KeyfactorError) else _unforeseen(wait.instance_id, error),
                loop_time(),
                was_seen=wait.instance_id in self._poller.seen,
                has_answered=self._threads.has_answered,
                is_last=is_last,
            )
        return verdict

    async def _follow(self, wait: Wait, old: InstanceSummary, *, timeout: float) -> Verdict:  # noqa: ASYNC109
        """
        The verdict on the instance that a restart made; pending while there is none.
        """
        found = await self._poller.login.call(partial(find_successor, self._server, old, timeout=timeout, retries=0))
        if found is None:
            return pending(wait.instance_id, old)
        wait.go_on_as(found, loop_time())
        return await self._poll(wait)

    async def _unless_silent(self, poll: Awaitable[InstanceSummary], seconds: float) -> InstanceSummary:
        """
        What the poll brings; raises NoAnswerError when the server has answered nothing at all after these seconds.

        Behind others in the queue, a poll's own time has not even begun.
        """
        answer = asyncio.ensure_future(poll)
        try:
            if not self._threads.has_answered:
                await asyncio.wait({answer}, timeout=seconds)
            if not answer.done() and not self._threads.has_answered:
                server = self._server.settings.server
                raise NoAnswerError(f"{server}: no answer in {spoken(seconds)}", is_transient=True)
            return await answer
        finally:
            answer.cancel()

    async def _pause(self, wait: Wait, polled: float) -> None:
        """
        Leave the server alone until the next poll, and report on a change.
        """
        now = loop_time()
        due = wait.next_poll(self._schedule, now=now, polled=polled)
        if wait.wants_reports:
            approvers = await self._approvers(wait.latest, within=min(due - loop_time(), TICK_SECONDS))
            wait.report_progress(loop_time(), approvers=approvers, next_poll_in=due - loop_time())
        await asyncio.sleep(due - loop_time())

    async def _approvers(self, latest: InstanceSummary | None, *, within: float) -> tuple[str, ...]:
        """
        Who may answer the step at which it is suspended, as far as that is known in time.
        """
        if latest is None or not waits_for_people(latest):
            return ()
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._poller.approvers(latest, timeout=SHORTEST_REQUEST_TIMEOUT), within)
        return ()


def _unforeseen(instance_id: str, error: Exception) -> RequestError:
    return RequestError(f"workflow instance {instance_id} cannot be watched: {unforeseen(error)}")


_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, Watcher]] = WeakKeyDictionary()


def watcher_for(settings: Settings) -> Watcher:
    """
    The running event loop's watcher for these settings; waits with equal settings share it.
    """
    watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
    watcher = watchers.get(settings)  # once: a hash of settings takes 190 calls
    if watcher is None:
        watcher = watchers[settings] = Watcher(client_for(settings), threads_for(settings))
    return watcher
