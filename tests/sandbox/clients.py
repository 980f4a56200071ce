"""
Clients of a sandbox, as Keyfactor and its token endpoint want them.
"""

import httpx

from kf_provider.sandbox import Account, Sandbox


def connect(server: Sandbox, account: Account | None = None, **headers: str) -> httpx.Client:
    """
    A client of the API, with Basic authentication.
    """
    account = account or server.account
    return httpx.Client(
        base_url=f"{server.url}/{server.api_path}",
        auth=(account.username, account.password),
        headers={"x-keyfactor-requested-with": "APIClient"} | headers,
        timeout=60,
        trust_env=False,
        verify=False,  # plain http: without this every client loads the system's authorities first
    )


def fetch_token(server: Sandbox, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    return httpx.post(server.token_url, data=form | changes, timeout=60, trust_env=False)
