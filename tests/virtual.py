"""
Waits in virtual time: an event loop whose clock moves as it sleeps, and servers that know how late it is on it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

from kf_provider.errors import ForbiddenError, StatusError, UnavailableError
from kf_provider.keyfactor.models import Instance, InstanceSummary, WorkflowDefinition, moment
from kf_provider.keyfactor.search import Filters
from kf_provider.keyfactor.settings import Settings
from kf_provider.waiting.poller import Server
from kf_provider.waiting.threads import RequestThreads
from kf_provider.waiting.verdict import Verdict
from kf_provider.waiting.watcher import Watcher

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which sleeping takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select  # type: ignore[attr-defined]  # how asyncio sleeps

        def pass_time(timeout: float | None) -> Any:
            self.now += timeout or 0
            return select(0)

        self._selector.select = pass_time  # type: ignore[attr-defined]  # as above

    def time(self) -> float:
        return self.now


Script = Callable[[float], Instance | Exception]


class ScriptedServer:
    """A server whose answers depend on how long the wait has lasted."""

    def __init__(
        self,
        script: Script,
        rows: Sequence[InstanceSummary] = (),
        *,
        clock: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    ) -> None:
        self.clock = clock
        self.settings = Settings(hostname="keyfactor.example.com", username="u", password="p")
        self.asked: list[tuple[float, str]] = []
        self.listed: list[tuple[float, Filters]] = []
        self.defined: list[tuple[str, int | None]] = []
        self.definition: WorkflowDefinition | Exception = WorkflowDefinition()
        self.rows = rows
        self.ended = -1.0
        self.script = script

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None, retries: int = 2) -> Instance:
        now = self.clock()
        self.asked.append((now, instance_id))
        answer = self.script(now)
        if isinstance(answer, Exception):
            raise answer
        return answer.model_copy(update={"instance_id": instance_id})

    def list_workflow_instances(
        self,
        *,
        limit: int | None = None,
        timeout: float | None = None,
        retries: int = 2,
        **filters: Unpack[Filters],
    ) -> list[InstanceSummary]:
        self.listed.append((self.clock(), filters))
        return list(self.rows)

    def get_workflow_definition(
        self, definition_id: str, *, version: int | None = None, timeout: float | None = None, retries: int = 2
    ) -> WorkflowDefinition:
        self.defined.append((definition_id, version))
        if isinstance(self.definition, Exception):
            raise self.definition
        return self.definition

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for (earlier, _), (later, _) in itertools.pairwise(self.asked)]


def instance(status: str, *, minute: int = 0, **fields: Any) -> Instance:
    return Instance.model_validate(
        {
            "Id": ID,
            "Status": status,
            "Title": "enrolls",
            "Definition": {"Id": "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94"},
            "LastModified": (START + timedelta(minutes=minute)).isoformat(),
            **fields,
        }
    )


def unavailable(retry_after: float | None = None) -> UnavailableError:
    return UnavailableError("503 from the server", status_code=503, is_transient=True, retry_after=retry_after)


def new_watcher(
    server: Server,
    *,
    random: Callable[[], float] = lambda: 0.0,
    start: Callable[[Callable[[], None]], Any] = lambda request: request(),
) -> Watcher:
    """A watcher that draws no lots and asks at once, unless told otherwise."""
    return Watcher(server, RequestThreads(start), random=random)


def wait(server: ScriptedServer, **options: Any) -> Verdict:
    """What a wait of its own for the server's instance comes to, an hour long unless told otherwise."""

    async def run() -> Verdict:
        watcher = new_watcher(server)
        verdict = await watcher.wait(ID, **{"timeout": 3600.0, **options})
        server.ended = asyncio.get_running_loop().time()
        return verdict

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


