"""
The functions: workflow instances and certificates read live, at preview and at update, with nothing kept in state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, TypeVar, Unpack
from uuid import UUID
from weakref import WeakKeyDictionary

import pulumi
from pulumi.output import UNKNOWN

from .errors import InstanceIdError, KeyfactorError, RequestError, only_ours, unforeseen
from .keyfactor.client import Client, client_for
from .keyfactor.models import Status, StatusWord, is_whole, parse_instance_id
from .keyfactor.search import Filters, known_filters
from .provider import InvalidArgumentError, Provider, invalid, is_mocked, one_line, provider_of, resolve_settings
from .results import (
    GetCertificateResult,
    GetWorkflowInstanceResult,
    WorkflowInstanceSummary,
    certificate_result,
    instance_result,
    summary,
)
from .sdk import dependencies, wait_for
from .waiting.threads import RequestThreads, threads_for
from .words import safe_line

GET_INSTANCE: Final = "keyfactor:index:getWorkflowInstance"
GET_INSTANCES: Final = "keyfactor:index:getWorkflowInstances"
FIND_INSTANCE: Final = "keyfactor:index:findWorkflowInstance"
GET_CERTIFICATE: Final = "keyfactor:index:getCertificate"

Result = TypeVar("Result")


class FilterInputs(TypedDict, total=False):
    """
    The filters of a list, each known now or later.
    """

    status: pulumi.Input[StatusWord | Status | int] | None
    title_contains: pulumi.Input[str] | None
    workflow_type: pulumi.Input[str] | None
    initiated_by: pulumi.Input[str] | None
    started_after: pulumi.Input[str] | None
    definition_id: pulumi.Input[str] | None
    reference_id: pulumi.Input[int] | None
    ids: pulumi.Input[list[pulumi.Input[str]]] | None
    query: pulumi.Input[str] | None


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
    `__cause__` is the KeyfactorError. Raises InvalidArgumentError before anything is sent for what is not an id,
    and for what is known later: that is for `get_workflow_instance_output`.
    """
    _refuse_outputs("get_workflow_instance", instance_id=instance_id, reference_id=reference_id)
    key = _key_of("get_workflow_instance", instance_id, reference_id)
    result: GetWorkflowInstanceResult = _known_now(_read(key, provider_of(opts)), "get_workflow_instance")
    return result


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
        _key_of("get_workflow_instance_output", None, None)
    provider = provider_of(opts)

    def read(known: dict[str, Any]) -> Awaitable[Any]:
        return _read(_key_of("get_workflow_instance_output", known["instance_id"], known["reference_id"]), provider)

    return pulumi.Output.all(instance_id=instance_id, reference_id=reference_id, after=dependencies(opts)).apply(read)


def get_workflow_instances(
    *,
    assigned_to_me: bool = False,
    started_by_me: bool = False,
    newest_first: bool = False,
    limit: int | None = None,
    opts: pulumi.InvokeOptions | None = None,
    **filters: Unpack[Filters],
) -> list[WorkflowInstanceSummary]:
    """
    List workflow instances, the oldest first, without their signals and state data, which Keyfactor's list does not
    have.

    :param assigned_to_me: those that wait for the answer of the user who asks
    :param started_by_me: those that the user who asks has started; not both
    :param newest_first: in the order of their start, the last one first, so that `limit` keeps the newest

    :param status: Running, Suspended, Complete, Failed, Rejected or CanceledForRestart
    :param title_contains: a part of the title, such as `CN=web.example.com`
    :param workflow_type: Enrollment, Revocation, Expiration, ...
    :param initiated_by: who started it, as `DOMAIN\\user`
    :param started_after: a datetime, or ISO 8601; in UTC when it has no zone
    :param definition_id: the GUID of the workflow definition
    :param reference_id: the number that Keyfactor shows for an instance
    :param ids: the GUIDs of at most 50 instances
    :param query: a query in Keyfactor's own language, instead of or besides the others
    :param limit: at most so many
    :param opts: `provider` or `parent` choose the server

    Raises pulumi.RunError when the list cannot be read, or a filter can match nothing; its `__cause__` is the
    KeyfactorError. A `workflow_type` that is nearly one of Keyfactor's is a warning.
    """
    options = {
        "assigned_to_me": assigned_to_me,
        "started_by_me": started_by_me,
        "newest_first": newest_first,
        "limit": limit,
    }
    _refuse_outputs("get_workflow_instances", **options, **filters)
    wanted = {**known_filters(filters), **options}
    rows: list[WorkflowInstanceSummary] = _known_now(_list(wanted, provider_of(opts)), "get_workflow_instances")
    return rows


