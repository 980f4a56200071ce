"""
What an instance means for a gate.
"""

from __future__ import annotations

from typing import Any

import pytest

from kf_provider.models import Instance
from kf_provider.verdict import judge, progress, unmet_expectation

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"


def instance(**fields: Any) -> Instance:
    return Instance.model_validate({"Id": ID, "CurrentStepDisplayName": "Manager approval", **fields})


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (
            "Rejected",
            (
                f'workflow instance {ID} is Rejected at "Manager approval": CA is down; '
                "start a new request and pass its id"
            ),
        ),
        (
            "Failed",
            (
                f'workflow instance {ID} is Failed at "Manager approval": CA is down; '
                "restart it in Keyfactor, or start a new request, and pass the new id"
            ),
        ),
        (
            "CanceledForRestart",
            (
                f"workflow instance {ID} was restarted in Keyfactor, and a restart gets a new id; "
                "pass that id, or set follow_restarts=True"
            ),
        ),
        (
            3,
            (
                f"workflow instance {ID} has the status number 3, and no source says what it means; "
                'name it in keyfactor:statusNames or KEYFACTOR_STATUS_NAMES, for example {"3": "Complete"}'
            ),
        ),
        (
            "Sleeping",
            (
                f"workflow instance {ID} has the status 'Sleeping', which is none of Keyfactor's; "
                "look at the instance in Keyfactor Command"
            ),
        ),
        (
            None,
            f"workflow instance {ID} has no status; ask the administrators of Keyfactor Command what became of it",
        ),
    ],
)
def test_problem(status: str | int | None, problem: str) -> None:
    """
    Every status that is neither approved nor pending has a text that stands alone and says what to do.
    """

    assert problem == judge(instance(Status=status, StatusMessage="CA is down")).problem


@pytest.mark.parametrize(
    ("received", "text"),
    [
        ([True, False], 'is Rejected by an approver at "Manager approval"'),
        ([False, False], 'is Rejected, stopped before anyone answered, at "Manager approval"'),
    ],
)
def test_denied_or_stopped(received: list[bool], text: str) -> None:
    """
    A denial is told from a stop by the signals: the message is free text and is not read.
    """
    signals = [{"SignalReceived": is_in} for is_in in received]

    assert text in (judge(instance(Status="Rejected", Signals=signals)).problem or "")


@pytest.mark.parametrize("status", ["Running", "Suspended", "suspended"])
def test_pending(status: str) -> None:
    """
    A running and a suspended instance are waited for.
    """

    assert judge(instance(Status=status)).is_pending


def test_approved() -> None:
    """
    Only Complete opens.
    """

    assert judge(instance(Status="Complete")).is_approved


@pytest.mark.parametrize(("name", "is_approved"), [("Complete", True), ("complete", True), ("Running", False)])
def test_status_number_named(name: str, is_approved: bool) -> None:
    """
    A number means what the settings say, and nothing else.
    """

    verdict = judge(instance(Status=2), status_names={2: name})

    assert (is_approved, None) == (verdict.is_approved, verdict.problem)


def test_failure_message_is_cut() -> None:
    """
    A long status message does not flood the line.
    """

    problem = judge(instance(Status="Failed", StatusMessage="x" * 5000)).problem

    assert problem is not None
    assert len(problem) < 400


@pytest.mark.parametrize(
    ("signals", "text"),
    [
        ([], 'Suspended at "Manager approval"'),
        ([False, True], 'Suspended at "Manager approval", 1 of 2 signals'),
        (
            [True, True],
            (
                'Suspended at "Manager approval", all signals received: '
                "Keyfactor moves it on, by its daily job at the latest"
            ),
        ),
    ],
)
def test_progress(signals: list[bool], text: str) -> None:
    """
    The row says where the instance stands, and names the lock stall.
    """

    received = [{"SignalName": "ApprovalStatus", "SignalReceived": is_in} for is_in in signals]

    assert text == progress(instance(Status="Suspended", Signals=received))


def test_progress_of_a_number() -> None:
    """
    A status number is told by its name, and the lock stall is seen with it.
    """
    stalled = instance(Status=1, Signals=[{"SignalReceived": True}])

    assert progress(stalled, {1: "Suspended"}).startswith('Suspended at "Manager approval", all signals received')


COMPLETE = instance(
    Status="Complete",
    Title="KEYEXAMPLE\\jsmith is enrolling",
    ReferenceId=42,
    Definition={"DisplayName": "Web TLS", "Version": 3},
    CurrentStateData={
        "Subject": "CN=web.example.com",
        "IncludeChain": True,
        "SANs": {"dns": ["web.example.com", "www.example.com"]},
        "a.dotted.key": {"inner": None},
        "RevokeCode": 0,
    },
)


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {"title": "KEYEXAMPLE\\jsmith is enrolling"},
        {"reference_id": 42},
        {"reference_id": 42.0},
        {"definition.display_name": "Web TLS", "definition.version": 3.0},
        {"current_state_data.Subject": "CN=web.example.com"},
        {"current_state_data.SANs.dns.1": "www.example.com"},
        {"current_state_data.SANs.dns": ["web.example.com", "www.example.com"]},
        {"current_state_data.SANs": {"dns": ["web.example.com", "www.example.com"]}},
        {"current_state_data.IncludeChain": True},
    ],
)
def test_expectation_met(expect: dict[str, object]) -> None:
    """
    Paths reach into the instance, and numbers are compared by value: the engine's wire makes each a float.
    """

    assert unmet_expectation(COMPLETE, expect) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("title", "keyexample\\jsmith is enrolling"),
        ("reference_id", "42"),
        ("current_state_data.RevokeCode", False),
        ("current_state_data.IncludeChain", 1),
        ("current_state_data.IncludeChain", "True"),
        ("current_state_data.SANs.dns", ["www.example.com", "web.example.com"]),
        ("current_state_data.Subject", "CN=other.example.com"),
    ],
)
def test_expectation_unmet(path: str, expected: object) -> None:
    """
    Case, type and order count; the text names the path and no value.
    """

    text = unmet_expectation(COMPLETE, {path: expected})

    assert text == f"is Complete, but its {path} is not the expected one; this approval was given for something else"


@pytest.mark.parametrize(
    "path",
    ["current_state_data.Nothing", "title.more", "current_state_data.SANs.dns.7", "current_state_data.SANs.dns.x"],
)
def test_expectation_of_a_missing_value(path: str) -> None:
    """
    A path that leads nowhere is not met.
    """

    text = unmet_expectation(COMPLETE, {path: "x"})

    assert text == f"is Complete, but has no {path}; the approval was given for something else, or the path is wrong"


def test_expectation_of_none() -> None:
    """
    An expected value that turned out to be None is refused, even where the instance has none: the wire drops it.
    """

    text = unmet_expectation(COMPLETE, {"current_state_data.a.dotted.key.inner": None})

    assert text is not None
    assert "expect a value" in text


def test_expectation_judged_when_complete() -> None:
    """
    A pending instance may still become what is expected.
    """

    assert judge(instance(Status="Suspended"), expect={"title": "another"}).is_pending
