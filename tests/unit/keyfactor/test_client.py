"""
Workflow instances over HTTP: what is asked for, and what the answers mean.
"""

from __future__ import annotations

import html
import json
import pickle
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kf_provider.keyfactor.client
from kf_provider.errors import (
    ForbiddenError,
    InstanceIdError,
    KeyfactorError,
    NoAnswerError,
    NotFoundError,
    RequestError,
    SearchError,
    SettingsError,
    StatusError,
    UnauthorizedError,
    UnusableAnswerError,
)
from kf_provider.keyfactor import deadline
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ..loopback import (
    GOOD,
    ID,
    INSTANCE,
    OTHER_ID,
    SAID,
    Loopback,
    Reply,
    Seen,
    client_for,
    failure,
    settings_for,
)

# What is asked.


def test_get(server: Loopback, client: Client) -> None:
    """
    An instance is one GET with Keyfactor's headers.
    """
    server.answers = [GOOD]
    instance = client.get_workflow_instance(ID)

    assert (ID, "Suspended", 42) == (instance.instance_id, instance.status, instance.reference_id)
    (request,) = server.seen
    assert ("GET", f"/KeyfactorAPI/Workflow/Instances/{ID}") == (request.method, request.path)
    assert "APIClient" == request.headers["x-keyfactor-requested-with"]
    assert "1" == request.headers["x-keyfactor-api-version"]
    assert "application/json" == request.headers["accept"]
    assert request.headers["user-agent"].startswith("kf-provider/")


def test_get_tells_when_it_was_answered(server: Loopback, client: Client) -> None:
    """
    An instance and a row know when the server gave them, by its `Date`, so that an age needs no clock of ours; two of
    different answers are equal.
    """
    dated = {"Date": "Tue, 24 Nov 2026 12:00:00 GMT"}
    server.answers = [Reply(INSTANCE, headers=dated), Reply([INSTANCE], headers=dated), Reply(INSTANCE)]
    first = client.get_workflow_instance(ID)
    (row,) = client.list_workflow_instances()
    later = client.get_workflow_instance(ID)
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)

    assert (noon, noon) == (first.answered_at, row.answered_at)
    assert later.answered_at != noon
    assert first == later
    assert first != row
    assert "answered_at" not in first.outputs()


def test_get_path(server: Loopback) -> None:
    """
    The API path is the installation's own.
    """
    server.answers = [GOOD]
    with client_for(server, api_path="Keyfactor/API") as client:
        client.get_workflow_instance(ID)

    assert f"/Keyfactor/API/Workflow/Instances/{ID}" == server.seen[0].path


def test_get_any_spelling(server: Loopback, client: Client) -> None:
    """
    The id is normalised before it is sent, and so is the one that comes back.
    """
    server.answers = [Reply({"id": f"{{{ID.upper()}}}"})]

    assert ID == client.get_workflow_instance(f"{{{ID.upper()}}}").instance_id
    assert server.seen[0].path.endswith(f"/{ID}")


@pytest.mark.parametrize("instance_id", ["", "42", "../Instances/x", f"{ID}/Stop", None])
def test_get_no_id(server: Loopback, client: Client, instance_id: Any) -> None:
    """
    What is no id is refused before anything is sent.
    """
    with pytest.raises(InstanceIdError):
        client.get_workflow_instance(instance_id)

    assert [] == server.seen


def test_get_another_instance(server: Loopback, client: Client) -> None:
    """
    An answer about another instance is not taken for the one that was asked for.
    """
    server.answers = [Reply({"Id": OTHER_ID, "Status": "Complete"})]
    with pytest.raises(UnusableAnswerError, match=f"answered with workflow instance {OTHER_ID} when asked for {ID}"):
        client.get_workflow_instance(ID)


def test_only_get(server: Loopback, client: Client) -> None:
    """
    Whatever is asked for, nothing but GET is sent; each method of a client that asks is tried here.
    """
    certificate = {"Id": 7, "ContentBytes": "MAA="}

    def answer(request: Seen) -> Reply:
        one = certificate if "/Certificates" in request.path else INSTANCE
        return Reply([one] if "PageReturned" in request.query else one)

    server.answers = answer
    asked: dict[str, Callable[[], object]] = {
        "get_workflow_instance": lambda: client.get_workflow_instance(reference_id=42),
        "list_workflow_instances": lambda: client.list_workflow_instances(limit=1),
        "find_workflow_instance": lambda: client.find_workflow_instance(definition_id=OTHER_ID, status=None),
        "get_certificate": lambda: client.get_certificate(request_id=7),
        "get_workflow_definition": lambda: client.get_workflow_definition(ID),
    }
    for ask in asked.values():
        ask()

    assert {"GET"} == {request.method for request in server.seen}
    assert asked.keys() == {name for name in vars(Client) if not name.startswith("_")} - {"close"}


