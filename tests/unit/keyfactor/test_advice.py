"""
What is said, and what is to be done, where no request came through.
"""

from __future__ import annotations

import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from kf_provider.errors import NoAnswerError
from kf_provider.keyfactor.advice import certificate_advice
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ..loopback import CA, GOOD, ID, STRANGER_CA, Loopback, Reply, failure

SERVER = "https://kf.example.com"


def untrusted(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("code", "is_token", "says", "is_silent_of"),
    [
        (10, False, "has expired", "caCert"),
        (9, False, "is not valid yet", "caCert"),
        (62, False, "was issued for another host (x); check the host name (keyfactor:hostname)", "caCert"),
        (64, True, "was issued for another host (x); check the token URL (keyfactor:tokenUrl)", "caCert"),
        (18, False, "give the CA that signed it as keyfactor:caCert or KEYFACTOR_CA_CERT", "token"),
        (19, False, "give the CA that signed it as", "token"),
        (20, True, "of the token endpoint https://kf.example.com is not trusted (x); give the CA", "expired"),
        (23, False, "is not trusted (x); have it replaced there", "caCert"),
        (10, True, "of the token endpoint https://kf.example.com or of its CA has expired", "caCert"),
    ],
)
def test_certificate(code: int, is_token: bool, says: str, is_silent_of: str) -> None:
    """
    What is wrong with a certificate decides what to do; only an unknown CA is answered with a CA.
    """
    text = certificate_advice(untrusted(code, "x"), SERVER, is_token=is_token)

    assert says in text
    assert is_silent_of not in text


def test_certificate_without_a_code() -> None:
    """
    A library that tells no code is believed that the certificate is not trusted.
    """
    assert "is not trusted" in certificate_advice(ssl.SSLCertVerificationError(1, "x"), SERVER, is_token=False)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"ca_cert": str(STRANGER_CA)}, "give the CA that signed it as keyfactor:caCert"),
        ({"ca_cert": str(CA), "hostname": "localhost"}, "was issued for another host"),
    ],
)
def test_certificate_of_a_server(tls_server: Loopback, more: dict[str, Any], says: str) -> None:
    """
    The codes are those of the TLS library.
    """
    host = more.get("hostname", "127.0.0.1")

    assert says in str(failure(tls_server, GOOD, **{**more, "hostname": f"https://{host}:{tls_server.port}"}))


def test_certificate_of_a_token_endpoint(server: Loopback, tls_server: Loopback) -> None:
    """
    It is the token endpoint that is named when its CA is the one that is not trusted.
    """
    given = {"client_id": "gate", "client_secret": "canary-5be1", "token_url": f"{tls_server.url}/token"}
    with Client(load_settings(hostname=server.url, **given)) as client, pytest.raises(NoAnswerError) as caught:
        client.get_workflow_instance(ID, retries=0)

    assert f"the TLS certificate of the token endpoint {tls_server.url} is not trusted" in str(caught.value)


def test_plain_http_where_https_was_asked(server: Loopback) -> None:
    """
    A port that speaks plain http is said to, and does not pass.
    """
    caught = failure(server, GOOD, hostname=f"https://127.0.0.1:{server.port}")

    assert "plain http where TLS (https) was asked; check the host name and the port" in str(caught)
    assert not caught.is_transient


@pytest.mark.parametrize(
    ("status", "says", "is_transient"),
    [
        ("407 Proxy Authentication Required", "wants a login (407); give it in", False),
        ("403 Blocked ::error::x\x1b[31m", "refuses this host (403); have it allowed", False),
        ("502 Bad Gateway", "does not let us through (502)", True),
        ("404 Not Found", "does not let us through (404)", False),
    ],
)
def test_proxy(monkeypatch: pytest.MonkeyPatch, server: Loopback, status: str, says: str, is_transient: bool) -> None:
    """
    A proxy that refuses is named, without its password, with its status and what to do.
    """

    def refuse(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    server.answers = [Reply(raw=refuse)]
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:canary-5be1@127.0.0.1:{server.port}")
    settings = load_settings(hostname="kf.example.com", access_token="t")
    with Client(settings) as client, pytest.raises(NoAnswerError) as caught:
        client.get_workflow_instance(ID, retries=0)

    assert f"the proxy of the environment (127.0.0.1:{server.port}) {says}" in str(caught.value)
    assert is_transient == caught.value.is_transient
    assert "canary" not in str(caught.value)
