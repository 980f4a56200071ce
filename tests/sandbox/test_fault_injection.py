"""
What each fault does to a request and its answer.
"""

import email.utils
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from kf_provider.sandbox import FaultKind, FaultRule, RetryAfter, Sandbox

from .clients import connect


@pytest.mark.parametrize("kind", [FaultKind.CLOSE, FaultKind.RESET])
def test_no_answer(server: Sandbox, client: httpx.Client, path: str, kind: FaultKind) -> None:
    """
    The connection ends in place of an answer, and the next request is fine.
    """
    server.add_fault(FaultRule(kind=kind, times=1))

    with pytest.raises(httpx.TransportError):
        client.get(path)
    assert client.get(path).status_code == 200
    assert [(record.fault, record.status) for record in server.journal()] == [(kind, None), (None, 200)]


def test_reset_is_a_reset(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    RESET breaks the connection off, it does not close it.
    """
    server.add_fault(FaultRule(kind=FaultKind.RESET, times=1))

    with pytest.raises(httpx.ReadError, match="reset"):
        client.get(path)


def test_truncated(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    Half of the JSON, under a correct length.
    """
    server.add_fault(FaultRule(kind=FaultKind.TRUNCATED, times=1))

    response = client.get(path)

    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()


def test_empty(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    200 and nothing.
    """
    server.add_fault(FaultRule(kind=FaultKind.EMPTY, times=1))

    response = client.get(path)

    assert (response.status_code, response.content) == (200, b"")


def test_html(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    A proxy's login page, with 200.
    """
    server.add_fault(FaultRule(kind=FaultKind.HTML, times=1))

    response = client.get(path)

    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "sign in" in response.text


def test_slow_body(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    The second half of the body comes late, but it comes.
    """
    server.add_fault(FaultRule(kind=FaultKind.SLOW_BODY, times=1, delay_seconds=0.2))

    before = time.monotonic()
    response = client.get(path)

    assert time.monotonic() - before >= 0.2
    assert response.json()["Status"] == "Suspended"
    assert int(response.headers["content-length"]) == len(response.content)


def test_slow_answer_without_body(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    A slow 204 is a 204.
    """
    server.add_fault(FaultRule(kind=FaultKind.SLOW_BODY, times=1, delay_seconds=0))

    assert client.post(path + "/Stop").status_code == 204
    assert client.get(path).json()["Status"] == "Rejected"


def test_slow_body_does_not_hold_the_sandbox_up(capfd: pytest.CaptureFixture[str]) -> None:
    """
    A body that would take minutes ends with the sandbox, without a word.
    """
    errors: list[Exception] = []

    def read(server: Sandbox, path: str) -> None:
        with connect(server) as patient:
            try:
                patient.get(path, timeout=600)
            except httpx.TransportError as exc:
                errors.append(exc)

    with Sandbox() as server:
        server.add_fault(FaultRule(kind=FaultKind.SLOW_BODY, delay_seconds=60))
        thread = threading.Thread(target=read, args=(server, f"/Workflow/Instances/{server.start_enrollment()}"))
        thread.start()
        server.wait_for_journal(lambda records: bool(records) and records[0].status == 200)
    thread.join(60)

    assert len(errors) == 1
    assert capfd.readouterr().err == ""


def test_no_zone(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    Times without Z, in instances and in lists; a time that is null stays so.
    """
    server.add_fault(FaultRule(kind=FaultKind.NO_ZONE, times=3))
    held = server.start_enrollment(held=True)

    instances = [client.get(path).json(), client.get(f"/Workflow/Instances/{held}").json()]
    instances += client.get("/Workflow/Instances", params={"QueryString": 'Status -eq "Suspended"'}).json()

    assert [instance["StartDate"][-1].isdigit() for instance in instances] == [True] * 3
    assert [instance["LastModified"] is None for instance in instances] == [False, True, False]


@pytest.mark.parametrize(("kind", "is_found"), [("whole_seconds", True), ("no_dates", False), ("other_zone", False)])
def test_dates_of_another_kind(server: Sandbox, client: httpx.Client, kind: str, *, is_found: bool) -> None:
    """
    Dates without fractions, none at all, or those of a search read as later: rows and searches agree with each other.
    """
    server.start_enrollment()
    row = client.get("/Workflow/Instances").json()[0]
    before = datetime.fromisoformat(row["LastModified"]) - timedelta(seconds=1)
    server.add_fault(FaultRule(kind=kind))

    rows = client.get("/Workflow/Instances", params={"QueryString": f'LastModified -gt "{before.isoformat()}"'}).json()
    shown = client.get("/Workflow/Instances", params={"QueryString": f'Id -eq "{row["Id"]}"'}).json()[0]

    assert is_found == (row["Id"] in [found["Id"] for found in rows])
    expected = {"no_dates": None, "whole_seconds": f"{row['LastModified'].partition('.')[0].removesuffix('Z')}Z"}
    assert expected.get(kind, row["LastModified"]) == shown["LastModified"]


def test_cached(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    A cache answers the same list with the same rows for a minute; another search, and a GET, are no such list.
    """
    server.add_fault(FaultRule(kind=FaultKind.CACHED))

    def status(query: str) -> str:
        return str(client.get("/Workflow/Instances", params={"QueryString": query}).json()[0]["Status"])

    first = status("")
    server.approve(path.rpartition("/")[2])
    soon, another, one = status(""), status('Title -contains "CN="'), client.get(path).json()["Status"]
    server.advance(61)

    assert ["Suspended", "Suspended", "Complete", "Complete"] == [first, soon, another, one]
    assert status("") == "Complete"


def test_unknown_status_of_something_else(server: Sandbox, client: httpx.Client) -> None:
    """
    An error stays what it is.
    """
    server.add_fault(FaultRule(kind=FaultKind.UNKNOWN_STATUS, times=1))

    assert client.get("/Workflow/Instances/7").json()["ErrorCode"] == "0xA0110002"


def test_redirect(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    To another host, which sees whether credentials come along.
    """
    server.add_fault(FaultRule(kind=FaultKind.REDIRECT, times=2))

    response = client.get(path)
    target = response.headers["location"]
    honest, careless = client.build_request("GET", target), client.build_request("GET", target)
    careless.headers["authorization"] = f"Bearer {server.access_token}"
    with httpx.Client(trust_env=False) as elsewhere:
        assert [elsewhere.send(request).status_code for request in (honest, careless)] == [200, 200]

    assert (response.status_code, response.next_request is not None) == (307, True)
    assert target == f"http://localhost:{server.port}/elsewhere"
    assert server.report().credentials_sent_elsewhere == 1


def test_stale(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    A replica that lags behind shows the instance, and the list, as they were before the last change.
    """
    server.approve(path.rpartition("/")[2])
    server.add_fault(FaultRule(kind=FaultKind.STALE, times=2))

    stale, stale_row = client.get(path).json(), client.get("/Workflow/Instances").json()[0]
    fresh = client.get(path).json()

    assert [stale["Status"], stale_row["Status"], fresh["Status"]] == ["Suspended", "Suspended", "Complete"]
    assert stale["LastModified"] < fresh["LastModified"]
    assert "CACertificate" not in stale["CurrentStateData"]


@pytest.mark.parametrize(("statuses", "expected"), [("words", "Hibernating"), ("numbers", 99)])
def test_unknown_status(statuses: str, expected: str | int) -> None:
    """
    A status that no documentation has, in instances and in lists.
    """
    with Sandbox(statuses=statuses) as server, connect(server) as client:
        path = f"/Workflow/Instances/{server.start_enrollment()}"
        server.add_fault(FaultRule(kind=FaultKind.UNKNOWN_STATUS, times=2))

        assert client.get(path).json()["Status"] == expected
        assert client.get("/Workflow/Instances").json()[0]["Status"] == expected


@pytest.mark.parametrize("how", ["control", "api"])
def test_lock_stall(server: Sandbox, client: httpx.Client, path: str, how: str) -> None:
    """
    Every signal is in and the instance still Suspended, until the daily job; the first of two signals does not stall.
    """
    instance_id = server.start_enrollment(approvals=2)
    path = f"/Workflow/Instances/{instance_id}"
    server.add_fault(FaultRule(kind=FaultKind.LOCK_STALL, times=1))
    server.approve(instance_id)
    if how == "control":
        server.approve(instance_id)
    else:
        body = {"SignalKey": "RequireApproval1.ApprovalStatus", "Data": {"Approved": "True"}}
        assert client.post(path + "/Signals", json=body).status_code == 204

    stalled = client.get(path).json()
    server.advance(86_399)
    before = client.get(path).json()["Status"]
    server.advance(1)
    after = client.get(path).json()["Status"]

    assert [signal["SignalReceived"] for signal in stalled["Signals"]] == [True, True]
    assert [stalled["Status"], before, after] == ["Suspended", "Suspended", "Complete"]


def test_token_expiry(server: Sandbox, path: str) -> None:
    """
    A token ends in mid-wait; the fresh one is good, however many faults the plan has.
    """
    server.add_fault(FaultRule(kind=FaultKind.TOKEN_EXPIRY))
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }

    statuses = []
    for _ in range(2):
        token = httpx.post(server.token_url, data=form, trust_env=False).json()["access_token"]
        headers = {"authorization": f"Bearer {token}", "x-keyfactor-requested-with": "APIClient"}
        url = f"{server.url}/KeyfactorAPI{path}"
        statuses += [httpx.get(url, headers=headers, trust_env=False).status_code]

    assert statuses == [401, 200]


def test_token_expiry_leaves_passwords_alone(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    Who has no token that can expire is not met.
    """
    server.add_fault(FaultRule(kind=FaultKind.TOKEN_EXPIRY))

    assert client.get(path).status_code == 200


def test_retry_after_forms(server: Sandbox, client: httpx.Client, path: str) -> None:
    """
    Seconds, a date, and what a client must not believe.
    """
    for form in RetryAfter:
        server.break_next(1, status=429, retry_after=form)

    headers = [client.get(path).headers["retry-after"] for _ in RetryAfter]

    assert [headers[0], *headers[2:]] == ["2", "soon", "-5", "86400"]
    until = (email.utils.parsedate_to_datetime(headers[1]) - datetime.now(UTC)).total_seconds()
    assert 0 < until <= 3
    assert [record.retry_after_seconds for record in server.journal()] == [2, 2, None, None, 86400]