# Lists.


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"Id": f"0c8f2a54-0000-4000-8000-{number:012d}", "ReferenceId": number}
        for number in range(first, first + count)
    ]


def paged(
    everything: list[dict[str, Any]], *, largest: int = 1000, with_total: bool = False
) -> Callable[[Seen], Reply]:
    def answer(request: Seen) -> Reply:
        size = min(int(request.query["ReturnLimit"]), largest)
        start = (int(request.query["PageReturned"]) - 1) * size
        headers = {"x-total-count": str(len(everything))} if with_total else {}
        return Reply(everything[start : start + size], headers=headers)

    return answer


def test_list(server: Loopback, client: Client) -> None:
    """
    Without conditions, everything is asked for, a page of 50 at a time, in an order that does not move.
    """
    server.answers = [Reply([INSTANCE])]
    (summary,) = client.list_workflow_instances()

    assert (ID, "Suspended") == (summary.instance_id, summary.status)
    order = {"SortField": "ReferenceId", "SortAscending": "0"}
    assert {"PageReturned": "1", "ReturnLimit": "50"} | order == server.seen[0].query
    assert "/KeyfactorAPI/Workflow/Instances" == server.seen[0].path


def test_status_of_named_numbers(server: Loopback) -> None:
    """
    A named number is its word in an instance that is read, an unnamed one is a number in text.
    """
    server.answers = [Reply(INSTANCE | {"Status": 1}), Reply(INSTANCE | {"Status": 2})]
    with client_for(server, status_names={1: "Suspended"}) as client:
        statuses = [client.get_workflow_instance(ID).status for _ in range(2)]

    assert ["Suspended", "2"] == statuses


def test_id_and_reference_id(server: Loopback, client: Client) -> None:
    """
    One of the two names an instance; both, and nothing is sent.
    """
    with pytest.raises(InstanceIdError, match="not both"):
        client.get_workflow_instance(ID, reference_id=42)

    assert [] == server.seen


@pytest.mark.parametrize(("count", "requests_sent"), [(0, 1), (49, 1), (50, 2), (51, 2), (120, 3)])
def test_list_pages(server: Loopback, client: Client, count: int, requests_sent: int) -> None:
    """
    Pages are asked for until one is short.
    """
    server.answers = paged(rows(count))

    assert list(range(count)) == [row.reference_id for row in client.list_workflow_instances()]
    assert requests_sent == len(server.seen)


def test_list_total(server: Loopback, client: Client) -> None:
    """
    A server that says how many there are is not asked for one page too many.
    """
    server.answers = paged(rows(100), with_total=True)

    assert 100 == len(client.list_workflow_instances())
    assert 2 == len(server.seen)


def test_list_smaller_pages(server: Loopback, client: Client) -> None:
    """
    A server whose pages are smaller than asked for is asked until its total is there.
    """
    server.answers = paged(rows(45), largest=20, with_total=True)

    assert list(range(45)) == [row.reference_id for row in client.list_workflow_instances()]


@pytest.mark.parametrize(("limit", "sizes"), [(1, ["1"]), (50, ["50"]), (70, ["50", "50"])])
def test_list_limit(server: Loopback, client: Client, limit: int, sizes: list[str]) -> None:
    """
    No more than the limit comes back, and no more pages than it needs are asked for, all of one size.
    """
    server.answers = paged(rows(200))

    assert list(range(limit)) == [row.reference_id for row in client.list_workflow_instances(limit=limit)]
    assert sizes == [request.query["ReturnLimit"] for request in server.seen]


def dated(count: int) -> list[dict[str, Any]]:
    """Rows of which each was started a day after the one before it."""
    return [
        row | {"StartDate": f"2026-{1 + n // 28:02d}-{1 + n % 28:02d}T00:00:00Z"} for n, row in enumerate(rows(count))
    ]


@pytest.mark.parametrize(("sorts", "limit", "requests_sent"), [(True, 3, 1), (True, None, 2), (False, 3, 34)])
def test_list_newest_first(
    server: Loopback, client: Client, sorts: bool, limit: int | None, requests_sent: int
) -> None:
    """
    The newest come first, and `limit` keeps them, also where the server does not sort.
    """
    everything = dated(100)
    server.answers = paged(everything[::-1] if sorts else everything, with_total=True)
    found = client.list_workflow_instances(newest_first=True, limit=limit)

    assert list(range(99, -1, -1))[:limit] == [row.reference_id for row in found]
    assert requests_sent == len(server.seen)
    assert ("StartDate", "1") == (server.seen[0].query["SortField"], server.seen[0].query["SortAscending"])


