"""
Certificates: by each way, and which one an approved instance has issued.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from kf_provider.errors import (
    ArgumentError,
    ForbiddenError,
    InstanceIdError,
    KeyfactorError,
    NotFoundError,
    NotIssuedError,
    RequestError,
    SearchError,
    UnusableAnswerError,
)
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.models import certificate_der, thumbprint_of

from ..loopback import CA, ID, STRANGER_CA, Loopback, Reply, Seen

PEM = CA.read_text().strip() + "\n"
DER = certificate_der(PEM)
CONTENT = base64.b64encode(DER).decode()
THUMBPRINT = thumbprint_of(DER)
OTHER_DER = certificate_der(STRANGER_CA.read_text())
OTHER_THUMBPRINT = thumbprint_of(OTHER_DER)
CERTIFICATE = {
    "Id": 7,
    "Thumbprint": THUMBPRINT,
    "SerialNumber": "00ab12",
    "IssuedCN": "web.example.com",
    "IssuedDN": "CN=web.example.com,O=Example",
    "IssuerDN": "CN=Issuing CA",
    "NotBefore": "2026-11-01T00:00:00",
    "NotAfter": "2026-12-18T00:00:00",
    "CertState": 1,
    "CertStateString": "Active",
    "TemplateName": "WebServer",
    "CertRequestId": 70,
    "ContentBytes": CONTENT,
    "SubjectAltNameElements": [{"Id": 1, "Value": "web.example.com", "Type": 2, "ValueHash": "AA=="}],
    "Metadata": {"Owner": "canary-2b7d"},
}
OTHER = CERTIFICATE | {"Id": 8, "Thumbprint": OTHER_THUMBPRINT, "CertRequestId": 80, "ContentBytes": ""}


class Keyfactor:
    """A server with certificates and one instance, which reads queries as Keyfactor's Go client writes them."""

    def __init__(
        self, *certificates: Mapping[str, Any], state: Mapping[str, Any] | None = None, **instance: Any
    ) -> None:
        self.certificates = certificates
        self.instance = {
            "Id": ID,
            "Status": "Complete",
            "Definition": {"WorkflowType": "Enrollment"},
            "CurrentStateData": dict(state or {}),
            **instance,
        }

    def __call__(self, request: Seen) -> Reply:
        path = urlsplit(request.path).path
        if "/Workflow/" in path:
            return Reply(self.instance)
        if not path.endswith("/Certificates"):
            for certificate in self.certificates:
                if path.endswith(f"/Certificates/{certificate['Id']}"):
                    return Reply(certificate)
            return Reply({"ErrorCode": "0xA0110002", "Message": "no such certificate"}, status=404)
        field, value = re.fullmatch(r'(\w+) -eq "?(\w+)"?', request.query["pq.queryString"]).groups()  # type: ignore[union-attr] # else the test fails
        return Reply([one for one in self.certificates if str(one[field]) == value])


@pytest.mark.parametrize(
    "name",
    [
        {"certificate_id": 7},
        {"certificate_id": 7.0},
        {"request_id": 70},
        {"thumbprint": THUMBPRINT},
        {"thumbprint": ":".join(re.findall("..", THUMBPRINT.lower()))},
        {"instance_id": ID},
    ],
)
def test_each_way(server: Loopback, client: Client, name: dict[str, Any]) -> None:
    """
    A certificate is found by each of its names, with all that Keyfactor tells of it.
    """
    server.answers = Keyfactor(CERTIFICATE, OTHER, state={"KeyfactorRequestId": 70})
    certificate = client.get_certificate(**name)

    assert {
        "certificate_id": 7,
        "thumbprint": THUMBPRINT,
        "serial_number": "00AB12",
        "common_name": "web.example.com",
        "subject": "CN=web.example.com,O=Example",
        "issuer": "CN=Issuing CA",
        "not_before": "2026-11-01T00:00:00Z",
        "not_after": "2026-12-18T00:00:00Z",
        "state": "Active",
        "template_name": "WebServer",
        "request_id": 70,
        "sans": [{"type": 2, "value": "web.example.com"}],
        "metadata": {"Owner": "canary-2b7d"},
        "pem": PEM,
    } == certificate.outputs()
    assert "canary" not in repr(certificate)
    assert {"GET"} == {request.method for request in server.seen}
    assert "true" == server.seen[-1].query["includeMetadata"]


def test_what_is_asked(server: Loopback, client: Client) -> None:
    """
    Revoked and expired ones are asked for too, under the names of both generations of Keyfactor.
    """
    server.answers = Keyfactor(CERTIFICATE)
    client.get_certificate(request_id=70)

    query = server.seen[0].query
    assert "CertRequestId -eq 70" == query["QueryString"] == query["pq.queryString"]
    assert {"true"} == {query[name] for name in ("IncludeRevoked", "IncludeExpired", "pq.includeRevoked")}


