"""
What an instance means for a gate.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from kf_provider.waiting.verdict import (
    Conditions,
    Outcome,
    expires_at,
    expiry,
    failure,
    judge,
    progress,
    who_can_approve,
)

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
            f"workflow instance {ID} has no status; ask the administrators of Keyfactor Command what happened to it",
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


NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
DAY = 86_400.0


@pytest.mark.parametrize(
    ("last_modified", "text"),
    [
        ("2026-10-28T12:00:00Z", None),
        ("2026-10-27T12:00:00Z", None),  # to the second
        (
            "2026-10-27T11:59:59Z",
            (
                "is Complete since 2026-10-27T11:59:59Z, 30 d ago, and may be no older than 30 d (max_age); "
                "start a new request and pass its id, or let find_workflow_instance take the newest one that is "
                "approved"
            ),
        ),
        ("2026-10-27T12:00:00", None),  # in UTC when it has no zone
        ("2026-11-26T14:00:00+02:00", None),
        ("2026-11-26T12:05:00Z", None),  # clocks differ
        ("2026-11-26T12:06:00Z", "is Complete since 2026-11-26T12:06:00Z, which is 6 min in the future"),
        (None, "is Complete, but without a date, and an approval may be no older than 30 d (max_age)"),
        ("yesterday", "is Complete, but without a date"),
        ("", "is Complete, but without a date"),
        ("9999-12-31T23:59:59-12:00", "is Complete, but without a date"),  # after the last day that there is
        ("0001-01-01T00:00:00+14:00", "is Complete, but without a date"),
    ],
)
def test_expiry(last_modified: str | None, text: str | None) -> None:
    """
    An approval is valid for its longest age, and an age that cannot be told is too old.
    """
    found = expiry(last_modified, 30 * DAY, now=NOW)

    assert text == found if text is None else found is not None and found.startswith(text)


@pytest.mark.parametrize("last_modified", [None, "1999-01-01T00:00:00Z", "9999-01-01T00:00:00Z"])
def test_expiry_without_a_limit(last_modified: str | None) -> None:
    """
    Without max_age an approval is valid for ever, whatever its date.
    """
    assert expiry(last_modified, None, now=NOW) is None


def test_expiry_by_this_machine() -> None:
    """
    Where the server told no time, this machine's clock counts.
    """
    now = datetime.now(UTC)

    assert expiry((now - timedelta(seconds=50)).isoformat(), 60.0) is None
    assert expiry((now - timedelta(seconds=70)).isoformat(), 60.0) is not None


@given(st.text() | st.datetimes().map(str), st.floats(min_value=1e-9, allow_nan=False, allow_infinity=False))
def test_expiry_of_anything(last_modified: str, max_age: float) -> None:
    """
    Whatever a state file holds as the date, and however long the limit is, there is an answer.
    """
    expiry(last_modified, max_age, now=NOW)
    expires_at(last_modified, max_age)


@pytest.mark.parametrize(
    ("last_modified", "max_age", "until"),
    [
        ("2026-11-26T12:00:00Z", 30 * DAY, "2026-12-26T12:00:00Z"),
        ("2026-11-26T12:00:00.5Z", 60.0, "2026-11-26T12:01:00.500000Z"),
        ("2026-11-26T12:00:00Z", None, None),
        (None, DAY, None),
        ("9999-12-31T00:00:00Z", 30 * DAY, None),
    ],
)
def test_expires_at(last_modified: str | None, max_age: float | None, until: str | None) -> None:
    """
    Until when an approval is valid is its date and the longest age.
    """
    assert until == expires_at(last_modified, max_age)


def test_outcome_of_an_old_approval() -> None:
    """
    Complete, but too long ago, is an outcome of its own: by the clock of the server that answered.
    """
    complete = {"Id": ID, "Status": "Complete", "LastModified": "2026-11-25T11:00:00Z"}
    seen = Instance.model_validate(complete, context={"answered_at": NOW})
    verdict = judge(seen, Conditions(max_age=DAY))

    assert verdict.outcome is Outcome.EXPIRED
    assert f"workflow instance {ID} is Complete since 2026-11-25T11:00:00Z, 1 d 1 h ago, and may be" in verdict.text
    assert judge(seen, Conditions(max_age=2 * DAY)).is_approved
    assert judge(seen).is_approved


def test_age_of_a_pending_instance() -> None:
    """
    A request may wait for its approval longer than the approval is valid.
    """
    seen = Instance.model_validate(
        {"Id": ID, "Status": "Suspended", "LastModified": "2020-01-01T00:00:00Z"}, context={"answered_at": NOW}
    )

    assert judge(seen, Conditions(max_age=DAY)).is_pending


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