@pytest.mark.parametrize(
    ("mine", "path", "prefix"),
    [("assigned_to_me", "AssignedToMe", "pq."), ("started_by_me", "My", "instanceQuery.")],
)
def test_list_of_mine(server: Loopback, client: Client, mine: str, path: str, prefix: str) -> None:
    """
    What waits for this user, and what this user started, are lists of their own, whose parameters Command 10 calls
    otherwise.
    """
    server.answers = [Reply([INSTANCE])]
    (found,) = client.list_workflow_instances(**{mine: True}, status="Suspended", limit=2)  # type: ignore[arg-type] # bool

    assert ID == found.instance_id
    assert f"/KeyfactorAPI/Workflow/Instances/{path}" == server.seen[0].path
    asked = {"PageReturned": "1", "ReturnLimit": "2", "QueryString": 'Status -eq "Suspended"'}
    asked |= {"SortField": "ReferenceId", "SortAscending": "0"}
    assert (
        asked | {f"{prefix}{name[0].lower()}{name[1:]}": value for name, value in asked.items()} == server.seen[0].query
    )


def test_list_of_both(server: Loopback, client: Client) -> None:
    """
    Keyfactor has no list of both.
    """
    with pytest.raises(SearchError, match="pass either assigned_to_me or started_by_me, not both"):
        client.list_workflow_instances(assigned_to_me=True, started_by_me=True)

    assert [] == server.seen


class Clock:
    """The clock of deadlines, which moves twenty seconds with each request."""

    def __init__(self, server: Loopback) -> None:
        self._server = server

    def monotonic(self) -> float:
        return 20.0 * len(self._server.seen)


@pytest.fixture
def clock(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "time", Clock(server))


def endless(request: Seen) -> Reply:
    size, number = int(request.query["ReturnLimit"]), int(request.query["PageReturned"])
    return Reply(rows(size, first=size * number))


@pytest.mark.usefixtures("clock")
def test_list_without_end(server: Loopback, client: Client) -> None:
    """
    A list that goes on page by page is given up when the time of the call is over, not of each page.
    """
    server.answers = endless
    with pytest.raises(NoAnswerError, match="in 50 s") as caught:
        client.list_workflow_instances(timeout=50)

    assert caught.value.is_transient
    assert 3 == len(server.seen)


@pytest.mark.usefixtures("clock")
def test_find_without_end(server: Loopback, client: Client) -> None:
    """
    So is a search for a reference id that never ends.
    """
    server.answers = endless
    with pytest.raises(NoAnswerError, match="in 50 s"):
        client.get_workflow_instance(reference_id=10**9, timeout=50)

    assert 3 == len(server.seen)


@pytest.mark.usefixtures("clock")
def test_one_deadline_for_all_parts_of_a_call(server: Loopback) -> None:
    """
    A token, a repetition, a renewed token and several requests share the time of one call.
    """

    def slowly(request: Seen) -> Reply:
        if request.path == "/token":
            return Reply({"access_token": "t"})
        return Reply(status=401) if len(server.seen) % 4 == 0 else Reply(status=503)

    server.answers = slowly
    settings = load_settings(
        hostname=server.url, client_id="c", client_secret="s", token_url=f"{server.url}/token", request_timeout=70
    )
    with Client(settings) as client, pytest.raises(RequestError):
        client.get_workflow_definition(ID, retries=50)

    assert 4 == len(server.seen)  # as many as fit into 70 s


def test_timeout_of_a_call_is_its_own(server: Loopback, client: Client) -> None:
    """
    A longer time than the settings' counts for all requests of a call, also for the list behind a reference id.
    """

    def slowly(request: Seen) -> Reply:
        time.sleep(0.3)
        return Reply(INSTANCE if request.path.endswith(ID) else [INSTANCE])

    server.answers = slowly
    with client_for(server, request_timeout=0.1) as impatient:
        assert ID == impatient.get_workflow_instance(reference_id=42, timeout=60).instance_id


def test_list_without_paging(server: Loopback, client: Client) -> None:
    """
    A server that ignores paging, and sends everything each time, is asked twice, not for ever.
    """
    server.answers = [Reply(rows(60))]

    assert list(range(60)) == [row.reference_id for row in client.list_workflow_instances()]
    assert 2 == len(server.seen)


def test_list_loose_order(server: Loopback, client: Client) -> None:
    """
    A row that comes on two pages is one row.
    """
    server.answers = [Reply(rows(50)), Reply(rows(10, first=45))]

    assert list(range(55)) == [row.reference_id for row in client.list_workflow_instances()]


