"""
The last moment of a call: one for all that it takes, whatever each part of it would allow.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_LONGEST_TIMEOUT: Final = 86400.0  # seconds; a socket takes no number beyond the system's time


class Deadline(threading.local):
    """
    When what this thread does must be over, on the monotonic clock.

    requests' own timeouts start anew with every byte, every address and every leg: a server or a proxy that drips would
    hold a thread for ever.
    """

    at = math.inf
    allowed = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """
        What is in the `with` block must be over after these seconds, and no later than what is around it.
        """
        outer = self.at, self.allowed
        allowed = min(seconds, _LONGEST_TIMEOUT)
        if time.monotonic() + allowed < self.at:
            self.at, self.allowed = time.monotonic() + allowed, allowed
        try:
            yield
        finally:
            self.at, self.allowed = outer

    def left(self) -> float:
        return self.at - time.monotonic()

    def timeout(self) -> float:
        left = self.left()
        if left <= 0:
            raise TimeoutError("the time allowed for this request is over")
        return min(left, _LONGEST_TIMEOUT)


DEADLINE: Final = Deadline()


class DeadlineSocket(socket.socket):
    """
    A socket that waits no longer than its thread may. What others set as its time-out is replaced: they set it anew.
    """

    def connect(self, address: Any) -> None:
        self.settimeout(DEADLINE.timeout())
        super().connect(address)

    def recv(self, *args: Any) -> bytes:
        self.settimeout(DEADLINE.timeout())
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self.settimeout(DEADLINE.timeout())
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self.settimeout(DEADLINE.timeout())
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(DEADLINE.timeout())
        super().sendall(*args)


class DeadlineTlsSocket(DeadlineSocket, ssl.SSLSocket):
    """
    The same over TLS. The system's time-out is that of the handshake as a whole.
    """

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(DEADLINE.timeout())
        super().do_handshake(block)
