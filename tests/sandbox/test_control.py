"""
The control paths, which programs outside this repository drive.
"""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from kf_provider.sandbox import Sandbox


def test_enroll_and_approve(server: Sandbox, control: httpx.Client) -> None:
    """
    The shapes of design section 9.
    """
    started = control.post("/enrollments", json={"subject": "CN=web", "approvals": 2})
    instance_id = started.json()["instance_id"]

    assert started.status_code == 201
    assert started.json() == {"instance_id": instance_id, "reference_id": 1}
    for expected in ("Suspended", "Complete"):
        response = control.post(f"/instances/{instance_id}/approve", json={"comment": "fine"})
        assert response.json() == {"instance_id": instance_id, "status": expected}
    history = [event.text for event in server.instance(instance_id).history]
    assert "approved by KEYEXAMPLE\\approver2: fine" in history


@pytest.mark.parametrize(
    ("action", "expected"), [("deny", "Rejected"), ("stop", "Rejected"), ("fail", "Failed"), ("approve", "Complete")]
)
def test_actions_without_body(server: Sandbox, control: httpx.Client, action: str, expected: str) -> None:
    """
    The comment may be left out, and so may the body.
    """
    instance_id = server.start_enrollment()

    response = control.post(f"/instances/{instance_id}/{action}")

    assert (response.status_code, response.json()["status"]) == (200, expected)


def test_restart_answers_with_the_new_id(server: Sandbox, control: httpx.Client) -> None:
    """
    The new instance's id, not the old one's.
    """
    instance_id = server.start_enrollment()

    new_id = control.post(f"/instances/{instance_id}/restart").json()["instance_id"]

    assert new_id == str(server.instance(instance_id).successor_id)


def test_errors(server: Sandbox, control: httpx.Client) -> None:
    """
    Unknown: 404. Not possible now: 409. Not understood: 400. Each with a sentence.
    """
    instance_id = server.start_enrollment(approvals=0)

    responses = [
        control.post("/instances/3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11/approve"),
        control.post("/instances/7/approve"),
        control.post(f"/instances/{instance_id}/approve"),
        control.post("/enrollments", json={}),
        control.post("/enrollments", json={"subject": "CN=a", "approvals": -1}),
        control.post("/enrollments", content=b"subject=CN=a"),
        control.post("/advance", json={"seconds": -1}),
        control.post("/faults", json={"outages": True}),
    ]

    assert [response.status_code for response in responses] == [404, 404, 409, 400, 400, 400, 400, 400]
    assert all(response.json()["error"] for response in responses)


def test_date_header(server: Sandbox, control: httpx.Client) -> None:
    """
    `Date` tells the sandbox's own time, which an age is counted against.
    """
    server.advance(40 * 86_400)
    ahead = parsedate_to_datetime(control.get("/sandbox/journal").headers["Date"]) - datetime.now(UTC)

    assert timedelta(days=40, seconds=-5) < ahead <= timedelta(days=40)


def test_advance(server: Sandbox, control: httpx.Client) -> None:
    """
    The clock moves for instances that start afterwards.
    """
    before = server.instance(server.start_enrollment()).start_date

    assert control.post("/advance", json={"seconds": 86400}).status_code == 200

    after = server.instance(server.start_enrollment()).start_date
    assert (after - before).days == 1


def test_faults(server: Sandbox, client: httpx.Client, control: httpx.Client) -> None:
    """
    Faults are set and cleared from outside.
    """
    control.post("/faults", json={"fail_next": {"count": 1, "status": 500}, "rules": [{"kind": "forbidden"}]})
    statuses = [client.get("/Workflow/Instances").status_code for _ in range(2)]
    for switch in ("outage", "hang"):
        for on in (True, False):
            control.post("/faults", json={switch: on})
            assert getattr(server, switch) == on
    cleared = control.post("/faults", json={"clear": True}).json()

    assert statuses == [500, 403]
    assert cleared == {"seed": 7, "most_in_a_row": 3, "rules": []}
    assert client.get("/Workflow/Instances").status_code == 200


def test_control_works_in_an_outage(server: Sandbox, control: httpx.Client) -> None:
    """
    Faults meet Keyfactor's paths only.
    """
    server.outage = True

    assert control.get("/journal").status_code == 200


def test_journal_and_reset(server: Sandbox, client: httpx.Client, control: httpx.Client) -> None:
    """
    The journal has Keyfactor's requests only, without secrets; a reset empties all.
    """
    instance_id = server.start_enrollment()
    client.get(f"/Workflow/Instances/{instance_id}?a=b")
    client.get("/Workflow/Instances", headers={"authorization": f"Bearer {server.access_token}", "Cookie": "secret"})

    answer = control.get("/journal")
    first = answer.json()["requests"][0]

    assert [record["endpoint"] for record in answer.json()["requests"]] == ["get", "list"]
    assert (first["method"], first["query"], first["status"]) == ("GET", "a=b", 200)
    assert (first["instance_id"], first["identity"]) == (instance_id, "KEYEXAMPLE\\pulumi")
    assert first["headers"]["authorization"] == "Basic ***"
    assert server.access_token not in answer.text
    assert "secret" not in answer.text

    assert control.post("/reset").status_code == 204
    assert control.get("/journal").json()["requests"] == []
    assert client.get(f"/Workflow/Instances/{instance_id}").status_code == 404


