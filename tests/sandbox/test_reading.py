"""
What a client reads from the sandbox, over real HTTP.
"""

import httpx
import pytest

from kf_provider.sandbox import Sandbox, Status

from .conftest import connect

UNKNOWN = "3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11"


def test_get_suspended(server: Sandbox, client: httpx.Client) -> None:
    """
    An instance that waits says where, for which signals, and carries its data.
    """
    instance_id = server.start_enrollment("CN=web.keyexample.com", approvals=2, state_data={"Vault": "canary"})

    response = client.get(f"/Workflow/Instances/{instance_id}")

    instance = response.json()
    assert response.headers["x-keyfactor-product-version"] == "25.1.1.0"
    assert (instance["Id"], instance["Status"], instance["ReferenceId"]) == (instance_id, "Suspended", 1)
    assert (instance["CurrentStepDisplayName"], instance["CurrentStepUniqueName"]) == (
        "Manager approval",
        "RequireApproval1",
    )
    assert instance["Title"] == "KEYEXAMPLE\\pulumi is enrolling for a certificate with CN=web.keyexample.com."
    assert [signal["SignalReceived"] for signal in instance["Signals"]] == [False, False]
    assert instance["InitialData"]["SANs"] == {"dns": ["web.keyexample.com"]}
    assert instance["CurrentStateData"]["Vault"] == "canary"
    assert instance["StartDate"].endswith("Z")


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


def test_status_numbers() -> None:
    """
    With numbers, lists, instances and queries use them; a mapping of one's own replaces the invented one.
    """
    mine = {status: 10 + n for n, status in enumerate(Status)}
    with Sandbox(statuses=mine) as server, connect(server) as client:
        instance_id = server.start_enrollment()

        assert client.get(f"/Workflow/Instances/{instance_id}").json()["Status"] == 11
        listed = client.get("/Workflow/Instances", params={"QueryString": 'Status -eq "11"'}).json()
        assert [row["Status"] for row in listed] == [11]
    with Sandbox(statuses="numbers") as server, connect(server) as client:
        instance_id = server.start_enrollment(approvals=0)
        assert client.get(f"/Workflow/Instances/{instance_id}").json()["Status"] == 2


@pytest.mark.parametrize("spelled", ["7", "not-a-guid", UNKNOWN + "0"])
def test_id_is_not_a_guid(client: httpx.Client, spelled: str) -> None:
    """
    A reference id, or anything else that is no GUID, is a bad request.
    """
    response = client.get(f"/Workflow/Instances/{spelled}")

    assert response.status_code == 400
    assert set(response.json()) == {"ErrorCode", "Message"}


def test_unknown_and_purged(server: Sandbox, client: httpx.Client) -> None:
    """
    What never was and what is no more are not found, in the same words.
    """
    instance_id = server.start_enrollment()
    server.purge(instance_id)

    responses = [client.get(f"/Workflow/Instances/{i}") for i in (UNKNOWN, instance_id)]

    assert [response.status_code for response in responses] == [404, 404]
    assert responses[1].json() == {"ErrorCode": "0xA0110001", "Message": f"no workflow instance {instance_id}"}


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


def test_list_rows(server: Sandbox, client: httpx.Client) -> None:
    """
    Rows have neither signals nor data.
    """
    server.start_enrollment()

    rows = client.get("/Workflow/Instances").json()

    assert not {"Signals", "InitialData", "CurrentStateData"} & set(rows[0])


def test_list_paging(server: Sandbox, client: httpx.Client) -> None:
    """
    Pages count from 1, the total is in a header, and SortAscending=1 is descending.
    """
    for n in range(5):
        server.start_enrollment(f"CN=web{n}")

    def page(**parameters: str) -> tuple[list[int], str]:
        response = client.get("/Workflow/Instances", params={"SortField": "ReferenceId"} | parameters)
        return [row["ReferenceId"] for row in response.json()], response.headers["x-total-count"]

    assert page(ReturnLimit="2") == ([1, 2], "5")
    assert page(ReturnLimit="2", PageReturned="3") == ([5], "5")
    assert page(ReturnLimit="2", PageReturned="4") == ([], "5")
    assert page(SortAscending="1") == ([5, 4, 3, 2, 1], "5")
    assert page(QueryString='Title -contains "web3"') == ([4], "1")


def test_list_default_limit(server: Sandbox, client: httpx.Client) -> None:
    """
    Without a limit a page has 50 rows.
    """
    for _ in range(51):
        server.start_enrollment()

    assert len(client.get("/Workflow/Instances").json()) == 50


@pytest.mark.parametrize(
    "parameters",
    [
        {"ReturnLimit": "0"},
        {"ReturnLimit": "many"},
        {"PageReturned": "0"},
        {"SortAscending": "2"},
        {"SortField": "Password"},
        {"QueryString": "Title"},
        {"QueryString": 'Password -eq "x"'},
        {"QueryString": 'ReferenceId -eq "x"'},
    ],
)
def test_list_bad_parameters(client: httpx.Client, parameters: dict[str, str]) -> None:
    """
    What cannot be understood is refused, not ignored.
    """
    assert client.get("/Workflow/Instances", params=parameters).status_code == 400


@pytest.mark.parametrize("prefix", ["", "pq.", "PQ."])
def test_list_parameter_names_of_command_10(server: Sandbox, client: httpx.Client, prefix: str) -> None:
    """
    The names of Command 10 have a prefix and begin with a small letter.
    """
    for _ in range(3):
        server.start_enrollment()

    rows = client.get(
        "/Workflow/Instances", params={f"{prefix}returnLimit": "1", f"{prefix}queryString": "ReferenceId -ge 2"}
    ).json()

    assert len(rows) == 1


def test_my_and_assigned_to_me(server: Sandbox, client: httpx.Client) -> None:
    """
    My lists what the caller started, AssignedToMe what waits for the caller's roles; neither is taken for an id.
    """
    mine = server.start_enrollment()
    other = server.start_enrollment(initiated_by="KEYEXAMPLE\\jsmith")
    server.approve(mine)

    assert [row["Id"] for row in client.get("/Workflow/Instances/My").json()] == [mine]
    assert [row["Id"] for row in client.get("/Workflow/Instances/AssignedToMe").json()] == [other]


def test_my_prefix_of_command_10(server: Sandbox, client: httpx.Client) -> None:
    """
    For My alone, Command 10 calls the prefix instanceQuery.
    """
    server.start_enrollment("CN=a")
    server.start_enrollment("CN=b")

    rows = client.get("/Workflow/Instances/My", params={"instanceQuery.queryString": 'Title -contains "CN=b"'}).json()

    assert len(rows) == 1
