"""
Workflow instances over HTTP, and the transport rules.
"""

from __future__ import annotations

import gzip
import http.server
import inspect
import json
import logging
import pickle
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3

from kf_provider.client import LARGEST_BODY, Client, translation
from kf_provider.errors import (
    ForbiddenError,
    InstanceIdError,
    KeyfactorError,
    NoAnswerError,
    NotFoundError,
    RedirectError,
    RequestError,
    SearchError,
    SettingsError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
    UnusableAnswerError,
)
from kf_provider.settings import Settings, load_settings

from .loopback import CA, ID, OTHER_ID, STRANGER_CA, Loopback, Reply, Seen, running

INSTANCE = {"Id": ID, "Status": "Suspended", "ReferenceId": 42}
GOOD = Reply(INSTANCE)


def settings_for(server: Loopback, **more: object) -> Settings:
    given = {"hostname": server.url, "username": "jsmith", "domain": "KEYEXAMPLE", "password": "canary-5be1"}
    return load_settings(**(given | more))


def client_for(server: Loopback, *, retries: int = 0, **more: object) -> Client:
    return Client(settings_for(server, **more), retries=retries)


@pytest.fixture
def client(server: Loopback) -> Iterator[Client]:
    with client_for(server) as made:
        yield made


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
    Whatever is asked for, nothing but GET is sent.
    """
    server.answers = lambda request: Reply([INSTANCE] if request.query else INSTANCE)
    client.get_workflow_instance(ID)
    client.find_workflow_instance(42)
    client.list_workflow_instances(limit=1)

    assert {"GET"} == {request.method for request in server.seen}


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
    Without conditions, everything is asked for, a page of 50 at a time.
    """
    server.answers = [Reply([INSTANCE])]
    (summary,) = client.list_workflow_instances()

    assert (ID, "Suspended") == (summary.instance_id, summary.status)
    assert {"PageReturned": "1", "ReturnLimit": "50"} == server.seen[0].query
    assert "/KeyfactorAPI/Workflow/Instances" == server.seen[0].path


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"query": 'Status -eq "Suspended"'}, 'Status -eq "Suspended"'),
        ({"status": "suspended"}, 'Status -eq "Suspended"'),
        ({"status": 3}, "Status -eq 3"),
        ({"title_contains": "CN=web & more"}, 'Title -contains "CN=web & more"'),
        ({"workflow_type": "Enrollment"}, 'WorkflowType -eq "Enrollment"'),
        ({"initiated_by": "KEYEXAMPLE\\jsmith"}, 'InitiatingUserName -eq "KEYEXAMPLE\\jsmith"'),
        ({"reference_id": 42}, "ReferenceId -eq 42"),
        ({"started_after": "2026-01-31"}, 'StartDate -gt "2026-01-31T00:00:00Z"'),
        ({"started_after": datetime(2026, 1, 31, 12)}, 'StartDate -gt "2026-01-31T12:00:00Z"'),  # noqa: DTZ001, RUF100
        (
            {"started_after": datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))},
            'StartDate -gt "2026-01-31T10:00:00Z"',
        ),
        ({"status": "Failed", "reference_id": 42}, 'Status -eq "Failed" AND ReferenceId -eq 42'),
        ({"query": "A -eq 1 OR B -eq 2", "status": "Failed"}, '(A -eq 1 OR B -eq 2) AND Status -eq "Failed"'),
        ({"query": " "}, None),
    ],
)
def test_list_query(server: Loopback, client: Client, conditions: dict[str, Any], expected: str | None) -> None:
    """
    Conditions are put into Keyfactor's query language: text in quotation marks, numbers bare, joined by AND.
    """
    server.answers = [Reply([])]
    client.list_workflow_instances(**conditions)

    assert expected == server.seen[0].query.get("QueryString")


