"""
Connections, and how long it may take to make one.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from kf_provider.errors import NoAnswerError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ..loopback import GOOD, ID, Loopback, running
from ..proxies import Work, deaf, drip, listening, raw, silence, socks, tunnel

HOST = "keyfactor.test"

# What is not held to its deadline waits for ever. No clock measures what is: a busy machine is no fault.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def proxy_ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_proxy(proxy_ca: trustme.CA) -> Iterator[Loopback]:
    """A proxy that is spoken to by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    proxy_ca.issue_cert("127.0.0.1").configure_cert(context)
    with running(tls=context) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def server_ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def named_server(server_ca: trustme.CA) -> Iterator[Loopback]:
    """A server by a name: what is on loopback is never asked through a proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_ca.issue_cert(HOST).configure_cert(context)
    with running(tls=context) as server:
        server.answers = [GOOD]
        yield server


def text(*authorities: trustme.CA) -> str:
    return "".join(authority.cert_pem.bytes().decode() for authority in authorities)


def client_of(ca_cert: str | None = None, *, hostname: str = HOST, skip_verify: bool = False) -> Client:
    return Client(load_settings(hostname=hostname, access_token="t", ca_cert=ca_cert, skip_verify=skip_verify))


@contextmanager
def late() -> Iterator[pytest.ExceptionInfo[NoAnswerError]]:
    """What fails by its deadline."""
    with pytest.raises(NoAnswerError) as caught:
        yield caught
    assert caught.value.is_transient


def resolve(monkeypatch: pytest.MonkeyPatch, *hosts: str, seconds: float = 0.0) -> None:
    """The one name has these addresses, and its look-up takes this long."""
    system = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host != HOST:
            return system(host, port, *args, **kwargs)
        time.sleep(seconds)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# Names and their addresses.


def test_six_dead_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A name with six addresses that drop packets takes the time allowed once, not six times.
    """
    dead = [f"127.0.0.{last}" for last in range(2, 8)]
    resolve(monkeypatch, *dead)
    started = time.monotonic()
    with deaf(*dead) as port, client_of(hostname=f"{HOST}:{port}") as client, late() as caught:
        client.get_workflow_instance(ID, timeout=1)

    assert time.monotonic() - started < len(dead)
    assert f"https://{HOST}:{port}: no connection in 1 s" == str(caught.value)


def test_dead_addresses_and_a_good_one(
    monkeypatch: pytest.MonkeyPatch, named_server: Loopback, server_ca: trustme.CA
) -> None:
    """
    The last address has its share of the time, however many before it drop packets.
    """
    resolve(monkeypatch, "127.0.0.2", "127.0.0.3", "127.0.0.1")
    with (
        deaf("127.0.0.2", "127.0.0.3", port=named_server.port),
        client_of(text(server_ca), hostname=f"{HOST}:{named_server.port}") as client,
    ):
        assert ID == client.get_workflow_instance(ID, timeout=6, retries=0).instance_id


def test_look_up_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A resolver that does not answer holds nobody longer than the time allowed.
    """
    resolve(monkeypatch, seconds=3600)
    with client_of() as client, late() as caught:
        client.get_workflow_instance(ID, timeout=1)

    assert f"https://{HOST}: no connection in 1 s" == str(caught.value)


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A name without an address is no connection.
    """
    resolve(monkeypatch)
    with client_of() as client, pytest.raises(NoAnswerError) as caught:
        client.get_workflow_instance(ID, retries=0)

    assert f"https://{HOST}: no connection" == str(caught.value)


# Proxies that drip.

