"""
HTTP under the transport rules, seen through a client.
"""

from __future__ import annotations

import gzip
import http.server
import json
import logging
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import urllib3

from kf_provider.errors import (
    NoAnswerError,
    RedirectError,
    UnavailableError,
    UnusableAnswerError,
)
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings
from kf_provider.keyfactor.transport import LARGEST_BODY

from ..loopback import (
    CA,
    GOOD,
    ID,
    INSTANCE,
    SAID,
    Loopback,
    Reply,
    client_for,
    drip,
    failure,
    raw,
    running,
    settings_for,
)

# Answers that are not read.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/login?ReturnUrl=canary", "", "//%@/"])
def test_redirect(server: Loopback, status: int, path: str) -> None:
    """
    A redirect is not followed and gets no credentials; the error names its host, not the whole URL.
    """
    with running() as elsewhere:
        caught = failure(server, Reply(b"", status, {"Location": f"{elsewhere.url}{path}"}))

        assert [] == elsewhere.seen
    assert type(caught) is RedirectError
    assert f"a redirect ({status}) to 127.0.0.1," in str(caught)


def test_redirect_without_end(server: Loopback) -> None:
    """
    The body of a redirect is not read.
    """
    head = b"HTTP/1.1 302 Found\r\nLocation: https://login.example.com/\r\nContent-Length: 9999999999\r\n\r\n"

    assert type(failure(server, raw(drip(head, b"x")))) is RedirectError


@pytest.mark.parametrize("location", [None, "http://[", "https://u:canary@login.example.com/"])
def test_odd_redirect(server: Loopback, location: str | None) -> None:
    """
    A redirect to nowhere, to what is no URL, or with credentials in it is the same error.
    """
    assert type(failure(server, Reply(b"", 302, {"Location": location} if location else {}))) is RedirectError


def test_large_body(server: Loopback) -> None:
    """
    A body over 5 MiB is refused.
    """
    caught = failure(server, Reply(b" " * (LARGEST_BODY + 1)))

    assert (UnusableAnswerError, False) == (type(caught), caught.is_transient)
    assert "more than 5 MiB" in str(caught)


def test_largest_body(server: Loopback, client: Client) -> None:
    """
    A body of 5 MiB is read.
    """
    body = json.dumps(INSTANCE).encode()
    server.answers = [Reply(body + b" " * (LARGEST_BODY - len(body)))]

    assert ID == client.get_workflow_instance(ID).instance_id


def test_compressed_body(server: Loopback, client: Client) -> None:
    """
    Compressed answers are read.
    """
    server.answers = [Reply(gzip.compress(json.dumps(INSTANCE).encode()), headers={"Content-Encoding": "gzip"})]

    assert ID == client.get_workflow_instance(ID).instance_id


def test_compressed_bomb(server: Loopback) -> None:
    """
    It is the uncompressed size that counts.
    """
    bomb = gzip.compress(b" " * (LARGEST_BODY * 20))
    caught = failure(server, Reply(bomb, headers={"Content-Encoding": "gzip"}))

    assert len(bomb) < LARGEST_BODY / 10
    assert "more than 5 MiB" in str(caught)


def test_badly_compressed(server: Loopback) -> None:
    """
    A body that cannot be uncompressed is unusable.
    """
    caught = failure(server, Reply(b"{}", headers={"Content-Encoding": "gzip"}))

    assert (UnusableAnswerError, True) == (type(caught), caught.is_transient)


# No answer.


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize(
    "work",
    [
        lambda connection: None,
        reset,
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"),
    ],
    ids=["closed", "reset", "cut body", "cut chunk", "not HTTP", "too many headers"],
)
def test_broken_connection(server: Loopback, work: Callable[[socket.socket], None]) -> None:
    """
    A connection that breaks, or does not speak HTTP, is no answer, and may pass.
    """
    caught = failure(server, raw(work))

    assert (NoAnswerError, True) == (type(caught), caught.is_transient)


def test_nobody_listens() -> None:
    """
    A server that is down is no answer; the message names it and the reason.
    """
    with running() as gone:
        settings = settings_for(gone)
    with Client(settings) as client, pytest.raises(NoAnswerError) as caught:
        client.get_workflow_instance(ID)

    assert f"{gone.url}: no connection (Connection refused)" == str(caught.value)
    assert caught.value.is_transient


# Repetitions.


