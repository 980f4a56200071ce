"""
What is sent and what comes back, as plain values, and what the body of an answer holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn

from ..errors import UnusableAnswerError
from .values import LARGEST_EXACT

_LONGEST_EXACT: Final = len(str(-LARGEST_EXACT))  # characters
DEEPEST: Final = 200  # levels of lists and objects; pydantic writes no more than 255
# What to check where something else than the one that was meant has answered.
THE_ADDRESS: Final = "the host name and the API path (keyfactor:apiPath)"
THE_TOKEN_URL: Final = "the token URL (keyfactor:tokenUrl)"  # noqa: S105 - an advice
_LONGEST_PAUSE: Final = 366 * 86_400.0  # seconds; longer is not meant
_LONGEST_NUMBER: Final = 18  # digits of a header


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

    @property
    def date(self) -> datetime | None:
        """
        When the server says that it has answered, in UTC; None without a usable `Date` (RFC 9110, section 6.6.1).
        """
        try:
            when = parsedate_to_datetime(self.headers.get("Date") or "")
            return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        except Exception:  # as below: the library raises what it likes
            return None


def retry_after_seconds(header: str | None, *, now: datetime | None = None) -> float | None:
    """
    The seconds that a `Retry-After` header asks for, or None when it says nothing usable.

    Both forms of RFC 9110, section 10.2.3: a number of seconds, or a date. A time in the past is 0.
    """
    header = (header or "").strip()
    try:
        if header.isascii() and header.isdigit():
            return min(float(header), _LONGEST_PAUSE)
        when = parsedate_to_datetime(header)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return min(max((when - (now or datetime.now(UTC))).total_seconds(), 0.0), _LONGEST_PAUSE)
    except Exception:  # the library raises what it likes for an odd date, and this is a hint
        return None


def whole_number(header: str | None) -> int | None:
    """
    The number in a header, or None where there is none that can be meant.
    """
    digits = (header or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER else None


def text_of(answer: Answer) -> str:
    """
    The body as text: in UTF-8, unless a byte order mark or the zeros of UTF-16 and UTF-32 say otherwise.
    """
    return answer.body.decode(json.detect_encoding(answer.body), "replace").strip()


def is_page(text: str) -> bool:
    """
    Whether it is HTML or XML. Of a page nothing is quoted, its title neither: some show what they were sent.
    """
    return re.search(r"<[!?/a-z]", text, re.IGNORECASE) is not None


def parsed(text: str) -> Any:
    """
    The text as JSON. Raises ValueError for what is none, and for what is nested too deep.

    A number that a 64-bit float does not hold is text, digit by digit as the server wrote it: an integer beyond 2^53,
    and one with a fraction or an exponent that would come back as another. So it is the same in Python, in JSON and on
    the engine's wire, where every number is such a float.
    """
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_fraction, parse_constant=_refused)
    except RecursionError:
        raise TooDeepError from None
    if _is_too_deep(value):
        raise TooDeepError
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


class TooDeepError(ValueError):
    """
    JSON of more levels than are read.
    """


def json_of(answer: Answer, server: str, *, check: str = THE_ADDRESS) -> Any:
    """
    The JSON in the body. Raises UnusableAnswerError for anything else, which says what there is instead.
    """
    text = text_of(answer)
    if not text:
        raise UnusableAnswerError(f"{server} answered with an empty body", is_transient=True)
    if text.startswith("<"):
        raise UnusableAnswerError(f"{server} answered with a page instead of JSON, perhaps a login page: check {check}")
    try:
        return parsed(text)
    except TooDeepError:
        kind, is_cut = f"JSON of more than {DEEPEST} levels, which is not read", False
    except ValueError:
        is_cut = text.startswith(("{", "["))
        kind = "JSON that is cut off or broken" if is_cut else "text instead of JSON"
    raise UnusableAnswerError(f"{server} answered with {kind}", is_transient=is_cut)  # its cause would hold the body


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _is_too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [part for whole in level if isinstance(whole, dict | list) for part in _parts(whole)]
        if not level:
            return False
    return any(isinstance(whole, dict | list) for whole in level)


def _parts(whole: dict[str, object] | list[object]) -> Iterable[object]:
    return whole.values() if isinstance(whole, dict) else whole
