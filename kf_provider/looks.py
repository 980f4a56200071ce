"""
Looks at the instances of one server: many at once, with few requests.

It knows nothing of waiting, nor of Pulumi. All times are in seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Final, Protocol, TypeVar

from .errors import ForbiddenError, KeyfactorError, RequestError
from .keyfactor.settings import Settings
from .models import Instance, InstanceSummary, Status, WorkflowDefinition
from .verdict import status_word

REQUESTS_IN_FLIGHT: Final = 5
GATHER_SECONDS: Final = 0.05
PAGE_SIZE: Final = 50  # how many ids one list request names
SMALLER_PAGE_SIZE: Final = 20  # after a refusal: IIS refuses a query of over 2,048 bytes unless told otherwise
LIST_FAILURES: Final = 3  # so many in a row, and one GET tells whether it is the server or its list

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Server(Protocol):
    """What a watcher asks of a client. The calls block, and raise KeyfactorError."""

    @property
    def settings(self) -> Settings: ...

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None) -> Instance: ...

    def list_workflow_instances(
        self, *, query: str | None = None, limit: int | None = None, timeout: float | None = None
    ) -> list[InstanceSummary]: ...

    def get_workflow_definition(
        self, definition_id: str, *, version: int | None = None, timeout: float | None = None
    ) -> WorkflowDefinition: ...


def start_daemon(run: Callable[[], None]) -> None:
    """
    Run it in a thread of its own that nobody joins.

    The interpreter joins a ThreadPoolExecutor at exit: a server that never answers would hold the program that Ctrl-C
    ended.
    """
    threading.Thread(target=run, name="kf_provider", daemon=True).start()


class Looks:
    """
    Sends what is asked of one server, at most five requests at a time.

    Looks that fall together share list requests, of at most 50 ids; what the list does not tell is read by a GET. A
    server that refuses such a list, ignores the query, or hides it from this user gets one GET for each id from then
    on.
    """

    def __init__(self, server: Server, start: Callable[[Callable[[], None]], None]) -> None:
        self.has_answered = False  # anything: what is down then will come back
        self.seen: set[str] = set()  # the ids of all instances that the server has shown
        self._server = server
        self._start = start
        self._in_flight = asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        self._reads = asyncio.Semaphore(REQUESTS_IN_FLIGHT - 1)  # a list need not queue behind hundreds of GETs
        self._page_size = PAGE_SIZE  # 1: each look is a GET
        self._list_failures = 0
        self._gathering: dict[str, _Look] = {}
        self._pages: set[asyncio.Task[None]] = set()
        self._definitions: dict[tuple[str, int | None], asyncio.Task[WorkflowDefinition]] = {}

    async def look(
        self,
        instance_id: str,
        *,
        latest: InstanceSummary | None,
        is_whole: bool,
        is_last: bool,
        timeout: float,  # noqa: ASYNC109 - each request's
    ) -> InstanceSummary:
        """
        The instance as it is now, asked for together with others; `latest` is what is known of it, and what is answered
        while nothing has changed.

        Without `is_whole`, an instance that is Complete may come as the list's row. The last look at an instance trusts
        no list, which may be a cache's. Raises RequestError.
        """
        if not self._gathering:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._send_gathered)
        look = self._gathering.setdefault(instance_id, _Look(latest, timeout))
        look.is_whole |= is_whole
        look.is_last |= is_last
        return await asyncio.shield(look.answer)

    def _send_gathered(self) -> None:
        looks, self._gathering = self._gathering, {}
        self._send(looks)

    def _send(self, looks: Mapping[str, _Look]) -> None:
        for first in range(0, len(looks), self._page_size):
            page = asyncio.ensure_future(self._ask(dict(islice(looks.items(), first, first + self._page_size))))
            self._pages.add(page)  # the loop itself keeps no task alive
            page.add_done_callback(self._pages.discard)

    async def _ask(self, looks: Mapping[str, _Look]) -> None:
        """
        Answer each look: from one list request what the list tells, by a GET the rest.
        """
        try:
            rows = await self._list(looks) if len(looks) > 1 else {}
        except Exception as error:  # whatever it is, those who wait for it are told
            for look in looks.values():
                look.fail(error)
            return
        if rows is None:
            self._send(looks)
            return
        unread = []
        for instance_id, look in looks.items():
            if (told := self._told(rows.get(instance_id), look)) is not None:
                look.answer.set_result(told)
            else:
                unread.append(self._read(instance_id, look))
        await asyncio.gather(*unread)
        if len(looks) > 1 and not rows and not any(look.answer.exception() for look in looks.values()):
            self._shrink_pages(1, "the list does not show what is there")

    async def _list(self, looks: Mapping[str, _Look]) -> dict[str, InstanceSummary] | None:
        """
        The rows of these instances by id; None when smaller pages are to be asked for from now on.
        """
        timeout = min(look.timeout for look in looks.values())
        query = " OR ".join(f'Id -eq "{instance_id}"' for instance_id in looks)
        ask = partial(self._server.list_workflow_instances, query=query, limit=len(looks), timeout=timeout)
        try:
            rows = await self.call(ask)
        except RequestError as error:
            if not error.is_transient:
                is_too_long = len(looks) > SMALLER_PAGE_SIZE and not isinstance(error, ForbiddenError)
                self._shrink_pages(SMALLER_PAGE_SIZE if is_too_long else 1, str(error))
                return None
            self._list_failures += 1
            if self._list_failures % LIST_FAILURES or await self._is_down(next(iter(looks)), timeout):
                raise
            self._shrink_pages(1, str(error))
            return None
        self._list_failures = 0
        if any(row.instance_id not in looks for row in rows):
            self._shrink_pages(1, "the list ignores the query")
            return None
        self.seen.update(row.instance_id for row in rows)
        return {row.instance_id: row for row in rows}

    def _shrink_pages(self, size: int, why: str) -> None:
        if size < self._page_size:
            self._page_size = size
            _log.debug("%s: one request for %d instances from now on: %s", self._server.settings.server, size, why)

    async def _is_down(self, instance_id: str, timeout: float) -> bool:  # noqa: ASYNC109 - the request's
        """
        Whether a GET fails as well, so that it is the server and not its list; a refusal is an answer.
        """
        try:
            await self.call(partial(self._server.get_workflow_instance, instance_id, timeout=timeout))
        except RequestError as error:
            return error.is_transient
        return False

    def _told(self, row: InstanceSummary | None, look: _Look) -> InstanceSummary | None:
        """
        What a list's row tells of the instance, or None when it must be read.
        """
        if row is None:
            return None
        if look.latest is None:
            status = status_word(row.status, self._server.settings.status_names)
            return row if status == Status.COMPLETE and not look.is_whole else None
        # Signals and data are not in the row, but each signal sets LastModified (reference 10.3, table 659).
        is_same = (row.status, row.last_modified) == (look.latest.status, look.latest.last_modified)
        return look.latest if is_same and not look.is_last else None

    async def _read(self, instance_id: str, look: _Look) -> None:
        ask = partial(self._server.get_workflow_instance, instance_id, timeout=look.timeout)
        try:
            async with self._reads:
                instance = await self.call(ask)
        except Exception as error:  # as above
            look.fail(error)
        else:
            self.seen.add(instance_id)
            look.answer.set_result(instance)

    async def approvers(self, instance: InstanceSummary, *, timeout: float) -> tuple[str, ...]:  # noqa: ASYNC109
        """
        The security roles that may answer the instance's step, where its definition tells; each definition is asked for
        once. Never raises: who cannot read definitions is told less.
        """
        definition, step = instance.definition, instance.current_step_unique_name
        if definition.id is None or step is None:
            return ()
        which = definition.id, definition.version
        if which not in self._definitions:
            self._definitions[which] = asyncio.ensure_future(self._definition(*which, timeout))
        return (await asyncio.shield(self._definitions[which])).approvers(step)

    async def _definition(self, definition_id: str, version: int | None, timeout: float) -> WorkflowDefinition:  # noqa: ASYNC109
        ask = partial(self._server.get_workflow_definition, definition_id, version=version, timeout=timeout)
        try:
            return await self.call(ask)
        except KeyfactorError:
            return WorkflowDefinition()

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

            self._start(run)
            result = await future
            self.has_answered = True
            return result


class _Look:
    """
    One instance that is being asked about, by all its waits together.
    """

    def __init__(self, latest: InstanceSummary | None, timeout: float) -> None:
        self.latest = latest
        self.timeout = timeout
        self.is_whole = self.is_last = False
        self.answer: asyncio.Future[InstanceSummary] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)
        self.answer.exception()  # its waits may have been cancelled
