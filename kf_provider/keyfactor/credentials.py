"""
How a request proves who we are: a flow, which yields what to send and sees the answers.
"""

from __future__ import annotations

import base64
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from html import escape
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus

from ..words import safe_line
from .answers import Answer, Request

AuthFlow: TypeAlias = Generator[Request, Answer, None]

BEARER_TOKEN: Final = re.compile(r"[\x21-\x7e]+")  # anything else would end the header, or start another


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
        What a server or proxy says, as `words.safe_line` has it, without our secrets.
        """
        spellings = {spelling for secret in self.secrets if secret for spelling in _spellings(secret)}
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, "[secret]")
        return safe_line(text)


def _spellings(secret: str) -> tuple[str, ...]:
    # As it is, in JSON, in a URL, in a form, and in HTML: whoever echoes a request does so in one of these.
    return (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret),
        quote_plus(secret),
        escape(secret),
    )


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
