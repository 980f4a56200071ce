"""
Looks at the instances of one server: many at once, with few requests.

It knows nothing of waiting, nor of Pulumi. All times are in seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

from .errors import RequestError
from .models import Instance, InstanceSummary
from .settings import Settings

REQUESTS_IN_FLIGHT: Final = 5
GATHER_SECONDS: Final = 0.05
PAGE_SIZE: Final = 50  # how many ids one list request names
SMALLER: Final = {50: 20, 20: 1}  # after a refusal: IIS refuses a query of over 2,048 bytes unless told otherwise
LIST_FAILURES: Final = 3  # so many in a row, and one GET tells whether it is the server or its list

Result = TypeVar("Result")


class Server(Protocol):
    """What a watcher asks of a client. Both calls block, and raise KeyfactorError."""

    @property
    def settings(self) -> Settings: ...

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None) -> Instance: ...

    def list_workflow_instances(
        self, *, query: str | None = None, limit: int | None = None, timeout: float | None = None
    ) -> list[InstanceSummary]: ...


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

    Looks that fall together share list requests, of at most 50 ids; only an instance that has changed is read whole. A
    server that refuses such a list, ignores the query, or hides it from this user gets one GET for each id from then
    on.
    """

    def __init__(self, server: Server, start: Callable[[Callable[[], None]], None]) -> None:
        self._server = server
        self._start = start
        self._in_flight = asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        self._page_size = PAGE_SIZE  # 1: each look is a GET
        self._list_failures = 0
        self._gathering: dict[str, _Look] = {}
        self._pages: set[asyncio.Task[None]] = set()

    async def look(self, instance_id: str, latest: Instance | None, timeout: float) -> Instance:  # noqa: ASYNC109
        """
        The instance as it is now, asked together with others that are due; `latest` is what is known of it.
        """
        if latest is None or self._page_size == 1:
            return await self.call(partial(self._server.get_workflow_instance, instance_id, timeout=timeout))
        if not self._gathering:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._send_gathered)
        look = self._gathering.setdefault(instance_id, _Look(latest, timeout))
        return await asyncio.shield(look.answer)

    def _send_gathered(self) -> None:
        looks, self._gathering = list(self._gathering.items()), {}
        for first in range(0, len(looks), self._page_size):
            page = asyncio.ensure_future(self._ask(dict(looks[first : first + self._page_size]), self._page_size))
            self._pages.add(page)  # the loop itself keeps no task alive
            page.add_done_callback(self._pages.discard)

    async def _ask(self, looks: Mapping[str, _Look], page_size: int) -> None:
        """
        Answer each look: from one list request what has not changed, by a GET the rest.
        """
        try:
            rows = await self._list(looks, page_size) if len(looks) > 1 else {}
        except Exception as error:  # whatever it is, those who wait for it are told
            for look in looks.values():
                look.fail(error)
            return
        unread = []
        for instance_id, look in looks.items():
            row = rows.get(instance_id)
            if row is not None and not _has_changed(row, look.latest):
                look.answer.set_result(look.latest)
            else:
                unread.append(self._read(instance_id, look))
        await asyncio.gather(*unread)

    async def _list(self, looks: Mapping[str, _Look], page_size: int) -> dict[str, InstanceSummary]:
        """
        The rows of these instances by id; none of them when the server's list is of no use.
        """
        timeout = min(look.timeout for look in looks.values())
        query = " OR ".join(f'Id -eq "{instance_id}"' for instance_id in looks)
        ask = partial(self._server.list_workflow_instances, query=query, limit=len(looks), timeout=timeout)
        try:
            rows = await self.call(ask)
        except RequestError as error:
            if not error.is_transient:
                self._page_size = min(self._page_size, SMALLER.get(page_size, 1))
                return {}
            self._list_failures += 1
            if self._list_failures % LIST_FAILURES == 0:
                # Raises the GET's own error when the server is down as a whole.
                await self.call(partial(self._server.get_workflow_instance, next(iter(looks)), timeout=timeout))
                self._page_size = 1
                return {}
            raise
        self._list_failures = 0
        if any(row.instance_id not in looks for row in rows):
            self._page_size = 1  # the query was ignored
            return {}
        return {row.instance_id: row for row in rows}

    async def _read(self, instance_id: str, look: _Look) -> None:
        ask = partial(self._server.get_workflow_instance, instance_id, timeout=look.timeout)
        try:
            look.answer.set_result(await self.call(ask))
        except Exception as error:  # as above
            look.fail(error)

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
            return await future


class _Look:
    """
    One instance that is being asked about, by all its waits together.
    """

    def __init__(self, latest: Instance, timeout: float) -> None:
        self.latest = latest
        self.timeout = timeout
        self.answer: asyncio.Future[Instance] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)
        self.answer.exception()  # its waits may have been cancelled


def _has_changed(row: InstanceSummary, latest: Instance) -> bool:
    # Signals and data are not in the row, but each signal sets LastModified (reference 10.3, table 659).
    # Command 24 and 25 leave it out of both until the first change.
    if row.last_modified == latest.last_modified:
        return row.status != latest.status
    return row.last_modified is None or latest.last_modified is None or row.last_modified > latest.last_modified
