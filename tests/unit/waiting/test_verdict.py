"""
What an instance means for a gate.
"""

from __future__ import annotations

from typing import Any

import pytest

from kf_provider.errors import (
    ForbiddenError,
    InstanceIdError,
    KeyfactorError,
    NoAnswerError,
    NotFoundError,
    RestartError,
    SettingsError,
    UnauthorizedError,
    UnavailableError,
    UnusableAnswerError,
)
from kf_provider.keyfactor.models import Instance, Status
from kf_provider.waiting.verdict import Conditions, Outcome, failure, judge, progress, who_can_approve

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


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("Complete", "approved"),
        ("Running", "pending"),
        ("Suspended", "pending"),
        ("Rejected", "rejected"),
        ("Failed", "failed"),
        ("CanceledForRestart", "restarted"),
        (3, "unknown"),
        ("Sleeping", "unknown"),
        (None, "unknown"),
    ],
)
def test_outcome(status: str | int | None, outcome: str) -> None:
    """
    Each status has an outcome as data; nobody reads words out of the text.
    """
    assert Outcome(outcome) is judge(instance(Status=status)).outcome


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_meaning(status: Status) -> None:
    """
    None of Keyfactor's words is judged as one that nothing explains.
    """
    assert judge(instance(Status=status)).outcome is not Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RestartError("several"), "restarted"),
        (NotFoundError("404", status_code=404), "not_found"),
        (NoAnswerError("no answer", is_transient=True), "unreachable"),
        (UnusableAnswerError("a page"), "unreachable"),
        (UnavailableError("503", status_code=503), "unreachable"),
        (UnauthorizedError("401", status_code=401), "forbidden"),
        (ForbiddenError("403", status_code=403), "forbidden"),
        (SettingsError("no hostname"), "settings"),
        (InstanceIdError("no id"), "settings"),
    ],
)
def test_outcome_of_an_error(error: KeyfactorError, outcome: str) -> None:
    """
    So has each error, which the verdict carries.
    """
    verdict = failure(error)

    assert (Outcome(outcome), str(error), error) == (verdict.outcome, verdict.text, verdict.error)


def test_outcome_of_a_mismatch() -> None:
    """
    Complete, but not what is expected, is an outcome of its own.
    """
    verdict = judge(instance(Status="Complete", Title="this"), Conditions(expect={"title": "that"}))

    assert verdict.outcome is Outcome.MISMATCH
    assert f"workflow instance {ID} is Complete, but its title is not the expected one" in verdict.text


def test_pending_text() -> None:
    """
    The text of a pending instance names no command: what to do is said by who waits.
    """
    assert (
        f'workflow instance {ID} is not approved yet (Suspended at "Manager approval")'
        == judge(instance(Status="Suspended")).text
    )


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


def test_expectation_judged_when_complete() -> None:
    """
    A pending instance may still become what is expected.
    """

    assert judge(instance(Status="Suspended"), Conditions(expect={"title": "another"})).is_pending


ORDERS = "::error::x\n\x1b[31m##vso[y]<{%z%}>\u202e"


@pytest.mark.parametrize("status", ["Failed", "Rejected", "Suspended", ORDERS, "9" * 4000])
def test_words_of_others(status: str) -> None:
    """
    Messages, steps and statuses of the server enter a text as one line in which nobody finds an order.
    """
    seen = instance(Status=status, StatusMessage=ORDERS, CurrentStepDisplayName=ORDERS)
    verdict = judge(seen)

    for text in (verdict.text, verdict.standing, who_can_approve((ORDERS, ORDERS))):
        assert text.isprintable()
        assert not [order for order in ("::", "##", "<{%") if order in text]
        assert len(text) < 700
    assert ORDERS == seen.status_message  # in data it stays as it came
