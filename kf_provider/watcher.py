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
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from .client import Client
from .errors import ForbiddenError, KeyfactorError, NotFoundError, RequestError
from .looks import Looks, Server, start_daemon
from .models import InstanceSummary
from .schedule import heartbeat_interval, next_look, spoken
from .settings import Settings
from .verdict import Verdict, judge, progress, was_restarted

FIRST_ANSWER_SECONDS: Final = 30.0  # a stack of recorded approvals must not hang on a dead server
NOT_FOUND_GRACE_SECONDS: Final = 60.0
SHORTEST_REQUEST_TIMEOUT: Final = 10.0

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
        self._has_answered = False  # to any wait: what is down then will come back

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
            patience = min(self._server.settings.request_timeout, max(wait.deadline - asked, SHORTEST_REQUEST_TIMEOUT))
            retry_after = None
            try:
                instance = await self._looks.look(
                    instance_id, latest=wait.latest, is_whole=bool(expect), timeout=patience
                )
                self._has_answered = True
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
                budget = self._server.settings.outage_seconds if self._has_answered else FIRST_ANSWER_SECONDS
                verdict = wait.failed(error, now(), outage_budget=budget)
                retry_after = error.retry_after
            except KeyfactorError as error:
                verdict = Verdict(problem=str(error))
            if not verdict.is_pending or now() >= wait.deadline:
                return verdict
            due = self._due(asked, waited=asked - wait.started, retry_after=retry_after, deadline=wait.deadline)
            if text := wait.news(now(), next_look_in=due - now()):
                report(text)
            await asyncio.sleep(due - now())

    def _due(self, asked: float, *, waited: float, retry_after: float | None, deadline: float) -> float:
        """
        When to look again: on a tick, never before the server wants it, and at the deadline at the latest.
        """
        now = asyncio.get_running_loop().time()
        due = asked + next_look(waited, left=math.inf, luck=self._luck)
        if retry_after is not None:
            due = max(due, now + retry_after)
        # A hair before a tick is that tick: the last look began a hair late.
        ticks = math.ceil((due - self._phase) / TICK_SECONDS - 0.05)
        return min(max(ticks * TICK_SECONDS + self._phase, now), deadline)

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
        return judge(self.latest, expect=expect, status_names=self._settings.status_names)

    def failed(self, error: RequestError, now: float, *, outage_budget: float) -> Verdict:
        """
        Pending while the failure may pass, the error itself when it will not or has lasted too long.
        """
        if isinstance(error, NotFoundError):
            what = "not found"
            may_pass = self.was_seen or self._may_be_new
            budget = NOT_FOUND_GRACE_SECONDS
        else:
            what = "no answer"
            may_pass = error.is_transient
            budget = outage_budget
        # Each has its own time: a server that comes back from an outage may not know everything in its first minute.
        lasted = now - self._failing_since.setdefault(what, now)
        self._trouble = f"{what} for {spoken(lasted)}"
        if may_pass and lasted < budget and now < self.deadline:
            return Verdict(instance=self.latest, is_pending=True)
        text = str(error)
        if self.was_seen and isinstance(error, ForbiddenError | NotFoundError):
            text += (
                "; it was seen before, so it was deleted, or your identity can no longer see this instance: one that "
                "may only read what is assigned to it loses sight of what it has signed (grant ReadAll, or "
                "/workflows/instances/read/)"
            )
        return Verdict(instance=self.latest, problem=text)

    def news(self, now: float, *, next_look_in: float) -> str | None:
        """
        What to tell people, when there is something new or the silence has grown long.
        """
        standing = (
            progress(self.latest, self._settings.status_names) if self.latest is not None else "waits for the server"
        )
        topic = f"{standing}; trouble" if self._trouble else standing
        is_new = topic != self._told
        if not is_new and now - self._silent_since < heartbeat_interval(now - self.started):
            return None
        self._told, self._silent_since = topic, now
        if self._trouble:
            return f"{standing}; {self._trouble}"
        if is_new:
            return standing
        return f"{standing}, for {spoken(now - self.started)}; next look in {spoken(math.ceil(next_look_in))}"


def ask_patiently(ask: Callable[[], Result]) -> Result:
    """
    Ask where no event loop runs, and again while a failure may pass: for 30 seconds at most.

    Blocks. Raises KeyfactorError: what is final at once, what lasts at the end.
    """
    deadline = time.monotonic() + FIRST_ANSWER_SECONDS
    while True:
        try:
            return ask()
        except RequestError as error:
            left = deadline - time.monotonic()
            pause = next_look(0, left=math.inf, luck=random.random(), retry_after=error.retry_after)  # noqa: S311 - spread
            if not error.is_transient or pause >= left:
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