@pytest.mark.parametrize(
    "state",
    [
        {"Thumbprint": THUMBPRINT.lower()},
        {"thumb_print": THUMBPRINT},
        {"Certificate": CONTENT},
        {"certificate": PEM},
        {"certificate": base64.b64encode(PEM.encode()).decode()},
        {"CA Certificate": {"certificate id": 4711, "request id": 4712, "Certificate": CONTENT, "Status": 3}},
        {"CACertificate": {"Certificate": CONTENT}},
        {"Certificate Id": 7},
        {"KeyfactorId": "7"},
        {"keyfactor_request_id": 70.0},
        {"CertRequestId": 70},
        {"Thumbprint": THUMBPRINT, "KeyfactorId": 7, "KeyfactorRequestId": 70, "Certificate": CONTENT},
        {"KeyfactorId": 0, "Thumbprint": "", "Certificate": None, "KeyfactorRequestId": 70},  # .NET's "none"
        {"Certificate": "see the ticket", "KeyfactorId": 7},
    ],
)
def test_named_by_state_data(server: Loopback, client: Client, state: dict[str, Any]) -> None:
    """
    The certificate of an instance is the one that its state data names, in any of the ways that are known.
    """
    server.answers = Keyfactor(CERTIFICATE, OTHER, state=state)

    assert 7 == client.get_certificate(instance_id=ID).certificate_id


@pytest.mark.parametrize(
    "state",
    [
        {"Thumbprint": THUMBPRINT, "CA Certificate": {"Certificate": base64.b64encode(OTHER_DER).decode()}},
        {"Thumbprint": THUMBPRINT, "KeyfactorId": 8},
        {"KeyfactorId": 7, "Certificate Id": 8},
        {"KeyfactorId": 7, "KeyfactorRequestId": 80},
    ],
)
def test_two_certificates(server: Loopback, client: Client, state: dict[str, Any]) -> None:
    """
    State data that names two certificates decides nothing.
    """
    server.answers = Keyfactor(CERTIFICATE, OTHER, state=state)

    with pytest.raises(RequestError, match=rf"state data of workflow instance {ID} names two certificates \(by"):
        client.get_certificate(instance_id=ID)


def test_two_names_of_one_that_tells_neither(server: Loopback, client: Client) -> None:
    """
    Where the certificate itself does not tell, the other name is looked up as well.
    """
    bare = {"Id": 7, "ContentBytes": CONTENT, "Thumbprint": THUMBPRINT, "CertRequestId": 0}
    server.answers = lambda request: (
        Reply([bare] if "PageReturned" in request.query and "70" in request.query["QueryString"] else bare)
        if "/Workflow/" not in request.path
        else Reply(Keyfactor(state={"KeyfactorId": 7, "KeyfactorRequestId": 70}).instance)
    )

    assert 7 == client.get_certificate(instance_id=ID).certificate_id


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ({"certificate_id": 9}, NotFoundError, "the certificate with certificate_id 9 was not found on"),
        (
            {"thumbprint": "0" * 40},
            NotFoundError,
            f"the certificate with thumbprint {'0' * 40} was not found on .*; check it, and that basic:",
        ),
        ({"request_id": 9}, NotIssuedError, "the request 9 on .* has no certificate: it is not issued yet, or"),
        (
            {"request_id": 70},
            RequestError,
            "2 certificates on .* have the request_id 70: pass the certificate_id of one, 7, 9",
        ),
    ],
)
def test_none_or_several(
    server: Loopback, client: Client, name: dict[str, Any], error: type[KeyfactorError], says: str
) -> None:
    """
    None, several, and none yet have a sentence each; only the last may pass.
    """
    server.answers = Keyfactor(CERTIFICATE, CERTIFICATE | {"Id": 9} if "request_id" in name else OTHER)
    if error is NotIssuedError:
        server.answers = Keyfactor()
    with pytest.raises(error, match=says) as caught:
        client.get_certificate(**name)

    assert (error is NotIssuedError) == caught.value.is_transient


