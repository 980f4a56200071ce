"""
Windows integrated authentication, against pyspnego's own acceptor.
"""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import spnego

from kf_provider.errors import SettingsError, UnauthorizedError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import Settings, load_settings

from ...loopback import ID, INSTANCE, Loopback, Reply
from ...windows import Acceptor
from ..given import refusal

PASSWORD = "canary-5be1"


@pytest.fixture(autouse=True)
def _users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who is known to the acceptor, in the file where pyspnego looks for it."""
    users = tmp_path / "users"
    users.write_text(f"KEYEXAMPLE:jsmith:{PASSWORD}\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))


@pytest.fixture
def acceptor(request: pytest.FixtureRequest) -> Iterator[Acceptor]:
    schemes, more = request.param
    server = Acceptor(*schemes, **more)
    yield server
    server.close()


def settings_of(server: Acceptor | Loopback, **more: object) -> Settings:
    given = {"kerberos_username": "KEYEXAMPLE\\jsmith", "kerberos_password": PASSWORD}
    return load_settings(hostname=server.url, **(given | more))


by_each_offer = pytest.mark.parametrize(
    "acceptor",
    [(("NTLM",), {}), (("Negotiate",), {}), (("Negotiate", "NTLM"), {}), (('Basic realm="x"', "Negotiate"), {})],
    indirect=True,
    ids=["NTLM", "Negotiate", "both", "Basic too"],
)


@by_each_offer
def test_legs_on_one_connection(acceptor: Acceptor) -> None:
    """
    The login takes several legs on one connection, and further requests on it take none.
    """
    with Client(settings_of(acceptor)) as client:
        for _ in range(3):
            assert "Suspended" == client.get_workflow_instance(ID, retries=0).status

    assert 1 == len({connection for connection, _ in acceptor.sent})
    scheme = "Negotiate" if "Negotiate" in acceptor.schemes else "NTLM"
    legs = [sent for sent in acceptor.schemes_sent if sent]
    assert {scheme} == set(legs)
    assert 2 <= len(legs) <= 3
    assert ["", *legs, "", ""] == acceptor.schemes_sent


@pytest.mark.parametrize("acceptor", [(("NTLM",), {"each_request": True})], indirect=True)
def test_each_request(acceptor: Acceptor) -> None:
    """
    A server that lets in a request and no connection gets a login with each.
    """
    with Client(settings_of(acceptor)) as client:
        for _ in range(2):
            client.get_workflow_instance(ID, retries=0)

    assert ["", "NTLM", "NTLM", "", "NTLM", "NTLM"] == acceptor.schemes_sent


@by_each_offer
def test_five_threads(acceptor: Acceptor) -> None:
    """
    Five threads log in at once, each on a connection of its own.
    """
    barrier = threading.Barrier(5)

    def ask(client: Client) -> list[str | None]:
        barrier.wait()
        return [client.get_workflow_instance(ID, retries=0).status for _ in range(4)]

    with Client(settings_of(acceptor)) as client, ThreadPoolExecutor(5) as threads:
        statuses = [found.result() for found in [threads.submit(ask, client) for _ in range(5)]]

    assert [["Suspended"] * 4] * 5 == statuses
    assert 5 == len({connection for connection, _ in acceptor.sent})


@by_each_offer
def test_wrong_password(acceptor: Acceptor) -> None:
    """
    A password that is refused is tried once: accounts get locked. Nothing of it shows.
    """
    with (
        Client(settings_of(acceptor, kerberos_password="canary-wrong")) as client,
        pytest.raises(UnauthorizedError) as caught,
    ):
        client.get_workflow_instance(ID, retries=2)

    assert 3 >= len([scheme for scheme in acceptor.schemes_sent if scheme])
    assert "kerberos:KEYEXAMPLE\\jsmith" in str(caught.value)
    assert "canary" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_server_that_takes_no_windows_login(server: Loopback) -> None:
    """
    Where the server offers no such scheme, nothing of ours is sent.
    """
    server.answers = [Reply(b"no", 401, {"WWW-Authenticate": 'Basic realm="x"'})]
    with Client(settings_of(server)) as client, pytest.raises(UnauthorizedError):
        client.get_workflow_instance(ID, retries=0)

    assert [False] == ["authorization" in request.headers for request in server.seen]


class OneLeg:
    """Kerberos, as far as the wire shows it: a token, and no answer to it."""

    complete = True

    def step(self, _challenge: bytes | None) -> bytes:
        return b"token"


def test_one_leg_is_remembered(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A server that takes the first token of Negotiate, as with Kerberos, is sent one with each request from then on.
    """
    monkeypatch.setattr(spnego, "client", lambda *_, **__: OneLeg())
    server.answers = lambda request: (
        Reply(INSTANCE) if "authorization" in request.headers else Reply(b"", 401, {"WWW-Authenticate": "Negotiate"})
    )
    with Client(load_settings(hostname=server.url, auth_type="kerberos")) as client:
        for _ in range(3):
            client.get_workflow_instance(ID, retries=0)

    assert [None, *["Negotiate dG9rZW4="] * 3] == [request.headers.get("authorization") for request in server.seen]


def test_no_ticket(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a ticket, the message says how to get one.
    """
    monkeypatch.delenv("NTLM_USER_FILE")
    server.answers = [Reply(b"", 401, {"WWW-Authenticate": "Negotiate"})]
    with (
        Client(load_settings(hostname=server.url, auth_type="kerberos")) as client,
        pytest.raises(UnauthorizedError, match=r"no Kerberos or NTLM login to 127\.0\.0\.1 as kerberos:the ticket"),
    ):
        client.get_workflow_instance(ID, retries=0)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where pyspnego is missing, one line names the extra.
    """
    imported = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "spnego":
            raise ModuleNotFoundError(name=name)
        return imported(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "spnego")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"need spnego: pip install 'kf-provider\[negotiate\]'"):
        Client(load_settings(hostname="h", auth_type="kerberos"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kerberos_username": "u", "kerberos_realm": "R"}, "kerberos:u@R"),
        ({"kerberos_username": "u@S", "kerberos_realm": "R"}, "kerberos:u@S"),
        ({"kerberos_keytab": "/k"}, "kerberos:/k"),
        ({"kerberos_ccache": "/c"}, "kerberos:/c"),
    ],
)
def test_identity(given: dict[str, object], expected: str) -> None:
    """
    The identity is the principal, or where it is kept.
    """
    assert expected == load_settings(hostname="h", auth_type="kerberos", **given).identity


def test_password_of_nobody() -> None:
    """
    A password without a user is no login.
    """
    assert "kerberos_password" in refusal(hostname="h", kerberos_password="canary-5be1")


def test_type_without_sense() -> None:
    """
    A type that is none is refused, with the ones that are.
    """
    expected = "is 'ntlm', which is not supported: give basic, oauth, kerberos, or leave it out"

    assert expected in refusal(hostname="h", auth_type="ntlm")
