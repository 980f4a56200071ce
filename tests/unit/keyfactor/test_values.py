"""
JSON values: when two are the same, and which can be expected.
"""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
import uuid

import pytest

from kf_provider.keyfactor.values import expectable, is_same


def never(_: object) -> bool:
    return False


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, 0.0, False),
        ([True], [1], False),
        ({"a": [True]}, {"a": [1.0]}, False),
        ((1, ("x",)), [1.0, ["x"]], True),
        ([1, 2], [1], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({}, [], False),
        (None, False, False),
        (None, None, True),
        ("1", 1, False),
        ("a", "A", False),
    ],
)
def test_is_same(one: object, other: object, expected: bool) -> None:
    """
    Numbers by value, a tuple as a list, True is not 1, in either order and however deep.
    """
    assert (expected, expected) == (is_same(one, other), is_same(other, one))


def cycle() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "None"),
        ([None], "None"),
        ({"a": {"b": (1, None)}}, "None"),
        (2**53 + 1, "2^53"),
        (-(2**53) - 1, "2^53"),
        (10**400, "2^53"),
        (1e16, "2^53"),
        ([float("inf")], "2^53"),
        (float("nan"), "NaN"),
        ({1}, "type set"),
        ([frozenset()], "type frozenset"),
        (b"x", "type bytes"),
        (decimal.Decimal(1), "type Decimal"),
        (uuid.UUID(int=1), "type UUID"),
        (datetime.date(2026, 1, 1), "type date"),
        (object(), "type object"),
        (iter([1]), "type list_iterator"),
        ({1: "x"}, "a key of type int"),
        ({"a": {None: "x"}}, "a key of type NoneType"),
        ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        (cycle(), "deep"),
    ],
)
def test_never(value: object, reason: str) -> None:
    """
    What no instance can ever have, or the engine's wire does not carry, is refused with its reason.
    """
    with pytest.raises(ValueError, match=reason.replace("^", r"\^")):
        expectable(value, is_later=never)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        (False, False),
        (2**53, 2**53),
        (-0.5, -0.5),
        ((1, ("x", {"a": (True,)})), [1, ["x", {"a": [True]}]]),
        ({}, {}),
        ([], []),
    ],
)
def test_expectable(value: object, expected: object) -> None:
    """
    The rest is taken as JSON has it, with lists for tuples.
    """
    found = expectable(value, is_later=never)

    assert (expected, type(expected)) == (found, type(found))


def test_what_is_known_later_is_kept() -> None:
    """
    What is not known yet is not judged, wherever it stands.
    """
    later = object()

    assert [{"a": later}] == expectable([{"a": later}], is_later=lambda value: value is later)


def test_the_plugin_compares_without_pydantic() -> None:
    """
    The provider of records compares expectations before it needs pydantic or requests, whose import takes longer.
    """
    program = (
        "import sys, kf_provider.approval as approval\n"
        "print(approval.changes({'instance_id': 'x', 'expect': {'a': True}}, {'instance_id': 'x', 'expect': {'a': 1}}),"
        " {'pydantic', 'requests'} & sys.modules.keys())"
    )

    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert "['expect'] set()\n" == printed
