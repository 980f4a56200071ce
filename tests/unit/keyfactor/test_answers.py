"""
What is sent and what comes back, as plain values.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kf_provider.errors import UnusableAnswerError
from kf_provider.keyfactor.answers import DEEPEST, Answer, json_of, retry_after_seconds, text_of, whole_number
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
        ("Tue, 24 Nov 20261124112411241124 12:01:30 GMT", None),
        ("Tue, 24 Nov 2026 12:01:30 +99999999999999999999", None),
        ("9" * 20, 366 * 86_400.0),
        ("9" * 5000, 366 * 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 366 * 86_400.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """
    Both forms of RFC 9110 are read; what is neither is ignored.
    """

    assert seconds == retry_after_seconds(header, now=NOW)


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Tue, 24 Nov 2026 12:00:00 GMT", NOW),
        ("Tue, 24 Nov 2026 14:00:00 +0200", NOW),
        ("Tue, 24 Nov 2026 12:00:00 -0000", NOW),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("Tue, 24 Nov 2026 12:01:30 +99999999999999999999", None),
    ],
)
def test_date(header: str | None, date: datetime | None) -> None:
    """
    When the server has answered is what its `Date` says, if anything.
    """
    assert date == Answer(200, {} if header is None else {"Date": header}, b"").date


@given(st.text() | st.text(alphabet="0123456789:+-, GMTueNov", max_size=60))
def test_retry_after_anything(header: str) -> None:
    """
    Whatever the header says, it is a pause of at most a year or none.
    """
    seconds = retry_after_seconds(header, now=NOW)

    assert seconds is None or 0 <= seconds <= 366 * 86_400


@pytest.mark.parametrize(
    ("header", "number"),
    [("7", 7), (" 7 ", 7), ("-7", None), ("7.0", None), ("٣", None), ("", None), (None, None), ("9" * 5000, None)],
)
def test_whole_number(header: str | None, number: int | None) -> None:
    """
    A count in a header is read where it can be one.
    """
    assert number == whole_number(header)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_of(encoding: str) -> None:
    """
    A body is read in each encoding that JSON may have, with and without a byte order mark.
    """
    assert '{"Message": "für 東京"}' == text_of(Answer(403, {}, '{"Message": "für 東京"}\n'.encode(encoding)))


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("levels", [DEEPEST, DEEPEST + 1, 255, 256, 600, 991, 5000, 200_000])
def test_json_levels(opening: str, levels: int) -> None:
    """
    JSON is read to a depth that every part of this package can handle; deeper is an error that says so.
    """
    answer = Answer(200, {}, (opening * (levels - 1) + "[]" + ("]" if opening == "[" else "}") * (levels - 1)).encode())
    if levels <= DEEPEST:
        assert json_of(answer, "kf.example.com") is not None
        return
    with pytest.raises(
        UnusableAnswerError, match=r"^kf.example.com answered with JSON of more than 200 levels"
    ) as caught:
        json_of(answer, "kf.example.com")

    assert not caught.value.is_transient
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)


@pytest.mark.parametrize(
    ("body", "is_transient", "says"),
    [
        (b"", True, "an empty body"),
        (b" \r\n", True, "an empty body"),
        (b'{"Id": "', True, "cut off"),
        (b"[{}", True, "cut off"),
        (b"<!DOCTYPE html><title>Sign\nin</title>", False, "a page instead of JSON"),
        (b"<html></html>", False, "a page instead of JSON"),
        (b"\xef\xbb\xbf<html></html>", False, "a page instead of JSON"),
        (b"Welcome", False, "text instead of JSON"),
        (b'{"Id": NaN}', True, "broken"),
        (b"[" * 100_000, False, "JSON of more than 200 levels, which is not read"),
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


def read(text: str) -> Any:
    return json_of(Answer(200, {}, text.encode()), "kf.example.com")


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("0", 0),
        ("-7", -7),
        ("9007199254740992", 2**53),
        ("-9007199254740992", -(2**53)),
        ("0.1", 0.1),
        ("0.10", 0.1),
        ("0.10000000000000001", 0.1),
        ("1.0", 1.0),
        ("-0.0", -0.0),
        ("1E5", 100000.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
    ],
)
def test_number_that_a_float_holds(digits: str, expected: float) -> None:
    """
    A number that comes back as it was is a number: also in the 17 digits in which .NET may write a float.
    """
    found = read(f'{{"a": [{digits}]}}')

    assert {"a": [expected]} == found
    assert type(expected) is type(found["a"][0])


@pytest.mark.parametrize(
    "digits",
    [
        "9007199254740993",
        "-9007199254740993",
        "100000000000000000000",
        "9" * 401,
        "9" * 5000,
        "9007199254740993.0",
        "12345678901234567890.5",
        "0.1234567890123456789",
        "1e999",
        "-1e999",
        "1e-999",
        "1e99999999999999999999",
        "1.7976931348623159e308",
    ],
    ids=lambda digits: digits[:24],
)
def test_number_that_no_float_holds(digits: str) -> None:
    """
    A number that would come back as another one, or not at all, is text, as the server wrote it.
    """
    assert {"a": [digits]} == read(f'{{"a": [{digits}]}}')


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives_the_wire(number: float) -> None:
    """
    Whatever number comes, as a number or as text, the engine's wire gives back what was read.
    """
    found = read(json.dumps(number))

    assert found == number or found == str(number)
    assert isinstance(found, str) or float(found) == found
