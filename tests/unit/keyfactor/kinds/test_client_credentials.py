"""
OAuth client credentials: the settings, the token, and when it is asked for.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from kf_provider.errors import (
    NoAnswerError,
    RedirectError,
    SettingsError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
    UnusableAnswerError,
)
from kf_provider.keyfactor.answers import Request
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.kinds.client_credentials import ClientCredentials
from kf_provider.keyfactor.settings import Settings, load_settings
from kf_provider.keyfactor.transport import Transport

from ...loopback import CA, ID, STRANGER_CA, Loopback, Reply, Seen, running
from ..given import refusal

SECRET = "canary:5be1 +ü"  # with all that the encodings differ on


def oauth_settings(server: Loopback, **more: object) -> Settings:
    given = {
        "hostname": server.url,
        "client_id": "the gate",
        "client_secret": SECRET,
        "token_url": f"{server.url}/token",
    }
    return load_settings(**(given | more))


def token(value: object = "token-1", **more: object) -> Reply:
    return Reply({"access_token": value, "token_type": "Bearer", "expires_in": 300} | more)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """Credentials, and what sends their requests for tokens."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = ClientCredentials(settings, clock=clock)
        self._transport = Transport(settings)

    def authorization(self) -> str:
        """The header of a request, after what is sent before it."""
        request = Request("GET", "https://kf.example.com")
        with closing(self._credentials.auth_flow(request, time_left=lambda: 5.0)) as flow:
            sent = next(flow)
            while sent.url != request.url:
                sent = flow.send(self._transport.send(sent))
            return sent.headers["Authorization"]


def in_threads(count: int, work: Callable[[], object]) -> list[object]:
    """What `work` gives or raises in each of many threads that start at once."""
    results: list[object] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001, RUF100 - the test looks at it
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize(
    "url", ["http://idp.example.com/token", "idp.example.com/token", "https://a:b@idp.example.com/"]
)
def test_token_url_without_sense(url: str) -> None:
    """
    The client secret goes to https alone, or to loopback.
    """
    given = {"hostname": "h", "client_id": "c", "client_secret": "canary-5be1", "token_url": url}

    assert "token_url (keyfactor:tokenUrl or KEYFACTOR_AUTH_TOKEN_URL)" in refusal(**given)


def test_scopes_without_sense() -> None:
    """
    Scopes that begin like JSON are JSON.
    """
    given = {"hostname": "h", "client_id": "c", "client_secret": "canary-5be1", "token_url": "https://idp.example.com"}

    assert refusal(**given, scopes="[1").startswith("scopes (keyfactor:scopes or KEYFACTOR_AUTH_SCOPES)")


def test_identity() -> None:
    """
    The identity is the client's id, and where it is known.
    """
    settings = load_settings(
        hostname="h", client_id="gate", client_secret="canary-5be1", token_url="https://idp.example.com/token"
    )

    assert ("oauth:gate@idp.example.com", "client_credentials") == (settings.identity, settings.credential_kind.name)


def test_token_request(server: Loopback) -> None:
    """
    The token is asked for with a form; the client's id and secret are in the header, form-encoded (RFC 6749, 2.3.1).
    """
    server.answers = [token()]
    settings = oauth_settings(server, scopes="read,write", audience="keyfactor")

    assert "Bearer token-1" == Gate(settings).authorization()
    (request,) = server.seen
    encoded = base64.b64encode(b"the%20gate:canary%3A5be1%20%2B%C3%BC").decode()
    assert ("POST", "/token", f"Basic {encoded}") == (request.method, request.path, request.headers["authorization"])
    assert "application/x-www-form-urlencoded" == request.headers["content-type"]
    expected = {"grant_type": ["client_credentials"], "scope": ["read write"], "audience": ["keyfactor"]}
    assert expected == parse_qs(request.body)


def test_token_request_without_scopes(server: Loopback) -> None:
    """
    Scopes and audience that are not set are left out.
    """
    server.answers = [token()]
    Gate(oauth_settings(server)).authorization()

    assert "grant_type=client_credentials" == server.seen[0].body


@pytest.mark.parametrize(
    ("expires_in", "good_for"),
    [(300, 240), (3600, 3540), (10, 8), ("3600", 3540), (0, 0), (-5, 0)],
)
def test_lifetime(server: Loopback, expires_in: object, good_for: float) -> None:
    """
    A token is used for its lifetime, less a margin of a minute or a fifth.
    """
    server.answers = [token("token-1", expires_in=expires_in), token("token-2", expires_in=expires_in)]
    clock = Clock()
    gate = Gate(oauth_settings(server), clock)
    gate.authorization()
    if good_for:
        clock.now += good_for - 0.1
        assert "Bearer token-1" == gate.authorization()
        clock.now += 0.1

    assert "Bearer token-2" == gate.authorization()


