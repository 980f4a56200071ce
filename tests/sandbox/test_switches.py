"""
The simple faults: errors to come, an outage, silence, a missing permission.
"""

import threading

import httpx
import pytest

from kf_provider.sandbox import Sandbox

from .conftest import connect


def test_break_next(server: Sandbox, client: httpx.Client) -> None:
    """
    The next requests fail as asked, with Retry-After as it was given; then all is well.
    """
    server.break_next(2, status=429, retry_after="soon")

    responses = [client.get("/Workflow/Instances") for _ in range(3)]

    assert [response.status_code for response in responses] == [429, 429, 200]
    assert responses[0].headers["retry-after"] == "soon"
    assert [record.fault for record in server.journal()] == ["status", "status", None]


def test_break_next_endpoint(server: Sandbox, client: httpx.Client) -> None:
    """
    A fault for lists leaves instances alone.
    """
    instance_id = server.start_enrollment()
    server.break_next(1, endpoints=["list"])

    assert client.get(f"/Workflow/Instances/{instance_id}").status_code == 200
    assert client.get("/Workflow/Instances").status_code == 503


def test_outage(server: Sandbox, client: httpx.Client) -> None:
    """
    In an outage connections end without an answer; the journal has the request, without a status.
    """
    server.outage = True
    with pytest.raises(httpx.TransportError):
        client.get("/Workflow/Instances")
    server.outage = False

    assert client.get("/Workflow/Instances").status_code == 200
    assert [record.status for record in server.journal()] == [None, 200]


def test_hang_until_released(server: Sandbox, client: httpx.Client) -> None:
    """
    A hanging request is answered when the server comes to itself.
    """
    server.hang = True
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(client.get("/Workflow/Instances").status_code))
    thread.start()
    server.wait_for_journal(lambda records: any(record.fault == "hang" for record in records))

    assert answers == []
    server.hang = False
    thread.join(10)

    assert answers == [200]


def test_hang_and_close() -> None:
    """
    A sandbox that hangs can be closed, and the client sees the connection end.
    """
    errors: list[type[Exception]] = []

    def wait_for_ever(server: Sandbox) -> None:
        with connect(server) as patient:
            try:
                patient.get("/Workflow/Instances", timeout=60)
            except httpx.TransportError as exc:
                errors.append(type(exc))

    with Sandbox() as server:
        server.hang = True
        thread = threading.Thread(target=wait_for_ever, args=(server,))
        thread.start()
        server.wait_for_journal(lambda records: len(records) == 1)
    thread.join(10)

    assert len(errors) == 1


def test_forbid(server: Sandbox, client: httpx.Client) -> None:
    """
    Without the permission, reads are 403 in Keyfactor's words.
    """
    server.forbid()
    response = client.get("/Workflow/Instances")

    assert response.status_code == 403
    assert response.json() == {
        "ErrorCode": "0xA0140002",
        "Message": "User KEYEXAMPLE\\pulumi doesn't have the required permission",
    }
    server.permit()
    assert client.get("/Workflow/Instances").status_code == 200


def test_forbid_one(server: Sandbox, client: httpx.Client) -> None:
    """
    One instance, or one endpoint, can be forbidden alone.
    """
    one, other = server.start_enrollment(), server.start_enrollment()
    server.forbid(one)
    server.forbid(endpoints=["list"])

    statuses = [
        client.get(path).status_code
        for path in (f"/Workflow/Instances/{one}", f"/Workflow/Instances/{other}", "/Workflow/Instances")
    ]

    assert statuses == [403, 200, 403]