def get_workflow_instances_output(
    *,
    assigned_to_me: pulumi.Input[bool] = False,
    started_by_me: pulumi.Input[bool] = False,
    newest_first: pulumi.Input[bool] = False,
    limit: pulumi.Input[int] | None = None,
    opts: pulumi.InvokeOptions | pulumi.InvokeOutputOptions | None = None,
    **filters: Unpack[FilterInputs],
) -> pulumi.Output[list[WorkflowInstanceSummary]]:
    """
    `get_workflow_instances` for inputs that are known later.
    """
    provider = provider_of(opts)

    def read(known: dict[str, Any]) -> Awaitable[Any]:
        del known["after"]
        return _list(known, provider)

    return pulumi.Output.all(
        **known_filters(filters),
        assigned_to_me=assigned_to_me,
        started_by_me=started_by_me,
        newest_first=newest_first,
        limit=limit,
        after=dependencies(opts),
    ).apply(read)


def find_workflow_instance(
    *,
    match: Mapping[str, Any] | None = None,
    status: StatusWord | Status | int | None = "Complete",
    workflow_type: str | None = "Enrollment",
    definition_id: str | None = None,
    title_contains: str | None = None,
    initiated_by: str | None = None,
    started_after: datetime | str | None = None,
    query: str | None = None,
    opts: pulumi.InvokeOptions | None = None,
) -> GetWorkflowInstanceResult:
    """
    The newest workflow instance, by its start, that meets the filters and the match, at preview as at update.

    So a stack needs no id that changes with each renewal. Whoever enrolls for the same subject later would be found:
    pin `definition_id` and `initiated_by`, and give the gate an `expect`. Nothing that pins the definition is a
    warning.

    :param match: what the instance must be, in the language of the gate's `expect`:
        `{"current_state_data.Subject": "CN=web.example.com"}`
    :param status: Complete unless told otherwise; None for any
    :param workflow_type: Enrollment unless told otherwise; None for any
    :param definition_id: the GUID of the workflow definition
    :param title_contains: a part of the title
    :param initiated_by: who started it, as `DOMAIN\\user`
    :param started_after: a datetime, or ISO 8601; in UTC when it has no zone
    :param query: a query in Keyfactor's own language, besides the others
    :param opts: `provider` or `parent` choose the server

    Raises pulumi.RunError when none matches, when two of the same moment do, when none of the first fifty candidates
    does, or when the list cannot be read; its `__cause__` is the KeyfactorError. No message has a value of `match`.
    """
    wanted = {
        "match": match,
        "status": status,
        "workflow_type": workflow_type,
        "definition_id": definition_id,
        "title_contains": title_contains,
        "initiated_by": initiated_by,
        "started_after": started_after,
        "query": query,
    }
    _refuse_outputs("find_workflow_instance", **wanted)
    found: GetWorkflowInstanceResult = _known_now(_find(wanted, provider_of(opts)), "find_workflow_instance")
    return found


def find_workflow_instance_output(
    *,
    match: pulumi.Input[Mapping[str, pulumi.Input[Any]]] | None = None,
    status: pulumi.Input[StatusWord | Status | int] | None = "Complete",
    workflow_type: pulumi.Input[str] | None = "Enrollment",
    definition_id: pulumi.Input[str] | None = None,
    title_contains: pulumi.Input[str] | None = None,
    initiated_by: pulumi.Input[str] | None = None,
    started_after: pulumi.Input[str] | None = None,
    query: pulumi.Input[str] | None = None,
    opts: pulumi.InvokeOptions | pulumi.InvokeOutputOptions | None = None,
) -> pulumi.Output[GetWorkflowInstanceResult]:
    """
    `find_workflow_instance` for inputs that are known later.
    """
    provider = provider_of(opts)

    def read(known: dict[str, Any]) -> Awaitable[Any]:
        del known["after"]
        return _find(known, provider)

    return pulumi.Output.all(
        match=match,
        status=status,
        workflow_type=workflow_type,
        definition_id=definition_id,
        title_contains=title_contains,
        initiated_by=initiated_by,
        started_after=started_after,
        query=query,
        after=dependencies(opts),
    ).apply(read)


