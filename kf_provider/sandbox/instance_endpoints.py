"""
The endpoints under /Workflow/Instances.

Source: keyfactor-api.md, sections 1, 4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from .accounts import Permission
from .call import Call, forbidden, require_permission
from .dialect import Dialect
from .faults import FaultKind
from .query import QueryError, Value, parse_query
from .responses import KeyfactorJsonResponse, bad_request
from .state import SandboxState
from .wire import QUERY_FIELDS
from .workflow import Instance

DEFAULT_RETURN_LIMIT: Final = 50
OTHER_ZONE: Final = timedelta(hours=2)


class InstanceEndpoints:
    """
    What Keyfactor answers about workflow instances. To refuse, a method raises an `ApiError` or a `WorkflowError`.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def get(self, call: Call) -> Response:
        """
        GET {id}.
        """
        readable = (Permission.READ_ALL, Permission.READ_ASSIGNED_TO_ME, Permission.READ_MY)
        require_permission(self._state, call, *readable)
        instance = self._state.machine.instance(call.id)
        if not _may_see(call, instance):
            raise forbidden(self._state, call, *readable)
        if call.fault is FaultKind.STALE:
            instance = self._state.machine.earlier(call.id)
        return KeyfactorJsonResponse(self._state.wire.instance(instance))

    def list_all(self, call: Call) -> Response:
        """
        GET: everything.
        """
        require_permission(self._state, call, Permission.READ_ALL)
        return self._page(call, self._state.machine.instances)

    def my(self, call: Call) -> Response:
        """
        GET My: what the caller started.
        """
        require_permission(self._state, call, Permission.READ_ALL, Permission.READ_MY)
        return self._page(call, [i for i in self._state.machine.instances if _is_own(call, i)])

    def assigned_to_me(self, call: Call) -> Response:
        """
        GET AssignedToMe: what waits for a role of the caller, and for an answer of theirs.
        """
        # Which permission Command 11 asks for, its documents do not agree on; each of them does here.
        permissions = [Permission.READ_ALL, Permission.READ_ASSIGNED_TO_ME]
        if self._state.wire.dialect is not Dialect.COMMAND_10:
            permissions.append(Permission.READ_MY)
        require_permission(self._state, call, *permissions)
        person = call.caller.account.person
        return self._page(call, [i for i in self._state.machine.instances if i.awaits(person)])

    def signal(self, call: Call) -> Response:
        """
        POST {id}/Signals: the right to answer is a role, not a permission.
        """
        body = call.json_object()
        key, content = body.get("signalkey"), body.get("data")
        if not isinstance(key, str) or not isinstance(content, dict):
            raise bad_request("SignalKey must be a string and Data an object.")
        given = {name.lower(): item for name, item in content.items()}
        approved = {"true": True, "false": False}.get(str(given.get("approved")).lower())
        if approved is None:
            raise bad_request("Data.Approved must be 'True' or 'False'.")
        self._state.signal(
            call.id,
            signal_key=key,
            approved=approved,
            comment=str(given.get("comment") or ""),
            sender=call.caller.account.person,
        )
        return Response(status_code=204)

    def stop(self, call: Call) -> Response:
        """
        POST {id}/Stop.
        """
        require_permission(self._state, call, Permission.MANAGE)
        self._state.machine.stop(call.id, by=call.caller.account.username)
        return Response(status_code=204)

    def restart(self, call: Call) -> Response:
        """
        POST {id}/Restart: `version` in the query as the specifications say, or in the body as the documentation does.
        """
        require_permission(self._state, call, Permission.MANAGE)
        if self._state.wire.dialect is not Dialect.COMMAND_10:
            require_permission(self._state, call, Permission.READ_ALL)
        version: int | None = call.whole_number("version", 0, least=0) or None
        if version is None and call.body.strip():
            in_body = call.json_object().get("version")
            if in_body is not None and type(in_body) is not int:
                raise bad_request("The version must be a whole number.")
            version = in_body
        self._state.machine.restart(call.id, by=call.caller.account.username, version=version)
        return Response(status_code=204)

    def delete(self, call: Call) -> Response:
        """
        DELETE {id}, in any status: no source says which ones forbid it.
        """
        require_permission(self._state, call, Permission.MANAGE)
        self._state.machine.delete(call.id)
        return Response(status_code=204)

    def _page(self, call: Call, instances: list[Instance]) -> Response:
        """
        The part of `instances` that the query parameters ask for; the total goes into x-total-count.
        """
        wire = self._state.wire
        if call.fault is FaultKind.STALE:
            instances = [self._state.machine.earlier(instance.id) for instance in instances]
        query = call.parameter("QueryString") or ""
        try:
            wanted = parse_query(query, QUERY_FIELDS)
        except QueryError as exc:
            raise bad_request(f"The query string is not valid: {exc}.") from exc
        found = [instance for instance in instances if wanted(_read(wire.query_fields(instance), call.fault))]
        # 0 is ascending and 1 descending, whatever the parameter is called.
        descending = call.whole_number("SortAscending", 0, least=0, most=1) == 1
        found.sort(key=_sort_key(call.parameter("SortField") or "CurrentStepDisplayName"), reverse=descending)
        limit = call.whole_number("ReturnLimit", DEFAULT_RETURN_LIMIT, least=1)
        skipped = (call.whole_number("PageReturned", 1, least=1) - 1) * limit
        rows = [wire.row(instance) for instance in found[skipped : skipped + limit]]
        answer = KeyfactorJsonResponse(rows, headers={"x-total-count": str(len(found))})
        return self._state.cached(str(call.parameters), answer) if call.fault is FaultKind.CACHED else answer


def _read(fields: Mapping[str, Value], fault: FaultKind | None) -> Mapping[str, Value]:
    """
    What a server compares a query with that has other dates than it shows, or knows fewer.
    """
    last_modified = fields["LastModified"]
    match fault:
        case FaultKind.OTHER_ZONE:
            return {n: v - OTHER_ZONE if isinstance(v, datetime) else v for n, v in fields.items()}
        case FaultKind.WHOLE_SECONDS if isinstance(last_modified, datetime):
            return {**fields, "LastModified": last_modified.replace(microsecond=0)}
        case FaultKind.NO_DATES:
            return {**fields, "LastModified": None}
    return fields


def _is_own(call: Call, instance: Instance) -> bool:
    return instance.initiated_by.lower() == call.caller.account.username.lower()


def _may_see(call: Call, instance: Instance) -> bool:
    account = call.caller.account
    return (
        account.may(Permission.READ_ALL)
        or (account.may(Permission.READ_MY) and _is_own(call, instance))
        or (account.may(Permission.READ_ASSIGNED_TO_ME) and instance.awaits(account.person))
    )


def _sort_key(name: str) -> Callable[[Instance], Any]:
    keys: dict[str, Callable[[Instance], Any]] = {
        "currentstepdisplayname": lambda i: i.step.display_name.lower(),
        "definitionid": lambda i: str(i.definition.id),
        "id": lambda i: str(i.id),
        "initiatingusername": lambda i: i.initiated_by.lower(),
        "lastmodified": lambda i: i.last_modified,
        "referenceid": lambda i: i.reference_id,
        "startdate": lambda i: i.start_date,
        "status": lambda i: str(i.status),
        "title": lambda i: i.title.lower(),
        "workflowtype": lambda i: i.definition.workflow_type,
    }
    try:
        return keys[name.lower()]
    except KeyError:
        raise bad_request(f"The value '{name}' is not valid for SortField.") from None
