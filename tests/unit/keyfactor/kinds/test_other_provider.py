"""
An identity provider that is not ours: Authlib's authorization server.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

from kf_provider.errors import UnauthorizedError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ...loopback import ID, INSTANCE, Loopback, Reply

CLIENT_ID, SECRET = "the gate", "canary:5be1 +ü"
KEY = RSAKey.generate_key(2048, private=True)


@dataclass
class OneClient(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """The one client that the provider knows."""

    method: str

    def get_client_id(self) -> str:
        return CLIENT_ID

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == self.method

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str) -> str:
        return scope


@dataclass
class OtherProvider:
    """The provider, which lets its client in by one method alone, and what it was asked."""

    method: str
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        app = Flask(__name__)
        client = OneClient(self.method)
        server = AuthorizationServer(
            app, query_client=lambda id_: client if id_ == CLIENT_ID else None, save_token=self._keep
        )
        provider = self

        class Grant(grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib has no types
            TOKEN_ENDPOINT_AUTH_METHODS = [provider.method]  # noqa: RUF012 - Authlib's name, and its type

        class Assertion(JWTBearerClientAssertion):  # type: ignore[misc]  # as above
            def get_audiences(self) -> list[str]:
                return [provider.token_url]

            def validate_jti(self, *_: object) -> bool:
                return True

            def resolve_client_public_key(self, _client: object) -> Any:
                return KEY

        server.register_grant(Grant)
        server.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, Assertion())

        def issue() -> Any:
            from flask import request

            self.asked.append({**request.form.to_dict(), "authorization": request.headers.get("Authorization", "")})
            return server.create_token_response()

        app.add_url_rule("/token", view_func=issue, methods=["POST"])
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.token_url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _keep(self, token: dict[str, Any], _request: object) -> None:
        self.tokens.append(token["access_token"])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[OtherProvider]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # it wants https, also on loopback
    running = OtherProvider(request.param)
    yield running
    running.close()


def keyfactor(server: Loopback, provider: OtherProvider) -> None:
    """Let the server take the latest token alone."""
    server.answers = lambda request: (
        Reply(INSTANCE) if request.headers["authorization"] == f"Bearer {provider.tokens[-1]}" else Reply(status=401)
    )


@pytest.mark.parametrize(
    ("provider", "requests"), [("client_secret_basic", 1), ("client_secret_post", 2)], indirect=["provider"]
)
def test_secret(server: Loopback, provider: OtherProvider, requests: int) -> None:
    """
    A client with a secret is let in by the header or by the form, whichever this provider takes.
    """
    keyfactor(server, provider)
    given = {"client_id": CLIENT_ID, "client_secret": SECRET, "token_url": provider.token_url, "scopes": "a,b"}
    with Client(load_settings(hostname=server.url, **given)) as client:
        assert "Suspended" == client.get_workflow_instance(ID).status

    assert requests == len(provider.asked)
    assert {"a b"} == {asked["scope"] for asked in provider.asked}
    assert not any(asked["authorization"] and "client_secret" in asked for asked in provider.asked)


@pytest.mark.parametrize("provider", ["client_assertion_jwt"], indirect=True)
def test_assertion(server: Loopback, provider: OtherProvider, tmp_path: Path) -> None:
    """
    A client with an assertion is let in by a provider that takes nothing else.
    """
    keyfactor(server, provider)
    now = int(time.time())
    claims = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": provider.token_url,
        "exp": now + 60,
        "jti": secrets.token_hex(8),
    }
    file = tmp_path / "token"
    file.write_text(jwt.encode({"alg": "RS256"}, claims, KEY))
    given = {"client_id": CLIENT_ID, "token_url": provider.token_url, "scopes": "a"}
    with Client(load_settings(hostname=server.url, **given, client_assertion_file=str(file))) as client:
        assert "Suspended" == client.get_workflow_instance(ID).status
    by_secret = load_settings(hostname=server.url, **given, client_secret=SECRET)
    with Client(by_secret) as client, pytest.raises(UnauthorizedError, match="invalid_client"):
        client.get_workflow_instance(ID)


@pytest.mark.parametrize("provider", ["client_secret_post"], indirect=True)
def test_token_that_is_refused(server: Loopback, provider: OtherProvider) -> None:
    """
    A token that the server takes no more is replaced, in the way that was found out, with the scopes.
    """
    keyfactor(server, provider)
    given = {"client_id": CLIENT_ID, "client_secret": SECRET + "2", "token_url": provider.token_url, "scopes": "a"}
    with Client(load_settings(hostname=server.url, **given)) as client, pytest.raises(UnauthorizedError):
        client.get_workflow_instance(ID)
    with Client(load_settings(hostname=server.url, **(given | {"client_secret": SECRET}))) as client:
        client.get_workflow_instance(ID)
        provider.tokens.append("another")  # so that the latest one is refused
        client.get_workflow_instance(ID)

    assert [False, True, False, True, True] == ["client_secret" in asked for asked in provider.asked]
    assert {"a"} == {asked["scope"] for asked in provider.asked}
