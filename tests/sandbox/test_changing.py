"""
How instances move, by Keyfactor's API and by the sandbox's methods.
"""

from typing import Any

import httpx
import pytest

from kf_provider.sandbox import InstanceNotFoundError, NotAwaitedError, Sandbox, WorkflowError, WrongStatusError


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


def test_held_instance_runs(server: Sandbox) -> None:
    """
    A held instance is Running until it may proceed.
    """
    instance_id = server.start_enrollment(held=True)

    assert status(server, instance_id) == "Running"
    server.proceed(instance_id)
    assert status(server, instance_id) == "Suspended"
    server.complete(instance_id)
    assert status(server, instance_id) == "Complete"


def test_methods_end_instances(server: Sandbox) -> None:
    """
    Each way for an instance to end, by the sandbox's own methods.
    """
    ids = [server.start_enrollment() for _ in range(4)]
    server.deny(ids[0], "not like this")
    server.stop(ids[1])
    server.fail(ids[2], "the CA is down")
    successor = server.restart(ids[3])

    assert [status(server, instance_id) for instance_id in (*ids, successor)] == [
        "Rejected",
        "Rejected",
        "Failed",
        "CanceledForRestart",
        "Suspended",
    ]
    assert server.instance(ids[2]).status_message == "the CA is down"


def test_methods_refuse(server: Sandbox) -> None:
    """
    The methods raise where Keyfactor would refuse, and change nothing.
    """
    instance_id = server.start_enrollment(approvals=0)

    with pytest.raises(WrongStatusError):
        server.approve(instance_id)
    with pytest.raises(WrongStatusError):
        server.restart(instance_id)
    with pytest.raises(InstanceNotFoundError):
        server.approve("3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11")
    assert issubclass(NotAwaitedError, WorkflowError)
    assert status(server, instance_id) == "Complete"


def test_instance_is_a_copy(server: Sandbox) -> None:
    """
    What a test does to its copy does not reach the server.
    """
    instance_id = server.start_enrollment()
    server.instance(instance_id).current_state_data["Subject"] = "changed"

    assert server.instance(instance_id).current_state_data["Subject"] == "CN=web.keyexample.com"


def test_last_modified_moves_with_the_clock(server: Sandbox) -> None:
    """
    A three-day approval takes no time.
    """
    instance_id = server.start_enrollment()
    before = server.instance(instance_id).last_modified

    server.advance(3 * 86400)
    server.approve(instance_id)

    assert (server.instance(instance_id).last_modified - before).days == 3


def test_same_seed_same_ids() -> None:
    """
    Ids depend on the seed alone, also after a reset.
    """
    ids = []
    for _ in range(2):
        server = Sandbox(seed=3)
        ids.append(server.start_enrollment())
        server.reset()
        ids.append(server.start_enrollment())
        server.close()

    assert len(set(ids)) == 1
