"""
How the versions of Keyfactor Command differ on the wire.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from kf_provider.sandbox import Sandbox

from .clients import connect


def read(dialect: str, **enrollment: Any) -> tuple[dict[str, Any], str]:
    """
    An instance as this version writes it, and the version's number.
    """
    with Sandbox(dialect=dialect) as server, connect(server) as client:
        response = client.get(f"/Workflow/Instances/{server.start_enrollment(**enrollment)}")
        return response.json(), response.headers["x-keyfactor-product-version"]


def test_command_10() -> None:
    """
    PascalCase, fractions without zeros at the end, SANs as pairs, empty instead of null.
    """
    instance, version = read("10", approvals=0)

    assert version.startswith("10.")
    assert (instance["Status"], instance["StatusMessage"], instance["Signals"]) == ("Complete", "", [])
    assert re.fullmatch(r"[-0-9]+T[:0-9]+(\.\d*[1-9])?Z", instance["StartDate"])
    assert instance["InitialData"]["SANs"] == [{"Key": "dns", "Value": "web.keyexample.com"}]


def test_command_11() -> None:
    """
    camelCase but for the keys of state data, and no step for a finished instance.
    """
    instance, version = read("11", approvals=0, state_data={"MyKey": {"Inner": 1}})

    assert version.startswith("11.")
    assert (instance["status"], instance["statusMessage"], instance["signals"]) == ("Complete", None, None)
    assert (instance["currentStepId"], instance["currentStepDisplayName"]) == (
        "00000000-0000-0000-0000-000000000000",
        None,
    )
    assert set(instance["definition"]) == {"id", "displayName", "version", "workflowType"}
    assert instance["currentStateData"]["MyKey"] == {"Inner": 1}
    assert "Subject" in instance["initialData"]


def test_command_11_suspended() -> None:
    """
    A waiting instance has step and signals in every version.
    """
    instance, _ = read("11")

    assert instance["currentStepDisplayName"] == "Manager approval"
    assert [signal["signalReceived"] for signal in instance["signals"]] == [False]


def test_command_25() -> None:
    """
    PascalCase again, with nulls where the specification allows them.
    """
    instance, version = read("25", held=True)

    assert version.startswith("25.")
    assert (instance["Status"], instance["LastModified"], instance["Signals"]) == ("Running", None, None)
    assert instance["StartDate"].endswith("Z")


@pytest.mark.parametrize(("dialect", "status"), [("10", 400), ("11", 400), ("25", 200)])
def test_definition_version_2_in_every_dialect(dialect: str, status: int) -> None:
    """
    Command 10 and 11 refuse version 2 of the API for a definition.
    """
    with Sandbox(dialect=dialect) as server, connect(server) as client:
        instance = server.instance(server.start_enrollment())
        path = f"/Workflow/Definitions/{instance.definition.id}"
        response = client.get(path, headers={"x-keyfactor-api-version": "2"})

    assert status == response.status_code


def test_command_25_version_2_of_other_paths() -> None:
    """
    Instances exist as version 1 only, and the list of definitions is played in no other.
    """
    with Sandbox(dialect="25") as server, connect(server, None, **{"x-keyfactor-api-version": "2"}) as client:
        one = f"/Workflow/Instances/{server.start_enrollment()}"
        paths = [one, "/Workflow/Instances", "/Workflow/Instances/AssignedToMe", "/Workflow/Definitions"]
        statuses = [client.get(path).status_code for path in paths]

    assert [400, 400, 400, 400] == statuses


def test_unknown_dialect() -> None:
    """
    A version that the sandbox does not play is refused.
    """
    with pytest.raises(ValueError, match="9"):
        Sandbox(dialect="9")


@pytest.mark.parametrize("dialect", ["10", "11", "25"])
def test_numbers_in_every_dialect(dialect: str) -> None:
    """
    Words and numbers are a choice of their own.
    """
    with Sandbox(dialect=dialect, statuses="numbers") as server, connect(server) as client:
        server.start_enrollment()
        row = client.get("/Workflow/Instances").json()[0]

    assert {name.lower(): content for name, content in row.items()}["status"] == 1


# Keyfactor's specification of Command 10: the fields of each answer, its nested objects by a dot, `[]` for a list's.
STEP = "CurrentStepId CurrentStepDisplayName CurrentStepUniqueName"
INSTANCE = f"Id Status StatusMessage Title LastModified StartDate ReferenceId Definition {STEP}"
INSTANCE += " Definition.Id Definition.DisplayName Definition.Version Definition.WorkflowType"
SIGNALS = "Signals Signals[].SignalName Signals[].StepSignalId Signals[].SignalReceived"
DEFINITION = "Id DisplayName Key KeyDisplayName WorkflowType DraftVersion PublishedVersion"
STEPS = "Id DisplayName UniqueName ExtensionName Enabled ConfigurationParameters Signals Conditions Outputs"
CERTIFICATE = (
    "Id Thumbprint SerialNumber IssuedDN IssuedCN ImportDate NotBefore NotAfter IssuerDN CertState CertStateString"
    " TemplateName CertRequestId RequesterName ContentBytes HasPrivateKey CertificateAuthorityName RevocationEffDate"
    " RevocationReason RevocationComment Metadata SubjectAltNameElements SubjectAltNameElements[].Id"
    " SubjectAltNameElements[].Value SubjectAltNameElements[].Type"
)
# The two of the workflow are in the specifications from Command 11 on alone.
REQUEST = (
    "SerialNumber IssuerDN Thumbprint KeyfactorRequestId RequestDisposition DispositionMessage EnrollmentContext"
    " WorkflowInstanceId WorkflowReferenceId"
)
# What is below these may be anything.
FREE = ("InitialData", "CurrentStateData", "ConfigurationParameters", "Outputs", "Metadata")


def fields(answer: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Each field of an answer and its value, but for what is below a free one."""
    if isinstance(answer, list):
        for row in answer:
            yield from fields(row, f"{place}[]" if place else "")
    elif isinstance(answer, dict):
        for name, value in answer.items():
            path = f"{place}.{name}" if place else name
            yield path, value
            if name not in FREE:
                yield from fields(value, path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/Workflow/Instances", INSTANCE),
        ("GET", "/Workflow/Instances/My", INSTANCE),
        ("GET", "/Workflow/Instances/AssignedToMe", INSTANCE),
        ("GET", "/Workflow/Instances/{instance}", f"{INSTANCE} {SIGNALS} InitialData CurrentStateData"),
        ("GET", "/Workflow/Definitions", DEFINITION),
        (
            "GET",
            "/Workflow/Definitions/{definition}",
            f"{DEFINITION} Description IsPublished Steps Steps[].Signals[].RoleIds Steps[].Signals[].SignalName "
            + " ".join(f"Steps[].{name}" for name in STEPS.split()),
        ),
        ("GET", "/Certificates", CERTIFICATE),
        ("GET", "/Certificates/{certificate}", CERTIFICATE),
        ("POST", "/Enrollment/CSR", f"{REQUEST} KeyfactorID Certificates"),
        ("POST", "/Enrollment/PFX", f"{REQUEST} KeyfactorId Pkcs12Blob Password"),
    ],
)
def test_command_10_has_no_other_field(method: str, path: str, allowed: str) -> None:
    """
    What the sandbox answers as Command 10 has the fields of Keyfactor's specification alone, and no nulls.
    """
    with Sandbox(dialect="10") as server, connect(server) as client:
        server.start_enrollment(approvals=0)  # which issues a certificate
        known = {
            "instance": server.start_enrollment(approvals=2),
            "definition": client.get("/Workflow/Definitions").json()[0]["Id"],
            "certificate": client.get("/Certificates").json()[0]["Id"],
        }
        body = {"CSR": "MIIB", "Subject": "CN=web"} if method == "POST" else None
        answer = client.request(method, path.format(**known), json=body).json()

    found = list(fields(answer.get("CertificateInformation") if body else answer))
    assert found
    assert set() == {name for name, _ in found} - set(allowed.split())
    assert [] == [name for name, value in found if value is None]
