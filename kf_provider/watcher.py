"""
The only file that waits: one watcher for each event loop, server and identity.

It knows nothing of Pulumi. The gate in a Pulumi program and the command line wait by the same code. All times are in
seconds, on the event loop's clock, which is monotonic.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from .client import Client
from .durations import spoken
from .errors import (
    ForbiddenError,
    KeyfactorError,
    NoAnswerError,
    NotApprovedError,
    NotFoundError,
    RequestError,
    StatusError,
)
from .keyfactor.settings import Settings
from .looks import Looks, Server, start_daemon
from .models import InstanceSummary
from .schedule import SHORTEST_INTERVAL, heartbeat_interval, next_look, poll_interval
from .verdict import Verdict, judge, progress, shortened, waits_for_people, was_restarted

FIRST_ANSWER_SECONDS: Final = 30.0  # a stack of recorded approvals must not hang on a dead server
NOT_FOUND_GRACE_SECONDS: Final = 60.0
STALE_SECONDS: Final = 6.0
SHORTEST_REQUEST_TIMEOUT: Final = 10.0

LONGEST_ROLE: Final = 30  # characters of its name
TICK_SECONDS: Final = 2.0  # looks are due on the ticks of a clock, so that those of many waits fall together

Result = TypeVar("Result")


class Watcher:
    """
    Owns every wait at one server. Waits whose looks fall on one tick are answered together, by `Looks`.
    """

    def __init__(
        self,
        server: Server,
        *,
        luck: Callable[[], float] = random.random,
        start: Callable[[Callable[[], None]], None] = start_daemon,
    ) -> None:
        self._server = server
        self._looks = Looks(server, start)
        # Drawn once: the waits of one process fall together, those of many processes do not.
        self._luck, self._phase = luck(), luck() * TICK_SECONDS

    async def wait(
        self,
        instance_id: str,
        *,
        timeout: float,  # noqa: ASYNC109 - a deadline that yields a verdict, not a cancellation
        expect: Mapping[str, object] | None = None,
        follow_restarts: bool = False,
        may_be_new: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> Verdict:
        """
        Wait until the instance is approved, or cannot be any more; pending at the deadline is a verdict too.

        The last look is at the deadline, not before it: an approval that arrives with it wins, and a timeout of 0 is
        one look. `report` is called with where the wait stands, on a change and then on a heartbeat. `may_be_new` says
        that the instance may have been started just now, and that a server which does not know it yet is given time.

        Never raises for what the server says or fails to say: the verdict carries it.
        """
        now = asyncio.get_running_loop().time
        wait = _Wait(self._server.settings, started=now(), timeout=timeout, may_be_new=may_be_new)
        while True:
            asked = now()
            is_last = asked >= wait.deadline
            patience = min(self._server.settings.request_timeout, max(wait.deadline - asked, SHORTEST_REQUEST_TIMEOUT))
            silence = max(wait.silence_ends - asked, TICK_SECONDS)
            if not self._looks.has_answered:
                patience = min(patience, silence, SHORTEST_REQUEST_TIMEOUT)
            retry_after = None
            try:
                look = self._looks.look(
                    instance_id,
                    latest=wait.latest,
                    is_whole=bool(expect),
                    is_last=is_last,
                    timeout=patience,
                )
                instance = await self._unless_silent(look, silence)
                verdict = wait.answered(instance, expect=expect)
                # The latest, not this answer: a stale one may be from before the restart.
                latest = wait.latest or instance
                if follow_restarts and was_restarted(latest, self._server.settings.status_names):
                    successor = await self._looks.call(partial(find_successor, self._server, latest, timeout=patience))
                    if isinstance(successor, InstanceSummary):
                        report(f"was restarted; goes on as {successor.instance_id}")
                        instance_id = successor.instance_id
                        wait.latest = None
                        continue
                    verdict = successor or Verdict(instance=latest, is_pending=True)
            except RequestError as error:
                wait.was_seen |= instance_id in self._looks.seen
                verdict = wait.failed(error, now(), is_last=is_last, has_answered=self._looks.has_answered)
                retry_after = error.retry_after
            except KeyfactorError as error:
                verdict = Verdict(problem=str(error))
            if verdict.is_approved and wait.has_told:
                report(f"Complete, after {spoken(now() - wait.started)}")
            if not verdict.is_pending or is_last:
                return verdict
            due = self._due(asked, wait, retry_after)
            approvers = await self._approvers(wait.latest, within=min(due - now(), TICK_SECONDS))
            if text := wait.news(now(), approvers=approvers, next_look_in=due - now()):
                report(text)
            await asyncio.sleep(due - now())

    async def _unless_silent(self, look: Awaitable[InstanceSummary], seconds: float) -> InstanceSummary:
        """
        What the look brings; raises NoAnswerError when the server has answered nothing at all after these seconds.

        Behind others in the queue, a look's own time has not even begun.
        """
        answer = asyncio.ensure_future(look)
        try:
            if not self._looks.has_answered:
                await asyncio.wait({answer}, timeout=seconds)
            if not answer.done() and not self._looks.has_answered:
                server = self._server.settings.server
                raise NoAnswerError(f"{server}: no answer in {spoken(seconds)}", is_transient=True)
            return await answer
        finally:
            answer.cancel()

    async def _approvers(self, latest: InstanceSummary | None, *, within: float) -> tuple[str, ...]:
        """
        Who may answer the step at which it is suspended, as far as that is known in time.
        """
        if latest is None or not waits_for_people(latest, self._server.settings.status_names):
            return ()
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._looks.approvers(latest, timeout=SHORTEST_REQUEST_TIMEOUT), within)
        return ()

    def _due(self, asked: float, wait: _Wait, retry_after: float | None) -> float:
        """
        When to look again: on a tick, never before the server wants it, and when patience ends at the latest.
        """
        now = asyncio.get_running_loop().time()
        # From now: a server that keeps its looks waiting is left alone for as long as another.
        due = now + poll_interval(asked - wait.started, luck=self._luck)
        earliest = max(asked + SHORTEST_INTERVAL, now)
        if retry_after is not None:
            earliest = max(earliest, min(now + retry_after, wait.patience_ends))
        tick = max(round(self._ticks(due)), math.ceil(self._ticks(earliest) - 0.05))  # a hair late is on time
        return min(tick * TICK_SECONDS + self._phase, wait.deadline)

    def _ticks(self, moment: float) -> float:
        return (moment - self._phase) / TICK_SECONDS

    async def call(self, function: Callable[[], Result]) -> Result:
        """
        Run a blocking function beside the waits' requests; at most five at a time.
        """
        return await self._looks.call(function)


class _Wait:
    """
    What one wait has seen so far.
    """

    def __init__(self, settings: Settings, *, started: float, timeout: float, may_be_new: bool) -> None:
        self.started = started
        self.deadline = started + timeout
        self.latest: InstanceSummary | None = None
        self.was_seen = False  # the instance, or the one that it goes on from
        self._settings = settings
        self._may_be_new = may_be_new
        self.patience_ends = self.deadline  # with the failure that lasts now
        self._failing_since: dict[str, float] = {}
        self._trouble: str | None = None
        self._told: str | None = None
        self._silent_since = started

    def answered(self, instance: InstanceSummary, *, expect: Mapping[str, object] | None) -> Verdict:
        self.was_seen = True
        self._failing_since.clear()
        self._trouble = None
        if self.latest is None or not _is_older(instance, self.latest):
            self.latest = instance
        else:
            self._trouble = "the server answers with an older state, which is ignored"
        return judge(self.latest, expect=expect, status_names=self._settings.status_names)

    @property
    def silence_ends(self) -> float:
        """
        When a server that has answered nothing at all is taken for dead.
        """
        return min(self.started + FIRST_ANSWER_SECONDS, max(self.deadline, self.started + SHORTEST_REQUEST_TIMEOUT))

    def failed(self, error: RequestError, now: float, *, is_last: bool, has_answered: bool) -> Verdict:
        """
        Pending while the failure may pass, the error itself when it will not or has lasted too long.
        """
        # Each has its own time: a server that comes back from an outage may not know everything in its first minute.
        what = "not found" if isinstance(error, NotFoundError) else "no answer"
        since = self._failing_since.setdefault(what, now)
        if isinstance(error, NotFoundError):
            may_pass = self.was_seen or self._may_be_new
            self.patience_ends = since + NOT_FOUND_GRACE_SECONDS
        else:
            # A page of maintenance, or one poll that went elsewhere, does not end a wait that went well.
            may_pass = error.is_transient or (self.was_seen and not isinstance(error, StatusError))
            self.patience_ends = since + self._settings.outage_seconds if has_answered else self.silence_ends
        self._trouble = _reason(error) + (f", for {spoken(now - since)}" if now - since >= 1 else "")
        if may_pass and now < self.patience_ends and not is_last:
            return Verdict(instance=self.latest, is_pending=True)
        text = str(error)
        if self.was_seen and isinstance(error, ForbiddenError | NotFoundError):
            text += (
                "; it was seen before, so it was deleted, or your identity can no longer see this instance: one that "
                "may only read what is assigned to it loses sight of what it has signed (grant ReadAll, or "
                "/workflows/instances/read/)"
            )
        return Verdict(instance=self.latest, problem=text)

    @property
    def has_told(self) -> bool:
        return self._told is not None

    def news(self, now: float, *, approvers: tuple[str, ...], next_look_in: float) -> str | None:
        """
        What to tell people, when there is something new or the silence has grown long.
        """
        standing = (
            progress(self.latest, self._settings.status_names) if self.latest is not None else "waits for the server"
        )
        topic = f"{standing}; trouble" if self._trouble else f"{standing}{_who(approvers)}"
        is_new = topic != self._told
        if not is_new and now - self._silent_since < heartbeat_interval(now - self.started):
            return None
        self._told, self._silent_since = topic, now
        if self._trouble:
            return f"{standing}; {self._trouble}"
        if is_new:
            return topic
        return f"{standing}, for {spoken(now - self.started)}; next look in {spoken(math.ceil(next_look_in))}"


def _reason(error: RequestError) -> str:
    """
    What is wrong with the server, in a few words.
    """
    if isinstance(error, NotFoundError):
        return "not found"
    if isinstance(error, StatusError):
        return f"the server answers {error.status_code}"
    return "no answer" if isinstance(error, NoAnswerError) else "no usable answer"


def _who(approvers: tuple[str, ...]) -> str:
    """
    Who can approve, in a few words: the row of a terminal is one line.
    """
    if not approvers:
        return ""
    named = [shortened(role, LONGEST_ROLE) for role in approvers[:2]]
    more = [f"{len(approvers) - 2} more"] if len(approvers) > 2 else []
    return f"; {' or '.join(named + more)} can approve"


def ask_patiently(ask: Callable[[float], Result]) -> Result:
    """
    Ask where no event loop runs, and again while a failure may pass: for 30 seconds at most, and for 6 when the answer
    is that an approval is still pending, which may be from before it.

    `ask` is given the seconds that are left. Blocks. Raises KeyfactorError: what is final at once, what lasts at the
    end.
    """
    begun = time.monotonic()
    while True:
        try:
            return ask(begun + FIRST_ANSWER_SECONDS - time.monotonic())
        except (RequestError, NotApprovedError) as error:
            patience = STALE_SECONDS if isinstance(error, NotApprovedError) else FIRST_ANSWER_SECONDS
            pause = next_look(0, left=math.inf, luck=random.random(), retry_after=error.retry_after)  # noqa: S311 - spread
            if not error.is_transient or time.monotonic() + pause >= begun + patience:
                raise
        time.sleep(pause)


def find_successor(
    server: Server, old: InstanceSummary, *, timeout: float | None = None
) -> InstanceSummary | Verdict | None:
    """
    The one instance that a restart made of `old`; None while there is none, a problem when there are several.

    A restart gets a new id, and no field names it. So: same definition, same title, started not before the old one
    ended; and not what began after one of these was restarted in its turn. Raises KeyfactorError.
    """
    if old.definition.id is None or old.last_modified is None:
        return Verdict(
            problem=f"workflow instance {old.instance_id} was restarted, but does not tell what its successor would "
            f"look like; find the new id in Keyfactor Command and pass it"
        )
    found = [
        row
        for row in server.list_workflow_instances(query=f'DefinitionId -eq "{old.definition.id}"', timeout=timeout)
        if row.instance_id != old.instance_id
        and row.definition.id == old.definition.id
        and row.title == old.title
        and _follows(row, old)
    ]
    restarted = [row for row in found if was_restarted(row, server.settings.status_names)]
    found = [row for row in found if not any(_follows(row, other) for other in restarted)]
    if len(found) > 1:
        ids = ", ".join(sorted(row.instance_id for row in found))
        return Verdict(
            problem=f"workflow instance {old.instance_id} was restarted, and more than one instance may be its "
            f"successor: {ids}; pass the id of the right one"
        )
    return found[0] if found else None


def _follows(row: InstanceSummary, ended: InstanceSummary) -> bool:
    return row.start_date is not None and ended.last_modified is not None and row.start_date >= ended.last_modified


def _is_older(instance: InstanceSummary, latest: InstanceSummary) -> bool:
    # A cache or a second server may answer with what was true before.
    return (
        instance.last_modified is not None
        and latest.last_modified is not None
        and instance.last_modified < latest.last_modified
    )


_watchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[tuple[Settings, Watcher]]] = (
    weakref.WeakKeyDictionary()
)
_watchers_lock = threading.Lock()


def watcher_for(settings: Settings) -> Watcher:
    """
    The running event loop's watcher for these settings; waits with equal settings share it.
    """
    with _watchers_lock:
        watchers = _watchers.setdefault(asyncio.get_running_loop(), [])
        for known, watcher in watchers:
            if known == settings:
                return watcher
        watcher = Watcher(Client(settings, retries=0))
        watchers.append((settings, watcher))
        return watcher
