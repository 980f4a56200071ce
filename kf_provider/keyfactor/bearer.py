"""
A bearer token that is renewed: one for its lifetime, for all threads.
"""

from __future__ import annotations

import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Final

from ..errors import NoAnswerError
from .answers import Answer, Request
from .credentials import AuthFlow, Credentials

_LONGEST_MARGIN: Final = 60.0  # seconds


class RenewedToken(Credentials):
    """
    One token for its lifetime, for all threads; a new one when the server refuses it.

    Only one thread asks for a token; the others wait for it, no longer than their own requests may take.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._good_until = -math.inf

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self._token,)

    @abstractmethod
    def renewal(self) -> Generator[Request, Answer, tuple[str, float]]:
        """
        Yield what asks for a token, if anything is to be sent, and return the token and the seconds it is good for.
        """

    def auth_flow(self, request: Request, *, time_left: Callable[[], float]) -> AuthFlow:
        """
        The request with a token; again with a new one after a 401.
        """
        token = yield from self._good_token(time_left)
        answer = yield request.authorized(f"Bearer {token}")
        if answer.status_code == 401:
            token = yield from self._good_token(time_left, refused=token)
            yield request.authorized(f"Bearer {token}")

    def _good_token(
        self, time_left: Callable[[], float], *, refused: str | None = None
    ) -> Generator[Request, Answer, str]:
        with self._held_lock(time_left()):
            if self._clock() >= self._good_until or self._token == refused:  # else another thread has asked already
                self._good_until = -math.inf
                asked = self._clock()
                self._token, seconds = yield from self.renewal()
                self._good_until = asked + seconds
            return self._token

    @contextmanager
    def _held_lock(self, seconds: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX)):
            raise NoAnswerError(f"{self._endpoint}: no access token in the time allowed", is_transient=True)
        try:
            yield
        finally:
            self._lock.release()

    @property
    @abstractmethod
    def _endpoint(self) -> str:
        """
        Who gives the token, as texts name it.
        """


def lifetime(expires_in: object) -> float:
    """
    For how many seconds a token is used that is said to be good for so long.
    """
    # Left out by some servers (then: until a 401), a string from others. Renewed a little early: clocks and requests
    # take their time.
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # anything else is caught below
    except (TypeError, ValueError, OverflowError):
        return math.inf
    return seconds - min(_LONGEST_MARGIN, seconds / 5) if math.isfinite(seconds) else math.inf
