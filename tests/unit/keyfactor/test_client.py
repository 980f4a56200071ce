"""
Workflow instances over HTTP: what is asked for, and what the answers mean.
"""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import kf_provider.keyfactor.client
from kf_provider.errors import (
    ForbiddenError,
    InstanceIdError,
    NoAnswerError,
    NotFoundError,
    RequestError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
    UnusableAnswerError,
)
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
    server.answers = lambda request: Reply([INSTANCE] if "PageReturned" in request.query else INSTANCE)
    asked: dict[str, Callable[[], object]] = {
        "get_workflow_instance": lambda: client.get_workflow_instance(reference_id=42),
        "list_workflow_instances": lambda: client.list_workflow_instances(limit=1),
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


def endless(request: Seen) -> Reply:
    time.sleep(0.05)
    size, number = int(request.query["ReturnLimit"]), int(request.query["PageReturned"])
    return Reply(rows(size, first=size * number))


def test_list_without_end(server: Loopback, client: Client) -> None:
    """
    A list that goes on page by page is given up when the time of the call is over, not of each page.
    """
    server.answers = endless
    started = time.monotonic()
    with pytest.raises(NoAnswerError, match=r"in 0\.5 s") as caught:
        client.list_workflow_instances(timeout=0.5)

    assert time.monotonic() - started < 1.3
    assert caught.value.is_transient
    assert len(server.seen) > 1


def test_find_without_end(server: Loopback, client: Client) -> None:
    """
    So is a search for a reference id that never ends.
    """
    server.answers = endless
    started = time.monotonic()
    with pytest.raises(NoAnswerError, match=r"in 0\.5 s"):
        client.get_workflow_instance(reference_id=10**9, timeout=0.5)

    assert time.monotonic() - started < 1.3


def test_one_deadline_for_all_parts_of_a_call(server: Loopback) -> None:
    """
    A token, a repetition, a renewed token and several requests share the time of one call.
    """

    def slowly(request: Seen) -> Reply:
        time.sleep(0.2)
        if request.path == "/token":
            return Reply({"access_token": "t"})
        return Reply(status=401) if len(server.seen) % 4 == 0 else Reply(status=503)

    server.answers = slowly
    settings = load_settings(
        hostname=server.url, client_id="c", client_secret="s", token_url=f"{server.url}/token", request_timeout=0.7
    )
    started = time.monotonic()
    with Client(settings) as client, pytest.raises(RequestError):
        client.get_workflow_definition(ID, retries=50)

    assert time.monotonic() - started < 1.5


def test_timeout_of_a_call_is_its_own(server: Loopback, client: Client) -> None:
    """
    A longer time than the settings' counts for all requests of a call, also for the list behind a reference id.
    """

    def slowly(request: Seen) -> Reply:
        time.sleep(0.3)
        return Reply(INSTANCE if request.path.endswith(ID) else [INSTANCE])

    server.answers = slowly
    with client_for(server, request_timeout=0.1) as impatient:
        assert ID == impatient.get_workflow_instance(reference_id=42, timeout=5).instance_id


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


@pytest.mark.parametrize("total", ["9" * 5000, "-1", "1e3", ""])
def test_list_odd_total(server: Loopback, client: Client, total: str) -> None:
    """
    A total that is no number is none.
    """
    server.answers = [Reply(rows(3), headers={"x-total-count": total})]

    assert 3 == len(client.list_workflow_instances())


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


# Refusals.


@pytest.mark.parametrize(
    ("status", "error", "is_transient"),
    [
        (400, StatusError, False),
        (401, UnauthorizedError, False),
        (403, ForbiddenError, False),
        (404, NotFoundError, False),
        (405, StatusError, False),
        (408, UnavailableError, True),
        (410, StatusError, False),
        (429, UnavailableError, True),
        (500, UnavailableError, True),
        (502, UnavailableError, True),
        (503, UnavailableError, True),
        (504, UnavailableError, True),
        (599, UnavailableError, True),
    ],
)
def test_status(server: Loopback, status: int, error: type[StatusError], is_transient: bool) -> None:
    """
    Each status is its class, with Keyfactor's ErrorCode and Message in attributes and in the text.
    """
    caught = failure(server, Reply(SAID, status))

    assert isinstance(caught, StatusError)
    assert (error, is_transient) == (type(caught), caught.is_transient)
    assert (status, "0xA0140002", SAID["Message"]) == (caught.status_code, caught.error_code, caught.keyfactor_message)
    assert f"({status}, 0xA0140002: User 7 doesn't have the required permission)" in str(caught)


def test_not_found_message(server: Loopback) -> None:
    """
    An instance that is not found is named, with the server, and what to check.
    """
    expected = (
        f"workflow instance {ID} was not found on {server.url}/KeyfactorAPI; check the id, that"
        " basic:KEYEXAMPLE\\jsmith may see it (404, 0xA0: gone)"
    )

    assert expected == str(failure(server, Reply({"ErrorCode": "0xA0", "Message": "gone"}, 404)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><title>404 - File not found</title></html>", "404 - File not found"),
        (b'{"Message": "No HTTP resource was found"}', "No HTTP resource was found"),
    ],
)
def test_not_found_by_another(server: Loopback, body: bytes, said: str) -> None:
    """
    A 404 without an ErrorCode may come of a wrong path: the message points to it.
    """
    message = str(failure(server, Reply(body, 404)))

    assert "and the API path (keyfactor:apiPath)" in message
    assert message.endswith(f"(404, {said})")


def test_not_found_without_words(server: Loopback) -> None:
    """
    An empty 404 may be Keyfactor's.
    """
    assert "API path" not in str(failure(server, Reply(b"", 404)))


def test_list_not_found(server: Loopback, client: Client) -> None:
    """
    Who asked for the list is not told to check an id.
    """
    server.answers = [Reply(SAID, 404)]
    with pytest.raises(NotFoundError, match=r"the list of workflow instances was not found .*; check that basic:"):
        client.list_workflow_instances()


def test_forbidden_message(server: Loopback) -> None:
    """
    A missing permission is named, for both of Keyfactor's permission models.
    """
    expected = (
        f"basic:KEYEXAMPLE\\jsmith may not read workflow instance {ID} on {server.url}/KeyfactorAPI (403, 0xA0140002:"
        " User 7 doesn't have the required permission); it needs WorkflowInstances: ReadAll, ReadAssignedToMe or ReadMy"
        " (Command 10), or /workflows/instances/read/ (11 and later)"
    )

    assert expected == str(failure(server, Reply(SAID, 403)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"Access is denied due to invalid credentials.", "Access is denied due to invalid credentials."),
        (b"<html><head><TITLE>\n401 - Unauthorized </TITLE></head>", "401 - Unauthorized"),
        (b"line\r\none\x1b[31m two", "line one [31m two"),
        (b"\xff\xfe", "��"),
        (b"x" * 100_000, "x" * 200),
        (b"[" * 50_000, "[" * 200),
        (b'{"Message": "', '{"Message": "'),
        (b"null", "null"),
        (json.dumps({"message": "lower"}).encode(), "lower"),
        (json.dumps({"ErrorCode": 7}).encode(), "7"),
        (b"canary-5be1", "[secret]"),
    ],
)
def test_what_the_server_says(server: Loopback, body: bytes, said: str) -> None:
    """
    A body that is not Keyfactor's is shown in one line of at most 200 characters, without our secrets.
    """
    assert f"(401, {said})" in str(failure(server, Reply(body, 401)))


