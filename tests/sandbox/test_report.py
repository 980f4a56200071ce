"""
What the report card says of clients.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx

from kf_provider.sandbox import Endpoint, RequestRecord, Sandbox
from kf_provider.sandbox.report import build_report

INSTANCE = UUID("3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11")
READ = RequestRecord(
    number=1,
    time=datetime(2026, 1, 1, tzinfo=UTC),
    elapsed_seconds=0.0,
    endpoint=Endpoint.GET,
    method="GET",
    path="/",
    query="",
    instance_id=INSTANCE,
    identity="me",
    credential="basic",
    headers={"accept": "*/*"},
    status=200,
)


def at(*seconds: float, **changes: object) -> Iterator[RequestRecord]:
    for moment in seconds:
        yield replace(READ, elapsed_seconds=moment, **changes)  # type: ignore[arg-type]  # any field of the record


def test_polite_client() -> None:
    """
    Polls two seconds apart are nothing to complain about.
    """
    card = build_report([*at(0, 2, 4.5)])

    assert card.polls[INSTANCE].count == 3
    assert (card.polls[INSTANCE].shortest_gap_seconds, card.polls[INSTANCE].longest_gap_seconds) == (2, 2.5)
    assert (card.polled_too_fast, card.highest_rate, card.headers_seen) == (0, 1, {"accept": 3})
    assert "polled faster than 1/s: 0\n" in card.card()


def test_too_fast() -> None:
    """
    Polls within a second after good answers are too fast; a retry after an error, or by another client, is not, and
    neither is one look more, as a provider takes that checks what a program has seen.
    """
    assert build_report([*at(0, 2, 2.2, 5)]).polled_too_fast == 0
    records = [*at(0, 0.5, 0.9), *at(2, status=500), *at(2.1), *at(2.2, identity="other"), *at(2.3, query="page=2")]

    assert build_report(records).polled_too_fast == 1


def test_ignored_retry_after() -> None:
    """
    The next request of the same operation must come after the time that was asked for.
    """
    early = [*at(0, status=429, retry_after_seconds=5.0), *at(4.9)]
    patient = [*at(0, status=429, retry_after_seconds=5.0), *at(5.1)]
    other = [*at(0, status=429, retry_after_seconds=5.0), *at(1, endpoint=Endpoint.LIST, instance_id=None)]

    assert [build_report(records).ignored_retry_after for records in (early, patient, other)] == [1, 0, 0]


def test_highest_rate() -> None:
    """
    The fullest second anywhere.
    """
    assert build_report([*at(0, 0.9, 1.8, 1.9, 2.7, 2.75, 5)]).highest_rate == 4
    assert build_report([]).highest_rate == 0


def test_report_of_a_client(server: Sandbox, client: httpx.Client, control: httpx.Client) -> None:
    """
    Over HTTP, as JSON beside the journal and as text.
    """
    instance_id = server.start_enrollment()
    client.get(f"/Workflow/Instances/{instance_id}")
    client.get("/Workflow/Instances/7")
    client.post(f"/Workflow/Instances/{instance_id}/Stop")
    httpx.post(
        server.token_url,
        data={
            "grant_type": "client_credentials",
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        },
        trust_env=False,
    )

    card = control.get("/journal").json()["report"]
    text = control.get("/report").text

    assert card["polls"][instance_id]["count"] == 1
    assert (card["tokens_fetched"], card["changes_requested"], card["refused_as_wrong"]) == (1, 1, 1)
    assert text == server.report().card()
    assert "asked for changes (anything but GET): 1\n" in text
