"""
The HTTP server: address, port, end.
"""

import socket

import pytest

from kf_provider.sandbox import Sandbox

from .clients import connect


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
def test_loopback_only(host: str) -> None:
    """
    Another address than a loopback one is refused before anything listens.
    """
    with pytest.raises(ValueError, match="loopback only"):
        Sandbox(host=host)


def test_port_taken(server: Sandbox) -> None:
    """
    A port that is in use is an error at once.
    """
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=server.port)


@pytest.mark.timeout(60)
def test_close_with_open_connections() -> None:
    """
    A client that keeps its connection does not hold the sandbox up; afterwards the port is free, closing again is fine.
    """
    server = Sandbox()
    server.start()
    with connect(server) as client:
        assert client.get("/Workflow/Instances").status_code == 200
        server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_ipv6() -> None:
    """
    The other loopback address, in brackets where a URL wants them.
    """
    try:
        server = Sandbox(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, connect(server) as client:
        assert server.url == f"http://[::1]:{server.port}"
        assert client.get("/Workflow/Instances").status_code == 200