@pytest.mark.parametrize("expires_in", [None, "soon", [], {}])
def test_no_lifetime(server: Loopback, expires_in: object) -> None:
    """
    A token of unknown lifetime is used until the server refuses it.
    """
    server.answers = [token(expires_in=expires_in), Reply(status=500)]
    clock = Clock()
    gate = Gate(oauth_settings(server), clock)
    gate.authorization()
    clock.now += 1e9

    assert "Bearer token-1" == gate.authorization()


def test_one_token_for_all_threads(server: Loopback) -> None:
    """
    Threads that need a token at once wait for one request.
    """

    def slow(_: Seen) -> Reply:
        time.sleep(0.2)
        return token()

    server.answers = slow
    gate = Gate(oauth_settings(server))

    assert ["Bearer token-1"] * 8 == in_threads(8, gate.authorization)
    assert 1 == len(server.seen)


def keyfactor(*good: str) -> Callable[[Seen], Reply]:
    """A Keyfactor that takes only these tokens, and a token endpoint that gives token-1, token-2, ..."""
    given = 0
    lock = threading.Lock()

    def answer(request: Seen) -> Reply:
        nonlocal given
        if request.path == "/token":
            with lock:
                given += 1
                return token(f"token-{given}")
        is_good = request.headers["authorization"].removeprefix("Bearer ") in good
        return Reply({"Id": ID, "Status": "Complete"}) if is_good else Reply(status=401)

    return answer


def test_renewed_once(server: Loopback) -> None:
    """
    A token that the server refuses is replaced once, and the request is repeated.
    """
    server.answers = keyfactor("token-2")
    with Client(oauth_settings(server)) as client:
        assert "Complete" == client.get_workflow_instance(ID).status

    assert ["POST", "GET", "POST", "GET"] == [request.method for request in server.seen]


def test_renewed_once_for_all_threads(server: Loopback) -> None:
    """
    When the token of many threads is refused, one new token serves them all.
    """
    server.answers = keyfactor("token-2")
    with Client(oauth_settings(server)) as client:
        statuses = in_threads(8, lambda: client.get_workflow_instance(ID).status)

    assert ["Complete"] * 8 == statuses
    assert 2 == sum(request.path == "/token" for request in server.seen)


def test_renewed_in_vain(server: Loopback) -> None:
    """
    When the new token is refused as well, that is the answer.
    """
    server.answers = keyfactor()
    with Client(oauth_settings(server)) as client, pytest.raises(UnauthorizedError, match="oauth:the gate@127"):
        client.get_workflow_instance(ID)

    assert ["POST", "GET", "POST", "GET"] == [request.method for request in server.seen]


@pytest.mark.parametrize(
    ("reply", "error", "is_transient"),
    [
        (Reply({"error": "invalid_client", "error_description": "no"}, 401), UnauthorizedError, False),
        (Reply({"error": "invalid_scope"}, 400), UnauthorizedError, False),
        (Reply(b"<html>no</html>", 403), UnauthorizedError, False),
        (Reply(b"", 404), StatusError, False),
        (Reply(b"", 429, {"Retry-After": "7"}), UnavailableError, True),
        (Reply(b"", 503), UnavailableError, True),
        (Reply(b"", 302, {"Location": "https://login.example.com/x"}), RedirectError, False),
        (Reply(b"<html><title>Sign in</title></html>"), UnusableAnswerError, False),
        (Reply(b""), UnusableAnswerError, True),
        (Reply([]), UnusableAnswerError, False),
        (Reply({"access_token": None}), UnusableAnswerError, False),
        (Reply({"access_token": ""}), UnusableAnswerError, False),
        (Reply({"access_token": "a\r\nb"}), UnusableAnswerError, False),
        (Reply({"access_token": "a", "token_type": "mac"}), UnusableAnswerError, False),
    ],
)
def test_token_refused(server: Loopback, reply: Reply, error: type[Any], is_transient: bool) -> None:
    """
    What the token endpoint refuses is one of our errors; it names the endpoint, and shows no secret.
    """
    server.answers = [reply]
    with pytest.raises(error) as caught:
        Gate(oauth_settings(server)).authorization()

    assert type(caught.value) is error
    assert is_transient == caught.value.is_transient
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert "canary" not in f"{caught.value} {caught.value!r}"


