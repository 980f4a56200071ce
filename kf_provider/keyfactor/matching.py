"""
What is expected of an instance: dotted paths into it, and the values they must have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .models import Instance, InstanceSummary

EXPECTABLE: Final = tuple(Instance.model_fields)

# What is kept where a value is missing: `None` itself is what a JSON null is read as.
_MISSING: Final = object()


def unmet_expectation(instance: InstanceSummary, expect: Mapping[str, object]) -> str | None:
    """
    Why the instance is not the one that is expected, or None when it is.

    `expect` maps dotted paths into the instance (`title`, `definition.display_name`, `current_state_data.Subject`) to
    values. Letters are compared with their case, numbers by value, and a value of another type never matches. The text
    names the path, and never a value: it may be secret.
    """
    fields = instance.outputs()
    for path, expected in expect.items():
        if expected is None:
            return f"the value expected of {path} is None; expect a value, or leave {path} out"
        found = _at(fields, path)
        if found is _MISSING:
            return f"has no {path}; the approval was given for something else, or the path is wrong"
        if not _same(found, expected):
            return f"its {path} is not the expected one; this approval was given for something else"
    return None


def _at(value: object, path: str) -> object:
    """
    The value at a dotted path. A key that has dots itself is found as well: the longest one that is there wins.
    """
    if not path:
        return value
    if isinstance(value, Mapping):
        parts = path.split(".")
        for size in range(len(parts), 0, -1):
            key, rest = ".".join(parts[:size]), ".".join(parts[size:])
            if key in value:
                return _at(value[key], rest)
    if isinstance(value, list):
        index, _, rest = path.partition(".")
        if index.isdecimal() and int(index) < len(value):
            return _at(value[int(index)], rest)
    return _MISSING


def _same(found: object, expected: object) -> bool:
    # True == 1 in Python, and every number is a float on the engine's wire.
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == expected.keys()
            and all(_same(found[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(_same(one, other) for one, other in zip(found, expected, strict=True))
        )
    return found == expected
