"""
HTTP under the transport rules, seen through a client.
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import inspect
import json
import logging
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import urllib3

from kf_provider.errors import (
    KeyfactorError,
    NoAnswerError,
    RedirectError,
    SettingsError,
    UnavailableError,
    UnusableAnswerError,
)
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings
from kf_provider.keyfactor.translation import translation
from kf_provider.keyfactor.transport import LARGEST_BODY, Transport

from ..loopback import (
    CA,
    GOOD,
    ID,
    INSTANCE,
    SAID,
    STRANGER_CA,
    Loopback,
    Reply,
    client_for,
    failure,
    running,
    settings_for,
)


@pytest.fixture
def client(server: Loopback) -> Iterator[Client]:
    with client_for(server) as made:
        yield made


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


def raw(work: Callable[[socket.socket], None]) -> Reply:
    def take_over(handler: http.server.BaseHTTPRequestHandler) -> None:
        work(handler.connection)

    return Reply(raw=take_over)


def drip(prefix: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def work(connection: socket.socket) -> None:
        connection.sendall(prefix)
        for _ in range(100):
            time.sleep(0.05)
            connection.sendall(drop)

    return work


def silence(connection: socket.socket) -> None:
    connection.settimeout(5)
    connection.recv(1)


DRIPS = {
    "nothing": silence,
    "status line": drip(b"HTTP/1.1 200 ", b"x"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "one header": drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    "chunks": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk size": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "error body": drip(b"HTTP/1.1 503 Oh\r\nContent-Length: 1000\r\n\r\n", b" "),
}


@pytest.mark.parametrize("where", DRIPS)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_deadline(where: str, tls: bool) -> None:
    """
    A server that never answers, or byte by byte, holds nobody longer than the time allowed.
    """
    with running(tls=tls) as server:
        server.answers = [raw(DRIPS[where])]
        with client_for(server, ca_cert=str(CA)) as client:
            started = time.monotonic()
            with pytest.raises(NoAnswerError, match=r"no answer in 0\.3 s") as caught:
                client.get_workflow_instance(ID, timeout=0.3)

    assert time.monotonic() - started < 1.3
    assert caught.value.is_transient


def test_deadline_of_the_settings(server: Loopback) -> None:
    """
    Without a timeout, the one of the settings counts.
    """
    server.answers = [raw(silence)]
    with client_for(server, request_timeout=0.2) as client, pytest.raises(NoAnswerError, match=r"no answer in 0\.2 s"):
        client.get_workflow_instance(ID)


def test_deadline_of_the_connection() -> None:
    """
    A host that takes no connection, as behind a firewall that drops packets, is not said to have been asked.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(4):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        settings = load_settings(hostname=f"http://127.0.0.1:{full.getsockname()[1]}", access_token="t")
        with Client(settings) as client, pytest.raises(NoAnswerError) as caught:
            client.get_workflow_instance(ID, timeout=0.3)

    assert str(caught.value).endswith(": no connection in 0.3 s")
    assert caught.value.is_transient


