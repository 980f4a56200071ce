"""
What comes back, as plain values.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from kf_provider.errors import UnusableAnswerError
from kf_provider.keyfactor.answers import retry_after_seconds
from kf_provider.keyfactor.client import Client

from ..loopback import ID, INSTANCE, Loopback, Reply, failure

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Tue, 24 Nov 2026 12:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 12:01:30 -0000", 90.0),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """
    Both forms of RFC 9110 are read; what is neither is ignored.
    """

    assert seconds == retry_after_seconds(header, now=NOW)


# What the body of an answer holds, seen through a client.


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
    ],
)
def test_no_json(server: Loopback, body: bytes, is_transient: bool, says: str) -> None:
    """
    A 200 that is not JSON is an error that says what it is instead.
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
