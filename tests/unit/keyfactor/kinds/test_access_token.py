"""
A token that is used as it is.
"""

from __future__ import annotations

from kf_provider.keyfactor.settings import load_settings


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