class MovingList:
    """A list that `change` changes after each page, in the order that is asked for, or always the newest first."""

    def __init__(
        self, count: int, change: Callable[[list[dict[str, Any]]], object], *, is_sorted: bool, with_total: bool
    ) -> None:
        self.rows = rows(count)
        self._change = change
        self._is_sorted = is_sorted
        self._with_total = with_total

    def __call__(self, request: Seen) -> Reply:
        descending = not (self._is_sorted and request.query["SortAscending"] == "0")
        ordered = sorted(self.rows, key=lambda row: row["ReferenceId"], reverse=descending)
        reply = paged(ordered, with_total=self._with_total)(request)
        self._change(self.rows)
        return reply


def growing(by: int, *, up_to: int) -> Callable[[list[dict[str, Any]]], None]:
    def grow(all_rows: list[dict[str, Any]]) -> None:
        if len(all_rows) < up_to:
            all_rows.extend(rows(by, first=len(all_rows)))

    return grow


@pytest.mark.parametrize("with_total", [True, False])
@pytest.mark.parametrize(("is_sorted", "growth"), [(True, 1), (True, 10), (True, 49), (False, 10), (False, 49)])
def test_list_that_grows(server: Loopback, client: Client, is_sorted: bool, growth: int, with_total: bool) -> None:
    """
    A list that grows while it is read page by page loses no row, also where the server sorts as it likes.
    """
    server.answers = MovingList(250, growing(growth, up_to=600), is_sorted=is_sorted, with_total=with_total)

    found = [row.reference_id for row in client.list_workflow_instances()]

    assert set(range(250)) <= set(found)
    assert len(found) == len(set(found))


def test_list_that_grows_by_a_page(server: Loopback, client: Client) -> None:
    """
    A page without a new row is not taken for the end: 50 new ones in front make the second page the first again.
    """
    server.answers = MovingList(250, growing(50, up_to=300), is_sorted=False, with_total=False)

    assert set(range(250)) <= {row.reference_id for row in client.list_workflow_instances()}


def test_list_that_shrinks(server: Loopback, client: Client) -> None:
    """
    Rows that leave, as approved ones leave those that are Suspended, push no other out of the list.
    """
    server.answers = MovingList(
        250, lambda all_rows: len(all_rows) > 200 and all_rows.pop(0), is_sorted=True, with_total=True
    )

    assert set(range(50, 250)) <= {row.reference_id for row in client.list_workflow_instances()}


def test_list_of_a_server_that_does_not_sort(server: Loopback, client: Client) -> None:
    """
    A server that refuses the order is asked without it.
    """
    everything = paged(rows(70))
    server.answers = lambda request: Reply(SAID, status=400) if "SortField" in request.query else everything(request)

    assert list(range(70)) == [row.reference_id for row in client.list_workflow_instances()]


def test_list_refused(server: Loopback, client: Client) -> None:
    """
    A query that is refused without an order too is an error.
    """
    server.answers = [Reply(SAID, status=400)]
    with pytest.raises(StatusError, match="400"):
        client.list_workflow_instances(query="odd")


@pytest.mark.parametrize("body", [{}, {"Items": []}, "text", None, 1, [1], [{"Status": "Complete"}]])
def test_list_is_none(server: Loopback, client: Client, body: object) -> None:
    """
    An answer that is not a list of instances is unusable, not an empty list.
    """
    server.answers = [Reply(body)]
    with pytest.raises(UnusableAnswerError):
        client.list_workflow_instances()


def test_find(server: Loopback, client: Client) -> None:
    """
    A reference id is looked up in the list, and the instance is read by its id.
    """
    server.answers = [Reply([INSTANCE]), GOOD]

    assert ID == client.get_workflow_instance(reference_id=42).instance_id
    assert "ReferenceId -eq 42" == server.seen[0].query["QueryString"]
    assert server.seen[1].path.endswith(ID)


def test_find_where_queries_are_ignored(server: Loopback, client: Client) -> None:
    """
    Rows with another reference id are not taken for it, as when the server ignores the query.
    """
    server.answers = [Reply([INSTANCE | {"Id": OTHER_ID, "ReferenceId": 41}, INSTANCE]), GOOD]

    assert ID == client.get_workflow_instance(reference_id=42).instance_id


def test_find_none(server: Loopback, client: Client) -> None:
    """
    A reference id that brings nothing is not found; the message says what to check.
    """
    server.answers = [Reply([])]
    expected = (
        f"no workflow instance with reference id 42 was found on {client.settings.server}; check the number, and that"
        " basic:KEYEXAMPLE\\jsmith may list workflow instances"
    )
    with pytest.raises(NotFoundError) as caught:
        client.get_workflow_instance(reference_id=42)

    assert expected == str(caught.value)


