"""
How a request proves who we are: a flow, which yields what to send and sees the answers.
"""

from __future__ import annotations

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Final, TypeAlias

from .answers import Answer, Request

AuthFlow: TypeAlias = Generator[Request, Answer, None]

BEARER_TOKEN: Final = re.compile(r"[\x21-\x7e]+")  # anything else would end the header, or start another
_LONGEST_QUOTE: Final = 200


class Credentials(ABC):
    """
    Who we are, for one server. Safe to share between threads: what a flow keeps for others, it keeps under a lock.
    """

    @property
    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """
        What must not show.
        """

    @abstractmethod
    def auth_flow(self, request: Request, *, time_left: Callable[[], float]) -> AuthFlow:
        """
        Yield what is to be sent for this request, and receive each answer; the last one is the request's.

        It is closed when no answer comes. Who waits here waits no longer than `time_left()`, in seconds.
        """

    def quoted(self, text: str) -> str:
        """
        What a server or proxy says, on one line of at most 200 characters, without our secrets.
        """
        for secret in sorted(filter(None, self.secrets), key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:_LONGEST_QUOTE]


class FixedHeader(Credentials):
    """
    The same Authorization header for every request.

    Refused once, it is not sent again: accounts get locked that way.
    """

    def __init__(self, authorization: str, *secrets: str) -> None:
        self.authorization = authorization
        self._secrets = secrets

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._secrets

    def auth_flow(self, request: Request, *, time_left: Callable[[], float]) -> AuthFlow:  # noqa: ARG002 - never waits
        yield request.authorized(self.authorization)


def basic(username: str, password: str) -> FixedHeader:
    """
    Basic authentication, in UTF-8 (RFC 7617).
    """
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
    return FixedHeader(f"Basic {encoded}", encoded, password)
