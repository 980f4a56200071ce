"""
The ASGI application that plays Keyfactor: routes, and the way of every request past journal, faults and login.

Starlette without FastAPI on top: every error body here is Keyfactor's own, and none is a framework's 422.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from .accounts import Caller, CredentialKind, Permission
from .call import Call
from .certificate_endpoints import CertificateEndpoints
from .definition_endpoints import DefinitionEndpoints
from .dialect import Dialect
from .fault_injection import ELSEWHERE_PATH, NoAnswer, alter_response, replacement_response, wait_for_release
from .faults import EXEMPTING_HEADER, FaultKind, FaultRule, Operation
from .instance_endpoints import InstanceEndpoints
from .journal import Endpoint
from .responses import (
    CODE_BAD_REQUEST,
    CODE_FORBIDDEN,
    CODE_NOT_FOUND,
    ApiError,
    KeyfactorJsonResponse,
    bad_request,
    error_response,
)
from .state import SandboxState
from .token_endpoint import TOKEN_PATH, answer_token_request, client_credentials
from .wire import parse_id
from .workflow import DefinitionNotFoundError, InstanceNotFoundError, NotAllowedError, WorkflowError

REQUESTED_WITH: Final = frozenset({"xmlhttprequest", "apiclient"})
API_VERSIONS: Final[Mapping[str, int]] = {"1": 1, "1.0": 1, "2": 2}

# The page of IIS for a request without valid credentials: text, not JSON.
UNAUTHORIZED_PAGE: Final = """\
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html><head><title>401 - Unauthorized: Access is denied due to invalid credentials.</title></head>
<body><h1>Server Error</h1><h2>401 - Unauthorized: Access is denied due to invalid credentials.</h2>
<h3>You do not have permission to view this directory or page using the credentials that you supplied.</h3>
</body></html>
"""

Handler = Callable[[Call], Response]


class KeyfactorApp:
    """
    The ASGI application for everything that is Keyfactor's or the identity provider's.
    """

    def __init__(self, state: SandboxState, api_path: str) -> None:
        self._state = state
        instances, definitions = InstanceEndpoints(state), DefinitionEndpoints(state)
        certificates = CertificateEndpoints(state)
        self._paths: list[str] = []
        base = "/" + api_path.strip("/").lower()

        def route(method: str, path: str, endpoint: Endpoint, answer: Handler, max_api_version: int = 1) -> Route:
            self._paths.append(path)

            async def handle(request: Request) -> Response:
                return await self._serve(request, endpoint, partial(self._answer, request, answer, max_api_version))

            # IIS compares paths without regard to case. A parameter's name is not part of the path.
            pattern = path.lower().replace("{instanceid}", "{id}").replace("{definitionid}", "{id}")
            return Route(base + pattern, handle, methods=[method])

        all_instances, one = "/Workflow/Instances", "/Workflow/Instances/{instanceId}"
        definition = "/Workflow/Definitions/{definitionId}"
        definition_api_version = 2 if state.wire.dialect is Dialect.COMMAND_25 else 1
        # The literals come before {instanceId}, as on the server.
        self._router = Router(
            [
                route("GET", "/Status/Endpoints", Endpoint.STATUS_ENDPOINTS, self._status_endpoints),
                route("GET", all_instances, Endpoint.LIST, instances.list_all),
                route("GET", all_instances + "/AssignedToMe", Endpoint.ASSIGNED_TO_ME, instances.assigned_to_me),
                route("GET", all_instances + "/My", Endpoint.MY, instances.my),
                route("GET", one, Endpoint.GET, instances.get),
                route("DELETE", one, Endpoint.DELETE, instances.delete),
                route("POST", one + "/Signals", Endpoint.SIGNAL, instances.signal),
                route("POST", one + "/Stop", Endpoint.STOP, instances.stop),
                route("POST", one + "/Restart", Endpoint.RESTART, instances.restart),
                route("GET", "/Workflow/Definitions", Endpoint.DEFINITIONS, definitions.list_all),
                route("GET", definition, Endpoint.DEFINITIONS, definitions.get, definition_api_version),
                route("POST", "/Enrollment/CSR", Endpoint.ENROLL, certificates.enroll_csr),
                route("POST", "/Enrollment/PFX", Endpoint.ENROLL, certificates.enroll_pfx),
                route("GET", "/Certificates", Endpoint.CERTIFICATES, certificates.list_all),
                route("GET", "/Certificates/{id}", Endpoint.CERTIFICATES, certificates.get),
                route("POST", "/Certificates/Revoke", Endpoint.REVOKE, certificates.revoke),
                Route(TOKEN_PATH.lower(), self._answer_token_request, methods=["POST"]),
                Route(ELSEWHERE_PATH, self._answer_elsewhere),
            ],
            default=self._answer_unknown_path,
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Answer one request; the journal keeps the client's spelling of the path.
        """
        scope = {**scope, "path": scope["path"].lower().rstrip("/"), "original_path": scope["path"]}
        with suppress(ClientDisconnect):  # a client that gives up in mid-request has no answer to wait for
            await self._router(scope, receive, send)

    async def _answer_token_request(self, request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        return await self._serve(
            request,
            Endpoint.TOKEN,
            lambda body, _: answer_token_request(self._state.accounts, authorization, body, self._state.proof),
        )

    async def _answer_elsewhere(self, request: Request) -> Response:
        return await self._serve(request, Endpoint.ELSEWHERE, lambda _body, _fault: HTMLResponse("<p>Elsewhere</p>"))

    async def _answer_unknown_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        def not_found(_body: bytes, _fault: FaultRule | None) -> Response:
            # ASP.NET's own words, without an ErrorCode.
            uri = f"{request.url.scheme}://{request.url.netloc}{scope['original_path']}"
            message = f"No HTTP resource was found that matches the request URI '{uri}'."
            return KeyfactorJsonResponse({"Message": message}, status_code=404)

        request = Request(scope, receive)
        response = await self._serve(request, Endpoint.UNKNOWN, not_found)
        await response(scope, receive, send)

    async def _serve(
        self, request: Request, endpoint: Endpoint, answer: Callable[[bytes, FaultRule | None], Response]
    ) -> Response:
        """
        Note the request, let a fault meet it, answer, and note what was answered.
        """
        state = self._state
        body = await request.body()
        authorization = request.headers.get("authorization", "")
        instance_id = parse_id(request.path_params.get("id", ""))
        with state.lock:
            caller, challenges = self._login(request, authorization)
            request.state.login = caller, challenges
            identity = caller.account.username if caller else client_credentials(authorization, body)[0]
            number = state.journal.add(
                endpoint=endpoint,
                method=request.method,
                path=request.scope["original_path"],
                query=request.url.query,
                headers=request.headers,
                instance_id=instance_id,
                identity=identity,
                credential=caller.kind if caller else None,
            )
            operation = Operation(endpoint, instance_id, identity)
            fault = self._draw_fault(request, operation, caller)
            release = state.faults.release
        if fault is not None:
            state.journal.amend(number, fault=fault.kind)
            if fault.kind is FaultKind.HANG and not await wait_for_release(request, release):
                return NoAnswer()
            replacement = replacement_response(fault, request)
            if replacement is not None:
                response, retry_after_seconds = replacement
                if not isinstance(response, NoAnswer):
                    state.journal.amend(number, status=response.status_code, retry_after_seconds=retry_after_seconds)
                return response
        with state.lock:
            if fault is not None and fault.kind is FaultKind.TOKEN_EXPIRY and caller is not None:
                state.accounts.revoke_tokens(caller.account)
                request.state.login = self._login(request, authorization)  # who asks is nobody now
            response = answer(body, fault)
            state.faults.note_answer(operation, response.status_code)
        response.headers["X-Keyfactor-Product-Version"] = state.wire.dialect.product_version
        state.journal.amend(number, status=response.status_code)
        return response if fault is None else alter_response(fault, response)

    def _login(self, request: Request, authorization: str) -> tuple[Caller | None, tuple[str, ...]]:
        """
        Who asks; None, and the challenges to answer with.
        """
        state = self._state
        if state.windows is None:
            return state.accounts.authenticate(authorization), ("Basic",)
        transport = request.scope["state"]["transport"]
        account, challenges = state.windows.leg(transport, authorization, state.accounts)
        return (None if account is None else Caller(account, CredentialKind.WINDOWS)), challenges

    def _draw_fault(self, request: Request, operation: Operation, caller: Caller | None) -> FaultRule | None:
        if request.headers.get(EXEMPTING_HEADER) == "off" or operation.endpoint is Endpoint.ELSEWHERE:
            return None
        state = self._state
        has_token = caller is not None and caller.kind is CredentialKind.OAUTH
        return state.faults.draw(operation, has_ended=state.has_ended(operation.instance_id), has_token=has_token)

    def _answer(
        self, request: Request, answer: Handler, max_api_version: int, body: bytes, fault: FaultRule | None
    ) -> Response:
        """
        The answer to a request for Keyfactor: check who asks and how, then let `answer` do it.
        """
        caller, challenges = request.state.login
        if caller is None:
            refused = HTMLResponse(UNAUTHORIZED_PAGE, status_code=401)
            for challenge in challenges:
                refused.headers.append("WWW-Authenticate", challenge)
            return refused
        try:
            return answer(self._parse_call(request, caller, max_api_version, body, fault))
        except ApiError as exc:
            return error_response(exc.status, exc.code, exc.message)
        except (InstanceNotFoundError, DefinitionNotFoundError) as exc:
            return error_response(404, CODE_NOT_FOUND, str(exc))
        except NotAllowedError as exc:
            return error_response(403, CODE_FORBIDDEN, str(exc))
        except WorkflowError as exc:
            return error_response(400, CODE_BAD_REQUEST, str(exc))

    def _parse_call(
        self, request: Request, caller: Caller, max_api_version: int, body: bytes, fault: FaultRule | None
    ) -> Call:
        """
        The request as a call, if its headers are in order and no fault takes the permission away.

        `max_api_version` is the newest version of the API that has the path.
        """
        if request.headers.get("x-keyfactor-requested-with", "").lower() not in REQUESTED_WITH:
            raise bad_request("The request header 'x-keyfactor-requested-with' is missing or not valid.")
        api_version = API_VERSIONS.get(request.headers.get("x-keyfactor-api-version", "1"))
        if api_version is None or api_version > max_api_version:
            raise bad_request("The request header 'x-keyfactor-api-version' names a version that does not exist.")
        if fault is not None and fault.kind is FaultKind.FORBIDDEN:
            message = self._state.wire.permission_message(caller.account.username, [Permission.READ_ALL])
            raise ApiError(403, CODE_FORBIDDEN, message)
        return Call(
            caller=caller,
            raw_id=request.path_params.get("id", ""),
            api_version=api_version,
            parameters={name.lower(): text for name, text in parse_qsl(request.url.query, keep_blank_values=True)},
            body=body,
            fault=None if fault is None else fault.kind,
        )

    def _status_endpoints(self, call: Call) -> Response:
        del call
        return KeyfactorJsonResponse(sorted(set(self._paths)))
