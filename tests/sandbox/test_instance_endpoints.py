"""
The endpoints of workflow instances, over real HTTP: reading, and changing.
"""

from typing import Any

import httpx
import pytest

from kf_provider.sandbox import Sandbox, Status

from .clients import connect

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


def signal(client: httpx.Client, instance_id: str, approved: Any, key: str = "RequireApproval1.ApprovalStatus") -> int:
    """
    Send an answer; the status code.
    """
    body = {"SignalKey": key, "Data": {"Approved": approved, "Comment": "seen"}}
    return client.post(f"/Workflow/Instances/{instance_id}/Signals", json=body).status_code


def status(server: Sandbox, instance_id: str) -> str:
    return server.instance(instance_id).status


@pytest.mark.parametrize("approved", ["True", "true", True])
def test_signal_approves(server: Sandbox, client: httpx.Client, approved: Any) -> None:
    """
    The documented string and the JSON boolean both approve; the answer is 204 without a body.
    """
    instance_id = server.start_enrollment()

    assert signal(client, instance_id, approved) == 204
    assert status(server, instance_id) == "Complete"


def test_signal_denies(server: Sandbox, client: httpx.Client) -> None:
    """
    One denial rejects, with the comment as the status message, at the step where it was given.
    """
    instance_id = server.start_enrollment(approvals=2)

    assert signal(client, instance_id, "False") == 204

    instance = server.instance(instance_id)
    assert (instance.status, instance.status_message, instance.step.display_name) == (
        "Rejected",
        "seen",
        "Manager approval",
    )


def test_signal_content_type(server: Sandbox, client: httpx.Client) -> None:
    """
    Keyfactor's Go SDK may send a signal as json-patch.
    """
    instance_id = server.start_enrollment()

    response = client.post(
        f"/Workflow/Instances/{instance_id}/Signals",
        content=b'{"signalKey": "RequireApproval1.ApprovalStatus", "data": {"approved": "True"}}',
        headers={"content-type": "application/json-patch+json"},
    )

    assert response.status_code == 204


def test_signal_twice(server: Sandbox, client: httpx.Client) -> None:
    """
    Two approvals must come from two people.
    """
    instance_id = server.start_enrollment(approvals=2)

    assert [signal(client, instance_id, "True") for _ in range(2)] == [204, 403]
    server.approve(instance_id)
    assert status(server, instance_id) == "Complete"


def test_signal_ahead(server: Sandbox, client: httpx.Client) -> None:
    """
    Only the step where the instance is suspended accepts an answer.
    """
    instance_id = server.start_enrollment(approvals=[1, 1])

    assert signal(client, instance_id, "True", "RequireApproval2.ApprovalStatus") == 400
    assert signal(client, instance_id, "True", "RequireApproval1.Other") == 400
    assert signal(client, instance_id, "True") == 204
    assert signal(client, instance_id, "True", "RequireApproval2.ApprovalStatus") == 204
    assert status(server, instance_id) == "Complete"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"SignalKey": 1}', b'{"SignalKey": "a.b", "Data": {}}'])
def test_signal_bad_body(server: Sandbox, client: httpx.Client, content: bytes) -> None:
    """
    A body without key and answer is refused, and changes nothing.
    """
    instance_id = server.start_enrollment()

    assert client.post(f"/Workflow/Instances/{instance_id}/Signals", content=content).status_code == 400
    assert status(server, instance_id) == "Suspended"


def test_stop(server: Sandbox, client: httpx.Client) -> None:
    """
    A suspended instance can be stopped, once: it is Rejected.
    """
    instance_id = server.start_enrollment()

    answers = [client.post(f"/Workflow/Instances/{instance_id}/Stop").status_code for _ in range(2)]

    assert answers == [204, 400]
    assert status(server, instance_id) == "Rejected"


def test_restart(server: Sandbox, client: httpx.Client) -> None:
    """
    A restart cancels the old instance and starts a new one, under a new id, with the same title.
    """
    instance_id = server.start_enrollment("CN=web")
    server.fail(instance_id, "the CA is down")

    assert client.post(f"/Workflow/Instances/{instance_id}/Restart").status_code == 204

    old = server.instance(instance_id)
    new = server.instance(str(old.successor_id))
    assert (old.status, new.status, new.title) == ("CanceledForRestart", "Suspended", old.title)
    assert new.reference_id > old.reference_id


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [("1", b"", 204), ("", b'{"version": 1}', 204), ("9", b"", 404), ("", b'{"version": "x"}', 400)],
)
def test_restart_version(server: Sandbox, client: httpx.Client, query: str, body: bytes, expected: int) -> None:
    """
    The version is taken from the query or from the body; one that does not exist is refused.
    """
    instance_id = server.start_enrollment()
    parameters = {"version": query} if query else {}

    response = client.post(f"/Workflow/Instances/{instance_id}/Restart", params=parameters, content=body)

    assert response.status_code == expected