def test_find_several(server: Loopback, client: Client) -> None:
    """
    A reference id that brings several instances is an error that lists them.
    """
    server.answers = [Reply([INSTANCE, INSTANCE | {"Id": OTHER_ID}])]
    with pytest.raises(RequestError, match=f"2 workflow instances .* pass the id of one, {ID}, {OTHER_ID}"):
        client.get_workflow_instance(reference_id=42)


# Definitions.


def test_definition(server: Loopback, client: Client) -> None:
    """
    A definition is one GET in version 2 of the API, which names the roles; unknown names in it are no matter.
    """
    roles = [{"RoleId": "7", "RoleName": "PKI Administrators"}, {"RoleId": "8", "RoleName": None}]
    signal = {"SignalName": "ApprovalStatus", "Roles": roles, "RoleTokens": []}
    server.answers = [Reply({"Id": OTHER_ID, "Steps": [{"UniqueName": "RequireApproval1", "Signals": [signal]}]})]

    definition = client.get_workflow_definition(OTHER_ID, version=3)

    assert ("PKI Administrators", "role 8") == definition.approvers("RequireApproval1")
    assert () == definition.approvers("RequireApproval2")
    (request,) = server.seen
    assert f"/KeyfactorAPI/Workflow/Definitions/{OTHER_ID}" == request.path
    assert {"definitionVersion": "3"} == request.query
    assert "2" == request.headers["x-keyfactor-api-version"]


@pytest.mark.parametrize("status", [400, 404, 405])
def test_definition_of_a_server_without_version_2(server: Loopback, client: Client, status: int) -> None:
    """
    A server that refuses version 2 is asked in version 1, which has the numbers of the roles.
    """
    steps = [{"uniqueName": "RequireApproval1", "signals": [{"signalName": "ApprovalStatus", "roleIds": [2, 5, 2]}]}]
    server.answers = [Reply(status=status), Reply({"id": OTHER_ID, "steps": steps})]

    definition = client.get_workflow_definition(OTHER_ID)

    assert ("role 2", "role 5") == definition.approvers("RequireApproval1")
    assert ["2", "1"] == [request.headers["x-keyfactor-api-version"] for request in server.seen]


def test_definition_that_may_not_be_read(server: Loopback, client: Client) -> None:
    """
    Who may not read definitions is not asked for another version.
    """
    server.answers = [Reply(status=403)]
    with pytest.raises(ForbiddenError, match="/workflows/definitions/read/"):
        client.get_workflow_definition(OTHER_ID)

    assert 1 == len(server.seen)


# JSON in another form.


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[1" + b"0" * 10_000 + b"]", "unknown form: all of it"),
        (b"null", "unknown form: all of it"),
        (b"[]", "unknown form: all of it"),
        (b"{}", "unknown form: instance_id"),
        (b'{"Id": "canary"}', "unknown form: instance_id"),
        (b'{"Id": "%s", "CurrentStateData": "canary"}' % ID.encode(), "unknown form: current_state_data"),
    ],
)
def test_unusable(server: Loopback, body: bytes, says: str) -> None:
    """
    JSON that is not an instance is an error that says what it is instead.
    """
    caught = failure(server, Reply(body))

    assert (UnusableAnswerError, False) == (type(caught), caught.is_transient)
    assert says in str(caught)


def test_unusable_fields(server: Loopback) -> None:
    """
    Each field of an unknown form is named once, as deep as it is, whatever forms it may have.
    """
    signals = [{"SignalName": "ApprovalStatus"}, {"SignalName": ["canary"]}]
    caught = failure(server, Reply(INSTANCE | {"Status": ["canary"], "Signals": signals}))

    assert str(caught).endswith(" in an unknown form: signals.1.signal_name, status")


# The client itself.


def test_one_client_for_equal_settings(server: Loopback) -> None:
    """
    Who asks with equal settings gets the same client, in every thread; who asks with others gets another.
    """
    found: list[Client] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        settings = settings_for(server, status_names={0: "Running"})
        barrier.wait()
        found.append(kf_provider.keyfactor.client.client_for(settings))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == len(found)
    assert 1 == len(set(map(id, found)))
    assert found[0] is not kf_provider.keyfactor.client.client_for(settings_for(server))


def test_client_is_not_pickled(client: Client) -> None:
    """
    A pickle would carry the credentials, so there is none.
    """
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(client)


def test_client_shows_no_secret(client: Client) -> None:
    """
    The server is shown without credentials, and `repr` shows nothing.
    """
    assert client.settings.server.endswith("/KeyfactorAPI")
    assert "canary" not in f"{client!r} {client.settings.server} {client.settings!r}"


# Whatever comes back.

