"""
What is sent and what comes back, as plain values, and what the body of an answer holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn

from ..errors import UnusableAnswerError

LARGEST_EXACT: Final = 2**53  # up to here a 64-bit float holds every integer
_LONGEST_EXACT: Final = len(str(-LARGEST_EXACT))  # characters
_TITLE_IS_WITHIN: Final = 64 * 1024  # characters
_LONGEST_TITLE: Final = 200  # characters


@dataclass(frozen=True, repr=False)
class Request:
    """
    What is to be sent: a GET, or a form that asks for a token.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None

    def authorized(self, authorization: str) -> Request:
        """
        The same with this Authorization header.
        """
        return replace(self, headers={**self.headers, "Authorization": authorization})

    def __repr__(self) -> str:
        return f"<{self.method} {self.url.partition('?')[0]}>"  # headers and forms hold secrets


@dataclass(frozen=True)
class Answer:
    """
    What came back, whatever its status.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)  # without regard to case
    body: bytes = field(repr=False)  # a token, or state data

    @property
    def retry_after(self) -> float | None:
        """
        The seconds that the server asks to be left alone.
        """
        return retry_after_seconds(self.headers.get("Retry-After"))


def retry_after_seconds(header: str | None, *, now: datetime | None = None) -> float | None:
    """
    The seconds that a `Retry-After` header asks for, or None when it says nothing usable.

    Both forms of RFC 9110, section 10.2.3: a number of seconds, or a date. A time in the past is 0.
    """
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - (now or datetime.now(UTC))).total_seconds(), 0.0)


def json_of(answer: Answer, server: str) -> Any:
    """
    The JSON in the body. Raises UnusableAnswerError for anything else, which says what there is instead.

    A number that a 64-bit float does not hold is text, digit by digit as the server wrote it: an integer beyond 2^53,
    and one with a fraction or an exponent that would come back as another. So it is the same in Python, in JSON and on
    the engine's wire, where every number is such a float.
    """
    text = answer.body.decode("utf-8-sig", "replace").strip()
    if not text:
        raise UnusableAnswerError(f"{server} answered with an empty body", is_transient=True)
    if text.startswith("<"):
        title = page_title(text)
        raise UnusableAnswerError(
            f"{server} answered with a page{f' titled {title!r}' if title else ''} instead of JSON, perhaps a login"
            " page: check the host name and the API path (keyfactor:apiPath)"
        )
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_fraction, parse_constant=_refused)
    except (ValueError, RecursionError):
        is_cut = text.startswith(("{", "["))
        kind = "JSON that is cut off or broken" if is_cut else "text instead of JSON"
        raise UnusableAnswerError(f"{server} answered with {kind}", is_transient=is_cut) from None
    if "\\ud" in text.lower():
        # Half of a surrogate pair is fine in JSON, but in no UTF-8, nor on the engine's wire.
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def _whole(digits: str) -> int | str:
    # By length first: Python refuses to read thousands of digits.
    return int(digits) if len(digits) <= _LONGEST_EXACT and abs(int(digits)) <= LARGEST_EXACT else digits


def _fraction(digits: str) -> float | str:
    number = float(digits)
    try:
        # .NET writes either the shortest form of a float, as Python does, or always 17 digits.
        is_held = Decimal(digits) in (Decimal(repr(number)), Decimal(f"{number:.17g}"))
    except ArithmeticError:  # an exponent of 20 digits
        is_held = False
    return number if is_held else digits


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def page_title(text: str) -> str | None:
    """
    The title of an HTML page, without line breaks.
    """
    found = re.search(r"<title[^>]*>([^<]*)", text[:_TITLE_IS_WITHIN], re.IGNORECASE)
    return " ".join(found[1].split())[:_LONGEST_TITLE] or None if found else None
