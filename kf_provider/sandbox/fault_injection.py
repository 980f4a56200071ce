"""
Fault injection: what each kind of fault does to one request and its answer.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .faults import FaultKind, FaultRule, RetryAfter
from .responses import CODE_BAD_REQUEST, KeyfactorJsonResponse, error_response

RETRY_AFTER_SECONDS: Final = 2
RETRY_AFTER_FAR_SECONDS: Final = 86_400
ELSEWHERE_PATH: Final = "/elsewhere"
UNKNOWN_STATUS_WORD: Final = "Hibernating"
UNKNOWN_STATUS_NUMBER: Final = 99

PROXY_PAGE: Final = """\
<!DOCTYPE html>
<html><head><title>Sign in</title></head><body><h1>Please sign in to continue</h1>
<form method="post" action="/login"><input name="user"><input name="password" type="password"></form></body></html>
"""


class NoAnswer(Response):
    """
    Ends the connection without an answer: closes it, or with `reset` breaks it off.
    """

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        End the connection.
        """
        del send
        transport: asyncio.Transport = scope["state"]["transport"]
        connection = transport.get_extra_info("socket")
        if self._reset and connection is not None:
            # Closing with a linger time of 0 sends RST in place of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def replacement_response(fault: FaultRule, request: Request) -> tuple[Response, float | None] | None:
    """
    The answer that a fault gives before Keyfactor sees the request, with the seconds of its Retry-After; or None.
    """
    match fault.kind:
        case FaultKind.CLOSE:
            return NoAnswer(), None
        case FaultKind.RESET:
            return NoAnswer(reset=True), None
        case FaultKind.STATUS:
            response = error_response(fault.status, CODE_BAD_REQUEST, f"The sandbox answers {fault.status} on purpose.")
            if fault.retry_after is None:
                return response, None
            response.headers["Retry-After"], seconds = retry_after_header(fault.retry_after)
            return response, seconds
        case FaultKind.HTML:
            return HTMLResponse(PROXY_PAGE), None
        case FaultKind.REDIRECT:
            # Another host name for the same server: it sees what a client takes along.
            host = "127.0.0.1" if request.url.hostname == "localhost" else "localhost"
            return RedirectResponse(f"{request.url.scheme}://{host}:{request.url.port}{ELSEWHERE_PATH}"), None
    return None


def alter_response(fault: FaultRule, response: Response) -> Response:
    """
    The real answer, as a fault changes it.
    """
    body = bytes(response.body)
    match fault.kind:
        case FaultKind.TRUNCATED:
            return _with_body(response, body[: len(body) // 2])
        case FaultKind.EMPTY:
            return _with_body(response, b"")
        case FaultKind.SLOW_BODY:
            slow = StreamingResponse(_slowly(body, fault.delay_seconds), response.status_code)
            slow.raw_headers = response.raw_headers
            return slow
        case FaultKind.UNKNOWN_STATUS if response.status_code == 200:
            return _with_body(
                response, KeyfactorJsonResponse(_rewritten(json.loads(body), "status", _unknown_status)).body
            )
        case FaultKind.NO_ZONE | FaultKind.WHOLE_SECONDS | FaultKind.NO_DATES if response.status_code == 200:
            content = json.loads(body)
            for name in ("startdate", "lastmodified"):
                content = _rewritten(content, name, _DATES[fault.kind])
            return _with_body(response, KeyfactorJsonResponse(content).body)
    return response


def retry_after_header(form: RetryAfter | str) -> tuple[str, float | None]:
    """
    The header in this form, and the seconds that it asks for, None where it says nothing that can be used.
    """
    match form:
        case RetryAfter.SECONDS:
            return str(RETRY_AFTER_SECONDS), RETRY_AFTER_SECONDS
        case RetryAfter.DATE:
            # A date has whole seconds: one more, so that it is not sooner than the other form.
            then = datetime.now(UTC) + timedelta(seconds=RETRY_AFTER_SECONDS + 1)
            return format_datetime(then, usegmt=True), RETRY_AFTER_SECONDS
        case RetryAfter.GARBAGE:
            return "soon", None
        case RetryAfter.NEGATIVE:
            return "-5", None
        case RetryAfter.FAR:
            return str(RETRY_AFTER_FAR_SECONDS), RETRY_AFTER_FAR_SECONDS
    return form, float(form) if form.isdecimal() else None


async def wait_for_release(request: Request, release: Future[None]) -> bool:
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


def _with_body(response: Response, body: bytes | memoryview) -> Response:
    headers = {name: text for name, text in response.headers.items() if name != "content-length"}
    return Response(bytes(body), response.status_code, headers)


async def _slowly(body: bytes, delay_seconds: float) -> AsyncIterator[bytes]:
    half = len(body) // 2
    yield body[:half]
    await asyncio.sleep(delay_seconds)
    yield body[half:]


def _rewritten(content: Any, name: str, rewrite: Callable[[Any], Any]) -> Any:
    """
    The JSON of an instance, or of a list of them, with one field (a name in lower case) of each rewritten.
    """
    if isinstance(content, list):
        return [_rewritten(row, name, rewrite) for row in content]
    return {key: rewrite(value) if key.lower() == name else value for key, value in content.items()}


def _unknown_status(status: str | int) -> str | int:
    return UNKNOWN_STATUS_NUMBER if isinstance(status, int) else UNKNOWN_STATUS_WORD


def _without_zone(moment: str | None) -> str | None:
    return moment and moment.removesuffix("Z")


_DATES: Final[Mapping[FaultKind, Callable[[str | None], str | None]]] = {
    FaultKind.NO_ZONE: _without_zone,
    FaultKind.WHOLE_SECONDS: lambda moment: moment and f"{moment.partition('.')[0].removesuffix('Z')}Z",
    FaultKind.NO_DATES: lambda _: None,
}
