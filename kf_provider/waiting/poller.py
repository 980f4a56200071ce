"""
Polls the instances of one server: many at once, with few requests.

It knows nothing of waiting, nor of Pulumi. All times are in seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import islice
from typing import Final, Protocol, TypeAlias, Unpack

from ..errors import ForbiddenError, KeyfactorError, RequestError, UnauthorizedError
from ..keyfactor.client import PAGE_SIZE
from ..keyfactor.models import Instance, InstanceSummary, WorkflowDefinition
from ..keyfactor.search import Filters
from ..keyfactor.settings import Settings
from .changes import Changes
from .login import Login
from .threads import REQUESTS_IN_FLIGHT, RequestThreads, loop_time
from .verdict import Conditions, judge

GATHER_SECONDS: Final = 0.05
BATCH_SIZE: Final = 50  # how many ids one list request names
SMALLER_BATCH_SIZE: Final = 20  # after a refusal: IIS refuses a query of over 2,048 bytes unless told otherwise
LIST_FAILURES: Final = 3  # so many in a row, and one GET tells whether it is the server or its list

_log = logging.getLogger(__name__)


class Server(Protocol):
    """
    What is asked of a client. The calls block, and raise KeyfactorError.
    """

    @property
    def settings(self) -> Settings: ...

    def get_workflow_instance(
        self, instance_id: str, *, timeout: float | None = None, retries: int = 2
    ) -> Instance: ...

    def list_workflow_instances(
        self,
        *,
        limit: int | None = None,
        timeout: float | None = None,
        retries: int = 2,
        **filters: Unpack[Filters],
    ) -> list[InstanceSummary]: ...

    def get_workflow_definition(
        self, definition_id: str, *, version: int | None = None, timeout: float | None = None, retries: int = 2
    ) -> WorkflowDefinition: ...


class Poller:
    """
    Asks one server for the instances of many waits; polling is not retrying, so each request is sent once.

    Polls that fall together share list requests, of at most 50 ids; what the list does not tell is read by a GET. More
    of them than one such list names share one list of what has changed, where the server has that (changes.py). A
    server that refuses a list by ids, ignores the query, or hides it from this user gets one GET for each id from then
    on.
    """

    def __init__(self, server: Server, threads: RequestThreads, *, gather_seconds: float = GATHER_SECONDS) -> None:
        self.seen: set[str] = set()  # the ids of all instances that the server has shown
        self._server = server
        self.login = Login(threads)
        self._threads = threads
        self._gather_seconds = gather_seconds
        self._reads = asyncio.Semaphore(REQUESTS_IN_FLIGHT - 1)  # a list need not queue behind hundreds of GETs
        self._batch_size = BATCH_SIZE  # 1: each poll is a GET
        self._list_failures = 0
        self._has_listed = False
        self._changes = Changes()
        self._gathered: dict[str, _Poll] = {}
        self._batches: set[asyncio.Task[None]] = set()
        self._definitions: dict[tuple[str, int | None], asyncio.Task[WorkflowDefinition]] = {}

    async def poll(
        self,
        instance_id: str,
        *,
        latest: InstanceSummary | None,
        conditions: Conditions,
        is_last: bool,
        timeout: float,  # noqa: ASYNC109 - each request's
    ) -> InstanceSummary:
        """
        The instance as it is now, asked for together with others; `latest` is what is known of it, and what is answered
        while nothing has changed.

        An instance that is approved under these conditions by what a list's row tells comes as that row; whatever else
        has changed comes whole. The last poll of an instance trusts no list, which may be a cache's, but for its end.
        Raises RequestError.
        """
        if not self._gathered:
            asyncio.get_running_loop().call_later(self._gather_seconds, self._send_gathered)
        poll = self._gathered.setdefault(instance_id, _Poll(latest, timeout))
        if conditions not in poll.conditions:
            poll.conditions.append(conditions)
        poll.is_last |= is_last
        return await asyncio.shield(poll.answer)

    def _send_gathered(self) -> None:
        polls, self._gathered = self._gathered, {}
        told = {id_: poll for id_, poll in polls.items() if self._is_told_by_changes(id_, poll)}
        if len(told) > self._batch_size > 1:
            self._start(told, self._list_changes)
            polls = {id_: poll for id_, poll in polls.items() if id_ not in told}
        self._send(polls)

    def _is_told_by_changes(self, instance_id: str, poll: _Poll) -> bool:
        return not poll.is_last and self._changes.can_tell(instance_id, poll.latest, loop_time())

    def _send(self, polls: _Polls) -> None:
        for first in range(0, len(polls), self._batch_size):
            self._start(dict(islice(polls.items(), first, first + self._batch_size)), self._list)

    def _start(self, polls: _Polls, rows_of: _List) -> None:
        batch = asyncio.ensure_future(self._ask(polls, rows_of))
        self._batches.add(batch)  # the loop itself keeps no task alive
        batch.add_done_callback(self._batches.discard)

    async def _ask(self, polls: _Polls, rows_of: _List) -> None:
        """
        Answer each poll of a batch, whatever happens.
        """
        try:
            await self._answer(polls, rows_of)
        except Exception as error:
            for poll in polls.values():
                if not poll.answer.done():
                    poll.fail(error)

    async def _answer(self, polls: _Polls, rows_of: _List) -> None:
        """
        From one list request what the list tells, by a GET the rest.
        """
        # A server whose list works tells by it of one instance too: whether it is approved costs no GET.
        is_alone = len(polls) == 1 and (not self._has_listed or any(poll.latest is None for poll in polls.values()))
        is_listed = self._batch_size > 1 and not is_alone and not all(poll.is_last for poll in polls.values())
        rows = await rows_of(polls) if is_listed else {}
        if rows is None:
            self._send(polls)
            return
        unread = []
        for instance_id, poll in polls.items():
            if (known := self._known_from(rows.get(instance_id), poll)) is not None:
                poll.answer.set_result(known)
            else:
                unread.append(self._read(instance_id, poll))
        await asyncio.gather(*unread)
        if is_listed and not rows and not any(poll.answer.exception() for poll in polls.values()):
            self._shrink_batches(1, "the list does not show what is there")

    async def _list_changes(self, polls: _Polls) -> Mapping[str, InstanceSummary] | None:
        """
        The rows of these instances by id, out of what has changed; None when they are to be listed by their ids.
        """
        before = self._changes.newest
        query, mark = self._changes.query(polls)
        # No more pages than half of what the lists by ids would take.
        limit = PAGE_SIZE * max(len(polls) // self._batch_size // 2, 1)
        timeout = min(poll.timeout for poll in polls.values())
        ask = partial(self._server.list_workflow_instances, query=query, limit=limit, timeout=timeout, retries=0)
        try:
            changed = await self.login.call(ask)
        except UnauthorizedError:
            raise  # as below
        except RequestError as error:
            why = str(error)
            self._changes.failed(polls)
            rows = None
        else:
            why = "it proves nothing"
            rows = self._changes.note_changes(polls, changed, before=before, mark=mark, limit=limit)
        if self._changes.is_given_up:
            _log.debug("%s: no list of changes from now on: %s", self._server.settings.server, why)
        return rows

    async def _list(self, polls: _Polls) -> Mapping[str, InstanceSummary] | None:
        """
        The rows of these instances by id; None when smaller batches are to be asked for from now on.
        """
        before = self._changes.newest
        timeout = min(poll.timeout for poll in polls.values())
        ask = partial(self._server.list_workflow_instances, ids=[*polls], limit=len(polls), timeout=timeout, retries=0)
        try:
            rows = await self.login.call(ask)
        except UnauthorizedError:
            raise  # it is about all requests: a GET for each would count towards a lock-out
        except RequestError as error:
            if not error.is_transient:
                is_too_long = len(polls) > SMALLER_BATCH_SIZE and not isinstance(error, ForbiddenError)
                self._shrink_batches(SMALLER_BATCH_SIZE if is_too_long else 1, str(error))
                return None
            self._list_failures += 1
            if self._list_failures % LIST_FAILURES or await self._is_down(next(iter(polls)), timeout):
                raise
            self._shrink_batches(1, str(error))
            return None
        self._list_failures = 0
        if any(row.instance_id not in polls for row in rows):
            self._shrink_batches(1, "the list ignores the query")
            return None
        self.seen.update(row.instance_id for row in rows)
        self._has_listed |= bool(rows)
        self._changes.note_list(rows, before=before, now=loop_time())
        return {row.instance_id: row for row in rows}

    def _shrink_batches(self, size: int, why: str) -> None:
        if size < self._batch_size:
            self._batch_size = size
            _log.debug("%s: one request for %d instances from now on: %s", self._server.settings.server, size, why)

    async def _is_down(self, instance_id: str, timeout: float) -> bool:  # noqa: ASYNC109 - the request's
        """
        Whether a GET fails as well, so that it is the server and not its list; a refusal is an answer.
        """
        ask = partial(self._server.get_workflow_instance, instance_id, timeout=timeout, retries=0)
        try:
            await self.login.call(ask)
        except RequestError as error:
            return error.is_transient or isinstance(error, UnauthorizedError)
        return False

    def _known_from(self, row: InstanceSummary | None, poll: _Poll) -> InstanceSummary | None:
        """
        What a list's row tells of the instance, or None when it must be read.
        """
        if row is None:
            return None
        # No instance leaves Complete again, so an old row does not tell too much. A refusal is read: its text needs it.
        if all(judge(row, conditions).is_approved for conditions in poll.conditions):
            return row
        if poll.latest is None:
            return None
        # Signals and data are not in the row, but each signal sets LastModified (reference 10.3, table 659).
        is_same = (row.status, row.last_modified) == (poll.latest.status, poll.latest.last_modified)
        return poll.latest if is_same and not poll.is_last else None

    async def _read(self, instance_id: str, poll: _Poll) -> None:
        ask = partial(self._server.get_workflow_instance, instance_id, timeout=poll.timeout, retries=0)
        try:
            async with self._reads:
                instance = await self.login.call(ask)
        except Exception as error:  # as above
            poll.fail(error)
        else:
            self.seen.add(instance_id)
            poll.answer.set_result(instance)

    async def approvers(self, instance: InstanceSummary, *, timeout: float) -> tuple[str, ...]:  # noqa: ASYNC109
        """
        The security roles that may answer the instance's step, where its definition tells; each definition is asked for
        once. Never raises: who cannot read definitions is told less.
        """
        definition, step = instance.definition, instance.current_step_unique_name
        if definition.id is None or step is None or self.login.is_refused:
            return ()
        key = definition.id, definition.version
        if key not in self._definitions:
            self._definitions[key] = asyncio.ensure_future(self._definition(*key, timeout))
        return (await asyncio.shield(self._definitions[key])).approvers(step)

    async def _definition(self, definition_id: str, version: int | None, timeout: float) -> WorkflowDefinition:  # noqa: ASYNC109
        ask = partial(self._server.get_workflow_definition, definition_id, version=version, timeout=timeout, retries=0)
        try:
            return await self._threads.call(ask)
        except KeyfactorError:
            return WorkflowDefinition()


class _Poll:
    """
    One instance that is being asked for, by all its waits together.
    """

    def __init__(self, latest: InstanceSummary | None, timeout: float) -> None:
        self.latest = latest
        self.timeout = timeout
        self.conditions: list[Conditions] = []
        self.is_last = False
        self.answer: asyncio.Future[InstanceSummary] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)
        self.answer.exception()  # its waits may have been cancelled


_Polls: TypeAlias = Mapping[str, _Poll]
_List: TypeAlias = Callable[[_Polls], Awaitable[Mapping[str, InstanceSummary] | None]]
