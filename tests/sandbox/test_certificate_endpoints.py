"""
How a client gets an instance's id from Keyfactor itself, by enrollment and revocation, and then the certificate.
"""

import base64
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kf_provider.errors import NotIssuedError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings
from kf_provider.sandbox import Sandbox


def test_enroll_pfx(server: Sandbox, client: httpx.Client) -> None:
    """
    An enrollment that needs approval answers with the id of its workflow instance.
    """
    body = {"Subject": "CN=web", "Template": "Secret", "SANs": {"DNS": ["a.example.com", "b.example.com"]}}

    information = client.post("/Enrollment/PFX", json=body).json()["CertificateInformation"]

    instance = server.instance(information["WorkflowInstanceId"])
    assert information["WorkflowReferenceId"] == instance.reference_id
    assert information["RequestDisposition"] == "PENDING"
    assert instance.title == f"{server.username} is enrolling for a certificate with CN=web."
    assert instance.initial_data["SANs"] == {"dns": ["a.example.com", "b.example.com"]}
    assert (instance.initial_data["Template"], "CSR" in instance.initial_data) == ("Secret", False)


def test_enroll_csr(server: Sandbox, client: httpx.Client) -> None:
    """
    The request that was sent is what the instance shows.
    """
    information = client.post("/Enrollment/CSR", json={"CSR": "MIIB"}).json()["CertificateInformation"]

    assert server.instance(information["WorkflowInstanceId"]).initial_data["CSR"] == "MIIB"


