"""
Proxies on loopback, kind and unkind, and servers that only take a connection.
"""

from __future__ import annotations

import contextlib
import http.server
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .loopback import Reply

Work = Callable[[socket.socket], None]


@contextmanager
def listening(work: Work) -> Iterator[int]:
    """The port of a server that does this with each connection."""

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the test is over
            while True:
                connection, _ = server.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            work(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def drip(prefix: bytes, drop: bytes, *, then: bytes = b"") -> Work:
    """Sends what begins well, after a while what belongs to a next part, and goes on by drops until the client goes."""

    def work(connection: socket.socket) -> None:
        connection.sendall(prefix)
        time.sleep(0.05)
        connection.sendall(then)
        while True:
            time.sleep(0.05)
            connection.sendall(drop)

    return work


def silence(prefix: bytes = b"") -> Work:
    """Sends a beginning and no more, until the client goes."""

    def work(connection: socket.socket) -> None:
        connection.sendall(prefix)
        while connection.recv(1024):
            pass

    return work


def raw(work: Work) -> Reply:
    """The answer of a Loopback server that does this with the connection."""

    def take_over(handler: http.server.BaseHTTPRequestHandler) -> None:
        work(handler.connection)

    return Reply(raw=take_over)


def tunnel(port: int) -> Work:
    """What a proxy does with a CONNECT: leads to this port, whatever it was asked for."""

    def work(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        relay(connection, port)

    return work


def socks(port: int, *, asked: list[bytes] | None = None, slowly: bool = False) -> Work:
    """A SOCKS proxy, version 4 or 5, that leads to this port; `asked` gets its requests."""

    def say(connection: socket.socket, answer: bytes) -> None:
        for sign in answer:
            time.sleep(0.2 if slowly else 0)
            connection.sendall(bytes([sign]))

    def work(connection: socket.socket) -> None:
        request = connection.recv(1024)
        if request[:1] == b"\x05":
            say(connection, b"\x05\x00")
            request = connection.recv(1024)
        if asked is not None:
            asked.append(request)
        say(connection, b"\x05\x00\x00\x01" + bytes(6) if request[:1] == b"\x05" else b"\x00\x5a" + bytes(6))
        relay(connection, port)

    return work


def relay(connection: socket.socket, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as onward:
        other = {connection: onward, onward: connection}
        while True:
            waiting = isinstance(connection, ssl.SSLSocket) and connection.pending()
            for source in [connection] if waiting else select.select([*other], [], [])[0]:
                received = source.recv(65536)
                if not received:
                    return
                other[source].sendall(received)


@contextmanager
def deaf(*hosts: str, port: int = 0) -> Iterator[int]:
    """A port that takes no connection at any of these addresses, as behind a firewall that drops packets."""
    with contextlib.ExitStack() as open_:
        for host in hosts:
            full = open_.enter_context(socket.create_server((host, port), backlog=0))
            port = full.getsockname()[1]
            for _ in range(4):
                filler = open_.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
        yield port


def reset(connection: socket.socket) -> None:
    """Ends the connection without a good-bye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
