"""
How the versions of Keyfactor Command differ on the wire.
"""

import re
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
