"""
What a server's certificate is checked with, seen through a client.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kf_provider.errors import NoAnswerError, SettingsError

from ..loopback import CA, GOOD, ID, STRANGER_CA, Loopback, client_for, failure


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


@pytest.mark.parametrize("given", ["/nowhere/ca.pem", "-----BEGIN CERTIFICATE-----\nx", "", "a\x00b"])
def test_ca_without_sense(tls_server: Loopback, tmp_path: Path, given: str) -> None:
    """
    A CA that cannot be read is a setting without sense.
    """
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(SettingsError, match="keyfactor:caCert"):
        client_for(tls_server, ca_cert=given or str(empty))
