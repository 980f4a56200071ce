"""
Answers with a status other than 200: which errors they are, and what is said of them.
"""

from __future__ import annotations

import json

import pytest

from kf_provider.errors import (
    ForbiddenError,
    NotFoundError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
)
from kf_provider.keyfactor.client import Client

from ..loopback import ID, SAID, Loopback, Reply, Seen, client_for, failure


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
        f"workflow instance {ID} was not found on {server.url}/KeyfactorAPI; check the id, and that"
        " basic:KEYEXAMPLE\\jsmith may see it (404, 0xA0: gone)"
    )

    assert expected == str(failure(server, Reply({"ErrorCode": "0xA0", "Message": "gone"}, 404)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><title>404 - File not found</title></html>", "a page"),
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
        (b"<html><head><TITLE>\n401 - Unauthorized </TITLE></head>", "a page"),
        (b"line\r\none\x1b[31m two", "line one [31m two"),
        (b"\xff\xff", "��"),
        (b"x" * 100_000, "x" * 199 + "…"),
        (b"[" * 50_000, "[" * 199 + "…"),
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