def test_token_refused_message(server: Loopback) -> None:
    """
    The message shows the client's id and what the endpoint says, in one line, without the secrets that it echoes.
    """
    echo = f"bad client\n{SECRET} {base64.b64encode(b'the%20gate:canary%3A5be1%20%2B%C3%BC').decode()} " + "x" * 300
    server.answers = [Reply({"error": "invalid_client", "error_description": echo}, 401, {"Retry-After": "7"})]
    with pytest.raises(UnauthorizedError) as caught:
        Gate(oauth_settings(server)).authorization()

    text = ("bad client [secret] [secret] " + "x" * 300)[:199] + "…"
    expected = (
        f"the token endpoint on 127.0.0.1:{server.port} gives no token to client 'the gate' (401, invalid_client:"
        f" {text}): check the client's id and secret, the scopes and the audience"
    )
    assert expected == str(caught.value)
    assert (401, "invalid_client", text, 7.0) == (
        caught.value.status_code,
        caught.value.error_code,
        caught.value.keyfactor_message,
        caught.value.retry_after,
    )


def test_token_again_after_a_failure(server: Loopback) -> None:
    """
    A failed request for a token leaves the next one free to try.
    """
    server.answers = [Reply(status=503), token()]
    gate = Gate(oauth_settings(server))
    with pytest.raises(UnavailableError):
        gate.authorization()

    assert "Bearer token-1" == gate.authorization()


def test_refused_token_is_not_sent_again(server: Loopback) -> None:
    """
    A token that the server refused is given up, also when no other came in its place.
    """
    server.answers = [token(), Reply(status=401), Reply(status=503), token("token-2"), Reply({"Id": ID})]
    with Client(oauth_settings(server)) as client:
        with pytest.raises(UnavailableError):
            client.get_workflow_instance(ID)
        client.get_workflow_instance(ID)

    sent = [request.headers["authorization"] for request in server.seen if request.method == "GET"]
    assert ["Bearer token-1", "Bearer token-2"] == sent


def test_token_request_is_repeated(server: Loopback) -> None:
    """
    A connection to the token endpoint that breaks is one of the request's attempts.
    """
    server.answers = [Reply(raw=lambda handler: None), token(), Reply({"Id": ID, "Status": "Complete"})]
    with Client(oauth_settings(server)) as client:
        assert "Complete" == client.get_workflow_instance(ID, retries=1).status

    assert ["POST", "POST", "GET"] == [request.method for request in server.seen]


def test_token_wait_is_bounded(server: Loopback) -> None:
    """
    Who waits for another thread's request for a token waits no longer than its own request may take.
    """
    asked, done = threading.Event(), threading.Event()

    def stuck(_: Seen) -> Reply:
        asked.set()
        done.wait(60)
        return token()

    server.answers = stuck
    with Client(oauth_settings(server)) as client:
        first = threading.Thread(target=lambda: in_threads(1, lambda: client.get_workflow_instance(ID, timeout=60)))
        first.start()
        assert asked.wait(60)
        with pytest.raises(NoAnswerError, match="no access token in the time allowed"):
            client.get_workflow_instance(ID, timeout=0.3)
        done.set()
        first.join()


@pytest.mark.parametrize("refused", [Reply(b"", 401), Reply({"error": "invalid_client"}, 400)])
def test_secret_in_the_form(server: Loopback, refused: Reply) -> None:
    """
    Where Basic is refused, the secret goes in the form, never in both at once; that is remembered by all clients.
    """
    server.answers = lambda request: token() if "client_secret=" in request.body else refused
    settings = oauth_settings(server, scopes="read", audience="keyfactor")
    for _ in range(2):
        Gate(settings).authorization()

    assert [True, False, False] == ["authorization" in request.headers for request in server.seen]
    assert [False, True, True] == ["client_secret" in request.body for request in server.seen]
    whole = {
        "grant_type": ["client_credentials"],
        "scope": ["read"],
        "audience": ["keyfactor"],
        "client_id": ["the gate"],
        "client_secret": [SECRET],
    }
    assert whole == parse_qs(server.seen[-1].body)


def test_form_is_tried_once(server: Loopback) -> None:
    """
    A secret that is wrong in both ways costs one more request in the whole process: each counts towards a lock-out.
    """
    server.answers = [Reply({"error": "invalid_client"}, 401)]
    for _ in range(3):
        with pytest.raises(UnauthorizedError, match="check the client's id and secret"):
            Gate(oauth_settings(server)).authorization()

    assert [True, False, True, True] == ["authorization" in request.headers for request in server.seen]


def test_form_is_tried_again_after_an_outage(server: Loopback) -> None:
    """
    An answer that may pass does not say which way is taken.
    """
    server.answers = [Reply(b"", 401), Reply(b"", 503), Reply(b"", 401), token()]
    gate = Gate(oauth_settings(server))
    with pytest.raises(UnavailableError):
        gate.authorization()

    assert "Bearer token-1" == gate.authorization()


