"""
Dotted paths into an instance, and the values they must have.
"""

from __future__ import annotations

import pytest

from kf_provider.keyfactor.matching import differing, lacking, unmet_expectation
from kf_provider.keyfactor.models import Instance

COMPLETE = Instance.model_validate(
    {
        "Id": "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94",
        "Status": "Complete",
        "Title": "KEYEXAMPLE\\jsmith is enrolling",
        "ReferenceId": 42,
        "Definition": {"DisplayName": "Web TLS", "Version": 3},
        "CurrentStateData": {
            "Subject": "CN=web.example.com",
            "IncludeChain": True,
            "SANs": {"dns": ["web.example.com", "www.example.com"]},
            "a.dotted.key": {"inner": None},
            "RevokeCode": 0,
        },
    }
)


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {"title": "KEYEXAMPLE\\jsmith is enrolling"},
        {"reference_id": 42},
        {"reference_id": 42.0},
        {"definition.display_name": "Web TLS", "definition.version": 3.0},
        {"current_state_data.Subject": "CN=web.example.com"},
        {"current_state_data.SANs.dns.1": "www.example.com"},
        {"current_state_data.SANs.dns": ["web.example.com", "www.example.com"]},
        {"current_state_data.SANs": {"dns": ["web.example.com", "www.example.com"]}},
        {"current_state_data.IncludeChain": True},
    ],
)
def test_expectation_met(expect: dict[str, object]) -> None:
    """
    Paths reach into the instance, and numbers are compared by value: the engine's wire makes each a float.
    """

    assert unmet_expectation(COMPLETE, expect) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("title", "keyexample\\jsmith is enrolling"),
        ("current_state_data.SANs.dns", ["www.example.com", "web.example.com"]),
        ("current_state_data.Subject", "CN=other.example.com"),
    ],
)
def test_expectation_unmet(path: str, expected: object) -> None:
    """
    Case and order count; the text names the path and no value.
    """

    text = unmet_expectation(COMPLETE, {path: expected})

    assert text == f"its {path} is not the expected one; this approval was given for something else"


@pytest.mark.parametrize(
    ("path", "expected", "types"),
    [
        ("reference_id", "42", "a number there, text here"),
        ("title", 5, "text there, a number here"),
        ("current_state_data.RevokeCode", False, "a number there, true or false here"),
        ("current_state_data.IncludeChain", 1, "true or false there, a number here"),
        ("current_state_data.IncludeChain", "True", "true or false there, text here"),
        ("current_state_data.SANs.dns", "web.example.com", "a list there, text here"),
        ("current_state_data.SANs", ["web.example.com"], "an object there, a list here"),
    ],
)
def test_expectation_of_another_type(path: str, expected: object, types: str) -> None:
    """
    A value of another type is never met, and is told as such.
    """

    assert (
        f"its {path} is not the expected one ({types}); this approval was given for something else"
        == unmet_expectation(COMPLETE, {path: expected})
    )


def data(**values: object) -> Instance:
    return Instance.model_validate({"Id": "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94", "CurrentStateData": values})


@pytest.mark.parametrize(
    "values",
    [
        {"a.b": "good", "a": {"b": "bad"}},
        {"a.b": "bad", "a": {"b": "good"}},
        {"a.b": None, "a": {"b": "good"}},
        {"a.b": 1, "a": {"b": "good"}},
    ],
)
def test_a_key_with_dots_beside_a_nested_one(values: dict[str, object]) -> None:
    """
    Where the path leads to two values, both must be the expected one: who can write one key must not pass.
    """
    text = unmet_expectation(data(**values), {"current_state_data.a.b": "good"})

    assert (
        "its current_state_data.a.b is there more than once, as a key with dots and nested, and not always the "
        "expected one; this approval was given for something else" == text
    )
    assert unmet_expectation(data(**{"a.b": "good", "a": {"b": "good"}}), {"current_state_data.a.b": "good"}) is None


def test_a_tuple_is_a_list() -> None:
    """
    A tuple is compared as the list that JSON makes of it, nested too.
    """
    assert unmet_expectation(data(a=[["x"], 1]), {"current_state_data.a": (("x",), 1)}) is None


def test_differing_and_lacking() -> None:
    """
    Of a pending instance it is told what differs already and what is not there yet; what each step changes is not.
    """
    pending = COMPLETE.model_copy(update={"status": "Suspended", "title": "another"})
    expect = {
        "status": "Complete",
        "current_step_display_name": "the end",
        "title": "this",
        "reference_id": 42,
        "current_state_data.Subject": "CN=web.example.com",
        "current_state_data.SANs.dns.0": True,
        "current_state_data.Issued": "yes",
        "current_state_data.a.dotted.key.inner": "null so far",
    }

    assert [
        "its title is not the expected one",
        "its current_state_data.SANs.dns.0 is not the expected one (text there, true or false here)",
    ] == differing(pending, expect)
    assert ["current_state_data.Issued", "current_state_data.a.dotted.key.inner"] == lacking(pending, expect)


@pytest.mark.parametrize(
    "path",
    [
        "title.",
        "current_state_data.SANs.dns.²",
        f"current_state_data.SANs.dns.{'9' * 5000}",
        "current_state_data..",
        "title.more",
        "current_state_data.SANs.dns.7",
        "current_state_data.SANs.dns.x",
    ],
)
def test_expectation_of_a_missing_value(path: str) -> None:
    """
    A path that leads nowhere is not met.
    """

    text = unmet_expectation(COMPLETE, {path: "x"})

    assert text == f"has no {path}; the approval was given for something else, or the path is wrong"


def test_expectation_of_none() -> None:
    """
    An expected value that turned out to be None is refused, even where the instance has none: the wire drops it.
    """

    text = unmet_expectation(COMPLETE, {"current_state_data.a.dotted.key.inner": None})

    assert text is not None
    assert "expect a value" in text
