"""
By what instances are searched for: the filters, and what they are in Keyfactor's query language.

Source: Keyfactor Command Web API reference 10.3 and 11.3, GET Workflow Instances.
"""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypedDict

from ..errors import ArgumentError, InstanceIdError, SearchError
from ..words import safe_line
from .models import (
    LARGEST_INT,
    WORKFLOW_TYPES,
    Status,
    StatusWord,
    canonical_status,
    is_whole,
    parse_instance_id,
    shown_number,
)

_LONGEST_NUMBER: Final = len(str(LARGEST_INT))  # digits
_IS_NEAR: Final = 0.75  # of the letters, as difflib counts


class Filters(TypedDict, total=False):
    """
    What instances can be listed by; one must meet all that are given. None is not given.
    """

    status: StatusWord | Status | int | None  # where the server sends numbers, also a number
    title_contains: str | None
    workflow_type: str | None  # Enrollment, Revocation, Expiration, ...
    initiated_by: str | None  # `DOMAIN\\user`
    started_after: datetime | str | None  # ISO 8601; in UTC when it has no zone
    definition_id: str | None
    reference_id: int | None
    ids: Sequence[str] | None  # at most 50
    query: str | None  # in Keyfactor's query language: `Status -eq "Suspended" AND WorkflowType -eq "Enrollment"`


def known_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """
    Those that are given. Raises ArgumentError for a name that is none of `Filters`.
    """
    if unknown := filters.keys() - Filters.__annotations__.keys():
        known = ", ".join(Filters.__annotations__)
        raise ArgumentError(f"unexpected keyword argument {min(unknown)!r}: instances are listed by {known}")
    return {name: value for name, value in filters.items() if value is not None}


def query_of(filters: Filters, status_names: Mapping[int, str]) -> str:
    """
    The filters in Keyfactor's query language; empty without any.

    A status is asked for by the numbers that `status_names` gives to its word. Raises SearchError for what cannot be
    written there, or what no instance can have.
    """
    given = known_filters(filters)
    query = given.pop("query", "")
    if not isinstance(query, str):
        raise SearchError(f"query: {shown(query)} is not text")
    query = query.strip()
    conditions = [[query]] if query else []
    for name, value in given.items():
        words, literal = _CONDITIONS[name]
        try:
            conditions.append([f"{words} {literal(one)}" for one in _alternatives(name, value, status_names)])
        except ValueError as odd:
            raise SearchError(f"{name}: {shown(value)} {odd}") from None
    if len(conditions) == 1:
        return " OR ".join(conditions[0])
    return " AND ".join(
        f"({' OR '.join(parts)})" if len(parts) > 1 or parts == [query] else parts[0] for parts in conditions
    )


def doubt_about(filters: Filters) -> str | None:
    """
    What looks like a slip in the filters; another type may be that of a later version.
    """
    given = filters.get("workflow_type")
    if not isinstance(given, str) or (word := given.strip().lower()) in _TYPES:
        return None
    # There are types of certificate collections, but no CertificateEnrollment.
    near = [*_nearest(word), *_nearest(word.removeprefix("certificate"))]
    if not near:
        return None
    return f"workflow_type: {shown(given)} is no type that Keyfactor documents; {_TYPES[near[0]]!r} is one"


def status_word(status: object, status_names: Mapping[int, str]) -> str:
    """
    The status of a filter as an instance has it: a number is the word that `status_names` gives it.
    """
    if isinstance(status, str) and not status.strip().isdecimal():
        return canonical_status(status)
    number = int(status) if isinstance(status, str | int | float) else 0
    return status_names.get(number, str(number))


def started_after(filters: Filters) -> datetime | None:
    """
    The moment after which an instance must have started, in UTC. Raises SearchError for what is no time.
    """
    value = filters.get("started_after")
    if value is None:
        return None
    try:
        return _utc(value)
    except ValueError as odd:
        raise SearchError(f"started_after: {shown(value)} {odd}") from None


def shown(value: object) -> str:
    """
    A value that cannot be searched for, as messages quote it.
    """
    return shown_number(value) if is_whole(value) else repr(safe_line(str(value), longest=60))


def _nearest(word: str) -> list[str]:
    return difflib.get_close_matches(word, _TYPES, n=1, cutoff=_IS_NEAR)


def _alternatives(name: str, value: object, status_names: Mapping[int, str]) -> Sequence[object]:
    """
    The values of which an instance must have one.
    """
    if name == "ids":
        ids = [value] if isinstance(value, str | uuid.UUID) or not isinstance(value, Iterable) else [*value]
        if not ids:
            raise ValueError("names no instance")
        return ids
    if name == "status" and isinstance(value, str):
        word = canonical_status(value)
        return [number for number, named in status_names.items() if named == word] or [word]
    return [value]


def _quoted(value: object) -> str:
    # No source gives a way to write a quotation mark inside a quoted text.
    if not isinstance(value, str) or '"' in value or not value.isprintable() or not value.strip():
        raise ValueError(
            "cannot be searched for: it is no text, or empty, or has a quotation mark or a control character in it"
        )
    return f'"{value}"'


def _status_literal(value: object) -> str:
    if isinstance(value, str):
        if value in set(Status):
            return _quoted(value)
        if not value.isdecimal():
            *words, last = Status
            raise ValueError(f"is no status of Keyfactor's, so nothing has it: give {', '.join(words)} or {last}")
    return _number(value)


def _number(value: object) -> str:
    # Every number is a float once it has been through the engine, and a setting of the stack is text.
    if isinstance(value, str) and value.isdecimal() and len(value) <= _LONGEST_NUMBER:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_INT:
        raise ValueError("is not a whole number that an instance can have")
    return str(value)


def _definition(value: object) -> str:
    try:
        return _quoted(parse_instance_id(value))
    except InstanceIdError:
        raise ValueError("is not the GUID of a workflow definition") from None


def _instance(value: object) -> str:
    try:
        return _quoted(parse_instance_id(value))
    except InstanceIdError as error:
        raise ValueError(f"names what is no instance: {error}") from None


def _workflow_type(value: object) -> str:
    return _quoted(_TYPES.get(value.strip().lower(), value) if isinstance(value, str) else value)


def _moment(value: object) -> str:
    return _quoted(_utc(value).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _utc(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("is not a time such as 2026-01-31T12:00:00Z")


_TYPES: Final = {word.lower(): word for word in WORKFLOW_TYPES}
_CONDITIONS: Final[Mapping[str, tuple[str, Callable[[object], str]]]] = {
    "status": ("Status -eq", _status_literal),
    "title_contains": ("Title -contains", _quoted),
    "workflow_type": ("WorkflowType -eq", _workflow_type),
    "initiated_by": ("InitiatingUserName -eq", _quoted),
    "started_after": ("StartDate -gt", _moment),
    "definition_id": ("DefinitionId -eq", _definition),
    "reference_id": ("ReferenceId -eq", _number),
    "ids": ("Id -eq", _instance),
}