DIGITS = st.sampled_from([1, 20, 401, 4300, 4301, 5000]).map(lambda count: "9" * count)
NUMBERS = DIGITS | st.sampled_from(["-1", "0", "1e999", "-1e999", "1e-999", "1E400", "0.1", "-0", "NaN", "Infinity"])
ODD_TEXT = st.text(max_size=8) | st.sampled_from(["\\ud800", "\\u0000", "::error::x", "\\u001b[31m", "canary-5be1"])
DEPTHS = st.sampled_from([50, 199, 255, 256, 500, 991, 2000])


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


FIELDS = st.sampled_from(
    [
        "Id",
        "Status",
        "ReferenceId",
        "Title",
        "StartDate",
        "LastModified",
        "Definition",
        "Version",
        "Signals",
        "CurrentStateData",
        "InitialData",
        "SignalReceived",
        "Steps",
        "Roles",
        "RoleIds",
        "ErrorCode",
        "Message",
        "key",
    ]
)
JSON: st.SearchStrategy[str] = st.deferred(
    lambda: (
        NUMBERS
        | ODD_TEXT.map(lambda text: f'"{text}"')
        | DEPTHS.map(nested)
        | st.sampled_from(["null", "true", "{}", "[]", f'"{ID}"', '"Complete"'])
        | st.lists(st.tuples(FIELDS, JSON), max_size=3).map(
            lambda pairs: "{" + ", ".join(f'"{name}": {value}' for name, value in pairs) + "}"
        )
        | st.lists(JSON, max_size=2).map(lambda parts: f"[{', '.join(parts)}]")
    )
)
BODIES = st.one_of(
    JSON,
    st.tuples(FIELDS, JSON).map(lambda pair: f'{{"Id": "{ID}", "{pair[0]}": {pair[1]}}}'),
    st.tuples(FIELDS, JSON).map(lambda pair: f'[{{"Id": "{ID}", "ReferenceId": 42, "{pair[0]}": {pair[1]}}}]'),
).map(lambda text: text.encode("utf-8", "replace"))
VALUES = st.one_of(
    DIGITS,
    NUMBERS,
    DIGITS.map(lambda digits: f"Tue, 24 Nov {digits} 12:01:30 GMT"),
    DIGITS.map(lambda digits: f"Tue, 24 Nov 2026 12:01:30 +{digits}"),
    st.sampled_from(["", " ", "Negotiate", "Bearer error=", 'Bearer error="::x\x1b[31m"', "utf-7", "chunked", "gzip"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
)
NAMES = st.sampled_from(
    [
        "Retry-After",
        "X-Total-Count",
        "WWW-Authenticate",
        "Content-Type",
        "Content-Encoding",
        "Location",
        "Date",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "X",
    ]
)
CHUNK_SIZES = st.sampled_from(["-5", "0x5", "5;x=y", "", "z", "ffffffffffffffffff", "9" * 5000, "+5", "5 5"])


@st.composite
def raw_answers(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 206, 302, 400, 401, 403, 404, 414, 429, 503, 599, 999]))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    body = draw(BODIES)
    if draw(st.booleans()):
        headers.append(("Transfer-Encoding", "chunked"))
        body = draw(CHUNK_SIZES).encode() + b"\r\n" + body + b"\r\n0\r\n\r\n"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} OK\r\nConnection: close\r\n{head}\r\n".encode("latin-1") + body


@pytest.mark.filterwarnings("ignore::UserWarning")  # a list may lack rows
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=raw_answers())
def test_only_our_errors_leave(server: Loopback, client: Client, answer: bytes) -> None:
    """
    Whatever headers, numbers, depths and bodies come back, an instance or one of our errors leaves each method; and
    what leaves can be shown, and written as JSON.
    """

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer)

    server.answers = [Reply(raw=send)]
    calls: list[Callable[[], object]] = [
        lambda: client.get_workflow_instance(ID, timeout=2, retries=0).outputs(),
        lambda: client.get_workflow_instance(reference_id=42, timeout=2, retries=0).outputs(),
        lambda: [row.outputs() for row in client.list_workflow_instances(limit=3, timeout=2, retries=0)],
        lambda: client.get_workflow_definition(ID, timeout=2, retries=0).approvers("x"),
    ]
    for call in calls:
        try:
            json.dumps(call())
        except KeyfactorError as ours:
            said = str(ours)
            assert said.isprintable(), said
            assert not [odd for odd in ("canary-5be1", "::error", "not foreseen") if odd in said], said


