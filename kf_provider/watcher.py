"""
The only file that waits: one watcher for each event loop, server and identity.

It knows nothing of Pulumi. The gate in a Pulumi program and the command line wait by the same code. All times are in
seconds, on a monotonic clock.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

from .client import Client
from .errors import KeyfactorError, NotFoundError, RequestError
from .models import Instance, InstanceSummary, Status
from .schedule import heartbeat_interval, next_look, spoken
from .settings import Settings
from .verdict import Verdict, judge, progress

REQUESTS_IN_FLIGHT: Final = 5
FIRST_ANSWER_SECONDS: Final = 30.0  # a stack of recorded approvals must not hang on a dead server
NOT_FOUND_GRACE_SECONDS: Final = 60.0
SHORTEST_REQUEST_TIMEOUT: Final = 10.0

Result = TypeVar("Result")


class Server(Protocol):
    """What a watcher asks of a client. Both calls block, and raise KeyfactorError."""

    @property
    def settings(self) -> Settings: ...

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None) -> Instance: ...

    def list_workflow_instances(
        self, *, query: str | None = None, timeout: float | None = None
    ) -> list[InstanceSummary]: ...


class Watcher:
    """
    Owns every wait at one server: its threads, and how many requests are in flight.

    Threads are daemons, one for each request: the interpreter joins a ThreadPoolExecutor at exit, and a server that
    never answers would hold the program that Ctrl-C ended.
    """

    def __init__(
        self,
        server: Server,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._server = server
        self._clock = clock
        self._sleep = sleep
        self._luck = luck
        self._in_flight = asyncio.Semaphore(REQUESTS_IN_FLIGHT)

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
        wait = _Wait(self._server.settings, started=self._clock(), timeout=timeout, may_be_new=may_be_new)
        while True:
            left = wait.deadline - self._clock()
            patience = min(self._server.settings.request_timeout, max(left, SHORTEST_REQUEST_TIMEOUT))
            retry_after = None
            try:
                look = partial(self._server.get_workflow_instance, instance_id, timeout=patience)
                instance = await self.call(look)
                verdict = wait.answered(instance, expect=expect)
                if follow_restarts and instance.status == Status.CANCELED_FOR_RESTART:
                    search = partial(find_successor, self._server, instance, timeout=patience)
                    successor = await self.call(search)
                    if isinstance(successor, InstanceSummary):
                        report(f"was restarted; goes on as {successor.instance_id}")
                        instance_id = successor.instance_id
                        wait.latest = None
                        continue
                    verdict = successor or Verdict(instance=instance, is_pending=True)
            except RequestError as error:
                verdict = wait.failed(error, self._clock())
                retry_after = error.retry_after
            except KeyfactorError as error:
                verdict = Verdict(problem=str(error))
            now = self._clock()
            if not verdict.is_pending or now >= wait.deadline:
                return verdict
            if text := wait.news(now):
                report(text)
            left = wait.deadline - now
            await self._sleep(next_look(now - wait.started, left=left, luck=self._luck(), retry_after=retry_after))

    async def call(self, function: Callable[[], Result]) -> Result:
        """
        Run a blocking function in a daemon thread; at most five at a time.
        """
        async with self._in_flight:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Result] = loop.create_future()

            def settle(result: Result | None, error: BaseException | None) -> None:
                if future.done():
                    return
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(result)  # type: ignore[arg-type]  # None only where Result is

            def run() -> None:
                result, error = None, None
                try:
                    result = function()
                except BaseException as raised:
                    error = raised
                try:
                    loop.call_soon_threadsafe(settle, result, error)
                except RuntimeError:
                    return  # the loop is closed: the program has ended, and nobody waits for the answer

            threading.Thread(target=run, name="kf_provider", daemon=True).start()
            return await future


class _Wait:
    """
    What one wait has seen so far.
    """

    def __init__(self, settings: Settings, *, started: float, timeout: float, may_be_new: bool) -> None:
        self.started = started
        self.deadline = started + timeout
        self.latest: Instance | None = None
        self._settings = settings
        self._may_be_new = may_be_new
        self._failing_since: float | None = None
        self._trouble: str | None = None
        self._told: str | None = None
        self._silent_since = started

    def answered(self, instance: Instance, *, expect: Mapping[str, object] | None) -> Verdict:
        self._failing_since, self._trouble = None, None
        if self.latest is None or not _is_older(instance, self.latest):
            self.latest = instance
        return judge(self.latest, expect=expect, status_names=self._settings.status_names)

    def failed(self, error: RequestError, now: float) -> Verdict:
        """
        Pending while the failure may pass, the error itself when it will not or has lasted too long.
        """
        if self._failing_since is None:
            self._failing_since = now
        lasted = now - self._failing_since
        if isinstance(error, NotFoundError):
            may_pass = self.latest is not None or self._may_be_new
            budget = NOT_FOUND_GRACE_SECONDS
            self._trouble = f"not found for {spoken(lasted)}"
        else:
            may_pass = error.is_transient
            budget = FIRST_ANSWER_SECONDS if self.latest is None else self._settings.outage_seconds
            self._trouble = f"no answer for {spoken(lasted)}"
        if not may_pass or lasted >= budget or now >= self.deadline:
            return Verdict(instance=self.latest, problem=str(error))
        return Verdict(instance=self.latest, is_pending=True)

    def news(self, now: float) -> str | None:
        """
        What to tell people, when there is something new or the silence has grown long.
        """
        standing = progress(self.latest) if self.latest is not None else "waits for the server"
        topic = f"{standing}; trouble" if self._trouble else standing
        if topic == self._told and now - self._silent_since < heartbeat_interval(now - self.started):
            return None
        self._told, self._silent_since = topic, now
        return f"{standing}; {self._trouble}" if self._trouble else standing


def find_successor(
    server: Server, old: InstanceSummary, *, timeout: float | None = None
) -> InstanceSummary | Verdict | None:
    """
    The one instance that a restart made of `old`; None while there is none, a problem when there are several.

    A restart gets a new id, and no field names it. So: same definition, same title, started not before the old one
    ended. Raises KeyfactorError.
    """
    if old.definition.id is None or old.last_modified is None:
        return Verdict(
            problem=f"workflow instance {old.instance_id} was restarted, but does not tell what its successor would "
            f"look like; find the new id in Keyfactor Command and pass it"
        )
    ended = old.last_modified
    found = [
        row
        for row in server.list_workflow_instances(query=f'DefinitionId -eq "{old.definition.id}"', timeout=timeout)
        if row.instance_id != old.instance_id
        and row.definition.id == old.definition.id
        and row.title == old.title
        and row.start_date is not None
        and row.start_date >= ended
    ]
    if len(found) > 1:
        ids = ", ".join(sorted(row.instance_id for row in found))
        return Verdict(
            problem=f"workflow instance {old.instance_id} was restarted, and more than one instance may be its "
            f"successor: {ids}; pass the id of the right one"
        )
    return found[0] if found else None


def _is_older(instance: Instance, latest: Instance) -> bool:
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