@pytest.mark.parametrize("status", [502, 503, 504])
def test_repeated(server: Loopback, status: int) -> None:
    """
    A gateway's error is asked again, without waiting as long as it says.
    """
    server.answers = [Reply(status=status, headers={"Retry-After": "3600"}), GOOD]
    with client_for(server) as client:
        assert ID == client.get_workflow_instance(ID).instance_id
    assert 2 == len(server.seen)


def test_repeated_connection(server: Loopback) -> None:
    """
    So is a connection that breaks.
    """
    server.answers = [raw(reset), GOOD]
    with client_for(server) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(status=500), Reply(status=404), Reply(b"{")])
def test_not_repeated(server: Loopback, reply: Reply) -> None:
    """
    Other answers are not asked for again.
    """
    failure(server, reply, retries=2)

    assert 1 == len(server.seen)


@pytest.mark.parametrize(("retries", "sent"), [(0, 1), (1, 2), (2, 3)])
def test_retries(server: Loopback, retries: int, sent: int) -> None:
    """
    `retries` is how often a request is repeated; the last answer counts.
    """
    caught = failure(server, Reply(SAID, 503), retries=retries)

    assert isinstance(caught, UnavailableError)
    assert (sent, "0xA0140002") == (len(server.seen), caught.error_code)


def test_repetitions_are_silent(server: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    """
    Nothing is logged as a warning: a Pulumi program would show it.
    """
    with caplog.at_level(logging.INFO):
        failure(server, raw(reset), retries=2)

    assert [] == [record for record in caplog.records if record.levelno > logging.DEBUG]


# TLS, proxies, the environment.


def test_skip_verify_is_silent(tls_server: Loopback) -> None:
    """
    urllib3's warning, which Pulumi would show on every run, is not raised for our session, and still is for others.
    """
    tls_server.answers = [GOOD]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with client_for(tls_server, skip_verify=True) as client:
            client.get_workflow_instance(ID)
        ours = len(caught)
        requests.get(tls_server.url, verify=False, timeout=60)

    assert 0 == ours
    assert [urllib3.exceptions.InsecureRequestWarning] == [warning.category for warning in caught]


def test_plain_server_behind_https(server: Loopback) -> None:
    """
    A server that does not speak TLS is no answer.
    """
    caught = failure(server, GOOD, hostname=f"https://127.0.0.1:{server.port}")

    assert isinstance(caught, NoAnswerError)
    assert "TLS" in str(caught)


def test_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Loopback) -> None:
    """
    A .netrc with other credentials for the host is not read.
    """
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers = [GOOD]
    with client_for(server, username=None, password=None, domain=None, access_token="t") as client:
        client.get_workflow_instance(ID)

    assert "Bearer t" == server.seen[0].headers["authorization"]


