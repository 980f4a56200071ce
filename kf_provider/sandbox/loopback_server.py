"""
The HTTP server: uvicorn on a loopback port, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from .tls import CertificateFiles

START_TIMEOUT_SECONDS: Final = 10.0
STOP_TIMEOUT_SECONDS: Final = 1.0


class LoopbackServer:
    """
    One application on one port. The port is bound by the constructor and answers after `start`.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, certificate: CertificateFiles | None = None) -> None:
        address = loopback_address(host)
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        # With the protocol named, asyncio sets TCP_NODELAY; without, an answer on a kept connection takes 40 ms.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((str(address), port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self.address = f"[{address}]" if address.version == 6 else str(address)
        self._server = _UvicornServer(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                interface="asgi3",
                proxy_headers=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,  # the application tells its own time
                ssl_certfile=certificate.server_cert if certificate else None,
                ssl_keyfile=certificate.server_key if certificate else None,
            )
        )
        self._thread = threading.Thread(target=self._run, name=f"sandbox-{self.port}", daemon=True)

    def start(self) -> None:
        """
        Serve from here on.
        """
        self._thread.start()
        if not self._server.ready.wait(START_TIMEOUT_SECONDS):
            raise RuntimeError(f"the sandbox did not start within {START_TIMEOUT_SECONDS:.0f} s")

    def stop(self) -> None:
        """
        Cut every connection and free the port, at once, whatever clients do. Can be called again.
        """
        if self._thread.is_alive():
            self._server.loop.call_soon_threadsafe(self._server.end)
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))


class _UvicornServer(uvicorn.Server):
    """
    uvicorn's server, but one that says when it is ready, and ends at once: its own looks whether it should end ten
    times a second, gives connections time to finish, and waits for those that hang.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._end = asyncio.Event()

    def end(self) -> None:
        """
        Stop serving; to be called in the server's event loop.
        """
        self._end.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.ready.set()

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):  # a tick is a tenth of a second
            ticks += 10
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), 1)
                return

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=STOP_TIMEOUT_SECONDS)


class _Protocol(H11Protocol):
    """
    HTTP, with the transport where an application can cut it: `scope["state"]["transport"]`.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def loopback_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """
    The loopback address that `host` names; a `ValueError` for every other, since the control paths need no password.
    """
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        if address.is_loopback:
            return address
    raise ValueError(f"the sandbox listens on loopback only, for anybody may control it: use 127.0.0.1, not {host!r}")