@pytest.mark.parametrize(
    ("instance", "error", "says"),
    [
        (
            {"Status": "Suspended"},
            NotIssuedError,
            f"workflow instance {ID} is Suspended, so its certificate is not issued yet",
        ),
        ({"Status": "Rejected"}, RequestError, "is 'Rejected', not Complete: it has issued no certificate"),
        ({"Status": 3}, RequestError, "is '3', not Complete"),
        (
            {"Definition": {"WorkflowType": "Revocation"}, "CurrentStateData": {"CertificateId": 7}},
            RequestError,
            r"is of type 'Revocation', and only an Enrollment issues a certificate \(a revocation names the one",
        ),
        ({"Definition": None}, RequestError, "is of type unknown, and only an Enrollment"),
        (
            {"CurrentStateData": {"Subject": "CN=web", "Ticket": {"Thumbprint": THUMBPRINT}}},
            RequestError,
            "names no certificate; looked for the keys thumbprint, certificate .* as KeyfactorRequestId",
        ),
        ({"CurrentStateData": {"CA Certificate": {"certificate id": 7}}}, RequestError, "names no certificate"),
    ],
)
def test_instance_without_a_certificate(
    server: Loopback, client: Client, instance: dict[str, Any], error: type[KeyfactorError], says: str
) -> None:
    """
    Only a Complete enrollment whose state data names a certificate has one; each other case says why not.
    """
    server.answers = Keyfactor(CERTIFICATE, **instance)
    with pytest.raises(error, match=says) as caught:
        client.get_certificate(instance_id=ID)

    assert (error is NotIssuedError) == caught.value.is_transient
    assert 1 == len(server.seen)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ({}, ArgumentError, "pass one of certificate_id, thumbprint, request_id and instance_id"),
        ({"certificate_id": 7, "request_id": 70}, ArgumentError, "pass one of"),
        ({"certificate_id": 0}, SearchError, "certificate_id: 0 is not a whole number above zero"),
        ({"certificate_id": True}, SearchError, "certificate_id: 'True' is not a whole number"),
        ({"request_id": "seven"}, SearchError, "request_id: 'seven' is not a whole number"),
        ({"thumbprint": "AB"}, SearchError, "thumbprint: 'AB' is not 40 hexadecimal digits"),
        ({"thumbprint": 'x" OR Id -gt 0 AND "'}, SearchError, "is not 40 hexadecimal digits"),
        ({"instance_id": "7"}, InstanceIdError, "7 is a reference id"),
    ],
)
def test_refused(
    server: Loopback, client: Client, name: dict[str, Any], error: type[KeyfactorError], says: str
) -> None:
    """
    What cannot name a certificate is refused before anything is sent.
    """
    with pytest.raises(error, match=says):
        client.get_certificate(**name)

    assert [] == server.seen


def test_server_that_ignores_the_query(server: Loopback, client: Client) -> None:
    """
    A row of another certificate is not taken.
    """
    server.answers = [Reply([OTHER, CERTIFICATE])]

    assert 7 == client.get_certificate(thumbprint=THUMBPRINT).certificate_id


def test_list_without_content(server: Loopback, client: Client) -> None:
    """
    Where a list's row has no content, the certificate is read by its id.
    """
    server.answers = [Reply([CERTIFICATE | {"ContentBytes": None}]), Reply(CERTIFICATE)]

    assert PEM == client.get_certificate(request_id=70).pem
    assert server.seen[1].path.endswith("/Certificates/7")


def test_another_certificate(server: Loopback, client: Client) -> None:
    """
    An answer about another certificate is not taken for the one that was asked for.
    """
    server.answers = [Reply(OTHER)]
    with pytest.raises(UnusableAnswerError, match="answered with certificate 8 when asked for 7"):
        client.get_certificate(certificate_id=7)


def test_forbidden(server: Loopback, client: Client) -> None:
    """
    A missing permission is named as both generations of Keyfactor call it.
    """
    server.answers = [Reply({"ErrorCode": "0xA0140002", "Message": "no"}, status=403)]
    with pytest.raises(ForbiddenError, match=r"Certificates: Read \(Command 10\), or /certificates/collections/read/"):
        client.get_certificate(request_id=70)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Thumbprint": None}, {"thumbprint": THUMBPRINT}),
        ({"Thumbprint": base64.b64encode(bytes.fromhex(THUMBPRINT)).decode()}, {"thumbprint": THUMBPRINT}),
        ({"CertStateString": None, "CertState": 2}, {"state": "2"}),
        ({"ContentBytes": None}, {"pem": None}),
        ({"CertRequestId": 0, "Metadata": None, "SubjectAltNameElements": None}, {"request_id": None, "metadata": {}}),
    ],
)
def test_what_a_server_leaves_out(
    server: Loopback, client: Client, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    """
    All fields may be null; what the rest tells is completed.
    """
    server.answers = [Reply(CERTIFICATE | fields)]

    assert expected.items() <= client.get_certificate(certificate_id=7).outputs().items()


def test_content_that_is_no_certificate(server: Loopback, client: Client) -> None:
    """
    What is no certificate is not given out as one.
    """
    server.answers = [Reply(CERTIFICATE | {"ContentBytes": "bm90IG9uZQ=="})]
    with pytest.raises(UnusableAnswerError, match="in an unknown form"):
        client.get_certificate(certificate_id=7)
