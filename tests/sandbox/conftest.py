"""
A sandbox for each test, and a client that speaks to it as Keyfactor wants.
"""

from collections.abc import Iterator

import httpx
import pytest

from kf_provider.sandbox import Account, Sandbox


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as running:
        yield running


def connect(server: Sandbox, account: Account | None = None, **headers: str) -> httpx.Client:
    """
    A client of the API, with Basic authentication.
    """
    account = account or server.account
    return httpx.Client(
        base_url=f"{server.url}/{server.api_path}",
        auth=(account.username, account.password),
        headers={"x-keyfactor-requested-with": "APIClient"} | headers,
        trust_env=False,
        verify=False,  # plain http: without this every client loads the system's authorities first
    )


@pytest.fixture
def client(server: Sandbox) -> Iterator[httpx.Client]:
    with connect(server) as connected:
        yield connected


@pytest.fixture
def control(server: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/sandbox", trust_env=False, verify=False) as connected:
        yield connected


def fetch_token(server: Sandbox, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    return httpx.post(server.token_url, data=form | changes, trust_env=False)


@pytest.fixture
def path(server: Sandbox) -> str:
    return f"/Workflow/Instances/{server.start_enrollment()}"