def test_deadline_in_the_handshake() -> None:
    """
    A server that accepts and never shakes hands holds nobody either.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = load_settings(hostname=f"https://127.0.0.1:{listening.getsockname()[1]}", access_token="t")
        started = time.monotonic()
        with Client(settings) as client, pytest.raises(NoAnswerError):
            client.get_workflow_instance(ID, timeout=0.5)

    assert time.monotonic() - started < 1.5


def test_deadline_is_of_one_request(server: Loopback, client: Client) -> None:
    """
    A connection that is used again gets its own time, and a thread that timed out is not late for ever.
    """
    server.answers = [GOOD, raw(silence), GOOD]
    client.get_workflow_instance(ID, timeout=5)
    with pytest.raises(NoAnswerError):
        client.get_workflow_instance(ID, timeout=0.2)

    assert ID == client.get_workflow_instance(ID, timeout=5).instance_id


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


@pytest.mark.parametrize("given", [str(CA), CA.read_text()], ids=["path", "text"])
def test_ca(tls_server: Loopback, given: str) -> None:
    """
    The CA is a PEM file or the text of one.
    """
    tls_server.answers = [GOOD]
    with client_for(tls_server, ca_cert=given) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


@pytest.mark.parametrize("more", [{}, {"ca_cert": str(STRANGER_CA)}])
def test_untrusted(tls_server: Loopback, more: dict[str, object]) -> None:
    """
    A certificate of a CA that is not trusted is an error that does not pass, and says what to set.
    """
    caught = failure(tls_server, GOOD, retries=2, **more)

    assert (NoAnswerError, False) == (type(caught), caught.is_transient)
    assert "is not trusted" in str(caught)
    assert "keyfactor:caCert" in str(caught)
    assert [] == tls_server.seen


def test_certificate_of_another(tls_server: Loopback) -> None:
    """
    A certificate for another host is not trusted either.
    """
    caught = failure(tls_server, GOOD, ca_cert=str(CA), hostname=f"https://localhost:{tls_server.port}")

    assert "is not trusted" in str(caught)
    assert not caught.is_transient


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_ca_of_the_environment(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback, variable: str) -> None:
    """
    Without a setting, the CA of the environment counts, as with requests.
    """
    monkeypatch.setenv(variable, str(CA))
    tls_server.answers = [GOOD]
    with client_for(tls_server) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


def test_explicit_ca_wins(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback) -> None:
    """
    An explicit CA replaces the one of the environment, both ways.
    """
    tls_server.answers = [GOOD]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(STRANGER_CA))
    with client_for(tls_server, ca_cert=str(CA)) as client:
        assert ID == client.get_workflow_instance(ID).instance_id
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CA))

    assert "is not trusted" in str(failure(tls_server, GOOD, ca_cert=str(STRANGER_CA)))


def test_skip_verify(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback) -> None:
    """
    With skip_verify any certificate will do, also when the environment names a CA.
    """
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(STRANGER_CA))
    tls_server.answers = [GOOD]
    with client_for(tls_server, skip_verify=True, hostname=f"https://localhost:{tls_server.port}") as client:
        assert ID == client.get_workflow_instance(ID).instance_id


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
        requests.get(tls_server.url, verify=False, timeout=5)

    assert 0 == ours
    assert [urllib3.exceptions.InsecureRequestWarning] == [warning.category for warning in caught]


@pytest.mark.parametrize("given", ["/nowhere/ca.pem", "-----BEGIN CERTIFICATE-----\nx", "", "a\x00b"])
def test_ca_without_sense(tls_server: Loopback, tmp_path: Path, given: str) -> None:
    """
    A CA that cannot be read is a setting without sense.
    """
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(SettingsError, match="keyfactor:caCert"):
        client_for(tls_server, ca_cert=given or str(empty))


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
            client.get_workflow_instance(ID, timeout=5)


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


# The one translation point.

FOREIGN = [
    error
    for module in (requests.exceptions, urllib3.exceptions)
    for _, error in inspect.getmembers(module, inspect.isclass)
    if issubclass(error, Exception) and not issubclass(error, Warning) and error.__module__ == module.__name__
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda error: f"{error.__module__}.{error.__name__}")
def test_translation(foreign: type[Exception]) -> None:
    """
    Every exception of requests and urllib3 becomes one of ours, which quotes nothing of its text.
    """
    error = foreign.__new__(foreign, "canary-5be1")
    error.args = ("canary-5be1",)
    ours = translation(error, "https://kf.example.com")

    assert isinstance(ours, KeyfactorError)
    assert str(ours).startswith("https://kf.example.com: ")
    assert "canary" not in str(ours)


@pytest.mark.parametrize(
    "foreign",
    [error for error in FOREIGN if error.__module__ == "requests.exceptions"],
    ids=lambda error: error.__name__,
)
def test_translation_is_no_fallback(foreign: type[Exception]) -> None:
    """
    Every exception of requests has words of its own, but for the base class.
    """
    error = foreign.__new__(foreign)

    assert (foreign is requests.RequestException) == ("the request failed" in str(translation(error, "s")))


def test_translation_of_the_system() -> None:
    """
    The system's reason is shown, however deep it is.
    """
    deep = requests.ConnectionError(
        urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "Reset"))
    )

    assert "s: no connection (Reset)" == str(translation(deep, "s"))


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(37.3562, "37.4 s"), (60.0, "60 s"), (59.97, "60 s"), (0.3, "0.3 s"), (0.04, "0.1 s"), (1e9, "86400 s")],
)
def test_translation_of_a_timeout(seconds: float, says: str) -> None:
    """
    The time allowed is told in tenths of a second, and is never none at all.
    """
    with Transport(load_settings(hostname="h", access_token="t")).within(seconds):
        assert f"s: no answer in {says}" == str(translation(requests.Timeout(), "s"))


def test_translation_of_a_certificate() -> None:
    """
    A certificate that is not trusted is found, however deep it is, and does not pass.
    """
    deep = requests.exceptions.SSLError(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError(1, "expired")))

    assert not translation(deep, "s").is_transient
    assert translation(requests.exceptions.SSLError("EOF"), "s").is_transient
