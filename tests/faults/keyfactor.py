"""
The workflow machine behind the watcher's `Server`, without HTTP: every answer goes through JSON, and is noted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Unpack
from uuid import UUID, uuid4

from kf_provider.errors import (
    ForbiddenError,
    KeyfactorError,
    NoAnswerError,
    NotFoundError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
)
from kf_provider.keyfactor.models import Instance, InstanceSummary, WorkflowDefinition
from kf_provider.keyfactor.search import Filters
from kf_provider.keyfactor.settings import Settings
from kf_provider.sandbox.definitions import ApprovalStep, workflow_definition
from kf_provider.sandbox.dialect import Dialect
from kf_provider.sandbox.query import parse_query
from kf_provider.sandbox.wire import INVENTED_NUMBERS, QUERY_FIELDS, Wire
from kf_provider.sandbox.workflow import DefinitionVersion, InstanceNotFoundError, WorkflowMachine, next_approver
from kf_provider.sandbox.workflow import Instance as WorkflowInstance

START: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """
    One request and its answer. `kind` is get, list (these ids), changes (of any instance), search (whatever may be a
    successor) or definition.

    `told` are the statuses that a good answer told, `error` is what came in place of one.
    """

    kind: str
    begun: float
    ended: float
    ids: tuple[str, ...]
    told: dict[str, str] = field(default_factory=dict)
    rows: tuple[InstanceSummary, ...] = ()
    error: KeyfactorError | None = None


class Keyfactor:
    """
    A server with a machine, on the virtual time of the running event loop; what goes wrong are its attributes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, dialect: str = "25", has_numbers: bool = False) -> None:
        self._loop = loop
        numbers = INVENTED_NUMBERS if has_numbers else None
        self._wire = Wire(Dialect(dialect), numbers)
        names = {number: str(status) for status, number in INVENTED_NUMBERS.items()} if has_numbers else {}
        self._context = {"status_names": names}
        self.settings = Settings(hostname="k.example.com", username="u", password="p", status_names=names)
        self.machine = WorkflowMachine(now=self._now)
        self._definitions: dict[int, DefinitionVersion] = {}
        self._rows_read: dict[str, InstanceSummary] = {}
        self.log: list[Asked] = []

        self.latency = 0.05
        self.outage: str | None = None  # closed, hangs, unavailable, busy, filtered, locked
        self.retry_after: float | None = None
        self.is_stale = False
        self.list_mode = "honest"  # refused, short, forbidden, ignored, broken
        self.hidden: set[str] = set()  # from lists
        self.forbidden: set[str] = set()

        self.in_flight = 0
        self.most_in_flight = 0
        self._begun = 0.0

    def _now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

    # What people do

    def enroll(self, approvals: int = 1) -> str:
        if approvals not in self._definitions:
            steps = [ApprovalStep(approvals=1) for _ in range(approvals)]
            self._definitions[approvals] = self.machine.publish(
                workflow_definition("web", workflow_type="Enrollment", approval_steps=steps, new_id=uuid4)
            )
        number = len(self.machine.instances) + 1
        started = self.machine.start(
            self._definitions[approvals], title=f"enrolls {number} {uuid4()}", initiated_by="me", initial_data={"n": 1}
        )
        return str(started.id)

    def answer(self, instance_id: str, *, approved: bool) -> None:
        instance = self.machine.instance(UUID(instance_id))
        self.machine.signal(
            instance.id,
            signal_key=f"{instance.step.unique_name}.ApprovalStatus",
            approved=approved,
            comment="",
            sender=next_approver(instance),
        )

    # How the watcher asks

    def start(self, run: Callable[[], None]) -> None:
        """
        Answer after the latency, in place of a thread.
        """
        begun = self._loop.time()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

        def finish() -> None:
            self._begun = begun
            self.in_flight -= 1
            run()

        self._loop.call_later(10.0 if self.outage == "hangs" else self.latency, finish)

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None, retries: int = 2) -> Instance:
        def find() -> Instance:
            if instance_id in self.forbidden:
                raise ForbiddenError(f"403 for {instance_id}", status_code=403, error_code="0xA0140002")
            try:
                found = self.machine.instance(UUID(instance_id))
            except InstanceNotFoundError:
                raise NotFoundError(f"404 for {instance_id}", status_code=404) from None
            if self.is_stale:
                found = self.machine.earlier(found.id)
            return Instance.model_validate(_sent(self._wire.instance(found)), context=self._context)

        found: list[Instance] = self._answered("get", (instance_id,), lambda: [find()])
        return found[0]

    def list_workflow_instances(
        self,
        *,
        limit: int | None = None,
        timeout: float | None = None,
        retries: int = 2,
        **filters: Unpack[Filters],
    ) -> list[InstanceSummary]:
        if query := filters.get("query"):
            return self._answered("changes", (), lambda: list(self._rows(query, 0))[:limit])
        ids = tuple(filters.get("ids") or ())
        wanted = [f'Id -eq "{id_}"' for id_ in ids] or [f'DefinitionId -eq "{filters["definition_id"]}"']
        kind = "list" if ids else "search"
        return self._answered(kind, ids, lambda: list(self._rows(" OR ".join(wanted), len(ids)))[:limit])

    def get_workflow_definition(
        self, definition_id: str, *, version: int | None = None, timeout: float | None = None, retries: int = 2
    ) -> WorkflowDefinition:
        def find() -> WorkflowDefinition:
            found = self.machine.definition(UUID(definition_id), version)
            return WorkflowDefinition.model_validate(
                _sent(self._wire.definition(found, 2 if self._wire.dialect is Dialect.COMMAND_25 else 1))
            )

        found: list[WorkflowDefinition] = self._answered("definition", (definition_id,), lambda: [find()])
        return found[0]

    def _rows(self, query: str, size: int) -> Iterator[InstanceSummary]:
        match self.list_mode:
            case "refused":
                raise StatusError("400 for a query", status_code=400)
            case "short" if size > 20:
                raise StatusError("400 for a long query", status_code=400)
            case "forbidden":
                raise ForbiddenError("403 for the list", status_code=403, error_code="0xA0140002")
            case "broken":
                raise UnavailableError("503 for the list", status_code=503, is_transient=True)
        is_wanted = parse_query("" if self.list_mode == "ignored" else query, QUERY_FIELDS)
        for found in self.machine.instances:
            seen = self.machine.earlier(found.id) if self.is_stale else found
            if str(seen.id) not in self.hidden and is_wanted(self._wire.query_fields(seen)):
                yield self._row(seen)

    def _row(self, found: WorkflowInstance) -> InstanceSummary:
        text = json.dumps(self._wire.row(found))
        if text not in self._rows_read:  # frozen, so what is sent again need not be read again
            self._rows_read[text] = InstanceSummary.model_validate(json.loads(text), context=self._context)
        return self._rows_read[text]

    def _answered(self, kind: str, ids: tuple[str, ...], find: Callable[[], list[Any]]) -> list[Any]:
        begun, now = self._begun, self._loop.time()
        try:
            self._break()
            rows = find()
        except KeyfactorError as error:
            self.log.append(Asked(kind, begun, now, ids, error=error))
            raise
        told = {row.instance_id: str(row.status) for row in rows if isinstance(row, InstanceSummary)}
        self.log.append(Asked(kind, begun, now, ids, told, tuple(rows)))
        return rows

    def _break(self) -> None:
        match self.outage:
            case "closed":
                raise NoAnswerError("the connection was closed", is_transient=True)
            case "hangs":
                raise NoAnswerError("no answer in 10 s", is_transient=True)
            case "unavailable":
                raise UnavailableError("503", status_code=503, is_transient=True, retry_after=self.retry_after)
            case "busy":
                raise UnavailableError("429", status_code=429, is_transient=True, retry_after=self.retry_after)
            case "filtered":
                raise ForbiddenError("403, a page of a filter", status_code=403)
            case "locked":
                raise UnauthorizedError("401", status_code=401)


def _sent(content: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(json.dumps(content))
    return sent
