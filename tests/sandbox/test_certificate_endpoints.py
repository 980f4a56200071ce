"""
How a client gets an instance's id from Keyfactor itself: enrollment and revocation.
"""

from typing import Any

import httpx
import pytest

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
