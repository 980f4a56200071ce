"""
What is expected of an instance: dotted paths into it, and the values they must have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from .models import Instance, InstanceSummary
from .values import expectable, is_same, kind_of

EXPECTABLE: Final = tuple(Instance.model_fields)

# What every step changes: that it differs before the end says nothing.
_STILL_CHANGING: Final = {
    "status",
    "status_message",
    "current_step_id",
    "current_step_display_name",
    "current_step_unique_name",
    "last_modified",
    "signals",
}


def checked_expectations(
    expect: object, *, name: str = "expect", is_later: Callable[[object], bool] = lambda _: False
) -> dict[str, Any]:
    """
    What is expected, as JSON has it; what is known later stays as it is.

    Raises ValueError, with the path and no value, for what no instance can ever have.
    """
    if not isinstance(expect, Mapping):
        raise ValueError(f"{name} is a mapping of paths to values, not a {type(expect).__name__}")  # noqa: TRY004 - one kind
    return {path: _checked(path, value, is_later) for path, value in expect.items()}


def _checked(path: object, value: object, is_later: Callable[[object], bool]) -> object:
    if not isinstance(path, str) or path.partition(".")[0] not in EXPECTABLE:
        raise ValueError(f"expects {path!r}, which no instance has; a path begins with one of {', '.join(EXPECTABLE)}")
    try:
        expectable(path, is_later=is_later)
        return expectable(value, is_later=is_later)
    except ValueError as error:
        raise ValueError(
            f"expects {error} of {path!r}, which can never be; expect another value, or leave it out"
        ) from None


def unmet_expectation(instance: InstanceSummary, expect: Mapping[str, object]) -> str | None:
    """
    Why the instance is not the one that is expected, or None when it is.

    `expect` maps dotted paths into the instance (`title`, `definition.display_name`, `current_state_data.Subject`) to
    values. Letters are compared with their case, numbers by value, and a value of another type never matches. Where
    keys with dots make a path lead to several values, all must match: who can write one of them must not decide. The
    text names the path, and never a value: it may be secret.
    """
    for path, expected, readings in _read(instance, expect):
        if expected is None:
            return f"the value expected of {path} is None; expect a value, or leave {path} out"
        if not _is_there(readings):
            return f"has no {path}; the approval was given for something else, or the path is wrong"
        if difference := _difference(path, expected, readings):
            return f"{difference}; this approval was given for something else"
    return None


def differing(instance: InstanceSummary, expect: Mapping[str, object]) -> list[str]:
    """
    What a pending instance has already, and not as it is expected.
    """
    return [
        text
        for path, expected, readings in _read(instance, expect)
        if _is_there(readings) and path.partition(".")[0] not in _STILL_CHANGING
        if (text := _difference(path, expected, readings))
    ]


def lacking(instance: InstanceSummary, expect: Mapping[str, object]) -> list[str]:
    """
    The paths where nothing is yet; a later step may add what they name.
    """
    return [
        path
        for path, _, readings in _read(instance, expect)
        if not _is_there(readings) and path.partition(".")[0] not in _STILL_CHANGING
    ]


def _read(instance: InstanceSummary, expect: Mapping[str, object]) -> Iterator[tuple[str, object, Sequence[object]]]:
    fields = instance.outputs()
    for path, expected in expect.items():
        yield path, expected, _readings(fields, path.split("."))


def _is_there(readings: Sequence[object]) -> bool:
    return any(found is not None for found in readings)  # a JSON null is read as None


def _difference(path: str, expected: object, readings: Sequence[object]) -> str | None:
    wrong = [found for found in readings if not is_same(found, expected)]
    if not wrong:
        return None
    if len(wrong) < len(readings):
        return f"its {path} is there more than once, as a key with dots and nested, and not always the expected one"
    there, here = kind_of(wrong[0]), kind_of(expected)
    if there != here:
        return f"its {path} is not the expected one ({there} there, {here} here)"
    return f"its {path} is not the expected one"


def _readings(value: object, parts: Sequence[str]) -> list[object]:
    """
    Every value to which the path leads: keys may have dots themselves.
    """
    if not parts:
        return [value]
    if isinstance(value, Mapping):
        keys = ((".".join(parts[:size]), parts[size:]) for size in range(1, len(parts) + 1))
        return [found for key, rest in keys if key in value for found in _readings(value[key], rest)]
    if isinstance(value, list) and (index := _index(parts[0])) is not None and index < len(value):
        return _readings(value[index], parts[1:])
    return []


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
