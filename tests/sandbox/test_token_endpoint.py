"""
The identity provider's token endpoint.
"""

from pathlib import Path

import httpx
import pytest

from kf_provider import Client, KeyfactorError, load_settings
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


@pytest.mark.parametrize(
    ("allowed", "by_secret", "by_assertion"),
    [("any", 1, 1), ("basic", 1, None), ("form", 2, None), ("assertion", None, 1)],
)
def test_ways_of_a_client(tmp_path: Path, allowed: str, by_secret: int | None, by_assertion: int | None) -> None:
    """
    A client is let in as the sandbox is told to, and the requests for a token are counted; none lets it in otherwise.
    """
    with Sandbox(oauth_client=allowed) as server:
        id_ = server.start_enrollment()
        file = tmp_path / "assertion"
        file.write_text(server.client_assertion())
        given = {"hostname": server.url, "client_id": server.client_id, "token_url": server.token_url}
        for proof, expected in (
            ({"client_secret": server.client_secret}, by_secret),
            ({"client_assertion_file": str(file)}, by_assertion),
        ):
            before = len(server.journal())
            with Client(load_settings(**given, **proof)) as client:
                if expected is None:
                    with pytest.raises(KeyfactorError, match="gives no token to client 'pulumi'"):
                        client.get_workflow_instance(id_)
                else:
                    assert "Suspended" == client.get_workflow_instance(id_).status
                    asked = [record.endpoint for record in server.journal()[before:]]
                    assert [*["token"] * expected, "get"] == asked


def test_assertion_that_is_none(server: Sandbox) -> None:
    """
    A token that has ended, or that somebody else has signed, is refused.
    """
    expired = server.client_assertion(lifetime_seconds=1)
    server.advance(2)
    for assertion in (expired, server.client_assertion()[:-2], "a.b.c", "", "x"):
        response = httpx.post(
            server.token_url,
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion,
            },
            trust_env=False,
        )

        assert response.status_code == 401


def test_assertion_by_the_control_api(server: Sandbox) -> None:
    """
    Programs in other languages get a signed token from the control API.
    """
    made = httpx.post(f"{server.url}/sandbox/assertions", json={}, trust_env=False)

    assert made.status_code == 201
    assert made.json()["client_assertion"].count(".") == 2


def test_renewed_credentials(server: Sandbox) -> None:
    """
    After a rotation the old password, secret and token are refused, and the new ones are good.
    """
    old = server.account
    new = server.renew_credentials()

    assert fetch_token(server, client_secret=old.client_secret).status_code == 401
    assert fetch_token(server).status_code == 200
    assert old.username == new.username
    assert old.password != server.password
