"""
What a server's certificate is checked with, alike by every version of Python.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kf_provider.errors import NoAnswerError, SettingsError
from kf_provider.keyfactor.settings import load_settings
from kf_provider.keyfactor.tls import proxy_tls_context, tls_context, token_tls_context

from ..loopback import CA, GOOD, ID, STRANGER_CA, Loopback, client_for, failure, running

PEM = CA.read_text()


@contextmanager
def serving(certificate: trustme.LeafCert) -> Iterator[Loopback]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with running(tls=context) as server:
        server.answers = [GOOD]
        yield server


def is_trusted(server: Loopback, ca_cert: str) -> bool:
    with client_for(server, ca_cert=ca_cert) as client:
        try:
            client.get_workflow_instance(ID, timeout=60, retries=0)
        except NoAnswerError as untrusted:
            if "is not trusted" not in str(untrusted) and "has expired" not in str(untrusted):
                raise
            return False
        return True


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


# Partial chains.


def test_issuing_ca_alone(tmp_path: Path) -> None:
    """
    An issuing CA without its root is trusted, as text and as a file; its server's chain may go on to the root.
    """
    root = trustme.CA()
    issuing = root.create_child_ca()
    issuing.cert_pem.write_to_path(tmp_path / "issuing.pem")
    with serving(issuing.issue_cert("127.0.0.1")) as server:
        assert is_trusted(server, pem(issuing))
        assert is_trusted(server, str(tmp_path / "issuing.pem"))
        assert is_trusted(server, pem(root))


def test_middle_of_a_long_chain() -> None:
    """
    Any CA between the root and the server may be the one that is trusted.
    """
    root = trustme.CA()
    middle = root.create_child_ca()
    issuing = middle.create_child_ca()
    with serving(issuing.issue_cert("127.0.0.1")) as server:
        assert [True, True, True] == [is_trusted(server, pem(authority)) for authority in (root, middle, issuing)]


def test_another_issuing_ca() -> None:
    """
    An issuing CA is trusted for what it signed, and for nothing else of the same root.
    """
    root = trustme.CA()
    with serving(root.create_child_ca().issue_cert("127.0.0.1")) as server:
        assert not is_trusted(server, pem(root.create_child_ca()))


def test_issuing_ca_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    So may the CA of the environment be an issuing one.
    """
    issuing = trustme.CA().create_child_ca()
    issuing.cert_pem.write_to_path(tmp_path / "issuing.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "issuing.pem"))
    with serving(issuing.issue_cert("127.0.0.1")) as server, client_for(server) as client:
        assert ID == client.get_workflow_instance(ID, timeout=60).instance_id


# CAs that RFC 5280 would have otherwise.


class OldCa:
    """A CA as older tools made them, and a server's certificate of it."""

    def __init__(self, *, critical: bool, usage: bool, identifiers: bool) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Corporate CA")])
        self._identifiers = identifiers
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=critical)
        if usage:
            signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(signs, critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self) -> trustme.LeafCert:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keyfactor")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        issued = self._builder(name, key.public_key()).add_extension(names, critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = issued.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return trustme.LeafCert(private, public, [])

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        if not self._identifiers:
            return builder
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False).add_extension(
            authority, critical=False
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: OldCa(critical=False, usage=True, identifiers=True),
        lambda: OldCa(critical=True, usage=False, identifiers=True),
        lambda: OldCa(critical=True, usage=True, identifiers=False),
        lambda: OldCa(critical=False, usage=False, identifiers=False),
    ],
    ids=["constraints not critical", "no key usage", "no key identifiers", "none of these"],
)
def test_older_corporate_ca(make: Callable[[], OldCa]) -> None:
    """
    A CA that strict verification (Python 3.13's default) refuses is trusted when it is given.
    """
    authority = make()
    with serving(authority.issue()) as server:
        assert is_trusted(server, authority.pem)
        assert not is_trusted(server, STRANGER_CA.read_text())


@pytest.mark.parametrize("given", [{}, {"ca_cert": str(CA)}, {"skip_verify": True}], ids=["roots", "ca", "skip_verify"])
@pytest.mark.parametrize("make", [tls_context, proxy_tls_context], ids=["server", "proxy"])
def test_flags(make: Callable[..., ssl.SSLContext], given: dict[str, object]) -> None:
    """
    What decides is set here, not left to the version of Python: for explicit CAs and roots, servers and proxies.
    """
    flags = make(load_settings(hostname="h", access_token="t", **given)).verify_flags

    assert ssl.VERIFY_X509_PARTIAL_CHAIN == flags & (ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT)


@pytest.mark.parametrize(("scheme", "has_roots"), [("https", True), ("http", False)])
def test_roots_where_a_certificate_is_shown(scheme: str, has_roots: bool) -> None:
    """
    The roots, which take 20 ms to read, are for servers that show a certificate: each of the two by its own address.
    """
    given = {"client_id": "c", "client_secret": "s"}
    server = load_settings(hostname=f"{scheme}://127.0.0.1", token_url="https://127.0.0.1/token", **given)
    token = load_settings(hostname="https://127.0.0.1", token_url=f"{scheme}://127.0.0.1/token", **given)

    for context in (tls_context(server), token_tls_context(token)):
        assert has_roots == bool(context.get_ca_certs())
    for context in (token_tls_context(server), tls_context(token), proxy_tls_context(server)):
        assert context.get_ca_certs()


def test_still_checked() -> None:
    """
    A certificate that is expired, or for another host, is refused as ever.
    """
    authority = trustme.CA()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for certificate in (
        authority.issue_cert("127.0.0.1", not_before=yesterday - timedelta(days=1), not_after=yesterday),
        authority.issue_cert("keyfactor.example.com"),
    ):
        with serving(certificate) as server:
            assert not is_trusted(server, pem(authority))


# PEM text.


@pytest.mark.parametrize(
    "given",
    [
        PEM,
        PEM.replace("\n", "\\n"),
        PEM.replace("\n", "\\r\\n"),
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", " "),
        PEM.replace("\n", ""),
        f'"{PEM}"'.replace("\n", "\\n"),
        "\\n".join(f"  {line}" for line in PEM.splitlines()),
        f"subject=CN = kf_provider tests\\n{PEM}".replace("\n", "\\n"),
        (STRANGER_CA.read_text() + PEM).replace("\n", "\\n"),
    ],
    ids=[
        "as it is",
        "literal \\n",
        "literal \\r\\n",
        "CRLF",
        "blanks",
        "one line",
        "quoted",
        "indented",
        "with a comment",
        "two",
    ],
)
@pytest.mark.parametrize("as_file", [False, True], ids=["text", "file"])
def test_pem_without_lines(tls_server: Loopback, tmp_path: Path, given: str, as_file: bool) -> None:
    r"""
    PEM whose line breaks became `\n` in two characters, blanks or nothing is understood, as text and in a file.
    """
    tls_server.answers = [GOOD]
    if as_file:
        (tmp_path / "ca.pem").write_text(given)

    assert is_trusted(tls_server, str(tmp_path / "ca.pem") if as_file else given)


@pytest.mark.parametrize(
    "given",
    [
        "-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE----- ü -----END CERTIFICATE-----",
        "~nouser/ca.pem",
        "~nouser",
    ],
)
def test_no_pem(given: str) -> None:
    """
    What is neither is a setting without sense.
    """
    with pytest.raises(SettingsError, match="keyfactor:caCert"):
        tls_context(load_settings(hostname="h", access_token="t", ca_cert=given))


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
