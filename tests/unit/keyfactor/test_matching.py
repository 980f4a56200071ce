"""
Dotted paths into an instance, and the values they must have.
"""

from __future__ import annotations

import pytest

from kf_provider.keyfactor.matching import unmet_expectation
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
        ("reference_id", "42"),
        ("current_state_data.RevokeCode", False),
        ("current_state_data.IncludeChain", 1),
        ("current_state_data.IncludeChain", "True"),
        ("current_state_data.SANs.dns", ["www.example.com", "web.example.com"]),
        ("current_state_data.Subject", "CN=other.example.com"),
    ],
)
def test_expectation_unmet(path: str, expected: object) -> None:
    """
    Case, type and order count; the text names the path and no value.
    """

    text = unmet_expectation(COMPLETE, {path: expected})

    assert text == f"its {path} is not the expected one; this approval was given for something else"


@pytest.mark.parametrize(
    "path",
    ["current_state_data.Nothing", "title.more", "current_state_data.SANs.dns.7", "current_state_data.SANs.dns.x"],
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
