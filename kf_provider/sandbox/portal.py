"""
The page for people at /, what it reads, and who may ask: the guard in front of the page and of the control paths.

The control paths ask for no password. A server on a loopback port is within reach of every web page that its user has
open, so the guard refuses what only a foreign page sends; curl and other programs notice nothing of it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .state import SandboxState
from .wire import parse_id
from .workflow import APPROVAL_SIGNAL, Instance, InstanceNotFoundError, Status

MOST_ROWS: Final = 200

FILES: Final[Mapping[str, str]] = {
    "index.html": "text/html; charset=utf-8",
    "portal.css": "text/css; charset=utf-8",
    "portal.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

# Scripts and styles come from files only, and no script can turn text into markup (trusted types, where supported).
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}

# What the documents list (keyfactor-api.md, section 2). Scripts and REST steps may put anything under other names, so
# those are shown only to who asks: a list of names that look secret could not work.
DOCUMENTED_NAMES: Final = frozenset(
    {
        "CACertificate",
        "CACertificateRequest",
        "CSR",
        "CertificateAuthority",
        "CertificateId",
        "Comment",
        "Delegate",
        "EffectiveDate",
        "IncludeChain",
        "OperationStart",
        "RevokeCode",
        "SANs",
        "SerialNumberString",
        "Subject",
        "Template",
        "Thumbprint",
    }
)

Json = dict[str, Any]


def people_app(state: SandboxState, routes: Sequence[BaseRoute]) -> ASGIApp:
    """
    The ASGI application for / and /sandbox: the page, what it reads, and the control paths in `routes`.
    """
    portal = Portal(state)
    return Guard(Router([*portal.routes(), *routes]))


def is_for_people(path: str) -> bool:
    """
    Whether a request's path is the page's or a control path, and not Keyfactor's.
    """
    return path in {"/", "/sandbox"} or path.startswith("/sandbox/")


class Portal:
    """
    The files of the page, and the paths under /sandbox that it reads.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[BaseRoute]:
        """
        To be placed before the control paths; none of these changes anything.
        """
        return [
            _file_route("/", "index.html"),
            *(_file_route(f"/sandbox/page/{name}", name) for name in FILES),
            self._json_route("/sandbox/instances", self._list),
            self._json_route("/sandbox/instances/{instance_id}", self._get),
        ]

    def _json_route(self, path: str, answer: Callable[[Request], Json]) -> Route:
        async def handle(request: Request) -> Response:
            try:
                with self._state.lock:
                    content, now = answer(request), self._state.clock.now()
            except InstanceNotFoundError as exc:
                return JSONResponse({"error": str(exc)}, status_code=404)
            except ValueError as exc:
                return JSONResponse({"error": str(exc)}, status_code=400)
            # Plain ASCII: state data may hold half a surrogate pair, which has no UTF-8.
            body = json.dumps(content).encode("ascii")
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "X-Sandbox-Now": _moment(now)}
            if request.headers.get("if-none-match") == headers["ETag"]:
                return Response(status_code=304, headers=headers)
            return Response(body, media_type="application/json", headers=headers)

        return Route(path, handle, methods=["GET"])

    def _list(self, request: Request) -> Json:
        """
        The newest instances, at most 200, of these statuses and with this text in their title.
        """
        statuses = {Status(word) for word in request.query_params.getlist("status")}
        text = request.query_params.get("contains", "").casefold()
        instances = self._state.machine.instances
        found = [
            instance
            for instance in reversed(instances)
            if (not statuses or instance.status in statuses) and text in instance.title.casefold()
        ]
        return {
            "total": len(found),
            "waiting": sum(instance.status is Status.SUSPENDED for instance in instances),
            "instances": [summary(instance) for instance in found[:MOST_ROWS]],
        }

    def _get(self, request: Request) -> Json:
        """
        One instance with everything; hidden values only of the names that `reveal` asks for.
        """
        spelled = request.path_params["instance_id"]
        instance_id = parse_id(spelled)
        if instance_id is None:
            raise InstanceNotFoundError(f"no workflow instance {spelled}: an id is a GUID")
        return detail(self._state.machine.instance(instance_id), frozenset(request.query_params.getlist("reveal")))