@pytest.mark.parametrize(
    "conditions",
    [
        {"title_contains": 'CN="web"'},
        {"title_contains": 'x" OR Status -eq "Complete'},
        {"title_contains": ""},
        {"initiated_by": "a\nb"},
        {"status": True},
        {"started_after": "yesterday"},
        {"reference_id": 4.2},
        {"reference_id": '42 OR Id -ne "'},
        {"limit": 0},
        {"limit": -1},
    ],
)
def test_list_query_impossible(server: Loopback, client: Client, conditions: dict[str, Any]) -> None:
    """
    What cannot be put into the query language is refused before anything is sent.
    """
    with pytest.raises(SearchError) as caught:
        client.list_workflow_instances(**conditions)

    assert isinstance(caught.value, ValueError)
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

    assert ID == client.find_workflow_instance(42).instance_id
    assert "ReferenceId -eq 42" == server.seen[0].query["QueryString"]
    assert server.seen[1].path.endswith(ID)


def test_find_where_queries_are_ignored(server: Loopback, client: Client) -> None:
    """
    Rows with another reference id are not taken for it, as when the server ignores the query.
    """
    server.answers = [Reply([INSTANCE | {"Id": OTHER_ID, "ReferenceId": 41}, INSTANCE]), GOOD]

    assert ID == client.find_workflow_instance(42).instance_id


def test_find_none(server: Loopback, client: Client) -> None:
    """
    A reference id that brings nothing is not found; the message says what to check.
    """
    server.answers = [Reply([])]
    expected = (
        f"no workflow instance with reference id 42 was found on {client.server}; check the number, and that"
        " basic:KEYEXAMPLE\\jsmith may list workflow instances"
    )
    with pytest.raises(NotFoundError) as caught:
        client.find_workflow_instance(42)

    assert expected == str(caught.value)


def test_find_several(server: Loopback, client: Client) -> None:
    """
    A reference id that brings several instances is an error that lists them.
    """
    server.answers = [Reply([INSTANCE, INSTANCE | {"Id": OTHER_ID}])]
    with pytest.raises(RequestError, match=f"2 workflow instances .* pass the id of one, {ID}, {OTHER_ID}"):
        client.find_workflow_instance(42)


# Refusals.


def failure(server: Loopback, reply: Reply, *, retries: int = 0, **more: object) -> RequestError:
    server.answers = [reply]
    with client_for(server, retries=retries, **more) as client, pytest.raises(RequestError) as caught:
        client.get_workflow_instance(ID, timeout=5)
    message = str(caught.value)
    assert message.isprintable()
    assert "canary" not in f"{message} {caught.value!r}"
    return caught.value


SAID = {"ErrorCode": "0xA0140002", "Message": "User 7 doesn't have the required permission"}


