"""
The identity provider's token endpoint.
"""

import httpx

from kf_provider.sandbox import Sandbox

from .clients import fetch_token


def test_token_with_basic(server: Sandbox) -> None:
    """
    The client may also authenticate by Basic, as Go's library does first.
    """
    response = httpx.post(
        server.token_url,
        data={"grant_type": "client_credentials"},
        auth=(server.client_id, server.client_secret),
        trust_env=False,
    )

    assert response.status_code == 200


def test_token_refused(server: Sandbox) -> None:
    """
    A wrong secret and a wrong grant are the errors of OAuth, and the journal knows the client.
    """
    wrong_secret = fetch_token(server, client_secret="x")
    wrong_grant = fetch_token(server, grant_type="password")

    assert (wrong_secret.status_code, wrong_secret.json()["error"]) == (401, "invalid_client")
    assert (wrong_grant.status_code, wrong_grant.json()["error"]) == (400, "unsupported_grant_type")
    assert [(record.endpoint, record.identity) for record in server.journal()] == [("token", "pulumi")] * 2
