"""
The last moment of a request: one for all that it takes, whatever each part of it would allow.
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
    When the request of this thread must be over, on the monotonic clock.

    requests' own timeouts start anew with every byte: a server that drips would hold a thread for ever. What is not
    bounded is the look-up of a name, which the system ends by itself.
    """

    at = math.inf
    allowed = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.allowed = min(seconds, _LONGEST_TIMEOUT)
        self.at = time.monotonic() + self.allowed
        try:
            yield
        finally:
            self.at = self.allowed = math.inf

    def left(self) -> float:
        return self.at - time.monotonic()

    def timeout(self) -> float:
        left = self.left()
        if left <= 0:
            raise TimeoutError("the time allowed for this request is over")
        return min(left, _LONGEST_TIMEOUT)


DEADLINE: Final = Deadline()


class DeadlineSocket(socket.socket):
    def recv_into(self, *args: Any) -> int:
        self.settimeout(DEADLINE.timeout())  # urllib3 sets it anew for each request
        return super().recv_into(*args)


class DeadlineTlsSocket(DeadlineSocket, ssl.SSLSocket):
    """
    The same over TLS. The handshake keeps to the connection's time-out as a whole, by itself.
    """
