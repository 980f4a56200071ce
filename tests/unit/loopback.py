"""
A server on loopback that answers as a test says, also in ways that no Keyfactor would, and remembers what it was asked.

And a client for it.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from kf_provider.errors import RequestError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import Settings, load_settings

HERE = Path(__file__).parent
CA = HERE / "loopback-ca.pem"  # for 127.0.0.1 alone, until 2126
STRANGER_CA = HERE / "stranger-ca.pem"

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"
OTHER_ID = "38400000-8cf0-11bd-b23e-10b96e4ef00d"


@dataclass
class Seen:
    """One request; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


@dataclass
class Reply:
    """One answer. `body` is sent as it is when it is bytes, else as JSON; `raw` takes the connection over."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


INSTANCE = {"Id": ID, "Status": "Suspended", "ReferenceId": 42}
GOOD = Reply(INSTANCE)
SAID = {"ErrorCode": "0xA0140002", "Message": "User 7 doesn't have the required permission"}

Answer = Callable[[Seen], Reply]


def raw(work: Callable[[socket.socket], None]) -> Reply:
    """An answer that is whatever `work` does with the connection."""

    def take_over(handler: BaseHTTPRequestHandler) -> None:
        work(handler.connection)

    return Reply(raw=take_over)


def drip(prefix: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Sends a beginning, and then a drop of more twenty times a second, until the client goes."""

    def work(connection: socket.socket) -> None:
        connection.sendall(prefix)
        while True:
            time.sleep(0.05)
            connection.sendall(drop)

    return work


class Loopback:
    """
    The server. `answers`: a function of the request, or replies for one request each, the last one for all that follow.
    """

    def __init__(self, *, tls: bool | ssl.SSLContext = False) -> None:
        self.seen: list[Seen] = []
        self.answers: Answer | Sequence[Reply] = [Reply(status=500)]
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if tls:
            if isinstance(tls, ssl.SSLContext):
                context = tls
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(HERE / "loopback-server.pem")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Seen) -> Reply:
        with self._lock:
            self.seen.append(request)
            if isinstance(self.answers, Sequence):
                return self.answers[min(len(self.seen), len(self.answers)) - 1]
        return self.answers(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, ssl.SSLError):
                    self.close_connection = True

            def _any(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = self.path if self.command == "CONNECT" else parts.path
                request = Seen(self.command, path, query, headers, self.rfile.read(length).decode())
                reply = loopback._answer(request)
                if reply.raw is not None:
                    self.close_connection = True
                    reply.raw(self)
                    return
                body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response_only(reply.status)
                if "Date" not in reply.headers:
                    self.send_header("Date", self.date_time_string())
                for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = _any  # noqa: N815 - http.server's names

        return Handler


@contextmanager
def running(*, tls: bool | ssl.SSLContext = False) -> Iterator[Loopback]:
    """A running server, for tests that need a second one."""
    with Loopback(tls=tls) as server:
        yield server


def settings_for(server: Loopback, **more: object) -> Settings:
    given = {"hostname": server.url, "username": "jsmith", "domain": "KEYEXAMPLE", "password": "canary-5be1"}
    return load_settings(**(given | more))


def client_for(server: Loopback, **more: object) -> Client:
    return Client(settings_for(server, **more))


def failure(server: Loopback, reply: Reply, *, retries: int = 0, **more: object) -> RequestError:
    server.answers = [reply]
    with client_for(server, **more) as client, pytest.raises(RequestError) as caught:
        client.get_workflow_instance(ID, timeout=60, retries=retries)
    message = str(caught.value)
    assert message.isprintable()
    assert "canary" not in f"{message} {caught.value!r}"
    return caught.value