def test_revoke(server: Sandbox, client: httpx.Client) -> None:
    """
    Certificates whose revocation must be approved come back suspended, with the id of their instance.
    """
    body = {"CertificateIds": [4, 5], "Reason": 1, "Comment": "lost"}

    answer = client.post("/Certificates/Revoke", json=body).json()

    assert answer["RevokedIds"] == []
    assert [suspended["CertId"] for suspended in answer["SuspendedCerts"]] == [4, 5]
    instance_id = answer["SuspendedCerts"][0]["WorkflowId"]
    server.approve(instance_id)
    instance = server.instance(instance_id)
    assert (instance.status, instance.definition.workflow_type) == ("Complete", "Revocation")
    assert (instance.initial_data["RevokeCode"], instance.initial_data["Comment"]) == (1, "lost")
    assert "OperationStart" in instance.current_state_data


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/Enrollment/PFX", {}),
        ("/Enrollment/PFX", {"Subject": 7}),
        ("/Enrollment/PFX", {"Subject": "CN=a", "SANs": {"dns": "a.example.com"}}),
        ("/Enrollment/CSR", {"CSR": " "}),
        ("/Certificates/Revoke", {"CertificateIds": "4"}),
        ("/Certificates/Revoke", {"CertificateIds": [4], "Reason": "stolen"}),
    ],
)
def test_bad_bodies(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    """
    What is missing or of the wrong type is refused.
    """
    assert client.post(path, json=body).status_code == 400


def signed_request(name: str = "web.example.com") -> tuple[ec.EllipticCurvePrivateKey, str]:
    """A key, and a request for a certificate for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName(f"www.{name}")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, request.public_bytes(serialization.Encoding.PEM).decode()


def test_issues_what_was_requested(server: Sandbox, client: httpx.Client) -> None:
    """
    When it is approved, an enrollment has a certificate for the key and the names of its request, by the request's id,
    its thumbprint and its own id.
    """
    key, request = signed_request()
    body = {"CSR": request, "Template": "WebServer", "Metadata": {"Owner": "web team"}}
    information = client.post("/Enrollment/CSR", json=body).json()["CertificateInformation"]
    asked = {"QueryString": f"CertRequestId -eq {information['KeyfactorRequestId']}", "includeMetadata": "true"}
    assert [] == client.get("/Certificates", params=asked).json()

    server.approve(information["WorkflowInstanceId"])
    (row,) = client.get("/Certificates", params=asked).json()
    certificate = x509.load_der_x509_certificate(base64.b64decode(row["ContentBytes"]))
    data = server.instance(information["WorkflowInstanceId"]).current_state_data

    assert key.public_key() == certificate.public_key()
    assert "CN=web.example.com" == certificate.subject.rfc4514_string() == row["IssuedDN"]
    assert ["web.example.com", "www.web.example.com"] == [name["Value"] for name in row["SubjectAltNameElements"]]
    assert {"Owner": "web team"} == row["Metadata"]
    assert certificate.fingerprint(hashes.SHA1()).hex().upper() == row["Thumbprint"]  # how Keyfactor names it
    assert row["ContentBytes"] == data["CACertificate"]["Certificate"]
    assert 47 == (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days
    by_thumbprint = client.get("/Certificates", params={"pq.queryString": f'Thumbprint -eq "{row["Thumbprint"]}"'})
    assert [row["Id"]] == [one["Id"] for one in by_thumbprint.json()]
    assert row["Thumbprint"] == client.get(f"/Certificates/{row['Id']}").json()["Thumbprint"]


def test_the_clients_own_way(server: Sandbox) -> None:
    """
    kf_provider's client gets it, by the instance as well; and an enrollment that was started by hand has one too.
    """
    id_ = server.start_enrollment(subject="CN=api.example.com,O=Example")
    with Client(load_settings(hostname=server.url, username=server.username, password=server.password)) as client:
        with pytest.raises(NotIssuedError, match="is Suspended, so its certificate is not issued yet"):
            client.get_certificate(instance_id=id_)
        server.approve(id_)
        certificate = client.get_certificate(instance_id=id_)

        assert ("api.example.com", "Active") == (certificate.common_name, certificate.state)
        assert certificate == client.get_certificate(thumbprint=certificate.thumbprint)
        assert certificate == client.get_certificate(request_id=certificate.request_id)
        assert certificate == client.get_certificate(certificate_id=certificate.certificate_id)


@pytest.mark.parametrize("way", ["revoked", "expired"])
def test_revoked_and_expired(server: Sandbox, client: httpx.Client, way: str) -> None:
    """
    A list shows the revoked and the expired ones only when it is asked to.
    """
    server.approve(server.start_enrollment(subject="CN=web"))
    if way == "revoked":
        answer = client.post("/Certificates/Revoke", json={"CertificateIds": [1]}).json()
        server.approve(answer["SuspendedCerts"][0]["WorkflowId"])
    else:
        server.advance(48 * 86_400)

    assert [] == client.get("/Certificates").json()
    asked = {"IncludeRevoked" if way == "revoked" else "pq.includeExpired": "true"}
    (row,) = client.get("/Certificates", params=asked).json()
    assert ("Revoked" if way == "revoked" else "Active") == row["CertStateString"]


def test_same_seed_same_certificates() -> None:
    """
    Keys and serial numbers come from the seed, so that a digest of the state data can be repeated.
    """
    serials = []
    for _ in range(2):
        with Sandbox(seed=12) as server:
            ids = [server.start_enrollment(subject="CN=web", approvals=0) for _ in range(2)]
            data = [server.instance(id_).current_state_data["CACertificate"]["Certificate"] for id_ in ids]
            serials.append([x509.load_der_x509_certificate(base64.b64decode(one)).serial_number for one in data])

    assert serials[0] == serials[1]
    assert serials[0][0] != serials[0][1]


def test_no_certificate(client: httpx.Client, server: Sandbox) -> None:
    """
    A number that none has is 404, and a query that cannot be read is 400; who may not read them gets 403.
    """
    assert [404, 404] == [client.get(f"/Certificates/{number}").status_code for number in ("1", "one")]
    assert 400 == client.get("/Certificates", params={"QueryString": "Colour -eq 1"}).status_code
    account = server.add_account("KEYEXAMPLE\\reader", permissions=["ReadAll"])
    refused = client.get("/Certificates", auth=(account.username, account.password))
    assert 403 == refused.status_code