@pytest.mark.parametrize(
    ("challenge", "told"),
    [
        (
            'Bearer error="invalid_token", error_description="The token expired at \'11/24/2026 12:00:00\'"',
            "(401, invalid_token: The token expired at '11/24/2026 12:00:00'); the token has expired: give a new one",
        ),
        (
            'Bearer error="invalid_token", error_description="canary-5be1 is no audience"',
            "(401, invalid_token: [secret] is no audience); check them, and that this user may use the API",
        ),
        ("Negotiate, NTLM", "(401); check them, and that this user may use the API"),
    ],
)
def test_why_a_token_is_refused(server: Loopback, challenge: str, told: str) -> None:
    """
    An expired token says so, by the server's own challenge; what it quotes holds no secret.
    """
    assert told in str(failure(server, Reply(b"", 401, {"WWW-Authenticate": challenge})))


def test_echo(server: Loopback) -> None:
    """
    A proxy that shows the request in its error page does not make us show our credentials.
    """

    def echo(request: Seen) -> Reply:
        return Reply(f"Bad gateway: authorization {request.headers['authorization']}".encode(), 502)

    server.answers = echo
    with client_for(server) as client, pytest.raises(UnavailableError) as caught:
        client.get_workflow_instance(ID)

    assert "(502, Bad gateway: authorization Basic [secret])" in str(caught.value)


@pytest.mark.parametrize(("header", "expected"), [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)])
@pytest.mark.parametrize("status", [429, 503, 403])
def test_retry_after(server: Loopback, header: str, expected: float | None, status: int) -> None:
    """
    The pause that the server asks for is in the error, in both of its forms.
    """
    assert expected == failure(server, Reply(b"", status, {"Retry-After": header})).retry_after


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