def get_certificate(
    *,
    certificate_id: int | None = None,
    thumbprint: str | None = None,
    request_id: int | None = None,
    instance_id: str | UUID | None = None,
    opts: pulumi.InvokeOptions | None = None,
) -> GetCertificateResult:
    """
    A certificate, by exactly one of these, at preview as at update.

    :param certificate_id: Keyfactor's number for it
    :param thumbprint: its SHA-1, in hexadecimal digits
    :param request_id: what the answer to an enrollment calls KeyfactorRequestId
    :param instance_id: the workflow instance of an enrollment, Complete, whose state data names the certificate
    :param opts: `provider` or `parent` choose the server

    Raises pulumi.RunError when there is none, none yet, several, or it cannot be read; its `__cause__` is the
    KeyfactorError, a NotIssuedError while the certificate is not issued yet.
    """
    wanted = {
        "certificate_id": certificate_id,
        "thumbprint": thumbprint,
        "request_id": request_id,
        "instance_id": instance_id,
    }
    _refuse_outputs("get_certificate", **wanted)
    found: GetCertificateResult = _known_now(_get_certificate(wanted, provider_of(opts)), "get_certificate")
    return found


def get_certificate_output(
    *,
    certificate_id: pulumi.Input[int] | None = None,
    thumbprint: pulumi.Input[str] | None = None,
    request_id: pulumi.Input[int] | None = None,
    instance_id: pulumi.Input[str] | None = None,
    opts: pulumi.InvokeOptions | pulumi.InvokeOutputOptions | None = None,
) -> pulumi.Output[GetCertificateResult]:
    """
    `get_certificate` for inputs that are known later, such as a gate's `approved_instance_id`: the certificate is then
    asked for when the gate has opened.
    """
    provider = provider_of(opts)

    def read(known: dict[str, Any]) -> Awaitable[Any]:
        del known["after"]
        return _get_certificate(known, provider)

    return pulumi.Output.all(
        certificate_id=certificate_id,
        thumbprint=thumbprint,
        request_id=request_id,
        instance_id=instance_id,
        after=dependencies(opts),
    ).apply(read)


def _refuse_outputs(name: str, **arguments: object) -> None:
    """
    Raise RunError for an argument that is known later.
    """
    for argument, value in arguments.items():
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, pulumi.Output | Awaitable) for part in parts):
            raise InvalidArgumentError(
                f"{name}: {argument} is an Output, whose value is not known yet; use {name}_output, which takes it"
            )


def _known_now(asked: Awaitable[Any], name: str) -> Any:
    found = wait_for(asked)
    if found is UNKNOWN:
        raise pulumi.RunError(
            f"{name}: the provider's settings are not known in this preview; use {name}_output, whose result is "
            f"unknown then"
        )
    return found


@dataclass(frozen=True)
class _InstanceKey:
    """
    What names an instance: exactly one of the two.
    """

    instance_id: str | None
    reference_id: int | None

    @classmethod
    @only_ours(InstanceIdError)
    def of(cls, instance_id: object, reference_id: object) -> _InstanceKey:
        if reference_id is None:
            return cls(parse_instance_id(instance_id), None)
        if instance_id is not None:
            raise InstanceIdError("pass either instance_id or reference_id, not both")
        if not is_whole(reference_id):
            raise InstanceIdError(f"reference_id is a whole number, not {safe_line(str(reference_id), longest=60)!r}")
        return cls(None, int(reference_id))


def _key_of(name: str, instance_id: object, reference_id: object) -> _InstanceKey:
    try:
        return _InstanceKey.of(instance_id, reference_id)
    except ValueError as error:
        raise invalid(name, error) from error