@pytest.mark.parametrize(
    "arguments",
    [
        {"reference_id": 10**400},
        {"reference_id": 10**5000},
        {"reference_id": 2**63},
        {"reference_id": -(10**30)},
        {"reference_id": 1e300},
        {"status": 10**400},
        {"started_after": 10**5000},
        {"title_contains": "\udce9"},
        {"limit": "5"},
        {"ids": 5},
        {"timeout": "soon"},
        {"retries": "x"},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_odd_arguments(server: Loopback, client: Client, arguments: dict[str, Any]) -> None:
    """
    Whatever is passed, only our errors leave.
    """
    server.answers = [Reply([INSTANCE])]
    with pytest.raises(KeyfactorError):
        client.list_workflow_instances(**arguments)


@pytest.mark.parametrize(
    "number", [10**400, 10**5000, 2**63, -(2**70), 1e300], ids=["401", "5001", "19", "minus 22", "float"]
)
def test_reference_id_that_is_none(server: Loopback, client: Client, number: Any) -> None:
    """
    A number beyond Keyfactor's own is refused before anything is sent.
    """
    with pytest.raises(SearchError, match=r"^reference_id: .* is not a whole number that an instance can have$"):
        client.get_workflow_instance(reference_id=number)

    assert [] == server.seen


@pytest.mark.parametrize("total", ["9" * 5000, "-1", "x", ""])
def test_list_odd_total(server: Loopback, client: Client, total: str) -> None:
    """
    A total that cannot be meant is none.
    """
    server.answers = [Reply([INSTANCE], headers={"x-total-count": total})]

    assert [ID] == [row.instance_id for row in client.list_workflow_instances()]


@pytest.mark.parametrize(
    ("digits", "says"),
    [(401, "unknown form: instance_id"), (4000, "unknown form: instance_id"), (5000, "unknown form: instance_id")],
)
def test_id_of_many_digits(server: Loopback, digits: int, says: str) -> None:
    """
    An id that is a number of any size is an answer in an unknown form.
    """
    caught = failure(server, Reply(b'{"Id": ' + b"9" * digits + b"}"))

    assert isinstance(caught, UnusableAnswerError)
    assert "unknown form: instance_id" in str(caught)


@pytest.mark.parametrize(
    "more",
    [
        {"username": "u\udce9"},
        {"password": "\udce9"},
        {"domain": "\udce9"},
        {"username": None, "password": None, "domain": None, "access_token": "\udce9"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_credentials_that_are_not_utf_8(more: dict[str, Any]) -> None:
    """
    What the environment has in another encoding than UTF-8 is refused by its setting's name, and not shown.
    """
    all_of_it = {"hostname": "kf.example.com", "username": "u", "password": "p", **more}
    field = next(name for name, value in more.items() if value)
    with pytest.raises(SettingsError, match=rf"{field} \(keyfactor:.*\) is not text in UTF-8") as caught:
        Client(load_settings(**all_of_it))

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("ca_cert", ["~nouser/ca.pem", "\udce9.pem", "a\0b", "x" * 5000])
def test_ca_that_is_none(server: Loopback, ca_cert: str) -> None:
    """
    A path of any kind that is no CA is an error of the settings.
    """
    with pytest.raises(SettingsError):
        client_for(server, ca_cert=ca_cert)


# What is said of a refusal.


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 226])
@pytest.mark.parametrize(
    "body",
    [
        {"CurrentStateData": {"pin": "1234-state"}, "Message": "1234-state", "ErrorCode": "1234-state"},
        b"1234-state",
        b"<title>1234-state</title>",
    ],
)
def test_good_answer_is_not_quoted(server: Loopback, status: int, body: object) -> None:
    """
    Nothing of an answer that is no refusal is shown, whatever its status: state data may be in it.
    """
    caught = failure(server, Reply(body, status))

    assert isinstance(caught, StatusError)
    assert (None, None) == (caught.error_code, caught.keyfactor_message)
    assert "1234-state" not in f"{caught} {caught!r}"
    assert f"answered with {status} instead of 200 when asked for workflow instance {ID}; " in str(caught)


@pytest.mark.parametrize("status", [200, 202, 401, 403, 404, 502])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "page", ["<html><title>1234-title</title>", "\n <!-- x --><TITLE\n>1234-title</TITLE>", "text <b>1234-title</b>"]
)
def test_page_is_not_quoted(server: Loopback, status: int, encoding: str, page: str) -> None:
    """
    Of a page neither the title nor anything else is shown: some show what they were sent.
    """
    assert "1234" not in str(failure(server, Reply(page.encode(encoding), status)))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_refusal_in_any_encoding(server: Loopback, encoding: str) -> None:
    """
    A byte order mark hides no ErrorCode.
    """
    caught = failure(server, Reply(json.dumps(SAID).encode(encoding), 403))

    assert isinstance(caught, ForbiddenError)
    assert (SAID["ErrorCode"], SAID["Message"]) == (caught.error_code, caught.keyfactor_message)


@pytest.mark.parametrize("secret", ['can"ary\\5be1', "canary 5be1&x", "canäry<5be1>"])
@pytest.mark.parametrize(
    "spelled", [json.dumps, quote, quote_plus, html.escape, partial(json.dumps, ensure_ascii=False), str]
)
def test_echo_in_any_spelling(server: Loopback, secret: str, spelled: Callable[[str], str]) -> None:
    """
    A secret that is echoed is concealed, also as JSON, a URL, a form or HTML spells it.
    """
    server.answers = [Reply(f"refused: {spelled(secret).strip(chr(34))}, try again".encode(), 400)]
    with client_for(server, password=secret) as client, pytest.raises(StatusError) as caught:
        client.get_workflow_instance(ID)

    assert "refused: [secret], try again" in str(caught.value)


def test_orders_in_a_refusal(server: Loopback) -> None:
    """
    What a server says gives no orders to those who show it.
    """
    said = {"ErrorCode": "##vso[x]:", "Message": "no\n::add-mask::web\x1b[31m <{%fg 1%}>\u202e"}

    assert "(400, # #vso[x]: no : :add-mask: :web [31m < {%fg 1%}>)" in str(failure(server, Reply(said, 400)))


def test_windows_authentication_alone(server: Loopback) -> None:
    """
    A server that takes Negotiate and NTLM alone is told from a wrong password.
    """
    message = str(failure(server, Reply(b"", 401, {"WWW-Authenticate": "Negotiate, NTLM"})))

    assert "it takes Negotiate and NTLM alone, which is Windows authentication" in message
    assert "check them" not in message


@pytest.mark.parametrize("offered", ["Basic realm=x", "Negotiate, Basic realm=x", ""])
def test_wrong_password(server: Loopback, offered: str) -> None:
    """
    Where Basic authentication is taken, the credentials are to be checked.
    """
    assert "; check them, " in str(failure(server, Reply(b"", 401, {"WWW-Authenticate": offered})))


@pytest.mark.parametrize(
    ("challenge", "advice"),
    [
        ('Bearer error="invalid_token", error_description="The token expired at 1"', "the access token has expired:"),
        ('Bearer error="invalid_token"', "the access token may have expired, or is for another server:"),
        ("", "the access token may have expired, or is for another server:"),
    ],
)
def test_expired_token(server: Loopback, challenge: str, advice: str) -> None:
    """
    A token that is used as it is may have expired, and the server may say so.
    """
    server.answers = [Reply(b"", 401, {"WWW-Authenticate": challenge})]
    client = Client(load_settings(hostname=server.url, access_token="canary-5be1"))
    with client, pytest.raises(UnauthorizedError, match=rf"; {advice} give a new one$") as caught:
        client.get_workflow_instance(ID)

    assert ("invalid_token" in challenge) == ("(401, invalid_token" in str(caught.value))


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"<title>404.15</title>"), (400, b"<h2>Bad Request - Invalid URL</h2>"), (414, b"")]
)
def test_query_that_is_too_long(server: Loopback, client: Client, status: int, body: bytes) -> None:
    """
    A query beyond IIS's limit is said to be one, and nothing is said not to exist.
    """
    server.answers = [Reply(body, status)]
    ids = [f"{n:08x}-9d1b-4b7e-8a60-3f5e2d7c1b94" for n in range(50)]
    with pytest.raises(StatusError, match=r"the query has \d+ characters, and IIS takes 2048 unless") as caught:
        client.list_workflow_instances(ids=ids)

    assert StatusError is type(caught.value)


