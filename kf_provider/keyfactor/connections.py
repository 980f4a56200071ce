"""
Connections that are made within ten seconds, and within the deadline of the call.
"""

from __future__ import annotations

import http
import http.client
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import urllib3
import urllib3.connection

from .deadline import DEADLINE, DeadlineSocket
from .translation import LONGEST_CONNECT

Address: TypeAlias = tuple[int, int, int, str, Any]  # as getaddrinfo has it: family, type, protocol, name, address


def addresses_of(host: str, port: int, family: int = socket.AF_UNSPEC) -> Sequence[Address]:
    """
    What a name stands for, within the deadline.

    The system's look-up takes no time-out: a thread makes it, which is left behind when it is late.
    """
    found: queue.SimpleQueue[Sequence[Address] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host.strip("[]"), port, family, socket.SOCK_STREAM))
        except UnicodeError:
            found.put(urllib3.exceptions.LocationParseError("no host name"))
        except Exception as failed:
            found.put(failed)

    threading.Thread(target=look_up, name="kf_provider", daemon=True).start()
    try:
        addresses = found.get(timeout=DEADLINE.timeout())
    except queue.Empty:
        raise TimeoutError("the look-up of the name took too long") from None
    if isinstance(addresses, Exception):
        raise addresses
    return addresses


def connected(host: str, port: int, connect: Callable[[Address], socket.socket]) -> socket.socket:
    """
    A socket to the first address of the host that takes a connection, within the deadline.

    Each address has its share of the time that is left: one that drops packets takes none from the others.
    """
    addresses = addresses_of(host, port)
    for behind, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
        try:
            with DEADLINE.within(DEADLINE.timeout() / (behind + 1)):
                return connect(address)
        except OSError:
            if not behind:
                raise
    raise OSError(f"{host} has no address")


class _FinalResponse(http.client.HTTPResponse):
    """
    The answer itself: what comes before it (RFC 9110, section 15.2) is skipped, and not only a 100.

    Taken for the answer, a 103 would leave the true one on the connection, for the next request to believe.
    """

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # http.client's own name
            if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                raise http.client.BadStatusLine(f"{status}")  # to a protocol that nobody asked for
            if not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class Connection(urllib3.connection.HTTPConnection):
    """
    One that is made within ten seconds as a whole: the look-up, every address, the proxy's answer, the handshakes.
    """

    response_class = _FinalResponse

    def connect(self) -> None:
        try:
            with DEADLINE.within(LONGEST_CONNECT):
                super().connect()
        except TimeoutError as late:
            raise urllib3.exceptions.ConnectTimeoutError(self, "no connection in the time allowed") from late

    def _new_conn(self) -> socket.socket:  # urllib3's SOCKS connections replace the same method
        return connected(self._dns_host, self.port, self._to_address)

    def _to_address(self, address: Address) -> socket.socket:
        family, kind, protocol, _, where = address
        made = DeadlineSocket(family, kind, protocol)
        try:
            for option in self.socket_options or ():
                made.setsockopt(*option)
            made.connect(where)
        except BaseException:
            made.close()
            raise
        return made


class TlsConnection(Connection, urllib3.connection.HTTPSConnection):
    """
    The same over TLS.

    Under skip_verify, which its user has chosen, urllib3 does not warn that it is not verified: the warning would be a
    diagnostic of every `pulumi up` and `preview`. A filter would be the whole process's, where others may want it, and
    changing filters for a moment is not safe with threads.
    """

    def connect(self) -> None:
        super().connect()
        if self.ssl_context is not None and self.ssl_context.verify_mode == ssl.CERT_NONE:
            self.is_verified = True  # urllib3 asks this for its warning alone
