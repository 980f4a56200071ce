"""
A server on loopback that takes Windows logins, by pyspnego's own acceptor.
"""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import spnego

from .loopback import ID


class Acceptor:
    """
    A server that lets in a connection after a login by one of these schemes, as IIS does, and notes what it is asked.

    With `each_request` it lets in a request, and forgets it.
    """

    def __init__(self, *schemes: str, hostname: str = "127.0.0.1", each_request: bool = False) -> None:
        self.sent: list[tuple[int, str]] = []  # of each request its connection, and the scheme that it came with
        self.schemes = schemes
        acceptor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            context: Any = None
            is_known = False

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                scheme, _, token = self.headers.get("Authorization", "").partition(" ")
                acceptor.sent.append((self.client_address[1], scheme))
                offers = acceptor.schemes
                if scheme:
                    offers = self._accept(scheme, token)
                if self.is_known:
                    self.is_known = not each_request
                    self._say(200, b'{"Id": "%s", "Status": "Suspended", "ReferenceId": 42}' % ID.encode())
                else:
                    self._say(401, b"who are you?", *offers)

            def _accept(self, scheme: str, token: str) -> tuple[str, ...]:
                """Take a leg of a login, and say what to offer next."""
                if self.context is None:
                    self.context = spnego.server(hostname=hostname, service="HTTP", protocol=scheme.lower())
                try:
                    answer = self.context.step(base64.b64decode(token)) or b""
                except spnego.exceptions.SpnegoError:
                    self.context = None
                    return acceptor.schemes
                if self.context.complete:
                    self.context, self.is_known = None, True
                return (f"{scheme} {base64.b64encode(answer).decode()}",)

            def _say(self, status: int, body: bytes, *offers: str) -> None:
                self.send_response(status)
                for offer in offers:
                    self.send_header("WWW-Authenticate", offer)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://{hostname}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def schemes_sent(self) -> list[str]:
        return [scheme for _, scheme in self.sent]
