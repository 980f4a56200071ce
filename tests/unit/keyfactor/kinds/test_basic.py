"""
A user and a password.
"""

from __future__ import annotations

import base64

import pytest

from kf_provider.errors import UnauthorizedError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ...loopback import ID, Loopback, Reply
from ..given import BASIC, authorization_of, refusal


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


def test_basic() -> None:
    """
    Basic is DOMAIN\\user and the password, in UTF-8.
    """
    settings = load_settings(hostname="h", username="jürgen", domain="KEYEXAMPLE", password="pass:wörd")
    expected = "Basic " + base64.b64encode("KEYEXAMPLE\\jürgen:pass:wörd".encode()).decode()

    assert expected == authorization_of(settings)


def test_not_repeated(server: Loopback) -> None:
    """
    A password that is refused is not tried twice: accounts get locked that way.
    """
    server.answers = [Reply(status=401)]
    settings = load_settings(hostname=server.url, username="u", password="p")
    with Client(settings) as client, pytest.raises(UnauthorizedError):
        client.get_workflow_instance(ID)

    assert 1 == len(server.seen)
