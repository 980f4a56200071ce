"""
JSON values: when two of them are the same, and which can be expected of an instance at all. Imports no pydantic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

LARGEST_EXACT: Final = 2**53  # beyond it, the engine's wire, where every number is a float, takes neighbours for equal
DEEPEST_EXPECTATION: Final = 50


def is_same(one: object, other: object) -> bool:
    """
    Whether two values are the same in JSON: numbers by value, a tuple as a list, and True is not 1.
    """
    # True == 1 in Python, and every number is a float on the engine's wire.
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(is_same(*pair) for pair in zip(one, other, strict=True))
    return one == other


def kind_of(value: object) -> str:
    """
    The value's type in JSON, as people say it.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def expectable(value: object, *, is_later: Callable[[object], bool], depth: int = 0) -> object:
    """
    The value as JSON has it, with lists in place of tuples; what is known later stays as it is.

    Raises ValueError, with the reason in a few words and no value, for what no instance can ever have.
    """
    if is_later(value) or isinstance(value, bool):
        return value
    if depth > DEEPEST_EXPECTATION:
        raise ValueError(f"a value nested more than {DEEPEST_EXPECTATION} deep")
    match value:
        case None:
            raise ValueError("None")  # the engine's wire drops it, and the gate would expect less than it says
        case str():
            return _text(value)
        case int() | float():
            return _number(value)
        case Mapping():
            return {_key(key): expectable(part, is_later=is_later, depth=depth + 1) for key, part in value.items()}
        case list() | tuple():
            return [expectable(part, is_later=is_later, depth=depth + 1) for part in value]
        case _:
            raise ValueError(f"a value of type {type(value).__name__}, which JSON does not have")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a key of type {type(key).__name__}, and JSON's keys are text")  # noqa: TRY004 - as above
    return _text(key)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text with half of a surrogate pair") from None
    return value


def _number(value: float) -> float:
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("NaN, which JSON does not have")
    if abs(value) > LARGEST_EXACT:
        raise ValueError("a number beyond 2^53, which is not kept exactly")
    return value