def summary(instance: Instance) -> Json:
    """
    What the list shows of an instance.
    """
    return {
        "instance_id": str(instance.id),
        "reference_id": instance.reference_id,
        "title": instance.title,
        "status": str(instance.status),
        "step": instance.step.display_name,
        "received": instance.received,
        "needed": len(instance.signals),
        "start_date": _moment(instance.start_date),
        "last_modified": _moment(instance.last_modified),
    }


def detail(instance: Instance, revealed: frozenset[str]) -> Json:
    """
    Everything about an instance, with the values of undocumented names left out unless they are `revealed`.
    """
    return summary(instance) | {
        "status_message": instance.status_message,
        "initiated_by": instance.initiated_by,
        "workflow": f"{instance.definition.display_name}, version {instance.definition.version}",
        "workflow_type": instance.definition.workflow_type,
        "successor_id": None if instance.successor_id is None else str(instance.successor_id),
        "possible": possible_actions(instance),
        "steps": _steps(instance),
        "signals": [
            {"name": s.signal_name, "received": s.received, "sender": s.sender, "comment": s.comment}
            for s in instance.signals
        ],
        "history": [{"time": _moment(event.time), "text": event.text} for event in instance.history],
        "data": _data_rows(instance, revealed),
    }


def possible_actions(instance: Instance) -> list[str]:
    """
    The control actions that the machine would not refuse now.
    """
    match instance.status:
        case Status.SUSPENDED:
            stalled = instance.received == len(instance.signals)
            return ["stop", "restart"] if stalled else ["approve", "deny", "stop", "restart"]
        case Status.FAILED:
            return ["restart"]
    return []


def _steps(instance: Instance) -> list[Json]:
    here = instance.definition.steps.index(instance.step)
    at_step = "done" if instance.status is Status.COMPLETE else "ended" if instance.has_ended else "current"
    return [
        {"name": step.display_name, "place": "done" if n < here else at_step if n == here else "ahead"}
        for n, step in enumerate(instance.definition.steps)
    ]


def _data_rows(instance: Instance, revealed: frozenset[str]) -> list[Json]:
    answers = {f"{step.unique_name}.{APPROVAL_SIGNAL}" for step in instance.definition.steps if step.approvals}
    missing = object()
    rows: list[Json] = []
    for name, value in instance.current_state_data.items():
        # An empty container hides nothing.
        hidden = name not in DOCUMENTED_NAMES | answers and value not in (None, "", [], {})
        row: Json = {"name": name, "hidden": hidden, "added": instance.initial_data.get(name, missing) != value}
        if not hidden or name in revealed:
            # As text: a browser would round large numbers.
            row["text"] = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        rows.append(row)
    return rows


class Guard:
    """
    Refuses what only a foreign web page sends, and gives every answer the headers that keep foreign pages out.

    - The Host must be a loopback address or `localhost`: else a foreign name was pointed at 127.0.0.1 (DNS rebinding).
    - An Origin, which browsers send with every POST, must be the page's own.
    - Sec-Fetch-Site, where the browser sends it, must not tell of another site with anything but a GET.
    - A POST is never text/plain or multipart/form-data: the two kinds of body that a form of another site can send
      beside the one that is curl's default. JSON needs no permission from that site's browser only on the same origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Let the request through, or answer 403 or 415.
        """

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = refusal(Request(scope))
        await (refused or self._app)(scope, receive, send_with_headers)


def refusal(request: Request) -> Response | None:
    """
    The answer to a request that a foreign web page has sent; None for all others.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not _is_loopback(host):
        return _refuse(403, f"the sandbox is reached by a loopback address or as localhost, not as {host!r}")
    if origin is not None and origin.lower() not in {f"http://{host.lower()}", f"https://{host.lower()}"}:
        return _refuse(403, f"a page of {origin} may not ask this sandbox")
    if request.method not in {"GET", "HEAD"}:
        if request.headers.get("sec-fetch-site", "none").lower() not in {"same-origin", "none"}:
            return _refuse(403, "a page of another site may not ask this sandbox")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in {"text/plain", "multipart/form-data"}:
            return _refuse(415, f"the body is JSON, not {media_type}")
    return None


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)


def _file_route(path: str, name: str) -> Route:
    async def handle(request: Request) -> Response:
        del request
        return Response(resources.files(__package__).joinpath("page", name).read_bytes(), media_type=FILES[name])

    return Route(path, handle, methods=["GET"])


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