@pytest.mark.parametrize(
    ("status", "error", "is_transient"),
    [
        (400, StatusError, False),
        (401, UnauthorizedError, False),
        (403, ForbiddenError, False),
        (404, NotFoundError, False),
        (405, StatusError, False),
        (408, StatusError, False),
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


# Answers that are none.


@pytest.mark.parametrize(
    ("body", "is_transient", "says"),
    [
        (b"", True, "an empty body"),
        (b" \r\n", True, "an empty body"),
        (b'{"Id": "', True, "cut off"),
        (b"[{}", True, "cut off"),
        (b"<!DOCTYPE html><title>Sign\nin</title>", False, "a page titled 'Sign in' instead of JSON"),
        (b"<html></html>", False, "a page instead of JSON"),
        (b"\xef\xbb\xbf<html></html>", False, "a page instead of JSON"),
        (b"Welcome", False, "text instead of JSON"),
        (b'{"Id": NaN}', True, "broken"),
        (b"[" * 100_000, True, "broken"),
        (b"[1" + b"0" * 10_000 + b"]", True, "broken"),
        (b"null", False, "unknown form: all of it"),
        (b"[]", False, "unknown form: all of it"),
        (b"{}", False, "unknown form: instance_id"),
        (b'{"Id": "canary"}', False, "unknown form: instance_id"),
        (b'{"Id": "%s", "CurrentStateData": "canary"}' % ID.encode(), False, "unknown form: current_state_data"),
    ],
)
def test_unusable(server: Loopback, body: bytes, is_transient: bool, says: str) -> None:
    """
    A 200 that is not an instance is an error that says what it is instead.
    """
    caught = failure(server, Reply(body))

    assert (UnusableAnswerError, is_transient) == (type(caught), caught.is_transient)
    assert says in str(caught)


def test_byte_order_mark(server: Loopback, client: Client) -> None:
    """
    JSON behind a byte order mark is JSON.
    """
    server.answers = [Reply(b"\xef\xbb\xbf" + json.dumps(INSTANCE).encode())]

    assert ID == client.get_workflow_instance(ID).instance_id


def test_half_a_surrogate_pair(server: Loopback, client: Client) -> None:
    """
    Half a surrogate pair, which neither UTF-8 nor the engine carries, becomes a question mark; a whole pair stays.
    """
    server.answers = [Reply(INSTANCE | {"Title": "a\ud83d", "CurrentStateData": {"\udc00": "\U0001f600"}})]
    instance = client.get_workflow_instance(ID)

    assert ("a?", {"?": "\U0001f600"}) == (instance.title, instance.current_state_data)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/login?ReturnUrl=canary", "", "//%@/"])
def test_redirect(server: Loopback, status: int, path: str) -> None:
    """
    A redirect is not followed and gets no credentials; the error names its host, not the whole URL.
    """
    with running() as elsewhere:
        caught = failure(server, Reply(b"", status, {"Location": f"{elsewhere.url}{path}"}))

        assert [] == elsewhere.seen
    assert type(caught) is RedirectError
    assert f"a redirect ({status}) to 127.0.0.1," in str(caught)


def test_redirect_without_end(server: Loopback) -> None:
    """
    The body of a redirect is not read.
    """
    head = b"HTTP/1.1 302 Found\r\nLocation: https://login.example.com/\r\nContent-Length: 9999999999\r\n\r\n"

    assert type(failure(server, raw(drip(head, b"x")))) is RedirectError


@pytest.mark.parametrize("location", [None, "http://[", "https://u:canary@login.example.com/"])
def test_odd_redirect(server: Loopback, location: str | None) -> None:
    """
    A redirect to nowhere, to what is no URL, or with credentials in it is the same error.
    """
    assert type(failure(server, Reply(b"", 302, {"Location": location} if location else {}))) is RedirectError


def test_large_body(server: Loopback) -> None:
    """
    A body over 5 MiB is refused.
    """
    caught = failure(server, Reply(b" " * (LARGEST_BODY + 1)))

    assert (UnusableAnswerError, False) == (type(caught), caught.is_transient)
    assert "more than 5 MiB" in str(caught)


def test_largest_body(server: Loopback, client: Client) -> None:
    """
    A body of 5 MiB is read.
    """
    body = json.dumps(INSTANCE).encode()
    server.answers = [Reply(body + b" " * (LARGEST_BODY - len(body)))]

    assert ID == client.get_workflow_instance(ID).instance_id


def test_compressed_body(server: Loopback, client: Client) -> None:
    """
    Compressed answers are read.
    """
    server.answers = [Reply(gzip.compress(json.dumps(INSTANCE).encode()), headers={"Content-Encoding": "gzip"})]

    assert ID == client.get_workflow_instance(ID).instance_id


def test_compressed_bomb(server: Loopback) -> None:
    """
    It is the uncompressed size that counts.
    """
    bomb = gzip.compress(b" " * (LARGEST_BODY * 20))
    caught = failure(server, Reply(bomb, headers={"Content-Encoding": "gzip"}))

    assert len(bomb) < LARGEST_BODY / 10
    assert "more than 5 MiB" in str(caught)


def test_badly_compressed(server: Loopback) -> None:
    """
    A body that cannot be uncompressed is unusable.
    """
    caught = failure(server, Reply(b"{}", headers={"Content-Encoding": "gzip"}))

    assert (UnusableAnswerError, True) == (type(caught), caught.is_transient)


# No answer.


def raw(work: Callable[[socket.socket], None]) -> Reply:
    def take_over(handler: http.server.BaseHTTPRequestHandler) -> None:
        work(handler.connection)

    return Reply(raw=take_over)


def drip(prefix: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def work(connection: socket.socket) -> None:
        connection.sendall(prefix)
        for _ in range(100):
            time.sleep(0.05)
            connection.sendall(drop)

    return work


def silence(connection: socket.socket) -> None:
    connection.settimeout(5)
    connection.recv(1)


DRIPS = {
    "nothing": silence,
    "status line": drip(b"HTTP/1.1 200 ", b"x"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "one header": drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    "chunks": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk size": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "error body": drip(b"HTTP/1.1 503 Oh\r\nContent-Length: 1000\r\n\r\n", b" "),
}


@pytest.mark.parametrize("where", DRIPS)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_deadline(where: str, tls: bool) -> None:
    """
    A server that never answers, or byte by byte, holds nobody longer than the time allowed.
    """
    with running(tls=tls) as server:
        server.answers = [raw(DRIPS[where])]
        with client_for(server, ca_cert=str(CA), retries=2) as client:
            started = time.monotonic()
            with pytest.raises(NoAnswerError, match=r"no answer in 0\.3 s") as caught:
                client.get_workflow_instance(ID, timeout=0.3)

    assert time.monotonic() - started < 1.3
    assert caught.value.is_transient


def test_deadline_of_the_settings(server: Loopback) -> None:
    """
    Without a timeout, the one of the settings counts.
    """
    server.answers = [raw(silence)]
    with client_for(server, request_timeout=0.2) as client, pytest.raises(NoAnswerError, match=r"no answer in 0\.2 s"):
        client.get_workflow_instance(ID)


def test_deadline_in_the_handshake() -> None:
    """
    A server that accepts and never shakes hands holds nobody either.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = load_settings(hostname=f"https://127.0.0.1:{listening.getsockname()[1]}", access_token="t")
        started = time.monotonic()
        with Client(settings) as client, pytest.raises(NoAnswerError):
            client.get_workflow_instance(ID, timeout=0.5)

    assert time.monotonic() - started < 1.5


def test_deadline_is_of_one_request(server: Loopback, client: Client) -> None:
    """
    A connection that is used again gets its own time, and a thread that timed out is not late for ever.
    """
    server.answers = [GOOD, raw(silence), GOOD]
    client.get_workflow_instance(ID, timeout=5)
    with pytest.raises(NoAnswerError):
        client.get_workflow_instance(ID, timeout=0.2)

    assert ID == client.get_workflow_instance(ID, timeout=5).instance_id


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize(
    "work",
    [
        lambda connection: None,
        reset,
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"),
    ],
    ids=["closed", "reset", "cut body", "cut chunk", "not HTTP", "too many headers"],
)
def test_broken_connection(server: Loopback, work: Callable[[socket.socket], None]) -> None:
    """
    A connection that breaks, or does not speak HTTP, is no answer, and may pass.
    """
    caught = failure(server, raw(work))

    assert (NoAnswerError, True) == (type(caught), caught.is_transient)


def test_nobody_listens() -> None:
    """
    A server that is down is no answer; the message names it and the reason.
    """
    with running() as gone:
        settings = settings_for(gone)
    with Client(settings, retries=0) as client, pytest.raises(NoAnswerError) as caught:
        client.get_workflow_instance(ID)

    assert f"{gone.url}: no connection (Connection refused)" == str(caught.value)
    assert caught.value.is_transient


# Repetitions.


@pytest.mark.parametrize("status", [502, 503, 504])
def test_repeated(server: Loopback, status: int) -> None:
    """
    A gateway's error is asked again, without waiting as long as it says.
    """
    server.answers = [Reply(status=status, headers={"Retry-After": "3600"}), GOOD]
    with client_for(server, retries=2) as client:
        assert ID == client.get_workflow_instance(ID).instance_id
    assert 2 == len(server.seen)


def test_repeated_connection(server: Loopback) -> None:
    """
    So is a connection that breaks.
    """
    server.answers = [raw(reset), GOOD]
    with client_for(server, retries=2) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(status=500), Reply(status=404), Reply(b"{")])
def test_not_repeated(server: Loopback, reply: Reply) -> None:
    """
    Other answers are not asked for again.
    """
    failure(server, reply, retries=2)

    assert 1 == len(server.seen)


@pytest.mark.parametrize(("retries", "sent"), [(0, 1), (1, 2), (2, 3)])
def test_retries(server: Loopback, retries: int, sent: int) -> None:
    """
    `retries` is how often a request is repeated; the last answer counts.
    """
    caught = failure(server, Reply(SAID, 503), retries=retries)

    assert isinstance(caught, UnavailableError)
    assert (sent, "0xA0140002") == (len(server.seen), caught.error_code)


def test_repetitions_are_silent(server: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    """
    Nothing is logged as a warning: a Pulumi program would show it.
    """
    with caplog.at_level(logging.INFO):
        failure(server, raw(reset), retries=2)

    assert [] == [record for record in caplog.records if record.levelno > logging.DEBUG]


# TLS, proxies, the environment.


@pytest.mark.parametrize("given", [str(CA), CA.read_text()], ids=["path", "text"])
def test_ca(tls_server: Loopback, given: str) -> None:
    """
    The CA is a PEM file or the text of one.
    """
    tls_server.answers = [GOOD]
    with client_for(tls_server, ca_cert=given) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


@pytest.mark.parametrize("more", [{}, {"ca_cert": str(STRANGER_CA)}])
def test_untrusted(tls_server: Loopback, more: dict[str, object]) -> None:
    """
    A certificate of a CA that is not trusted is an error that does not pass, and says what to set.
    """
    caught = failure(tls_server, GOOD, retries=2, **more)

    assert (NoAnswerError, False) == (type(caught), caught.is_transient)
    assert "is not trusted" in str(caught)
    assert "keyfactor:caCert" in str(caught)
    assert [] == tls_server.seen


def test_certificate_of_another(tls_server: Loopback) -> None:
    """
    A certificate for another host is not trusted either.
    """
    caught = failure(tls_server, GOOD, ca_cert=str(CA), hostname=f"https://localhost:{tls_server.port}")

    assert "is not trusted" in str(caught)
    assert not caught.is_transient


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_ca_of_the_environment(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback, variable: str) -> None:
    """
    Without a setting, the CA of the environment counts, as with requests.
    """
    monkeypatch.setenv(variable, str(CA))
    tls_server.answers = [GOOD]
    with client_for(tls_server) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


def test_explicit_ca_wins(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback) -> None:
    """
    An explicit CA replaces the one of the environment, both ways.
    """
    tls_server.answers = [GOOD]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(STRANGER_CA))
    with client_for(tls_server, ca_cert=str(CA)) as client:
        assert ID == client.get_workflow_instance(ID).instance_id
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CA))

    assert "is not trusted" in str(failure(tls_server, GOOD, ca_cert=str(STRANGER_CA)))


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")  # it is right
def test_skip_verify(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback) -> None:
    """
    With skip_verify any certificate will do, also when the environment names a CA.
    """
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(STRANGER_CA))
    tls_server.answers = [GOOD]
    with client_for(tls_server, skip_verify=True, hostname=f"https://localhost:{tls_server.port}") as client:
        assert ID == client.get_workflow_instance(ID).instance_id


@pytest.mark.parametrize("given", ["/nowhere/ca.pem", "-----BEGIN CERTIFICATE-----\nx", "", "a\x00b"])
def test_ca_without_sense(tls_server: Loopback, tmp_path: Path, given: str) -> None:
    """
    A CA that cannot be read is a setting without sense.
    """
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(SettingsError, match="keyfactor:caCert"):
        client_for(tls_server, ca_cert=given or str(empty))


def test_plain_server_behind_https(server: Loopback) -> None:
    """
    A server that does not speak TLS is no answer.
    """
    caught = failure(server, GOOD, hostname=f"https://127.0.0.1:{server.port}")

    assert isinstance(caught, NoAnswerError)
    assert "TLS" in str(caught)


def test_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Loopback) -> None:
    """
    A .netrc with other credentials for the host is not read.
    """
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers = [GOOD]
    with client_for(server, username=None, password=None, domain=None, access_token="t") as client:
        client.get_workflow_instance(ID)

    assert "Bearer t" == server.seen[0].headers["authorization"]


def test_proxy(monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    """
    https goes through the proxy of the environment, by CONNECT, which shows it no credentials.
    """
    server.answers = [Reply(status=403)]
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    settings = load_settings(hostname="kf.example.com", access_token="canary-5be1")
    with Client(settings, retries=0) as client, pytest.raises(NoAnswerError, match="the proxy of the environment"):
        client.get_workflow_instance(ID)

    (request,) = server.seen
    assert ("CONNECT", "kf.example.com:443") == (request.method, request.path)
    assert "canary" not in f"{request}"


def test_proxy_tunnel(monkeypatch: pytest.MonkeyPatch, tls_server: Loopback) -> None:
    """
    Behind the proxy, it is the server's own certificate that is checked.
    """
    tls_server.answers = [GOOD]

    def tunnel(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", tls_server.port)) as onward:
            back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
            back.start()
            pump(connection, onward)
            back.join(5)

    with running() as proxy:
        proxy.answers = [raw(tunnel)]
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        settings = load_settings(hostname="kf.example.com", access_token="t", ca_cert=str(CA))
        with (
            Client(settings, retries=0) as client,
            pytest.raises(NoAnswerError, match=r"TLS certificate .* not trusted"),
        ):
            client.get_workflow_instance(ID, timeout=5)


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while received := source.recv(65536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_proxy_not_for_loopback(monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    """
    Plain http to loopback never leaves the machine through a proxy: the credentials would go along in the clear.
    """
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers = [GOOD]
    with client_for(server) as client:
        assert ID == client.get_workflow_instance(ID).instance_id


def test_cookies(server: Loopback, client: Client) -> None:
    """
    Cookies are not kept: threads share one session.
    """
    server.answers = [Reply(INSTANCE, headers={"Set-Cookie": "session=1; Path=/"})]
    client.get_workflow_instance(ID)
    client.get_workflow_instance(ID)

    assert "cookie" not in server.seen[1].headers


# The client itself.


def test_threads(server: Loopback) -> None:
    """
    Many threads may use one client, each with its own answer.
    """
    ids = [f"0c8f2a54-0000-4000-8000-{number:012d}" for number in range(40)]
    server.answers = lambda request: Reply({"Id": request.path.rpartition("/")[2]})
    found: set[str] = set()
    with client_for(server) as client:
        threads = [
            threading.Thread(target=lambda wanted=wanted: found.add(client.get_workflow_instance(wanted).instance_id))
            for wanted in ids
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert set(ids) == found


def test_connection_is_kept(server: Loopback, client: Client) -> None:
    """
    Requests that follow each other share a connection.
    """
    ports = []

    def remember(handler: http.server.BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        body = json.dumps(INSTANCE).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        handler.close_connection = False

    server.answers = [Reply(raw=remember)]
    client.get_workflow_instance(ID)
    client.get_workflow_instance(ID)

    assert 1 == len(set(ports))


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
    assert client.server.endswith("/KeyfactorAPI")
    assert "canary" not in f"{client!r} {client.server} {client.settings!r}"


# The one translation point.

FOREIGN = [
    error
    for module in (requests.exceptions, urllib3.exceptions)
    for _, error in inspect.getmembers(module, inspect.isclass)
    if issubclass(error, Exception) and not issubclass(error, Warning) and error.__module__ == module.__name__
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda error: f"{error.__module__}.{error.__name__}")
def test_translation(foreign: type[Exception]) -> None:
    """
    Every exception of requests and urllib3 becomes one of ours, which quotes nothing of its text.
    """
    error = foreign.__new__(foreign, "canary-5be1")
    error.args = ("canary-5be1",)
    ours = translation(error, "https://kf.example.com")

    assert isinstance(ours, KeyfactorError)
    assert str(ours).startswith("https://kf.example.com: ")
    assert "canary" not in str(ours)


@pytest.mark.parametrize(
    "foreign",
    [error for error in FOREIGN if error.__module__ == "requests.exceptions"],
    ids=lambda error: error.__name__,
)
def test_translation_is_no_fallback(foreign: type[Exception]) -> None:
    """
    Every exception of requests has words of its own, but for the base class.
    """
    error = foreign.__new__(foreign)

    assert (foreign is requests.RequestException) == ("the request failed" in str(translation(error, "s")))


def test_translation_of_the_system() -> None:
    """
    The system's reason is shown, however deep it is.
    """
    deep = requests.ConnectionError(
        urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "Reset"))
    )

    assert "s: no connection (Reset)" == str(translation(deep, "s"))


def test_translation_of_a_certificate() -> None:
    """
    A certificate that is not trusted is found, however deep it is, and does not pass.
    """
    deep = requests.exceptions.SSLError(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError(1, "expired")))

    assert not translation(deep, "s").is_transient
    assert translation(requests.exceptions.SSLError("EOF"), "s").is_transient
