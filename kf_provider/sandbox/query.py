"""
The parser of Keyfactor's query strings: `Status -eq "Suspended" AND (Title -contains "web" OR ReferenceId -gt 7)`.

Source: keyfactor-api.md, section 1. The operators are those that Keyfactor's portal offers; no source lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

Value = str | int | datetime | None
Fields = Mapping[str, Value]
FieldTypes = Mapping[str, type[str] | type[int] | type[datetime]]
Condition = Callable[[Fields], bool]

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<paren>[()])
      | (?P<operator>-[A-Za-z]+)
      | "(?P<quoted>(?:\\"|[^"])*)"
      | (?P<word>[^\s()"]+)
    )""",
    re.VERBOSE,
)


DEEPEST: Final = 50  # parentheses within each other


class QueryError(ValueError):
    """
    The query string cannot be understood.
    """


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


class _Parser:
    def __init__(self, text: str, field_types: FieldTypes) -> None:
        self._field_types = field_types
        self._field_names = {name.lower(): name for name in field_types}
        self._tokens = _tokenize(text)
        self._next = 0
        self._depth = 0

    def parse(self) -> Condition:
        condition = self._or_expression()
        if self._peek() is not None:
            raise QueryError(f"unexpected {self._take().text!r}")
        return condition

    def _or_expression(self) -> Condition:
        condition = self._and_expression()
        while self._take_word("or"):
            condition = _or(condition, self._and_expression())
        return condition

    def _and_expression(self) -> Condition:
        condition = self._operand()
        while self._take_word("and"):
            condition = _and(condition, self._operand())
        return condition

    def _operand(self) -> Condition:
        token = self._take()
        if token == _Token("paren", "("):
            self._depth += 1
            if self._depth > DEEPEST:
                raise QueryError(f"more than {DEEPEST} parentheses within each other")
            condition = self._or_expression()
            self._depth -= 1
            if self._take() != _Token("paren", ")"):
                raise QueryError("a closing parenthesis is missing")
            return condition
        field = self._field_names.get(token.text.lower()) if token.kind == "word" else None
        if field is None:
            raise QueryError(f"{token.text!r} is not a field that can be queried")
        operator = self._take()
        compare = _OPERATORS.get(operator.text.lower()) if operator.kind == "operator" else None
        if compare is None:
            raise QueryError(f"{operator.text!r} is not an operator")
        if operator.text.lower() in _TEXT_OPERATORS and self._field_types[field] is not str:
            raise QueryError(f"{operator.text} is for texts, and {field} is none")
        value = self._take()
        if value.kind not in {"quoted", "word"}:
            raise QueryError(f"{field} {operator.text} needs a value")
        wanted = None if value == _Token("word", "NULL") else _convert(value.text, self._field_types[field])
        if operator.text.lower() == "-eq" and isinstance(wanted, str):
            return _IsOneOf(field, frozenset({wanted}))
        return lambda fields: compare(fields[field], wanted)

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> _Token:
        token = self._peek()
        if token is None:
            raise QueryError("the query ends too early")
        self._next += 1
        return token

    def _take_word(self, word: str) -> bool:
        token = self._peek()
        found = token is not None and token.kind == "word" and token.text.lower() == word
        self._next += found
        return found


def parse_query(text: str, field_types: FieldTypes) -> Condition:
    """
    The condition that a query string states over fields of these names and types; an empty one holds for everything.

    Names, operators, AND, OR and strings are compared without regard to case. AND binds more tightly than OR.
    Raises `QueryError`.
    """
    if not text.strip():
        return lambda _: True
    return _Parser(text, field_types).parse()


def _tokenize(text: str) -> list[_Token]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise QueryError(f"cannot read the query at {text[position : position + 20]!r}")
        content = match[match.lastgroup]
        # A backslash escapes a quotation mark only: user names are DOMAIN\user.
        tokens.append(_Token(match.lastgroup, content.replace('\\"', '"')))
        position = match.end()
    return tokens


@dataclass(frozen=True)
class _IsOneOf:
    """
    A text equals one of these, in lower case: clients ask for fifty ids at once, of a thousand instances.
    """

    field: str
    texts: frozenset[str]

    def __call__(self, fields: Mapping[str, Value]) -> bool:
        value = fields[self.field]
        return isinstance(value, str) and value.lower() in self.texts


def _and(left: Condition, right: Condition) -> Condition:
    return lambda fields: left(fields) and right(fields)


def _or(left: Condition, right: Condition) -> Condition:
    if isinstance(left, _IsOneOf) and isinstance(right, _IsOneOf) and left.field == right.field:
        return _IsOneOf(left.field, left.texts | right.texts)
    return lambda fields: left(fields) or right(fields)


def _convert(text: str, field_type: type[str] | type[int] | type[datetime]) -> Value:
    try:
        if field_type is int:
            return int(text)
        if field_type is datetime:
            # .NET writes up to 7 digits of a second, Python reads at most 6.
            moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        raise QueryError(f"{text!r} is not a {'whole number' if field_type is int else 'date'}") from None
    return text.lower()


def _order_operator(test: Callable[[int], bool]) -> Callable[[Value, Value], bool]:
    """
    An operator from a test of the sign of `value - wanted`; NULL equals a missing value and differs from all others.
    """

    def compare(value: Value, wanted: Value) -> bool:
        match value, wanted:
            case None, None:
                return test(0)
            case str(), str():
                return test(_sign(value.lower(), wanted))
            case (int(), int()) | (datetime(), datetime()):
                return test(_sign(value, wanted))
        return test(1) and test(-1)

    return compare


def _text_operator(test: Callable[[str, str], bool]) -> Callable[[Value, Value], bool]:
    def compare(value: Value, wanted: Value) -> bool:
        return value is not None and wanted is not None and test(str(value).lower(), str(wanted))

    return compare


def _sign(value: Any, wanted: Any) -> int:
    return bool(value > wanted) - bool(value < wanted)


_TEXT_OPERATORS: Final[Mapping[str, Callable[[Value, Value], bool]]] = {
    "-contains": _text_operator(lambda value, wanted: wanted in value),
    "-notcontains": _text_operator(lambda value, wanted: wanted not in value),
    "-startswith": _text_operator(lambda value, wanted: value.startswith(wanted)),
    "-endswith": _text_operator(lambda value, wanted: value.endswith(wanted)),
}

_OPERATORS: Final[Mapping[str, Callable[[Value, Value], bool]]] = {
    "-eq": _order_operator(lambda sign: sign == 0),
    "-ne": _order_operator(lambda sign: sign != 0),
    "-gt": _order_operator(lambda sign: sign > 0),
    "-ge": _order_operator(lambda sign: sign >= 0),
    "-lt": _order_operator(lambda sign: sign < 0),
    "-le": _order_operator(lambda sign: sign <= 0),
    **_TEXT_OPERATORS,
}
