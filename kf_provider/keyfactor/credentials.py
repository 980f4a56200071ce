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


_IN_HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_ESCAPED_BY_NET: Final = frozenset("\"&'+<>`")  # System.Text.Json's own choice


def _spellings(secret: str) -> tuple[str, ...]:
    # As it is, in JSON, in a URL, in a form, and in HTML, as Python, browsers and .NET write them: whoever echoes a
    # request does so in one of these.
    in_urls = (quote(secret), quote(secret, safe=""), quote(secret, safe="!'()*"), quote_plus(secret))
    in_html = "".join(_IN_HTML.get(sign, sign if sign.isascii() else f"&#{ord(sign)};") for sign in secret)
    in_json = _escaped(secret, lambda sign: not (sign.isalnum() and sign.isascii()))
    mixed_json = _escaped(secret, lambda sign: sign in _ESCAPED_BY_NET or not sign.isascii())
    encoded = base64.b64encode(secret.encode(errors="replace")).decode("ascii")
    return (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        in_json,
        mixed_json,
        *in_urls,
        *(re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text) for text in in_urls),
        escape(secret),
        in_html,
        encoded,
        encoded.rstrip("="),
    )


def _escaped(secret: str, is_escaped: Callable[[str], bool]) -> str:
    # In upper case, and as two escapes for a sign beyond the first 65,536 (RFC 8259, section 7).
    def units(sign: str) -> str:
        return re.sub("(....)", r"\\u\1", sign.encode("utf-16-be", "surrogatepass").hex().upper())

    return "".join(units(sign) if is_escaped(sign) else sign for sign in secret)


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
