"""
Who gets in: passwords, tokens, and what a request without them is told.
"""

import httpx
import pytest

from kf_provider.sandbox import Sandbox

from .clients import fetch_token


def ask(server: Sandbox, **kwargs: object) -> httpx.Response:
    headers = {"x-keyfactor-requested-with": "APIClient"}
    with httpx.Client(trust_env=False, headers=headers, **kwargs) as client:  # type: ignore[arg-type]  # any option
        return client.get(f"{server.url}/KeyfactorAPI/Workflow/Instances")


def bearer(token: str) -> dict[str, str]:
    return {"x-keyfactor-requested-with": "APIClient", "authorization": f"Bearer {token}"}


def test_no_credentials(server: Sandbox) -> None:
    """
    401 is a page of IIS, not JSON.
    """
    response = ask(server)

    assert response.status_code == 401
    assert response.headers["content-type"].startswith("text/html")
    assert "Access is denied due to invalid credentials" in response.text


def test_secrets_for_a_command_line(server: Sandbox) -> None:
    """
    What is pasted into a command line is letters and digits alone: a password that began with a dash was an option.
    """
    account = server.renew_credentials()

    assert "".join([account.password, account.client_secret, account.access_token]).isalnum()


@pytest.mark.parametrize("username", ["KEYEXAMPLE\\pulumi", "keyexample\\PULUMI", "pulumi@KEYEXAMPLE"])
def test_basic(server: Sandbox, username: str) -> None:
    """
    User names are compared without regard to case, in both of Windows' spellings.
    """
    assert ask(server, auth=(username, server.password)).status_code == 200
    assert ask(server, auth=(username, server.password + "x")).status_code == 401


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic /w==", "Bearer", "Bearer x", "Negotiate abc"])
def test_odd_authorization(server: Sandbox, header: str) -> None:
    """
    A header that proves nothing is 401.
    """
    response = httpx.get(
        f"{server.url}/KeyfactorAPI/Workflow/Instances",
        headers={"x-keyfactor-requested-with": "APIClient", "authorization": header},
        trust_env=False,
    )

    assert response.status_code == 401


def test_static_token(server: Sandbox) -> None:
    """
    The static access token outlives everything.
    """
    server.advance(10**7)
    server.revoke_tokens()

    response = httpx.get(
        f"{server.url}/KeyfactorAPI/Workflow/Instances", headers=bearer(server.access_token), trust_env=False
    )

    assert response.status_code == 200
    assert server.journal()[0].credential == "access_token"


def test_token_lifetime(server: Sandbox) -> None:
    """
    A token is good for its lifetime on the sandbox's clock, and not longer.
    """
    server.token_lifetime_seconds = 60
    answer = fetch_token(server).json()

    def status() -> int:
        url = f"{server.url}/KeyfactorAPI/Workflow/Instances"
        return httpx.get(url, headers=bearer(answer["access_token"]), trust_env=False).status_code

    assert (answer["expires_in"], answer["token_type"]) == (60, "Bearer")
    assert status() == 200
    server.advance(60)
    assert status() == 401


def test_revoked_tokens(server: Sandbox) -> None:
    """
    Revoked tokens are 401; new ones can be had.
    """
    url = f"{server.url}/KeyfactorAPI/Workflow/Instances"
    old = fetch_token(server).json()["access_token"]
    server.revoke_tokens()
    new = fetch_token(server).json()["access_token"]

    statuses = [httpx.get(url, headers=bearer(token), trust_env=False).status_code for token in (old, new)]

    assert statuses == [401, 200]


def test_account_twice(server: Sandbox) -> None:
    """
    Names of accounts are unique, without regard to case.
    """
    with pytest.raises(ValueError, match="already"):
        server.add_account(server.username.upper())
