"""
Paths and headers of Keyfactor's API.
"""

import httpx
import pytest

from kf_provider.sandbox import Sandbox

from .clients import connect


@pytest.mark.parametrize("base", ["keyfactorapi", "KeyfactorApi", "KEYFACTORAPI"])
def test_paths_in_any_case(server: Sandbox, client: httpx.Client, base: str) -> None:
    """
    IIS compares paths without regard to case; the journal keeps the client's spelling.
    """
    instance_id = server.start_enrollment()

    response = client.get(f"{server.url}/{base}/workflow/INSTANCES/{instance_id.upper()}")

    assert response.json()["Id"] == instance_id
    assert server.journal()[0].path == f"/{base}/workflow/INSTANCES/{instance_id.upper()}"


def test_other_api_path() -> None:
    """
    The base path is chosen when Keyfactor is installed.
    """
    with Sandbox(api_path="/Keyfactor/API/") as server, connect(server) as client:
        assert server.api_path == "Keyfactor/API"
        assert client.get("/Workflow/Instances").json() == []
        assert client.get(f"{server.url}/KeyfactorAPI/Workflow/Instances").status_code == 404


@pytest.mark.parametrize("value", ["", "curl"])
def test_requested_with(client: httpx.Client, value: str) -> None:
    """
    Without x-keyfactor-requested-with, or with a wrong one, the request is bad.
    """
    response = client.get("/Workflow/Instances", headers={"x-keyfactor-requested-with": value})

    assert response.status_code == 400
    assert "x-keyfactor-requested-with" in response.json()["Message"]


def test_api_version(client: httpx.Client) -> None:
    """
    Instances exist as version 1 only.
    """
    statuses = [
        client.get("/Workflow/Instances", headers={"x-keyfactor-api-version": version}).status_code
        for version in ("1", "1.0", "2")
    ]

    assert statuses == [200, 200, 400]


def test_status_endpoints(client: httpx.Client) -> None:
    """
    The list of endpoints is how Keyfactor's own tools try a connection.
    """
    endpoints = client.get("/Status/Endpoints").json()

    assert "/Workflow/Instances/{instanceId}" in endpoints


def test_unknown_path(client: httpx.Client, server: Sandbox) -> None:
    """
    A path that is not Keyfactor's is 404 in ASP.NET's words, and in the journal.
    """
    response = client.get("/Workflow/Nothing")

    assert response.status_code == 404
    assert response.json()["Message"].startswith("No HTTP resource was found")
    assert [(record.endpoint, record.status) for record in server.journal()] == [("unknown", 404)]
