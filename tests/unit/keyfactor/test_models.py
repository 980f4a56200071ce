"""
What the server sends, and what is made of it.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kf_provider.errors import InstanceIdError
from kf_provider.keyfactor.models import (
    Instance,
    InstanceDefinition,
    InstanceSignal,
    InstanceSummary,
    Status,
    StatusWord,
    parse_instance_id,
    state_digest,
)

from ..loopback import ID, OTHER_ID

WHOLE = {
    "Id": ID,
    "Status": "Suspended",
    "CurrentStepId": OTHER_ID,
    "StatusMessage": "Awaiting 1 more approval(s).",
    "Signals": [{"SignalName": "ApprovalStatus", "StepSignalId": OTHER_ID, "SignalReceived": True}],
    "Definition": {"Id": OTHER_ID, "DisplayName": "Web", "Version": 3, "WorkflowType": "Enrollment"},
    "CurrentStepDisplayName": "Manager approval",
    "CurrentStepUniqueName": "RequireApproval1",
    "Title": "KEYEXAMPLE\\jsmith is enrolling for a certificate with CN=web.example.com.",
    "LastModified": "2026-01-31T12:00:01.1234567Z",
    "StartDate": "2026-01-31T12:00:00",
    "InitialData": {"Template": "Web"},
    "CurrentStateData": {"Template": "Web", "Nested": {"List": [1, None]}},
    "ReferenceId": 42,
}


def read(**fields: Any) -> Instance:
    return Instance.model_validate({"Id": ID, **fields})


def test_instance() -> None:
    """
    Every field of table 659 has its snake_case name and its type.
    """
    expected = Instance(
        instance_id=ID,
        status="Suspended",
        status_message="Awaiting 1 more approval(s).",
        current_step_id=OTHER_ID,
        current_step_display_name="Manager approval",
        current_step_unique_name="RequireApproval1",
        title="KEYEXAMPLE\\jsmith is enrolling for a certificate with CN=web.example.com.",
        reference_id=42,
        start_date="2026-01-31T12:00:00Z",
        last_modified="2026-01-31T12:00:01.123456Z",
        definition=InstanceDefinition(id=OTHER_ID, display_name="Web", version=3, workflow_type="Enrollment"),
        signals=(InstanceSignal(signal_name="ApprovalStatus", step_signal_id=OTHER_ID, signal_received=True),),
        initial_data={"Template": "Web"},
        current_state_data={"Template": "Web", "Nested": {"List": [1, None]}},
    )

    assert expected == Instance.model_validate(WHOLE)


@pytest.mark.parametrize(
    "spelled",
    [
        lambda name: name[:1].lower() + name[1:],  # the specification of Command 11
        str.upper,
        str.lower,
        lambda name: name.replace("Id", "ID"),  # the documentation of 10.x
        lambda name: "".join(f" {sign}" if sign.isupper() else sign for sign in name).strip(),  # that of 12.5
    ],
)
def test_names_in_any_spelling(spelled: Any) -> None:
    """
    Names are matched without regard to case and spaces, inside signals and the definition as well.
    """

    def respelled(value: Any, *, is_data: bool = False) -> Any:
        if isinstance(value, dict) and not is_data:
            return {spelled(name): respelled(part, is_data=name.endswith("Data")) for name, part in value.items()}
        return [respelled(part) for part in value] if isinstance(value, list) and not is_data else value

    assert Instance.model_validate(WHOLE) == Instance.model_validate(respelled(WHOLE))


def test_documented_spelling_wins() -> None:
    """
    When a name comes in two spellings, the documented one counts, whatever the order.
    """
    assert "Running" == read(status="Complete", Status="Running").status
    assert "Running" == read(Status="Running", status="Complete").status


def test_everything_but_the_id_is_optional() -> None:
    """
    An instance with nothing but an id is read: maps and lists are empty, the rest is None.
    """
    assert Instance(instance_id=ID) == read()
    assert (None, (), {}, InstanceDefinition()) == (
        read().status,
        read().signals,
        read().initial_data,
        read().definition,
    )


def test_null_is_absent() -> None:
    """
    A field that is null reads as one that is missing.
    """
    nulls = {name: None for name in WHOLE if name != "Id"}

    assert read() == read(**nulls)


def test_null_inside() -> None:
    """
    Signals and definitions have nulls, too, and a null among the signals is none.
    """
    instance = read(Signals=[None, {"SignalName": None, "SignalReceived": None}], Definition={"Version": None})

    assert ((InstanceSignal(),), InstanceDefinition()) == (instance.signals, instance.definition)


def test_unknown_fields() -> None:
    """
    Fields that a newer server adds are ignored.
    """
    assert read() == read(Brand="new", Definition={"Brand": "new"})


@pytest.mark.parametrize("answer", [{}, {"Id": None}, {"Id": "42"}, {"Id": ""}, [], "text", None])
def test_no_id(answer: object) -> None:
    """
    An answer without the id of an instance is none.
    """
    with pytest.raises(ValidationError):
        Instance.model_validate(answer)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("Complete", "Complete"),
        ("complete", "Complete"),
        ("CANCELEDFORRESTART", "CanceledForRestart"),
        (" Suspended ", "Suspended"),
        ("Paused", "Paused"),
        ("3", "3"),
        (3, "3"),
        (0, "0"),
        (3.0, "3"),
        ("", None),
        (None, None),
    ],
)
def test_status(sent: object, expected: object) -> None:
    """
    A word gets Keyfactor's spelling, an unknown word stays, and a number that nothing names is a number in text.
    """
    status = read(Status=sent).status

    assert (expected, type(expected)) == (status, type(status))


def test_status_true() -> None:
    """
    A truth value is not the number 1.
    """
    with pytest.raises(ValidationError):
        read(Status=True)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00.1234567", "2026-01-31T12:00:00.123456Z"),
        ("2026-01-31T12:00:00.1Z", "2026-01-31T12:00:00.100000Z"),
        ("2026-01-31T14:30:00.1234567+02:30", "2026-01-31T12:00:00.123456Z"),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("soon", None),
        (None, None),
        (1769860800, None),
    ],
)
def test_time(sent: object, expected: str | None) -> None:
    """
    Up to seven digits and no zone are read, in UTC; .NET's "not set" and what is no time do not spoil the rest.
    """
    assert (expected, expected) == (read(StartDate=sent).start_date, read(LastModified=sent).last_modified)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("{38400000-8CF0-11BD-B23E-10B96E4EF00D}", OTHER_ID),
        ("00000000-0000-0000-0000-000000000000", None),
        ("", None),
        ("step-7", "step-7"),
    ],
)
def test_step_id(sent: str, expected: str | None) -> None:
    """
    Ids are in lower case without braces; that of nothing is None; an odd one, never sent anywhere, stays.
    """
    assert expected == read(CurrentStepID=sent).current_step_id


@pytest.mark.parametrize(
    ("sent", "expected"),
    [({"SignalName": "A"}, (InstanceSignal(signal_name="A"),)), ({}, ()), ([], ()), ([{}], (InstanceSignal(),))],
)
def test_signals_as_object(sent: object, expected: tuple[InstanceSignal, ...]) -> None:
    """
    A single signal may come without its array (documentation of 10.3).
    """
    assert expected == read(Signals=sent).signals


def test_shapes_of_the_old_documentation() -> None:
    """
    The definition may come in an array and a map as an array of pairs (documentation of 10.3).
    """
    instance = read(Definition=[{"Version": 3}], InitialData=[{"Key": "A", "Value": 1}], CurrentStateData=[])

    assert (InstanceDefinition(version=3), {"A": 1}, {}) == (
        instance.definition,
        instance.initial_data,
        instance.current_state_data,
    )


def test_data_that_is_no_map() -> None:
    """
    Data in an unknown form is refused, not lost.
    """
    with pytest.raises(ValidationError, match="current_state_data"):
        read(CurrentStateData=["canary-5be1"])


def test_data_does_not_show() -> None:
    """
    Neither `repr` nor a complaint shows what is in the maps.
    """
    instance = read(InitialData={"Key": "canary-5be1"}, CurrentStateData={"Key": "canary-5be1"})
    with pytest.raises(ValidationError) as caught:
        read(CurrentStateData="canary-5be1")

    assert "canary-5be1" not in f"{instance!r} {instance} {caught.value} {caught.value!r}"


def test_outputs() -> None:
    """
    The outputs are plain JSON values under snake_case names; times are in UTC with a Z.
    """
    expected = {
        "instance_id": ID,
        "status": "Suspended",
        "status_message": "Awaiting 1 more approval(s).",
        "current_step_id": OTHER_ID,
        "current_step_display_name": "Manager approval",
        "current_step_unique_name": "RequireApproval1",
        "title": "KEYEXAMPLE\\jsmith is enrolling for a certificate with CN=web.example.com.",
        "reference_id": 42,
        "start_date": "2026-01-31T12:00:00Z",
        "last_modified": "2026-01-31T12:00:01.123456Z",
        "definition": {"id": OTHER_ID, "display_name": "Web", "version": 3, "workflow_type": "Enrollment"},
        "signals": [{"signal_name": "ApprovalStatus", "step_signal_id": OTHER_ID, "signal_received": True}],
        "initial_data": {"Template": "Web"},
        "current_state_data": {"Template": "Web", "Nested": {"List": [1, None]}},
    }
    outputs = Instance.model_validate(WHOLE).outputs()

    assert expected == outputs == json.loads(json.dumps(outputs))


def test_status_number_named() -> None:
    """
    With names in the context, a number is the word that they give, in Keyfactor's spelling.
    """
    names = {"status_names": {1: "suspended"}}

    assert "Suspended" == Instance.model_validate({"Id": ID, "Status": 1}, context=names).status
    assert "2" == Instance.model_validate({"Id": ID, "Status": 2}, context=names).status


def test_summary_outputs() -> None:
    """
    A row of the list has no signals and no data, even if the server sends some.
    """
    outputs = InstanceSummary.model_validate(WHOLE).outputs()

    assert {"signals", "initial_data", "current_state_data"} == Instance.model_fields.keys() - outputs.keys()


@pytest.mark.parametrize(
    "spelling",
    [
        ID,
        ID.upper(),
        f"{{{ID}}}",
        f"  {ID}\n",
        ID.replace("-", ""),
        f"{{{ID.replace('-', '').upper()}}}",
        uuid.UUID(ID),
    ],
)
def test_parse_instance_id(spelling: object) -> None:
    """
    Braces, capitals, spaces and missing dashes are normalised away.
    """
    assert ID == parse_instance_id(spelling)


@given(st.uuids())
def test_parse_any_uuid(value: uuid.UUID) -> None:
    """
    Every UUID but the empty one is an id, also when its digits are all decimal.
    """
    assert value.int == 0 or str(value) == parse_instance_id(value) == parse_instance_id(value.hex)


def test_parse_decimal_guid() -> None:
    """
    32 decimal digits are a GUID, not a number.
    """
    assert "12345678-1234-1234-1234-123456789012" == parse_instance_id("12345678123412341234123456789012")


@pytest.mark.parametrize("value", [42, "42", " 42 ", 42.0])
def test_parse_reference_id(value: object) -> None:
    """
    A whole number is a reference id, and the message says what to do with it.
    """
    with pytest.raises(InstanceIdError) as caught:
        parse_instance_id(value)

    assert (
        "42 is a reference id: look it up with get_workflow_instance(reference_id=42), and pass its instance_id"
        == str(caught.value)
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        "web-cert",
        f"../Instances/{ID}",
        f"{ID}/Stop",
        f"{ID}?x=1",
        f"{{{ID}",
        f"{ID}}}",
        f"{ID}\x00",
        ID.replace("0", "０"),  # noqa: RUF001 - a digit of another alphabet is the case
        ID[:-1],
        "00000000-0000-0000-0000-000000000000",
        True,
        4.2,
        b"0c8f2a54",
        float("nan"),
        float("inf"),
        [ID],
    ],
)
def test_parse_nonsense(value: object) -> None:
    """
    Anything else is refused, in one line that says what an id looks like and where to find it.
    """
    with pytest.raises(InstanceIdError, match=r"an id looks like .* WorkflowInstanceId") as caught:
        parse_instance_id(value)

    assert str(caught.value).isprintable()


@given(st.text())
def test_parse_any_text(text: str) -> None:
    """
    What gets through is a canonical GUID, whatever was passed; nothing else than InstanceIdError comes back.
    """
    try:
        parsed = parse_instance_id(text)
    except InstanceIdError:
        return
    assert str(uuid.UUID(parsed)) == parsed


def test_state_digest() -> None:
    """
    The digest is SHA-256 over sorted keys without whitespace, in UTF-8.
    """
    expected = "6bafd57c7869b3aca54e576a5157b40cc195c8486124cab93d52f1b59556838e"  # sha256sum of {"a":null,"b":[1,"ü"]}

    assert expected == state_digest({"b": [1, "ü"], "a": None})


def test_state_digest_differs() -> None:
    """
    Another value, type or key is another digest.
    """
    digests = {state_digest(data) for data in ({}, {"a": 1}, {"a": "1"}, {"A": 1}, {"a": None}, {"a": True})}

    assert 6 == len(digests)


def test_status_words() -> None:
    """
    The words that a type checker knows are those of `Status`.
    """
    assert get_args(StatusWord) == tuple(Status)
