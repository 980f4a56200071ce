"""
What an account may see and do.
"""

from collections.abc import Callable

import httpx
import pytest

from kf_provider.sandbox import Permission, Sandbox

from .clients import connect

READER = "KEYEXAMPLE\\reader"


@pytest.mark.parametrize(
    ("permission", "own", "others", "all_instances", "my", "assigned"),
    [
        ("ReadAll", 200, 200, 200, 200, 200),
        ("ReadMy", 200, 403, 403, 200, 200),
        ("ReadAssignedToMe", 403, 403, 403, 403, 200),
        ("Manage", 403, 403, 403, 403, 403),
    ],
)
def test_reading(
    server: Sandbox, permission: str, own: int, others: int, all_instances: int, my: int, assigned: int
) -> None:
    """
    Each permission opens its own part; without a role nothing is assigned.
    """
    account = server.add_account(READER, permissions=[permission], role_ids=[])
    own_id, others_id = server.start_enrollment(initiated_by=READER.upper()), server.start_enrollment()

    with connect(server, account) as client:
        paths = [f"/{own_id}", f"/{others_id}", "", "/My", "/AssignedToMe"]
        statuses = [client.get("/Workflow/Instances" + path).status_code for path in paths]

    assert statuses == [own, others, all_instances, my, assigned]


def test_assigned_is_readable_until_answered(server: Sandbox) -> None:
    """
    ReadAssignedToMe sees what waits for a role of the account, and no longer when the account has answered.
    """
    account = server.add_account("KEYEXAMPLE\\approver", permissions=["ReadAssignedToMe"])
    instance_id = server.start_enrollment(approvals=2)
    path = f"/Workflow/Instances/{instance_id}"

    with connect(server, account) as client:
        before = client.get(path).status_code
        body = {"SignalKey": "RequireApproval1.ApprovalStatus", "Data": {"Approved": "True"}}
        signalled = client.post(path + "/Signals", json=body).status_code
        after = client.get(path).status_code

    assert (before, signalled, after) == (200, 204, 403)


def test_signal_needs_the_role_only(server: Sandbox) -> None:
    """
    Without the role every permission is not enough to answer.
    """
    account = server.add_account("KEYEXAMPLE\\auditor", role_ids=[7])
    instance_id = server.start_enrollment()

    with connect(server, account) as client:
        body = {"SignalKey": "RequireApproval1.ApprovalStatus", "Data": {"Approved": "True"}}
        response = client.post(f"/Workflow/Instances/{instance_id}/Signals", json=body)

    assert response.status_code == 403
    assert server.instance(instance_id).status == "Suspended"


@pytest.mark.parametrize(
    "change",
    [
        lambda client, path: client.post(path + "/Stop"),
        lambda client, path: client.post(path + "/Restart"),
        lambda client, path: client.delete(path),
    ],
)
def test_changing_needs_manage(server: Sandbox, change: Callable[[httpx.Client, str], httpx.Response]) -> None:
    """
    A reader cannot stop, restart or delete.
    """
    reader = server.add_account(READER, permissions=[Permission.READ_ALL])
    path = f"/Workflow/Instances/{server.start_enrollment()}"

    with connect(server, reader) as client, connect(server) as owner:
        assert change(client, path).status_code == 403
        assert change(owner, path).status_code == 204


def test_delete(server: Sandbox, client: httpx.Client) -> None:
    """
    What is deleted is gone.
    """
    path = f"/Workflow/Instances/{server.start_enrollment()}"

    assert [client.delete(path).status_code, client.get(path).status_code] == [204, 404]


def test_restart_needs_read_since_command_11() -> None:
    """
    Manage alone restarts on Command 10; later versions ask for /read/ too.
    """
    statuses = []
    for dialect in ("10", "11", "25"):
        with Sandbox(dialect=dialect) as server:
            account = server.add_account("KEYEXAMPLE\\keeper", permissions=["Manage"])
            with connect(server, account) as client:
                path = f"/Workflow/Instances/{server.start_enrollment()}/Restart"
                statuses.append(client.post(path).status_code)

    assert statuses == [204, 403, 403]


def test_assigned_to_me_since_command_11() -> None:
    """
    ReadMy opens AssignedToMe too, as one of the documents of Command 11 says; Command 10 has no such document.
    """
    statuses = []
    for dialect in ("10", "11"):
        with Sandbox(dialect=dialect) as server:
            account = server.add_account(READER, permissions=["ReadMy"])
            with connect(server, account) as client:
                statuses.append(client.get("/Workflow/Instances/AssignedToMe").status_code)

    assert statuses == [403, 200]


def test_words_of_a_missing_permission() -> None:
    """
    The two texts that are known; .NET writes an apostrophe as \\u0027.
    """
    texts = []
    for dialect in ("10", "11"):
        with Sandbox(dialect=dialect) as server:
            account = server.add_account(READER, permissions=[])
            with connect(server, account) as client:
                response = client.get("/Workflow/Instances")
                texts.append((response.json()["Message"], b"\\u0027" in response.content))

    assert texts == [
        (f"User {READER} doesn't have the required permission", True),
        (f"User {READER} does not have the required permissions: /workflows/instances/read/.", False),
    ]
