"""
The page for people at /: its files, and the paths under /sandbox that it reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .control import MOST_APPROVALS, control_error, requested_instance_id
from .state import SandboxState
from .wire import Json
from .workflow import APPROVAL_SIGNAL, Instance, InstanceNotFoundError, Status

MAX_ROWS: Final = 200

PAGE_FILES: Final[Mapping[str, str]] = {
    "index.html": "text/html; charset=utf-8",
    "portal.css": "text/css; charset=utf-8",
    "portal.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
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
            *(_file_route(f"/sandbox/page/{name}", name) for name in PAGE_FILES),
            self._json_route("/sandbox/instances", self._list),
            self._json_route("/sandbox/instances/{instance_id}", self._get),
        ]

    def _json_route(self, path: str, answer: Callable[[Request], Json]) -> Route:
        async def handle(request: Request) -> Response:
            try:
                with self._state.lock:
                    content, now = answer(request), self._state.clock.now()
            except InstanceNotFoundError as exc:
                return control_error(404, str(exc))
            except ValueError as exc:
                return control_error(400, str(exc))
            # Plain ASCII: state data may hold half a surrogate pair, which has no UTF-8.
            body = json.dumps(content).encode("ascii")
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "X-Sandbox-Now": _iso_time(now)}
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
            "instances": [summary(instance) for instance in found[:MAX_ROWS]],
        }

    def _get(self, request: Request) -> Json:
        """
        One instance with everything; hidden values only of the names that `reveal` asks for.
        """
        instance = self._state.machine.instance(requested_instance_id(request))
        return detail(instance, frozenset(request.query_params.getlist("reveal")))


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
        "start_date": _iso_time(instance.start_date),
        "last_modified": _iso_time(instance.last_modified),
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
            {
                "name": s.signal_name,
                "received": s.received,
                "denied": s.denied,
                "sender": s.sender,
                "comment": s.comment,
            }
            for s in instance.signals
        ],
        "history": [{"time": _iso_time(event.time), "text": event.text} for event in instance.history],
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


def _file_route(path: str, name: str) -> Route:
    async def handle(request: Request) -> Response:
        del request
        content = resources.files(__package__).joinpath("page", name).read_bytes()
        if name == "index.html":
            content = content.replace(b"{most_approvals}", str(MOST_APPROVALS).encode())
        return Response(content, media_type=PAGE_FILES[name])

    return Route(path, handle, methods=["GET"])


def _iso_time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
