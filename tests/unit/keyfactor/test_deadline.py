"""
The last moment of a request, seen through a client.
"""

from __future__ import annotations

import contextlib
import socket

import pytest

from kf_provider.errors import NoAnswerError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ..loopback import CA, GOOD, ID, Loopback, client_for, drip, raw, running
from ..proxies import silence

# What is not held to its deadline waits for ever. No clock measures what is: a busy machine is no fault.
pytestmark = pytest.mark.timeout(60)

DRIPS = {
    "nothing": silence(),
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
        server.answers = [GOOD, raw(DRIPS[where])]
        with client_for(server, ca_cert=str(CA)) as client:
            client.get_workflow_instance(ID)  # so that no connection is made in the time allowed
            with pytest.raises(NoAnswerError, match=r"no answer in 0\.3 s") as caught:
                client.get_workflow_instance(ID, timeout=0.3)

    assert caught.value.is_transient


def test_deadline_of_the_settings(server: Loopback) -> None:
    """
    Without a timeout, the one of the settings counts.
    """
    server.answers = [GOOD, raw(silence())]
    with client_for(server, request_timeout=0.2) as client:
        client.get_workflow_instance(ID, timeout=60)  # so that no connection is made in the time allowed
        with pytest.raises(NoAnswerError, match=r"no answer in 0\.2 s"):
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
            client.get_workflow_instance(ID, timeout=1)

    assert str(caught.value).endswith(": no connection in 1 s")
    assert caught.value.is_transient


def test_deadline_in_the_handshake() -> None:
    """
    A server that accepts and never shakes hands holds nobody either.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = load_settings(hostname=f"https://127.0.0.1:{listening.getsockname()[1]}", access_token="t")
        with Client(settings) as client, pytest.raises(NoAnswerError):
            client.get_workflow_instance(ID, timeout=0.5)


def test_deadline_is_of_one_request(server: Loopback, client: Client) -> None:
    """
    A connection that is used again gets its own time, and a thread that timed out is not late for ever.
    """
    server.answers = [GOOD, raw(silence()), GOOD]
    client.get_workflow_instance(ID, timeout=60)
    with pytest.raises(NoAnswerError):
        client.get_workflow_instance(ID, timeout=0.2)

    assert ID == client.get_workflow_instance(ID, timeout=60).instance_id