async def _read(key: _InstanceKey, provider: Provider | None) -> Any:
    if is_mocked():
        names = {"instance_id": key.instance_id, "reference_id": key.reference_id}
        return instance_result(pulumi.runtime.invoke(GET_INSTANCE, names).value)

    def ask(client: Client) -> Mapping[str, Any]:
        return client.get_workflow_instance(key.instance_id, reference_id=key.reference_id).outputs()

    found = await _ask(ask, provider, shared_as=key)
    # Each call has values of its own, which its user may change.
    return found if found is UNKNOWN else instance_result(found)


async def _list(wanted: dict[str, Any], provider: Provider | None) -> Any:
    given = {name: value for name, value in wanted.items() if value is not None}
    if is_mocked():
        answer = pulumi.runtime.invoke(GET_INSTANCES, given).value
        return [summary(row) for row in answer.get("instances", [])]
    if isinstance(limit := given.get("limit"), float) and limit.is_integer():  # every number is one on the wire
        given["limit"] = int(limit)

    def ask(client: Client, warn: Callable[[str], None]) -> list[Mapping[str, Any]]:
        return [row.outputs() for row in client.list_workflow_instances(**given, warn=warn)]

    rows = await _ask_with_doubts(ask, provider)
    return rows if rows is UNKNOWN else [summary(row) for row in rows]


async def _find(wanted: dict[str, Any], provider: Provider | None) -> Any:
    if is_mocked():
        given = {name: value for name, value in wanted.items() if value is not None}
        return instance_result(pulumi.runtime.invoke(FIND_INSTANCE, given).value)

    def ask(client: Client, warn: Callable[[str], None]) -> Mapping[str, Any]:
        return client.find_workflow_instance(**wanted, warn=warn).outputs()

    found = await _ask_with_doubts(ask, provider)
    return found if found is UNKNOWN else instance_result(found)


async def _get_certificate(wanted: dict[str, Any], provider: Provider | None) -> Any:
    if is_mocked():
        given = {name: value for name, value in wanted.items() if value is not None}
        return certificate_result(pulumi.runtime.invoke(GET_CERTIFICATE, given).value)
    found = await _ask(lambda client: client.get_certificate(**wanted).outputs(), provider)
    return found if found is UNKNOWN else certificate_result(found)


async def _ask_with_doubts(ask: Callable[[Client, Callable[[str], None]], Result], provider: Provider | None) -> Any:
    """
    The same as `_ask`, and each doubt as a warning of the CLI, where the request fails too.
    """
    doubts: list[str] = []
    try:
        return await _ask(lambda client: ask(client, doubts.append), provider)
    finally:
        for doubt in doubts:
            pulumi.log.warn(doubt)


async def _ask(
    ask: Callable[[Client], Result], provider: Provider | None, *, shared_as: _InstanceKey | None = None
) -> Any:
    """
    What the server answers, UNKNOWN while the provider's settings are not known, or RunError.
    """
    try:
        settings = await resolve_settings(provider)
        if settings is None:
            return UNKNOWN
        client, threads = client_for(settings), threads_for(settings)
        if shared_as is None:
            return await threads.call(lambda: ask(client))
        return await _shared(threads, shared_as, lambda: ask(client))
    except KeyfactorError as error:
        raise one_line(error) from error
    except Exception as error:
        ours = RequestError(unforeseen(error))
        raise one_line(ours) from ours


_unsent: WeakKeyDictionary[RequestThreads, dict[_InstanceKey, asyncio.Task[Any]]] = WeakKeyDictionary()


async def _shared(threads: RequestThreads, key: _InstanceKey, ask: Callable[[], Any]) -> Any:
    """
    The answer to a request that is not sent yet, made now or by an earlier call.
    """
    unsent = _unsent.setdefault(threads, {})

    def send() -> Any:
        del unsent[key]  # in the request's own thread, when its turn has come
        return ask()

    async def wait_for_turn() -> Any:
        await asyncio.sleep(0)  # a turn of the loop: calls whose inputs are known together come in the same one
        return await threads.call(send)

    request = unsent.get(key)
    if request is None:
        request = unsent[key] = asyncio.ensure_future(wait_for_turn())
    return await asyncio.shield(request)
