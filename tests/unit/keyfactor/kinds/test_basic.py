"""
A user and a password.
"""

from __future__ import annotations

import pytest

from kf_provider.keyfactor.settings import load_settings

from ..given import BASIC, refusal


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"username": "jsmith"}, "jsmith"),
        ({"username": "jsmith", "domain": "KEYEXAMPLE"}, "KEYEXAMPLE\\jsmith"),
        ({"username": "KEYEXAMPLE\\jsmith"}, "KEYEXAMPLE\\jsmith"),
        ({"username": "jsmith@example.com"}, "example.com\\jsmith"),
        ({"username": "KEYEXAMPLE\\jsmith", "domain": "OTHER"}, "KEYEXAMPLE\\jsmith"),
    ],
)
def test_domain(given: dict[str, str], expected: str) -> None:
    """
    The user is DOMAIN\\user, whichever way it was given; a domain in the user name wins (as in Keyfactor's tools).
    """
    settings = load_settings(**(BASIC | given))

    assert (expected, f"basic:{expected}") == (settings.qualified_username, settings.identity)


@pytest.mark.parametrize("username", ["canary:5be1", "A\\B\\C", "@example.com"])
def test_username_without_sense(username: str) -> None:
    """
    What is no user is refused by the name of the setting.
    """
    assert refusal(**(BASIC | {"username": username})).startswith(
        "username (keyfactor:username or KEYFACTOR_USERNAME) "
    )


def test_username_beside_another_kind() -> None:
    """
    A user that does not count is not looked at.
    """
    assert "access_token" == load_settings(**(BASIC | {"username": "A\\B\\C"}), access_token="t").credential_kind.name