@pytest.mark.parametrize("refused", [Reply({"error": "invalid_scope"}, 400), Reply(b"", 403), Reply(b"", 500)])
def test_other_refusals_are_no_reason_for_the_form(server: Loopback, refused: Reply) -> None:
    """
    What is not about the client is not tried again.
    """
    server.answers = [refused]
    with pytest.raises(StatusError):
        Gate(oauth_settings(server)).authorization()

    assert 1 == len(server.seen)


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"


def test_assertion(server: Loopback, tmp_path: Path) -> None:
    """
    The token in the file stands for the secret, and is read each time: it rotates.
    """
    file = tmp_path / "token"
    file.write_text(f"{JWT}\n")
    server.answers = lambda _: token(expires_in=0)
    gate = Gate(oauth_settings(server, client_secret=None, client_assertion_file=str(file), scopes="a"))
    gate.authorization()
    file.write_text(JWT + "2")
    gate.authorization()

    first, second = (parse_qs(request.body) for request in server.seen)
    assert {
        "grant_type": ["client_credentials"],
        "scope": ["a"],
        "client_id": ["the gate"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        "client_assertion": [JWT],
    } == first
    assert [JWT + "2"] == second["client_assertion"]
    assert not any("authorization" in request.headers for request in server.seen)


@pytest.mark.parametrize(
    "content",
    [None, "", "canary-5be1", f"{JWT} {JWT}", "a.b", f"{JWT}\n-----BEGIN PRIVATE KEY-----", "a." * 40000, b"\xff.a.b"],
)
def test_assertion_file_of_something_else(server: Loopback, tmp_path: Path, content: str | bytes | None) -> None:
    """
    A file that does not hold one token is never sent: it may be the wrong one.
    """
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match="client_assertion_file") as caught:
        Gate(oauth_settings(server, client_secret=None, client_assertion_file=str(file))).authorization()

    assert [] == server.seen
    assert "canary" not in f"{caught.value!r}{caught.value.__cause__!r}"


@pytest.mark.parametrize("path", ["/dev/null", "/", "~nouser/x", "\0"])
def test_assertion_file_that_is_none(server: Loopback, path: str) -> None:
    """
    What is no file is said to be none, and is not waited for.
    """
    with pytest.raises(SettingsError, match="client_assertion_file"):
        Gate(oauth_settings(server, client_secret=None, client_assertion_file=path)).authorization()

    assert [] == server.seen


def test_secret_and_assertion(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The higher source decides which of the two is meant; both in one place are refused.
    """
    given = {"hostname": "h", "client_id": "c", "token_url": "https://idp.example.com"}
    monkeypatch.setenv("KEYFACTOR_AUTH_CLIENT_ASSERTION_FILE", "/run/token")
    by_secret = load_settings(**given, client_secret="canary-5be1")
    monkeypatch.setenv("KEYFACTOR_AUTH_CLIENT_SECRET", "canary-5be1")

    assert by_secret.client_assertion_file is None
    assert load_settings(**given, client_assertion_file="/mine").client_secret is None
    assert "are both given in one place: leave one out" in refusal(**given)


def test_ca_of_the_identity_provider() -> None:
    """
    The identity provider has a CA of its own: it is trusted for tokens, and nothing else is.
    """
    with running(tls=True) as provider, running() as keyfactor:
        provider.answers = [token()]
        given = {"token_url": f"{provider.url}/token"}
        for more in ({"auth_ca_cert": str(CA)}, {"ca_cert": str(CA)}):
            assert "Bearer token-1" == Gate(oauth_settings(keyfactor, **given, **more)).authorization()
        for more in ({}, {"auth_ca_cert": str(STRANGER_CA), "ca_cert": str(CA)}):
            with pytest.raises(NoAnswerError, match="give the CA that signed it as keyfactor:authCaCert"):
                Gate(oauth_settings(keyfactor, **given, **more)).authorization()


def test_ca_of_the_identity_provider_is_not_the_servers() -> None:
    """
    `authCaCert` does not make the server itself trusted.
    """
    with running(tls=True) as server:
        server.answers = lambda request: token() if request.path == "/token" else Reply({"Id": ID})
        settings = oauth_settings(server, auth_ca_cert=str(CA))
        with Client(settings) as client, pytest.raises(NoAnswerError, match="keyfactor:caCert"):
            client.get_workflow_instance(ID, retries=0)


def test_token_endpoint_down() -> None:
    """
    A token endpoint that cannot be reached is a transient error that names it.
    """
    with running() as gone:
        settings = oauth_settings(gone)
    with pytest.raises(NoAnswerError, match=rf"http://127\.0\.0\.1:{gone.port}: no connection") as caught:
        Gate(settings).authorization()

    assert caught.value.is_transient
