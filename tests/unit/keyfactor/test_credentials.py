"""
What all credentials keep to themselves.
"""

from __future__ import annotations

from typing import Any

import pytest

from kf_provider.errors import UnauthorizedError
from kf_provider.keyfactor.answers import Request
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ..loopback import ID, Loopback, Reply


@pytest.mark.parametrize(
    "given",
    [
        {"access_token": "canary-5be1"},
        {"username": "u", "password": "canary-5be1"},
        {"client_id": "c", "client_secret": "canary-5be1", "token_url": "https://idp.example.com/token"},
    ],
)
def test_repr_shows_no_secret(given: dict[str, Any]) -> None:
    """
    Neither credentials nor the requests that they make show a secret.
    """
    settings = load_settings(hostname="h", **given)
    credentials = settings.credential_kind.credentials(settings)
    flow = credentials.auth_flow(Request("GET", "https://kf.example.com/Workflow"), time_left=lambda: 5.0)

    assert "canary" not in f"{credentials!r} {flow!r} {next(flow)!r}"


def test_quoted_secret_with_blanks(server: Loopback) -> None:
    """
    A secret that is echoed is concealed before the text is made one line, which would change it.
    """
    settings = load_settings(hostname=server.url, username="u", password="canary  5be1\tx")
    server.answers = [Reply(b"refused:\n canary  5be1\tx", 401)]
    with Client(settings) as client, pytest.raises(UnauthorizedError, match=r"401, refused: \[secret\]"):
        client.get_workflow_instance(ID)
