"""
A token that is used as it is.
"""

from __future__ import annotations

import pytest

from kf_provider.errors import SettingsError, UnauthorizedError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ...loopback import ID, Loopback, Reply
from ..given import authorization_of


def test_identity() -> None:
    """
    The identity tells two tokens apart and shows neither.
    """
    settings = load_settings(hostname="h", access_token="canary-5be1")
    other = load_settings(hostname="h", access_token="canary-5be2")

    assert ("token:", 14, "access_token") == (
        settings.identity[:6],
        len(settings.identity),
        settings.credential_kind.name,
    )
    assert settings.identity != other.identity


@pytest.mark.parametrize("given", ["token-1", "token-1\n", "  token-1"])
def test_bearer(given: str) -> None:
    """
    A token is sent as it is, without the newline that files and shells add.
    """
    assert "Bearer token-1" == authorization_of(load_settings(hostname="h", access_token=given))


@pytest.mark.parametrize("given", ["canary-5be1\r\nX-Evil: 1", "canary 5be1", "canary-5be1ü"])
def test_bearer_without_sense(given: str) -> None:
    """
    What cannot be in a header is refused before anything is sent, and not shown.
    """
    with pytest.raises(SettingsError, match="keyfactor:accessToken") as caught:
        Client(load_settings(hostname="h", access_token=given))

    assert "canary" not in f"{caught.value!r}"


def test_not_repeated(server: Loopback) -> None:
    """
    A token that is refused is not tried twice.
    """
    server.answers = [Reply(status=401)]
    with Client(load_settings(hostname=server.url, access_token="t")) as client, pytest.raises(UnauthorizedError):
        client.get_workflow_instance(ID)

    assert 1 == len(server.seen)