class Fleet(ScriptedServer):
    """
    A server with many instances, of which some are approved at some time.

    A list by ids is as good as `mode`, a list of what was modified after a moment as `changes`.
    """

    def __init__(self, count: int, mode: str = "honest", *, changes: str = "honest") -> None:
        super().__init__(lambda _: instance("Suspended"))
        self.changes = changes
        self._first_changes: list[InstanceSummary] | None = None
        self._made: dict[tuple[str, str, str | None], Instance] = {}  # what is told again need not be read again
        self.ids = [f"{n:08x}-9d1b-4b7e-8a60-3f5e2d7c1b94" for n in range(1, count + 1)]
        self.approved_at: dict[str, float] = {}
        self.changed_at: dict[str, float] = {}  # the first of two signals
        self.mode = mode

    @property
    def asked_for_changes(self) -> list[float]:
        return [at for at, filters in self.listed if filters.get("query")]

    def now_of(self, instance_id: str, *, is_early: bool = False) -> Instance:
        approved_at = self.approved_at.get(instance_id, 1e9)
        is_approved = asyncio.get_running_loop().time() >= approved_at and not is_early
        # Started one after the other, five in a second, before all waits.
        started = (int(instance_id[:8], 16) - len(self.ids)) / 5 - 1
        changed_at = self.changed_at.get(instance_id, 1e9)
        changed = changed_at if asyncio.get_running_loop().time() >= changed_at else started
        seconds = approved_at if is_approved else changed
        modified = START + timedelta(seconds=seconds)
        if self.changes == "whole seconds":
            modified = modified.replace(microsecond=0)
        if self.changes == "ahead" and instance_id == self.ids[0]:
            modified = START + timedelta(days=1)
        date = None if self.changes == "null" else modified.isoformat()
        key = (instance_id, "Complete" if is_approved else "Suspended", date)
        if key not in self._made:
            self._made[key] = instance(key[1], LastModified=date, Id=instance_id)
        return self._made[key].model_copy()  # each answer gets a date of its own

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None, retries: int = 2) -> Instance:
        self.asked.append((self.clock(), instance_id))
        return self.now_of(instance_id)

    def list_workflow_instances(
        self,
        *,
        limit: int | None = None,
        timeout: float | None = None,
        retries: int = 2,
        **filters: Unpack[Filters],
    ) -> list[InstanceSummary]:
        self.listed.append((self.clock(), filters))
        if query := filters.get("query"):
            return self._changed(query)[:limit]
        wanted = list(filters.get("ids") or ())
        if self.mode == "refuses" or (self.mode == "short" and len(wanted) > 20):
            raise StatusError("400", status_code=400)
        if self.mode == "forbids":
            raise ForbiddenError("403", status_code=403)
        if self.mode == "broken":
            raise unavailable()
        if self.mode == "empty":
            return []
        if self.mode == "cached":  # by a proxy, from before any approval
            return [self.now_of(instance_id, is_early=True) for instance_id in wanted]
        if self.mode == "ignores":
            wanted = [f"{n:08x}-ffff-4b7e-8a60-3f5e2d7c1b94" for n in range(1000)]
        return self._rows(wanted)[:limit]

    def _rows(self, ids: Sequence[str]) -> list[InstanceSummary]:
        rows: list[InstanceSummary] = [self.now_of(instance_id) for instance_id in ids]
        for row in rows:
            row._answered_at = START + timedelta(seconds=int(self.clock()))  # as Date has it
        return rows

    def _changed(self, query: str) -> list[InstanceSummary]:
        if self.changes == "refused":
            raise StatusError("400", status_code=400)
        if self.changes == "broken":
            raise unavailable()
        if self.changes == "cached" and self._first_changes is not None:
            return self._first_changes
        # In UTC as it is written, in a zone to the east that is another's, or in one to the west.
        hours = {"east": 2, "west": -2}.get(self.changes, 0)
        after = datetime.fromisoformat(query.split('"')[1]) + timedelta(hours=hours)
        rows = self._rows(self.ids)
        if self.changes != "ignored":
            rows = [row for row in rows if (when := moment(row.last_modified)) is not None and when > after]
        self._first_changes = self._first_changes or rows
        return rows

    def wait_for_all(
        self,
        timeout: float = 3600.0,
        *,
        start: Callable[[Callable[[], None]], Any] = lambda request: request(),
        random: Callable[[], float] = lambda: 0.0,
        start_within: float = 0.0,
    ) -> dict[str, tuple[bool, float]]:
        """
        One wait for each id, begun in turn within some seconds: whether it was approved, and when the wait ended.
        """

        async def one(shared: Watcher, number: int, instance_id: str) -> tuple[bool, float]:
            await asyncio.sleep(start_within * number / len(self.ids))
            verdict = await shared.wait(instance_id, timeout=timeout)
            return verdict.is_approved, asyncio.get_running_loop().time()

        async def run() -> list[tuple[bool, float]]:
            shared = new_watcher(self, random=random, start=start)
            return await asyncio.gather(*(one(shared, number, id_) for number, id_ in enumerate(self.ids)))

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return dict(zip(self.ids, runner.run(run()), strict=True))
