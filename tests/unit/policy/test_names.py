"""
The names that a certificate asks for, and those that were approved.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from kf_provider.policy.graph import SECRET, UNKNOWN
from kf_provider.policy.names import Names, approved, lacking, requested

KEY = ec.generate_private_key(ec.SECP256R1())


def signing_request(encoding: Encoding = Encoding.PEM) -> bytes:
    """
    A request for www.example.com of Example, and for mail.example.com.
    """
    subject = [(NameOID.COMMON_NAME, "www.example.com"), (NameOID.ORGANIZATION_NAME, "Example")]
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(*part) for part in subject]))
    others = x509.SubjectAlternativeName([x509.DNSName("mail.example.com")])
    return builder.add_extension(others, critical=False).sign(KEY, hashes.SHA256()).public_bytes(encoding)


PEM = signing_request().decode()
WHOLE = {("CN", "www.example.com"), ("O", "example")}


@pytest.mark.parametrize(
    ("properties", "subject", "others"),
    [
        ({"subject": {"commonName": "www.example.com", "organization": "Example"}}, WHOLE, set()),  # tls
        ({"subjects": [{"commonName": "x"}]}, set(), set()),
        ({"certRequestPem": PEM}, WHOLE, {"mail.example.com"}),
        ({"certificateSigningRequest": PEM}, WHOLE, {"mail.example.com"}),  # aws acm-pca
        ({"csr": base64.b64encode(signing_request(Encoding.DER)).decode()}, WHOLE, {"mail.example.com"}),
        ({"spec": {"request": base64.b64encode(signing_request()).decode()}}, WHOLE, {"mail.example.com"}),
        ({"domainName": "a.b", "subjectAlternativeNames": ["c.b"]}, {("CN", "a.b")}, {"c.b"}),  # aws acm
        (
            {
                "certificatePolicy": {
                    "x509CertificateProperties": {
                        "subject": "CN=a.b, O=Example",
                        "subjectAlternativeNames": {"dnsNames": ["c.b"], "emails": ["d@b"]},
                    }
                }
            },
            {("CN", "a.b"), ("O", "example")},
            {"c.b", "d@b"},
        ),
        ({"distinguishedName": "CN=a.b"}, {("CN", "a.b")}, set()),  # azure app service
        ({"properties": {"subjectName": "a.b"}}, {("CN", "a.b")}, set()),  # azure-native app
        (
            {"config": {"subjectConfig": {"subject": {"commonName": "a.b"}, "subjectAltName": {"dnsNames": ["c.b"]}}}},
            {("CN", "a.b")},
            {"c.b"},
        ),
        ({"pemCsr": PEM}, WHOLE, {"mail.example.com"}),  # gcp
        ({"managed": {"domains": ["a.b", "c.b"]}}, {("CN", "a.b")}, {"a.b", "c.b"}),
        ({"spec": {"commonName": "a.b", "dnsNames": ["c.b"]}}, {("CN", "a.b")}, {"c.b"}),  # cert-manager
        ({"commonName": "a.b", "sanDns": ["c.b"]}, {("CN", "a.b")}, {"c.b"}),  # venafi
        ({"commonName": "a.b", "altNames": ["c.b"], "ipSans": ["10.0.0.1"]}, {("CN", "a.b")}, {"c.b", "10.0.0.1"}),
        ({"hostnames": ["a.b"]}, {("CN", "a.b")}, {"a.b"}),  # cloudflare
        ({"hosts": ["a.b"]}, {("CN", "a.b")}, {"a.b"}),
        ({"domains": ["a.b"]}, {("CN", "a.b")}, {"a.b"}),  # digitalocean
        ({"domainNames": ["a.b"]}, {("CN", "a.b")}, {"a.b"}),  # hcloud
        ({"commonName": "a.b", "dnsSans": ["c.b"], "uriSans": ["x:y"]}, {("CN", "a.b")}, {"c.b", "x:y"}),  # keyfactor
        ({"common_name": "a.b", "dns_names": ["c.b"]}, {("CN", "a.b")}, {"c.b"}),  # one's own
        ({"csr": PEM, "commonName": "a.b"}, {*WHOLE, ("CN", "a.b")}, {"mail.example.com"}),  # both are asked for
    ],
)
def test_requested(properties: dict[str, Any], subject: set[tuple[str, str]], others: set[str]) -> None:
    """
    Where each provider's certificates keep their names.
    """
    assert Names(frozenset(subject), frozenset(others)) == requested(properties)


@pytest.mark.parametrize(
    "properties",
    [
        {"certRequestPem": UNKNOWN},
        {"subject": SECRET},
        {"subject": {"commonName": UNKNOWN}},
        {"commonName": "a.b", "dnsNames": ["c.b", UNKNOWN]},
        {"config": UNKNOWN},
    ],
)
def test_not_whole(properties: dict[str, Any]) -> None:
    """
    What is not known yet, or is encrypted, is told.
    """
    assert not requested(properties).is_whole


@pytest.mark.parametrize(
    "text", ["no request", "é", PEM[:90], PEM.replace("MII", "MIJ")], ids=["words", "é", "cut", "broken"]
)
def test_unreadable_request(text: str) -> None:
    """
    A request that nobody can read has no name that was approved.
    """
    assert "subject" == lacking(requested({"csr": text}), Names(frozenset(WHOLE)), with_others=True)


@pytest.mark.parametrize(
    ("expect", "missing"),
    [
        ({"s": "CN=a.b,O=Example\\, Inc.", "n": ["c.b"]}, None),
        ({"s": "CN=a.b,O=Example\\, Inc.", "n.0": "C.b"}, None),
        ({"s": "CN=a.b"}, "names"),
        ({"s": "CN=a.b", "n": {"dns": ["c.b"]}}, None),
        ({"s": "CN=z.b", "n": ["c.b"]}, "subject"),
        ({"n": ["a.b", "c.b"]}, "subject"),
        (None, "subject"),
    ],
)
def test_lacking(expect: object, missing: str | None) -> None:
    """
    A certificate may ask for less than what was approved, and not for more; its common name needs no second mention.
    """
    asked = requested({"commonName": "a.b", "dnsNames": ["a.b", "c.b"]})

    assert missing == lacking(asked, approved(expect, subject="s", sans="n"), with_others=True)


@given(st.text(alphabet='CN=,+\\" abO.1'))
def test_odd_subjects(text: str) -> None:
    """
    Whatever stands where a subject should, reading it never raises, and what holds no common name approves none.
    """
    names = approved({"s": text}, subject="s", sans="n")

    assert "subject" == lacking(requested({"commonName": "other"}), names, with_others=False)