def test_proxy(monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    """
    https goes through the proxy of the environment, by CONNECT, which shows it no credentials.
    """
    server.answers = [Reply(status=403)]
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    settings = load_settings(hostname="kf.example.com", access_token="canary-5be1")
    with Client(settings) as client, pytest.raises(NoAnswerError, match="the proxy of the environment"):
        client.get_workflow_instance(ID, retries=0)

    (request,) = server.seen
    assert ("CONNECT", "kf.example.com:443") == (request.method, request.path)
    assert "canary" not in f"{request}"


def test_proxy_tunnel(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback) -> None:
    """
    Behind the proxy, it is the server's own certificate that is checked.
    """
    tls_server.answers = [GOOD]

    def tunnel(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", tls_server.port)) as onward:
            back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
            back.start()
            pump(connection, onward)
            back.join(5)

    with running() as proxy:
        proxy.answers = [raw(tunnel)]
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        settings = load_settings(hostname="kf.example.com", access_token="t", ca_cert=str(CA))
        with (
            Client(settings) as client,
            pytest.raises(NoAnswerError, match=r"TLS certificate .* not trusted"),
        ):
            client.get_workflow_instance(ID, timeout=60)


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while received := source.recv(65536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_proxy_not_for_loopback(monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    """
    Plain http to loopback never leaves the machine through a proxy: the credentials would go along in the clear.
    """
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers = [GOOD]
    with client_for(server) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


@pytest.mark.parametrize("skip_verify", [False, True], ids=["verified", "skip_verify"])
@pytest.mark.parametrize(
    "proxy",
    [
        "http://",
        "http://:3128",
        "https://",
        "http:///",
        "http://user:canary@",
        "http://user:canary@:3128",
        "https://user:canary@",
        "socks5://",
        "socks5h://user:canary@:1080",
        "socks9://127.0.0.1:1",
        "ftp://127.0.0.1:1",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[",
        "/",
        " ",
    ],
)
def test_proxy_without_sense(monkeypatch: pytest.MonkeyPatch, proxy: str, skip_verify: bool) -> None:
    """
    A proxy without a host, or of a kind or port that there is not, is told at once; that does not pass.
    """
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    settings = load_settings(hostname="kf.example.com", access_token="t", skip_verify=skip_verify)
    with Client(settings) as client, pytest.raises(NoAnswerError) as caught:
        client.get_workflow_instance(ID)

    assert "https://kf.example.com: the proxy of the environment is not a URL" == str(caught.value)
    assert not caught.value.is_transient


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_proxy_with_an_impossible_host(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """
    Nor does a host that no name can be.
    """
    monkeypatch.setenv("HTTPS_PROXY", f"http://{host}:80")
    settings = load_settings(hostname="kf.example.com", access_token="t")
    with Client(settings) as client, pytest.raises(NoAnswerError) as caught:
        client.get_workflow_instance(ID)

    assert "https://kf.example.com: the address, or that of the proxy, is not a URL" == str(caught.value)
    assert not caught.value.is_transient


def test_socks_without_pysocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where PySocks is missing, the message about a SOCKS proxy names it.
    """

    def missing(*_: object, **__: object) -> None:  # what requests has in its place then
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", missing)
    monkeypatch.setenv("HTTPS_PROXY", "socks5h://127.0.0.1:1080")
    settings = load_settings(hostname="kf.example.com", access_token="t")
    with Client(settings) as client, pytest.raises(NoAnswerError, match="needs the package PySocks") as caught:
        client.get_workflow_instance(ID)

    assert not caught.value.is_transient


def test_cookies(server: Loopback, client: Client) -> None:
    """
    Cookies are not kept: threads share one session.
    """
    server.answers = [Reply(INSTANCE, headers={"Set-Cookie": "session=1; Path=/"})]
    client.get_workflow_instance(ID)
    client.get_workflow_instance(ID)

    assert "cookie" not in server.seen[1].headers


# Connections.


def test_threads(server: Loopback) -> None:
    """
    Many threads may use one client, each with its own answer.
    """
    ids = [f"0c8f2a54-0000-4000-8000-{number:012d}" for number in range(40)]
    server.answers = lambda request: Reply({"Id": request.path.rpartition("/")[2]})
    found: set[str] = set()
    with client_for(server) as client:
        threads = [
            threading.Thread(target=lambda wanted=wanted: found.add(client.get_workflow_instance(wanted).instance_id))
            for wanted in ids
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert set(ids) == found


def test_connection_is_kept(server: Loopback, client: Client) -> None:
    """
    Requests that follow each other share a connection.
    """
    ports = []

    def remember(handler: http.server.BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        body = json.dumps(INSTANCE).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        handler.close_connection = False

    server.answers = [Reply(raw=remember)]
    client.get_workflow_instance(ID)
    client.get_workflow_instance(ID)

    assert 1 == len(set(ports))


@pytest.mark.parametrize("status", [102, 103, 199])
def test_what_comes_before_an_answer(server: Loopback, client: Client, status: int) -> None:
    """
    An interim answer is skipped: taken for the answer, it would leave the true one for the next request to believe.
    """

    def late(handler: http.server.BaseHTTPRequestHandler) -> None:
        body = json.dumps(INSTANCE | {"Status": "Complete"}).encode()
        handler.wfile.write(b"HTTP/1.1 %d Wait\r\nLink: </x>\r\n\r\n" % status)
        time.sleep(0.1)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    server.answers = [Reply(raw=late), Reply(INSTANCE | {"Status": "Rejected"})]

    assert ["Complete", "Rejected"] == [client.get_workflow_instance(ID).status for _ in range(2)]


def test_another_protocol_is_no_answer(server: Loopback) -> None:
    """
    A 101 switches to a protocol that nobody asked for: the connection is not used again.
    """

    def switch(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 101 Switch\r\n\r\n")

    caught = failure(server, Reply(raw=switch))

    assert isinstance(caught, NoAnswerError)