def test_held_instance(server: Sandbox, control: httpx.Client) -> None:
    """
    An instance can be held, let go, completed and purged from outside.
    """
    held = control.post("/enrollments", json={"subject": "CN=a", "approvals": [1, 2], "held": True}).json()
    path = f"/instances/{held['instance_id']}"

    statuses = [control.post(f"{path}/{action}").json()["status"] for action in ("proceed", "complete")]

    assert statuses == ["Suspended", "Complete"]
    assert control.post(f"{path}/purge").status_code == 204
    assert control.post(f"{path}/purge").status_code == 404


def test_account(server: Sandbox, control: httpx.Client) -> None:
    """
    A second approver, who answers through Keyfactor's own API.
    """
    account = control.post("/accounts", json={"username": "KEYEXAMPLE\\second", "permissions": []})
    again = control.post("/accounts", json={"username": "KEYEXAMPLE\\second"})
    instance_id = server.start_enrollment()
    response = httpx.post(
        f"{server.url}/KeyfactorAPI/Workflow/Instances/{instance_id}/Signals",
        json={"SignalKey": "RequireApproval1.ApprovalStatus", "Data": {"Approved": True}},
        headers={
            "x-keyfactor-requested-with": "APIClient",
            "authorization": f"Bearer {account.json()['access_token']}",
        },
        trust_env=False,
    )

    assert (account.status_code, again.status_code) == (201, 400)
    assert response.status_code == 204
    history = [event.text for event in server.instance(instance_id).history]
    assert "approved by KEYEXAMPLE\\second" in history


def test_tokens(server: Sandbox, control: httpx.Client) -> None:
    """
    Lifetime and revocation, from outside.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    assert control.post("/tokens", json={"lifetime_seconds": 30}).json() == {"lifetime_seconds": 30}
    answer = httpx.post(server.token_url, data=form, trust_env=False).json()
    control.post("/tokens", json={"revoke": True})
    headers = {"authorization": f"Bearer {answer['access_token']}", "x-keyfactor-requested-with": "APIClient"}

    response = httpx.get(f"{server.url}/KeyfactorAPI/Workflow/Instances", headers=headers, trust_env=False)

    assert (answer["expires_in"], response.status_code) == (30, 401)


def test_seed_of_a_plan_is_not_the_seed_of_ids(server: Sandbox, control: httpx.Client) -> None:
    """
    A reset gives the sandbox's own seed back, to plans and ids.
    """
    first = server.start_enrollment()
    assert control.post("/faults", json={"seed": 99}).json()["seed"] == 99

    control.post("/reset")

    assert server.start_enrollment() == first
    assert control.get("/journal").json()["seed"] == 7


def test_curl(server: Sandbox) -> None:
    """
    The lines that the sandbox prints at its start work as they are.
    """
    enroll = ["curl", "-s", f"{server.url}/sandbox/enrollments", "-d", '{"subject": "CN=web", "approvals": 1}']
    started = subprocess.run(enroll, capture_output=True, text=True, check=True, timeout=60)
    instance_id = re.findall(r'"instance_id":"([^"]+)"', started.stdout)[0]
    approve = ["curl", "-s", f"{server.url}/sandbox/instances/{instance_id}/approve", "-d", '{"comment": "fine"}']
    subprocess.run(approve, capture_output=True, check=True, timeout=60)

    assert server.instance(instance_id).status == "Complete"


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/advance", {"seconds": 1e308}, 400, "100 years"),
        ("/advance", {"seconds": 3e9 + 9e8}, 400, "100 years"),
        ("/enrollments", {"subject": "CN=a", "approvals": 99}, 400, "1 to 20 approvals"),
        ("/enrollments", {"subject": "CN=a", "approvals": [1] * 11}, 400, "at most 10 steps"),
        ("/enrollments", {"subject": "CN=a", "approvals": [0, -1]}, 400, "1 to 20 approvals"),
        ("/enrollments", {"subject": "x" * 2_000_000}, 413, "at most 1048576 bytes"),
        ("/accounts", {"username": "A:B"}, 400, "has no colon"),
    ],
)
def test_what_is_too_much(server: Sandbox, path: str, body: dict[str, object], status: int, says: str) -> None:
    """
    What no test can mean is refused in a sentence.
    """
    answer = httpx.post(f"{server.url}/sandbox{path}", json=body, trust_env=False)

    assert status == answer.status_code
    assert says in answer.json()["error"]


def test_levels_without_end(server: Sandbox) -> None:
    """
    Thousands of brackets and parentheses are no server error.
    """
    deep = '{"subject": "CN=a", "state_data": {"x": ' + "[" * 5000 + "]" * 5000 + "}}"
    account = server.username, server.password
    headers = {"x-keyfactor-requested-with": "APIClient"}
    query = {"QueryString": "(" * 3000 + 'Status -eq "Complete"' + ")" * 3000}
    instances = f"{server.url}/KeyfactorAPI/Workflow/Instances"

    assert 400 == httpx.post(f"{server.url}/sandbox/enrollments", content=deep, trust_env=False).status_code
    assert 400 == httpx.get(instances, params=query, auth=account, headers=headers, trust_env=False).status_code
    enroll = f"{server.url}/KeyfactorAPI/Enrollment/CSR"
    body = '{"CSR": ' + "[" * 5000 + "]" * 5000 + "}"
    assert 400 == httpx.post(enroll, content=body, auth=account, headers=headers, trust_env=False).status_code
