"""
What all credentials keep to themselves.
"""

from __future__ import annotations

from typing import Any

import pytest

from kf_provider.errors import UnauthorizedError
from kf_provider.keyfactor.answers import Request
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.credentials import FixedHeader
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


@pytest.mark.parametrize(
    ("secret", "echo"),
    [
        ("p a/ss", "p%20a%2Fss"),
        ("pa/ss+w=", "pa%2fss%2bw%3d"),
        ("it's&me", "it&#39;s&amp;me"),
        ("pässword1", "p&#228;ssword1"),
        ("it's<me+", "it\\u0027s\\u003Cme\\u002B"),
        ("pässword1", "p\\u00E4ssword1"),
        ("pass\U0001f511word", "pass\\uD83D\\uDD11word"),
        ("password1", "cGFzc3dvcmQx"),
        ("password", "cGFzc3dvcmQ"),
    ],
)
def test_a_secret_is_taken_out_however_it_is_spelled(secret: str, echo: str) -> None:
    """
    Whoever echoes a secret spells it as URLs, HTML, JSON or Base64 do, by the rules of browsers, Python or .NET.
    """
    assert "you sent [secret] here" == FixedHeader("Bearer x", secret).quoted(f"you sent {echo} here")
