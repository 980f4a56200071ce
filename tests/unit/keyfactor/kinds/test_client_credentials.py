"""
OAuth client credentials.
"""

from __future__ import annotations

import pytest

from kf_provider.keyfactor.settings import load_settings

from ..given import refusal


@pytest.mark.parametrize(
    "url", ["http://idp.example.com/token", "idp.example.com/token", "https://a:b@idp.example.com/"]
)
def test_token_url_without_sense(url: str) -> None:
    """
    The client secret goes to https alone, or to loopback.
    """
    given = {"hostname": "h", "client_id": "c", "client_secret": "canary-5be1", "token_url": url}

    assert "token_url (keyfactor:tokenUrl or KEYFACTOR_AUTH_TOKEN_URL)" in refusal(**given)


def test_scopes_without_sense() -> None:
    """
    Scopes that begin like JSON are JSON.
    """
    given = {"hostname": "h", "client_id": "c", "client_secret": "canary-5be1", "token_url": "https://idp.example.com"}

    assert refusal(**given, scopes="[1").startswith("scopes (keyfactor:scopes or KEYFACTOR_AUTH_SCOPES)")


def test_identity() -> None:
    """
    The identity is the client's id, and where it is known.
    """
    settings = load_settings(
        hostname="h", client_id="gate", client_secret="canary-5be1", token_url="https://idp.example.com/token"
    )

    assert ("oauth:gate@idp.example.com", "client_credentials") == (settings.identity, settings.credential_kind.name)
