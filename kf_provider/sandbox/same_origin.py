"""
The guard in front of the page and the control paths: no web page of another site may use them (CSRF, DNS rebinding).

The control paths ask for no password. A server on a loopback port is within reach of every web page that its user has
open, so the guard refuses what only a foreign page sends; curl and other programs notice nothing of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .control import control_error

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


class SameOriginGuard:
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

        refused = refuse_foreign_page(Request(scope))
        await (refused or self._app)(scope, receive, send_with_headers)


def refuse_foreign_page(request: Request) -> Response | None:
    """
    The answer to a request that a foreign web page has sent; None for all others.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not _is_loopback(host):
        return control_error(403, f"the sandbox is reached by a loopback address or as localhost, not as {host!r}")
    if origin is not None and origin.lower() not in {f"http://{host.lower()}", f"https://{host.lower()}"}:
        return control_error(403, f"a page of {origin} may not ask this sandbox")
    if request.method not in {"GET", "HEAD"}:
        if request.headers.get("sec-fetch-site", "none").lower() not in {"same-origin", "none"}:
            return control_error(403, "a page of another site may not ask this sandbox")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in {"text/plain", "multipart/form-data"}:
            return control_error(415, f"the body is JSON, not {media_type}")
    return None


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