@pytest.mark.parametrize("body", [b"<title>Forbidden</title>", b"", b"Blocked by policy"])
def test_forbidden_by_another(server: Loopback, body: bytes) -> None:
    """
    A 403 that is not in Keyfactor's words may be that of what stands before it.
    """
    caught = failure(server, Reply(body, 403))

    assert isinstance(caught, ForbiddenError)
    assert "and not in Keyfactor's words: IIS, a proxy or a firewall before it" in str(caught)


@pytest.mark.parametrize(("total", "rows_sent", "requests_sent"), [(250, 50, 3), (30, 70, 2), (0, 70, 2)])
def test_list_of_another_length_than_it_says(
    server: Loopback, client: Client, total: int, rows_sent: int, requests_sent: int
) -> None:
    """
    A total only says that more is to come: fewer rows than it are a warning, and a full page is followed by the next.
    """
    everything = rows(rows_sent)
    told: list[str] = []

    def answer(request: Seen) -> Reply:
        start = (int(request.query["PageReturned"]) - 1) * 50
        return Reply(everything[start : start + 50], headers={"x-total-count": str(total)})

    server.answers = answer
    found = client.list_workflow_instances(warn=told.append)

    assert rows_sent == len(found)
    assert (total > rows_sent) == bool(told)
    assert len(server.seen) <= requests_sent
