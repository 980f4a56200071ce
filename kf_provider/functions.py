"""
The functions: workflow instances read live, at preview and at update, with nothing kept in state.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import pulumi
from pulumi.output import UNKNOWN
from pulumi.runtime._depends_on import _resolve_depends_on
from pulumi.runtime.rpc import _expand_dependencies
from pulumi.runtime.sync_await import _sync_await

from .client import Client, client_for
from .errors import KeyfactorError
from .keyfactor.settings import Settings
from .models import Instance, InstanceSummary, parse_instance_id
from .provider import Provider, is_mocked, one_line, provider_of, resolve_settings
from .verdict import status_word
from .watcher import Watcher, watcher_for

GET_INSTANCE: Final = "keyfactor:index:getWorkflowInstance"
GET_INSTANCES: Final = "keyfactor:index:getWorkflowInstances"

Result = TypeVar("Result")


@pulumi.output_type
class Definition(dict[str, Any]):
    """
    The workflow definition that an instance runs.
    """

    id: str | None = pulumi.property("id")
    display_name: str | None = pulumi.property("display_name")
    version: int | None = pulumi.property("version")
    workflow_type: str | None = pulumi.property("workflow_type")


@pulumi.output_type
class Signal(dict[str, Any]):
    """
    An input that the current step waits for, or has received.
    """

    signal_name: str | None = pulumi.property("signal_name")
    step_signal_id: str | None = pulumi.property("step_signal_id")
    signal_received: bool = pulumi.property("signal_received")


@pulumi.output_type
class WorkflowInstanceSummary(dict[str, Any]):
    """
    A row of the list of instances: all but the signals and the state data, which the list does not have.
    """

    instance_id: str = pulumi.property("instance_id")
    status: str | None = pulumi.property("status")
    status_message: str | None = pulumi.property("status_message")
    current_step_id: str | None = pulumi.property("current_step_id")
    current_step_display_name: str | None = pulumi.property("current_step_display_name")
    current_step_unique_name: str | None = pulumi.property("current_step_unique_name")
    title: str | None = pulumi.property("title")
    reference_id: int | None = pulumi.property("reference_id")
    start_date: str | None = pulumi.property("start_date")
    last_modified: str | None = pulumi.property("last_modified")
    definition: Definition | None = pulumi.property("definition")


class _NotTakenForAnAwaitable(type):
    """
    Lets `await` work on a result which `inspect.isawaitable` does not recognise.

    The SDK awaits what it is given to export. That flattens a dict whose fields are secret outputs into one secret, and
    with the data the status would be hidden.
    """

    @property
    def __mro__(cls) -> tuple[type, ...]:  # what collections.abc.Awaitable searches for `__await__`
        return tuple(base for base in type.mro(cls) if base is not _Awaitable)


class _Awaitable:
    def __await__(self) -> Generator[Any, None, Self]:
        # Awaitable, as the results of generated SDKs are.
        yield from ()
        return self


@pulumi.output_type
class GetWorkflowInstanceResult(dict[str, Any], _Awaitable, metaclass=_NotTakenForAnAwaitable):
    """
    A workflow instance, as Keyfactor Command answers it.

    `status` is Running, Suspended, Complete, Failed, Rejected or CanceledForRestart (a number in text where the server
    sends numbers and `status_names` does not name it). Dates are ISO 8601 in UTC. `initial_data` and
    `current_state_data` are secret outputs, always: scripts and REST steps put whole responses there.

    Source: Keyfactor Command Web API reference 10.3, GET Workflow Instances Instance ID, table 659.
    """

    instance_id: str = pulumi.property("instance_id")
    status: str | None = pulumi.property("status")
    status_message: str | None = pulumi.property("status_message")
    current_step_id: str | None = pulumi.property("current_step_id")
    current_step_display_name: str | None = pulumi.property("current_step_display_name")
    current_step_unique_name: str | None = pulumi.property("current_step_unique_name")
    title: str | None = pulumi.property("title")
    reference_id: int | None = pulumi.property("reference_id")
    start_date: str | None = pulumi.property("start_date")
    last_modified: str | None = pulumi.property("last_modified")
    definition: Definition | None = pulumi.property("definition")
    signals: list[Signal] = pulumi.property("signals")
    initial_data: pulumi.Output[Mapping[str, Any]] = pulumi.property("initial_data")
    current_state_data: pulumi.Output[Mapping[str, Any]] = pulumi.property("current_state_data")


def get_workflow_instance(
    instance_id: str | UUID | None = None,
    *,
    reference_id: int | None = None,
    opts: pulumi.InvokeOptions | None = None,
) -> GetWorkflowInstanceResult:
    """
    Read a workflow instance now, at preview as at update.

    :param instance_id: the instance's GUID
    :param reference_id: the number that Keyfactor shows for the instance, instead of the GUID; costs one request more
    :param opts: `provider` or `parent` choose the server

    Raises pulumi.RunError, which the CLI shows as one line, when the instance is not found or cannot be read; its
    `__cause__` is the KeyfactorError. Raises InstanceIdError before anything is sent for what is not an id.
    """
    which = _Which.of(instance_id, reference_id)
    found = _sync_await(_read(which, provider_of(opts)))
    if found is UNKNOWN:
        raise pulumi.RunError(
            "get_workflow_instance: the provider's settings are not known in this preview; "
            "use get_workflow_instance_output, whose result is unknown then"
        )
    assert isinstance(found, GetWorkflowInstanceResult)  # noqa: S101 - the only other value is handled above
    return found


def get_workflow_instance_output(
    instance_id: pulumi.Input[str] | None = None,
    *,
    reference_id: pulumi.Input[int] | None = None,
    opts: pulumi.InvokeOptions | pulumi.InvokeOutputOptions | None = None,
) -> pulumi.Output[GetWorkflowInstanceResult]:
    """
    `get_workflow_instance` for inputs that are known later: unknown in preview gives an unknown result, a secret id a
    secret one, and what the id depends on, the result depends on too.

    Calls for one instance share a request when they come before it is sent: so no answer is older than its call, and
    what depends on a gate reads the instance as it is after the approval.
    """
    if instance_id is None and reference_id is None:
        _Which.of(None, None)
    provider = provider_of(opts)

    def read(known: dict[str, Any]) -> Awaitable[Any]:
        try:
            which = _Which.of(known["instance_id"], known["reference_id"])
        except ValueError as error:
            raise one_line(error) from error
        return _read(which, provider)

    return pulumi.Output.all(instance_id=instance_id, reference_id=reference_id, after=_dependencies(opts)).apply(read)


def get_workflow_instances(
    *,
    status: str | None = None,
    title_contains: str | None = None,
    workflow_type: str | None = None,
    initiated_by: str | None = None,
    started_after: datetime | str | None = None,
    query: str | None = None,
    limit: int | None = None,
    opts: pulumi.InvokeOptions | None = None,
) -> list[WorkflowInstanceSummary]:
    """
    List workflow instances, without their signals and state data, which Keyfactor's list does not have.

    :param status: Running, Suspended, Complete, Failed, Rejected or CanceledForRestart
    :param title_contains: a part of the title, such as `CN=web.example.com`
    :param workflow_type: Enrollment, Revocation, Expiration, ...
    :param initiated_by: who started it, as `DOMAIN\\user`
    :param started_after: a datetime with a zone, or ISO 8601
    :param query: a query in Keyfactor's own language, instead of or besides the others
    :param limit: at most so many
    :param opts: `provider` or `parent` choose the server

    Raises pulumi.RunError when the list cannot be read; its `__cause__` is the KeyfactorError.
    """
    wanted = {
        "status": status,
        "title_contains": title_contains,
        "workflow_type": workflow_type,
        "initiated_by": initiated_by,
        "started_after": started_after,
        "query": query,
        "limit": limit,
    }
    found = _sync_await(_list(wanted, provider_of(opts)))
    if found is UNKNOWN:
        raise pulumi.RunError(
            "get_workflow_instances: the provider's settings are not known in this preview; "
            "use get_workflow_instances_output, whose result is unknown then"
        )
    assert isinstance(found, list)  # noqa: S101 - the only other value is handled above
    return found


def get_workflow_instances_output(
    *,
    status: pulumi.Input[str] | None = None,
    title_contains: pulumi.Input[str] | None = None,
    workflow_type: pulumi.Input[str] | None = None,
    initiated_by: pulumi.Input[str] | None = None,
    started_after: pulumi.Input[str] | None = None,
    query: pulumi.Input[str] | None = None,
    limit: pulumi.Input[int] | None = None,
    opts: pulumi.InvokeOptions | pulumi.InvokeOutputOptions | None = None,
) -> pulumi.Output[list[WorkflowInstanceSummary]]:
    """
    `get_workflow_instances` for inputs that are known later.
    """
    provider = provider_of(opts)

    def read(known: dict[str, Any]) -> Awaitable[Any]:
        del known["after"]
        return _list(known, provider)

    return pulumi.Output.all(
        status=status,
        title_contains=title_contains,
        workflow_type=workflow_type,
        initiated_by=initiated_by,
        started_after=started_after,
        query=query,
        limit=limit,
        after=_dependencies(opts),
    ).apply(read)


@dataclass(frozen=True)
class _Which:
    """
    Which instance is meant: exactly one of the two.
    """

    instance_id: str | None
    reference_id: int | None

    @classmethod
    def of(cls, instance_id: object, reference_id: object) -> _Which:
        if reference_id is None:
            return cls(parse_instance_id(instance_id), None)
        if instance_id is not None:
            raise ValueError("pass either instance_id or reference_id, not both")
        if isinstance(reference_id, bool) or not isinstance(reference_id, int | float) or reference_id % 1:
            raise ValueError(f"reference_id is a whole number, not {reference_id!r}")
        return cls(None, int(reference_id))


async def _read(which: _Which, provider: Provider | None) -> Any:
    if is_mocked():
        names = {"instance_id": which.instance_id, "reference_id": which.reference_id}
        return _result(pulumi.runtime.invoke(GET_INSTANCE, names).value)

    def ask(client: Client) -> tuple[Instance, Settings]:
        if which.instance_id is not None:
            return client.get_workflow_instance(which.instance_id), client.settings
        assert which.reference_id is not None  # noqa: S101 - _Which holds one of the two
        return client.find_workflow_instance(which.reference_id), client.settings

    found = await _ask(ask, provider, shared_as=which)
    # Each call has values of its own, which its user may change.
    return found if found is UNKNOWN else _result(outputs(*found))


async def _list(wanted: dict[str, Any], provider: Provider | None) -> Any:
    given = {name: value for name, value in wanted.items() if value is not None}
    if is_mocked():
        answer = pulumi.runtime.invoke(GET_INSTANCES, given).value
        return [_summary(row) for row in answer.get("instances", [])]
    if "limit" in given:
        given["limit"] = int(given["limit"])

    def ask(client: Client) -> list[dict[str, Any]]:
        return [outputs(row, client.settings) for row in client.list_workflow_instances(**given)]

    rows = await _ask(ask, provider)
    return rows if rows is UNKNOWN else [_summary(row) for row in rows]


async def _ask(ask: Callable[[Client], Result], provider: Provider | None, *, shared_as: _Which | None = None) -> Any:
    """
    What the server answers, UNKNOWN while the provider's settings are not known, or RunError.
    """
    try:
        settings = await resolve_settings(provider)
        if settings is None:
            return UNKNOWN
        client, watcher = client_for(settings), watcher_for(settings)
        if shared_as is None:
            return await watcher.call(lambda: ask(client))
        return await _shared(watcher, shared_as, lambda: ask(client))
    except (KeyfactorError, ValueError) as error:
        raise one_line(error) from error


_unsent: weakref.WeakKeyDictionary[Watcher, dict[_Which, asyncio.Task[Any]]] = weakref.WeakKeyDictionary()


async def _shared(watcher: Watcher, which: _Which, ask: Callable[[], Any]) -> Any:
    """
    The answer to a request that is not sent yet, made now or by an earlier call.
    """
    unsent = _unsent.setdefault(watcher, {})

    def send() -> Any:
        del unsent[which]  # in the request's own thread, when its turn has come
        return ask()

    async def wait_for_turn() -> Any:
        await asyncio.sleep(0)  # a turn of the loop: calls whose inputs are known together come in the same one
        return await watcher.call(send)

    request = unsent.get(which)
    if request is None:
        request = unsent[which] = asyncio.ensure_future(wait_for_turn())
    return await asyncio.shield(request)


def outputs(instance: InstanceSummary, settings: Settings) -> dict[str, Any]:
    """
    The instance as Pulumi's outputs; a status is a word, or a number in text where nothing names it.
    """
    fields = instance.outputs()
    fields["status"] = status_word(instance.status, settings.status_names)
    return fields


def _result(fields: Mapping[str, Any]) -> GetWorkflowInstanceResult:
    return GetWorkflowInstanceResult(
        **_summary_fields(fields),
        signals=[Signal(**signal) for signal in fields.get("signals") or []],
        initial_data=pulumi.Output.secret(fields.get("initial_data") or {}),
        current_state_data=pulumi.Output.secret(fields.get("current_state_data") or {}),
    )


def _summary(fields: Mapping[str, Any]) -> WorkflowInstanceSummary:
    return WorkflowInstanceSummary(**_summary_fields(fields))


def _summary_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: fields.get(name) for name in WorkflowInstanceSummary.__annotations__}
    if known["definition"] is not None:
        known["definition"] = Definition(**{name: known["definition"].get(name) for name in Definition.__annotations__})
    if known["reference_id"] is not None:
        known["reference_id"] = int(known["reference_id"])
    return known


def _dependencies(opts: pulumi.InvokeOptions | None) -> pulumi.Output[Any] | None:
    """
    An output that is known when what `depends_on` names exists, and depends on it.
    """
    if not isinstance(opts, pulumi.InvokeOutputOptions) or opts.depends_on is None:
        return None

    async def resolve() -> pulumi.Output[Any]:
        named = await _resolve_depends_on(opts._depends_on_list())
        expanded = await _expand_dependencies(named, None)
        return pulumi.Output.all(
            *(res.id if isinstance(res, pulumi.CustomResource) else res.urn for res in expanded.values())
        )

    return pulumi.Output.from_input(resolve())