CONNECT_DRIPS = {
    "status line": drip(b"HTTP/1.1 200 ", b"x"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "one header": drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "refusal": drip(b"HTTP/1.1 407 No", b"x"),
    "handshake": drip(b"HTTP/1.1 200 OK\r\n\r\n", b"\x02", then=b"\x16\x03\x03\x40\x00"),
}


@pytest.mark.parametrize("where", CONNECT_DRIPS)
def test_proxy_that_drips(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """
    A proxy that answers CONNECT byte by byte holds nobody longer than the time allowed.
    """
    with running() as proxy:
        proxy.answers = [raw(CONNECT_DRIPS[where])]
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with client_of() as client, late():
            client.get_workflow_instance(ID, timeout=0.3)


@pytest.mark.parametrize("where", CONNECT_DRIPS)
def test_tls_proxy_that_drips(
    monkeypatch: pytest.MonkeyPatch, tls_proxy: Loopback, proxy_ca: trustme.CA, where: str
) -> None:
    """
    So does one that is spoken to by TLS.
    """
    tls_proxy.answers = [raw(CONNECT_DRIPS[where])]
    monkeypatch.setenv("HTTPS_PROXY", tls_proxy.url)
    with client_of(text(proxy_ca)) as client, late():
        client.get_workflow_instance(ID, timeout=0.3)


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks4a", "socks5", "socks5h"])
def test_silent_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """
    A proxy that takes a connection and says nothing, or drips what is no word of its protocol, is no answer in time.
    """
    for prefix in (b"", b"\x16\x03\x03\x40\x00"):
        with listening(silence(prefix)) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
            with client_of(hostname="10.0.0.1") as client, late():
                client.get_workflow_instance(ID, timeout=0.3)


def test_dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A proxy that drops packets is no answer in time, and it is the proxy that the message names.
    """
    with deaf("127.0.0.1") as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with client_of() as client, late() as caught:
            client.get_workflow_instance(ID, timeout=1)

    assert f"https://{HOST}: no connection to the proxy of the environment in 1 s" == str(caught.value)


# TLS in TLS.


def test_tls_in_tls(
    monkeypatch: pytest.MonkeyPatch,
    tls_proxy: Loopback,
    named_server: Loopback,
    proxy_ca: trustme.CA,
    server_ca: trustme.CA,
) -> None:
    """
    An https proxy leads to the server; both certificates are checked, against the CAs of the settings.
    """
    tls_proxy.answers = [raw(tunnel(named_server.port))]
    monkeypatch.setenv("HTTPS_PROXY", tls_proxy.url)
    with client_of(text(proxy_ca, server_ca)) as client:
        assert ID == client.get_workflow_instance(ID, timeout=60).instance_id
        assert ID == client.get_workflow_instance(ID, timeout=60).instance_id

    assert [f"{HOST}:443"] == [request.path for request in tls_proxy.seen]


def test_tls_proxy_of_a_stranger(
    monkeypatch: pytest.MonkeyPatch, tls_proxy: Loopback, named_server: Loopback, server_ca: trustme.CA
) -> None:
    """
    A proxy's certificate is checked too.
    """
    tls_proxy.answers = [raw(tunnel(named_server.port))]
    monkeypatch.setenv("HTTPS_PROXY", tls_proxy.url)
    with client_of(text(server_ca)) as client, pytest.raises(NoAnswerError, match="is not trusted"):
        client.get_workflow_instance(ID, timeout=60)

    assert [] == tls_proxy.seen


def test_server_of_a_stranger_behind_a_tls_proxy(
    monkeypatch: pytest.MonkeyPatch, tls_proxy: Loopback, named_server: Loopback, proxy_ca: trustme.CA
) -> None:
    """
    The server's certificate is checked behind a proxy that is trusted.
    """
    tls_proxy.answers = [raw(tunnel(named_server.port))]
    monkeypatch.setenv("HTTPS_PROXY", tls_proxy.url)
    with client_of(text(proxy_ca)) as client, pytest.raises(NoAnswerError, match="is not trusted"):
        client.get_workflow_instance(ID, timeout=60)

    assert [] == named_server.seen


def test_tls_proxy_and_skip_verify(
    monkeypatch: pytest.MonkeyPatch, tls_proxy: Loopback, named_server: Loopback
) -> None:
    """
    With skip_verify any certificate will do, the proxy's as well.
    """
    tls_proxy.answers = [raw(tunnel(named_server.port))]
    monkeypatch.setenv("HTTPS_PROXY", tls_proxy.url)
    with client_of(skip_verify=True) as client:
        assert ID == client.get_workflow_instance(ID, timeout=60).instance_id


def test_tls_proxy_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tls_proxy: Loopback,
    named_server: Loopback,
    proxy_ca: trustme.CA,
    server_ca: trustme.CA,
) -> None:
    """
    A proxy whose CA the system trusts is trusted beside an explicit CA, which is about Keyfactor's server.
    """
    proxy_ca.cert_pem.write_to_path(tmp_path / "roots.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("HTTPS_PROXY", tls_proxy.url)
    tls_proxy.answers = [raw(tunnel(named_server.port))]
    with client_of(text(server_ca)) as client:
        assert ID == client.get_workflow_instance(ID, timeout=60).instance_id


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"HTTP/1.1 200 ", b"x"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    ],
    ids=["status line", "headers", "body"],
)
def test_drip_in_tls_in_tls(
    monkeypatch: pytest.MonkeyPatch, tls_proxy: Loopback, named_server: Loopback, answer: Work
) -> None:
    """
    A server that drips behind an https proxy is held to the deadline like any other.
    """
    named_server.answers = [GOOD, raw(answer)]
    tls_proxy.answers = [raw(tunnel(named_server.port))]
    monkeypatch.setenv("HTTPS_PROXY", tls_proxy.url)
    with client_of(skip_verify=True) as client:
        client.get_workflow_instance(ID)  # so that no connection is made in the time allowed
        with late() as caught:
            client.get_workflow_instance(ID, timeout=0.5)

    assert f"https://{HOST}: no answer in 0.5 s" == str(caught.value)


# SOCKS.


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
@pytest.mark.parametrize("skip_verify", [False, True], ids=["verified", "skip_verify"])
def test_socks(
    monkeypatch: pytest.MonkeyPatch, named_server: Loopback, server_ca: trustme.CA, scheme: str, skip_verify: bool
) -> None:
    """
    A SOCKS proxy leads to the server, with skip_verify as well; the proxy looks the name up for socks4a and socks5h.
    """
    asked: list[bytes] = []
    resolve(monkeypatch, "127.0.0.9")
    with listening(socks(named_server.port, asked=asked)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        with client_of(None if skip_verify else text(server_ca), skip_verify=skip_verify) as client:
            assert ID == client.get_workflow_instance(ID, timeout=60).instance_id

    is_remote = scheme in ("socks4a", "socks5h")
    assert (is_remote, not is_remote) == (HOST.encode() in asked[0], bytes([127, 0, 0, 9]) in asked[0])


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
def test_socks_that_drips(monkeypatch: pytest.MonkeyPatch, named_server: Loopback, scheme: str) -> None:
    """
    A SOCKS proxy that answers byte by byte holds nobody longer than the time allowed.
    """
    with listening(socks(named_server.port, slowly=True)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        with client_of(skip_verify=True) as client, late() as caught:
            client.get_workflow_instance(ID, timeout=0.5)

    assert f"https://{HOST}: no connection in 0.5 s" == str(caught.value)


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_socks_look_up_without_end(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """
    The look-up for a proxy that wants an address keeps to the time allowed as well.
    """
    resolve(monkeypatch, seconds=3600)
    with listening(socks(1)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        with client_of() as client, late():
            client.get_workflow_instance(ID, timeout=0.3)
