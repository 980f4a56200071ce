"""
Keyfactor's side of the sandbox: the endpoints of its Web API, over the workflow machine.

Starlette without FastAPI on top: every error body here is Keyfactor's own, and none is a framework's 422.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl
from uuid import UUID

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from .accounts import Caller, Permission
from .faults import FaultKind, FaultRule, Operation
from .journal import Endpoint
from .query import QueryError, parse_query
from .state import SandboxState
from .wire import QUERY_FIELDS, parse_id
from .workflow import DefinitionNotFoundError, Instance, InstanceNotFoundError, NotAllowedError, WorkflowError

REQUESTED_WITH: Final = frozenset({"xmlhttprequest", "apiclient"})
API_VERSIONS: Final = frozenset({"1", "1.0"})
TOKEN_PATH: Final = "/realms/Keyfactor/protocol/openid-connect/token"  # noqa: S105 - an address
DEFAULT_RETURN_LIMIT: Final = 50

# Only 0xA0140002 is Keyfactor's; no source gives the codes for the other errors.
CODE_FORBIDDEN: Final = "0xA0140002"
CODE_NOT_FOUND: Final = "0xA0110001"
CODE_BAD_REQUEST: Final = "0xA0110002"

# The page of IIS for a request without valid credentials: text, not JSON.
UNAUTHORIZED_PAGE: Final = """\
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html><head><title>401 - Unauthorized: Access is denied due to invalid credentials.</title></head>
<body><h1>Server Error</h1><h2>401 - Unauthorized: Access is denied due to invalid credentials.</h2>
<h3>You do not have permission to view this directory or page using the credentials that you supplied.</h3>
</body></html>
"""


class RefusalError(Exception):
    """
    Keyfactor says no: a status with an ErrorCode and a Message.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Call:
    """
    One request, understood: who asks, for what, with which parameters and body.
    """

    caller: Caller
    spelled_id: str
    parameters: Mapping[str, str]
    body: bytes

    @property
    def instance_id(self) -> UUID:
        """
        The instance in the path; a reference id is refused like everything else that is not a GUID.
        """
        instance_id = parse_id(self.spelled_id)
        if instance_id is None:
            raise bad_request(f"The value '{self.spelled_id}' is not valid.")
        return instance_id

    def parameter(self, name: str) -> str | None:
        """
        A query parameter by its name of Command 11, also under the names of Command 10; in any case.
        """
        for prefix in ("", "pq.", "instancequery."):
            if (text := self.parameters.get(prefix + name.lower())) is not None:
                return text
        return None

    def whole_number(self, name: str, default: int, *, least: int, most: int | None = None) -> int:
        """
        A query parameter that is a whole number within bounds.
        """
        text = self.parameter(name)
        try:
            number = default if text is None else int(text)
        except ValueError:
            raise bad_request(f"The value '{text}' is not valid for {name}.") from None
        if number < least or (most is not None and number > most):
            raise bad_request(f"The value '{text}' is not valid for {name}.")
        return number

    def json_object(self) -> dict[str, Any]:
        """
        The body as a JSON object with lower-case names.
        """
        try:
            body = json.loads(self.body)
        except ValueError:
            raise bad_request("The request body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise bad_request("The request body must be a JSON object.")
        return {name.lower(): content for name, content in body.items()}


Answer = Callable[[Call], Response]


class KeyfactorApi:
    """
    The ASGI application for everything that is Keyfactor's or the identity provider's.
    """

    def __init__(self, state: SandboxState, api_path: str) -> None:
        self._state = state
        base = "/" + api_path.strip("/").lower()
        instances = base + "/workflow/instances"
        # The literals come before {instance_id}, as on the server.
        self._router = Router(
            [
                self._route("GET", base + "/status/endpoints", Endpoint.STATUS_ENDPOINTS, self._status_endpoints),
                self._route("GET", instances, Endpoint.LIST, self._list),
                self._route("GET", instances + "/assignedtome", Endpoint.ASSIGNED_TO_ME, self._assigned_to_me),
                self._route("GET", instances + "/my", Endpoint.MY, self._my),
                self._route("GET", instances + "/{instance_id}", Endpoint.GET, self._get),
                self._route("POST", instances + "/{instance_id}/signals", Endpoint.SIGNAL, self._signal),
                self._route("POST", instances + "/{instance_id}/stop", Endpoint.STOP, self._stop),
                self._route("POST", instances + "/{instance_id}/restart", Endpoint.RESTART, self._restart),
                Route(TOKEN_PATH.lower(), self._answer_token_request, methods=["POST"]),
            ],
            default=self._answer_unknown_path,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # IIS compares paths without regard to case; the journal keeps the client's spelling.
        scope = {**scope, "path": scope["path"].lower().rstrip("/"), "spelled_path": scope["path"]}
        await self._router(scope, receive, send)

    # How every request is answered

    def _route(self, method: str, path: str, endpoint: Endpoint, answer: Answer) -> Route:
        async def handle(request: Request) -> Response:
            return await self._serve(request, endpoint, lambda body: self._answer(request, answer, body))

        return Route(path, handle, methods=[method])

    async def _answer_token_request(self, request: Request) -> Response:
        return await self._serve(request, Endpoint.TOKEN, lambda body: self._token(request, body))

    async def _answer_unknown_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        def not_found(_body: bytes) -> Response:
            # ASP.NET's own words, without an ErrorCode.
            uri = f"{request.url.scheme}://{request.url.netloc}{scope['spelled_path']}"
            message = f"No HTTP resource was found that matches the request URI '{uri}'."
            return JSONResponse({"Message": message}, status_code=404)

        request = Request(scope, receive)
        response = await self._serve(request, Endpoint.UNKNOWN, not_found)
        await response(scope, receive, send)

    async def _serve(self, request: Request, endpoint: Endpoint, answer: Callable[[bytes], Response]) -> Response:
        """
        Note the request, let a fault have its way, else answer; note what was answered.
        """
        state = self._state
        body = await request.body()
        instance_id = parse_id(request.path_params.get("instance_id", ""))
        with state.lock:
            caller = state.accounts.authenticate(request.headers.get("authorization"))
            identity = caller.account.username if caller else _client_credentials(request, body)[0]
            number = state.journal.open(
                endpoint=endpoint,
                method=request.method,
                path=request.scope["spelled_path"],
                query=request.url.query,
                headers=request.headers,
                instance_id=instance_id,
                identity=identity,
                credential=caller.kind if caller else None,
            )
            fault = state.faults.draw(Operation(endpoint, instance_id, identity))
            release = state.faults.release
        if fault is not None:
            state.journal.amend(number, fault=fault.kind)
            if fault.kind is FaultKind.CLOSE:
                return NoAnswer()
            if fault.kind is FaultKind.HANG and not await _released(request, release):
                return NoAnswer()
        with state.lock:
            response = self._fault_answer(fault, identity) or answer(body)
        response.headers["X-Keyfactor-Product-Version"] = state.product_version
        state.journal.amend(number, status=response.status_code)
        return response

    def _fault_answer(self, fault: FaultRule | None, identity: str | None) -> Response | None:
        """
        What a fault answers in the server's place, if it does.
        """
        if fault is None:
            return None
        match fault.kind:
            case FaultKind.STATUS:
                response = _error(fault.status, CODE_BAD_REQUEST, f"The sandbox answers {fault.status} by intention.")
                if fault.retry_after is not None:
                    response.headers["Retry-After"] = fault.retry_after
                return response
            case FaultKind.FORBIDDEN:
                return _error(403, CODE_FORBIDDEN, f"User {identity} doesn't have the required permission")
        return None

    def _answer(self, request: Request, answer: Answer, body: bytes) -> Response:
        """
        The answer to a request for Keyfactor: check who asks and how, then let `answer` do it.
        """
        caller = self._state.accounts.authenticate(request.headers.get("authorization"))
        if caller is None:
            return HTMLResponse(UNAUTHORIZED_PAGE, status_code=401, headers={"WWW-Authenticate": "Basic"})
        try:
            if request.headers.get("x-keyfactor-requested-with", "").lower() not in REQUESTED_WITH:
                raise bad_request("The request header 'x-keyfactor-requested-with' is missing or not valid.")
            if request.headers.get("x-keyfactor-api-version", "1") not in API_VERSIONS:
                raise bad_request("The request header 'x-keyfactor-api-version' names a version that does not exist.")
            spelled_id = request.path_params.get("instance_id", "")
            parameters = {name.lower(): text for name, text in parse_qsl(request.url.query, keep_blank_values=True)}
            return answer(Call(caller, spelled_id, parameters, body))
        except RefusalError as refusal:
            return _error(refusal.status, refusal.code, refusal.message)
        except (InstanceNotFoundError, DefinitionNotFoundError) as exc:
            return _error(404, CODE_NOT_FOUND, str(exc))
        except NotAllowedError as exc:
            return _error(403, CODE_FORBIDDEN, str(exc))
        except WorkflowError as exc:
            return _error(400, CODE_BAD_REQUEST, str(exc))

    # The endpoints

    def _status_endpoints(self, call: Call) -> Response:
        del call
        return JSONResponse(
            [
                "/Status/Endpoints",
                "/Workflow/Instances",
                "/Workflow/Instances/AssignedToMe",
                "/Workflow/Instances/My",
                "/Workflow/Instances/{instanceId}",
                "/Workflow/Instances/{instanceId}/Restart",
                "/Workflow/Instances/{instanceId}/Signals",
                "/Workflow/Instances/{instanceId}/Stop",
            ]
        )

    def _get(self, call: Call) -> Response:
        _require(call, Permission.READ_ALL, Permission.READ_MY, Permission.READ_ASSIGNED_TO_ME)
        instance = self._state.machine.instance(call.instance_id)
        if not _may_see(call, instance):
            raise _forbidden(call)
        return JSONResponse(self._state.wire.instance(instance))

    def _list(self, call: Call) -> Response:
        _require(call, Permission.READ_ALL)
        return self._page(call, self._state.machine.instances)

    def _my(self, call: Call) -> Response:
        _require(call, Permission.READ_ALL, Permission.READ_MY)
        return self._page(call, [i for i in self._state.machine.instances if _is_own(call, i)])

    def _assigned_to_me(self, call: Call) -> Response:
        _require(call, Permission.READ_ALL, Permission.READ_ASSIGNED_TO_ME)
        person = call.caller.account.person
        return self._page(call, [i for i in self._state.machine.instances if i.awaits(person)])

    def _signal(self, call: Call) -> Response:
        body = call.json_object()
        key, content = body.get("signalkey"), body.get("data")
        if not isinstance(key, str) or not isinstance(content, dict):
            raise bad_request("SignalKey must be a string and Data an object.")
        given = {name.lower(): item for name, item in content.items()}
        approved = {"true": True, "false": False}.get(str(given.get("approved")).lower())
        if approved is None:
            raise bad_request("Data.Approved must be 'True' or 'False'.")
        self._state.machine.signal(
            call.instance_id,
            signal_key=key,
            approved=approved,
            comment=str(given.get("comment") or ""),
            sender=call.caller.account.person,
        )
        return Response(status_code=204)

    def _stop(self, call: Call) -> Response:
        _require(call, Permission.MANAGE)
        self._state.machine.stop(call.instance_id, by=call.caller.account.username)
        return Response(status_code=204)

    def _restart(self, call: Call) -> Response:
        _require(call, Permission.MANAGE)
        # The specifications put `version` into the query, the documentation into the body.
        version: int | None = call.whole_number("version", 0, least=0) or None
        if version is None and call.body.strip():
            in_body = call.json_object().get("version")
            if in_body is not None and type(in_body) is not int:
                raise bad_request("The version must be a whole number.")
            version = in_body
        self._state.machine.restart(call.instance_id, by=call.caller.account.username, version=version)
        return Response(status_code=204)

    def _page(self, call: Call, instances: list[Instance]) -> Response:
        """
        The part of `instances` that the query parameters ask for; the total goes into x-total-count.
        """
        wire = self._state.wire
        try:
            wanted = parse_query(call.parameter("QueryString") or "", QUERY_FIELDS)
        except QueryError as exc:
            raise bad_request(f"The query string is not valid: {exc}.") from exc
        found = [instance for instance in instances if wanted(wire.query_fields(instance))]
        # 0 is ascending and 1 descending, whatever the parameter is called.
        descending = call.whole_number("SortAscending", 0, least=0, most=1) == 1
        sort_key = _sort_key(call.parameter("SortField") or "CurrentStepDisplayName")
        found.sort(key=sort_key, reverse=descending)
        limit = call.whole_number("ReturnLimit", DEFAULT_RETURN_LIMIT, least=1)
        skipped = (call.whole_number("PageReturned", 1, least=1) - 1) * limit
        rows = [wire.row(instance) for instance in found[skipped : skipped + limit]]
        return JSONResponse(rows, headers={"x-total-count": str(len(found))})

    def _token(self, request: Request, body: bytes) -> Response:
        """
        The identity provider's token endpoint: client credentials only. The client goes into the form or into Basic.
        """
        form = parse_qs(body.decode("utf-8", "replace"))
        if form.get("grant_type") != ["client_credentials"]:
            return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        client_id, client_secret = _client_credentials(request, body)
        account = self._state.accounts.client(client_id or "", client_secret or "")
        if account is None:
            return JSONResponse(
                {"error": "invalid_client", "error_description": "Invalid client or Invalid client credentials"},
                status_code=401,
            )
        token = self._state.accounts.issue_token(account)
        return JSONResponse(
            {
                "access_token": token.text,
                "expires_in": int(self._state.accounts.token_lifetime_seconds),
                "token_type": "Bearer",
                "scope": " ".join(form.get("scope", [])),
            },
            headers={"Cache-Control": "no-store"},
        )


class NoAnswer(Response):
    """
    Cuts the connection without an answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        transport: asyncio.Transport = scope["state"]["transport"]
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def bad_request(message: str) -> RefusalError:
    """
    A refusal of something that the client got wrong.
    """
    return RefusalError(400, CODE_BAD_REQUEST, message)


async def _released(request: Request, release: Future[None]) -> bool:
    """
    Wait until hanging requests are released (True) or the client gives up (False).
    """

    async def disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(disconnect())
    try:
        # The wrapper is not cancelled: that would cancel `release`, which all hanging requests share.
        await asyncio.wait({gone, asyncio.wrap_future(release)}, return_when=asyncio.FIRST_COMPLETED)
        return not gone.done()
    finally:
        gone.cancel()


def _client_credentials(request: Request, body: bytes) -> tuple[str | None, str | None]:
    """
    The OAuth client's id and secret, from the Authorization header or from a form.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, client_secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None, None
        return client_id, client_secret
    form = parse_qs(body.decode("utf-8", "replace"))
    return form.get("client_id", [None])[0], form.get("client_secret", [None])[0]


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"ErrorCode": code, "Message": message}, status_code=status)


def _forbidden(call: Call) -> RefusalError:
    user = call.caller.account.username
    return RefusalError(403, CODE_FORBIDDEN, f"User {user} doesn't have the required permission")


def _require(call: Call, *permissions: Permission) -> None:
    if not call.caller.account.may(*permissions):
        raise _forbidden(call)


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
