"""
What an instance means for whoever waits for it: an outcome as data, and the words for it.

The gate in the program and the provider that verifies it judge by this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from ..durations import spoken
from ..errors import (
    ForbiddenError,
    InstanceIdError,
    KeyfactorError,
    NotFoundError,
    RestartError,
    SettingsError,
    UnauthorizedError,
)
from ..keyfactor.matching import unmet_expectation
from ..keyfactor.models import Instance, InstanceSignal, InstanceSummary, Status, moment, utc_text
from ..words import LONGEST, safe_line

_LONGEST_STEP: Final = 40  # characters of its name in a row
_LONGEST_ROLE: Final = 30  # the same
_AHEAD: Final = timedelta(minutes=5)  # clocks differ; what is dated further in the future has a wrong date


class Outcome(StrEnum):
    """
    How a wait stands, or how it ended.
    """

    APPROVED = "approved"  # Complete, and what is expected of it is met
    PENDING = "pending"  # Running or Suspended
    REJECTED = "rejected"
    FAILED = "failed"
    RESTARTED = "restarted"  # CanceledForRestart, and no one successor to go on with
    MISMATCH = "mismatch"  # Complete, but not what is expected
    EXPIRED = "expired"  # Complete, but longer ago than max_age
    UNKNOWN = "unknown"  # a status that nothing explains
    NOT_FOUND = "not_found"
    UNREACHABLE = "unreachable"  # no answer, or no usable one, for too long
    FORBIDDEN = "forbidden"
    SETTINGS = "settings"  # nothing was sent


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """
    What makes an instance the approval that is wanted: handed on whole by the gate and its record, and judged here.

    `expect` maps dotted paths to the values that a Complete instance must have. `follow_restarts` lets the one
    successor of an instance that was restarted take its place. `max_age` is how many seconds ago it may be Complete.
    """

    expect: Mapping[str, object] = field(default_factory=dict)
    follow_restarts: bool = False
    max_age: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """
    What is known of an approval.

    `text` stands alone, says what to do next where nobody else knows better (what to do about a pending one depends on
    who waits), and holds no secret: it is shown, and appears in the engine's logs.
    `instance` may be a list's row where that was enough, and is missing where nothing was ever seen.
    `lineage` has the ids from the instance that was asked for to the one that is judged; more than one after restarts.
    """

    outcome: Outcome
    text: str
    instance: InstanceSummary | None = None
    error: KeyfactorError | None = None
    lineage: tuple[str, ...] = ()

    @property
    def is_approved(self) -> bool:
        return self.outcome is Outcome.APPROVED

    @property
    def is_pending(self) -> bool:
        return self.outcome is Outcome.PENDING

    @property
    def problem(self) -> str | None:
        """
        The text, when the instance is neither approved nor pending.
        """
        return None if self.is_approved or self.is_pending else self.text

    @property
    def standing(self) -> str:
        """
        Where the instance stands, in a few words.
        """
        return _standing(self.instance)


ANY: Final = Conditions()  # whatever is Complete


def judge(instance: InstanceSummary, conditions: Conditions = ANY) -> Verdict:
    """
    What the instance means under these conditions; what is expected needs the instance whole.

    Complete opens, Running and Suspended wait; every other status is a problem. No source maps the status numbers, so
    none is guessed.

    Source: Keyfactor Command Web API reference 10.3, GET Workflow Instances Instance ID, table 659.
    """
    if instance.status in (Status.RUNNING, Status.SUSPENDED):
        return pending(instance.instance_id, instance)
    where = f' at "{at}"' if (at := step(instance)) else ""
    why = f": {message}" if (message := safe_line(instance.status_message or "")) else ""
    match instance.status:
        case Status.COMPLETE:
            if unmet := unmet_expectation(instance, conditions.expect):
                return _verdict(Outcome.MISMATCH, instance, f"is Complete, but {unmet}")
            if expired := expiry(instance.last_modified, conditions.max_age, now=instance.answered_at):
                return _verdict(Outcome.EXPIRED, instance, expired)
            return _verdict(Outcome.APPROVED, instance, "is Complete")
        case Status.REJECTED:
            return _verdict(
                Outcome.REJECTED,
                instance,
                f"{_rejection(instance)}{where}{why}; start a new request and pass its id",
            )
        case Status.FAILED:
            return _verdict(
                Outcome.FAILED,
                instance,
                f"is Failed{where}{why}; restart it in Keyfactor, or start a new request, and pass the new id",
            )
        case Status.CANCELED_FOR_RESTART:
            return _verdict(
                Outcome.RESTARTED,
                instance,
                "was restarted in Keyfactor, and a restart gets a new id; pass that id, or set follow_restarts=True",
            )
        case str(number) if number.lstrip("-").isdecimal():
            return _verdict(
                Outcome.UNKNOWN,
                instance,
                f"has the status number {safe_line(number, longest=20)}, and no source says what it means; name it in "
                f'keyfactor:statusNames or KEYFACTOR_STATUS_NAMES, for example {{"{safe_line(number, longest=20)}": '
                '"Complete"}',
            )
        case None:
            return _verdict(
                Outcome.UNKNOWN,
                instance,
                "has no status; ask the administrators of Keyfactor Command what happened to it",
            )
        case word:
            return _verdict(
                Outcome.UNKNOWN,
                instance,
                f"has the status {safe_line(word, longest=60)!r}, which is none of Keyfactor's; "
                "look at the instance in Keyfactor Command",
            )


def expiry(last_modified: str | None, max_age: float | None, *, now: datetime | None = None) -> str | None:
    """
    Why an approval of this date, in ISO 8601, is no longer valid after `max_age` seconds; None while it is.

    `now` is the server's, else this machine's clock. An approval without a usable date is not valid, nor is one that is
    dated more than five minutes ahead: its age is not known. The text goes on from "workflow instance ID".
    """
    if max_age is None:
        return None
    now = datetime.now(UTC) if now is None else now
    approved, limit = recorded_moment(last_modified), spoken(max_age)
    if approved is None:
        return f"is Complete, but without a date, and an approval may be no older than {limit} (max_age); {_GO_ON}"
    age = now - approved
    if age < -_AHEAD:
        return (
            f"is Complete since {utc_text(approved)}, which is {spoken(-age.total_seconds())} in the future, and an"
            f" approval may be no older than {limit} (max_age); compare the clocks, or {_GO_ON}"
        )
    if age.total_seconds() <= max_age:
        return None
    return (
        f"is Complete since {utc_text(approved)}, {spoken(age.total_seconds())} ago, and may be no older than {limit}"
        f" (max_age); {_GO_ON}"
    )


_GO_ON: Final = (
    "start a new request and pass its id, or let find_workflow_instance take the newest one that is approved"
)


def expires_at(last_modified: str | None, max_age: float | None) -> str | None:
    """
    Until when an approval of this date is valid, in ISO 8601; None without a limit or a date.
    """
    approved = recorded_moment(last_modified)
    if approved is None or max_age is None:
        return None
    try:
        return utc_text(approved + timedelta(seconds=max_age))
    except OverflowError:  # thousands of years
        return None


def recorded_moment(date: object) -> datetime | None:
    """
    A date of a state file, which may hold anything; None where it is no time that can be compared.
    """
    try:
        when = moment(date) if isinstance(date, str) else None
        return when and when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):  # the last: its zone puts it before the first day, or behind the last
        return None


def pending(instance_id: str, instance: InstanceSummary | None) -> Verdict:
    """
    Not approved yet; what to do about it is added by who waits.
    """
    text = f"workflow instance {instance_id} is not approved yet ({_standing(instance)})"
    return Verdict(outcome=Outcome.PENDING, text=text, instance=instance)


def failure(error: KeyfactorError, instance: InstanceSummary | None = None, *, hint: str = "") -> Verdict:
    """
    What an error means that will not pass, or has lasted too long; `instance` is what was known before it.
    """
    match error:
        case RestartError():
            outcome = Outcome.RESTARTED
        case NotFoundError():
            outcome = Outcome.NOT_FOUND
        case UnauthorizedError() | ForbiddenError():
            outcome = Outcome.FORBIDDEN
        case SettingsError() | InstanceIdError():
            outcome = Outcome.SETTINGS
        case _:
            outcome = Outcome.UNREACHABLE
    return Verdict(outcome=outcome, text=f"{error}{hint}", instance=instance, error=error)


def waits_for_people(instance: InstanceSummary) -> bool:
    """
    Whether it is suspended at a step that still lacks a signal.
    """
    return instance.status == Status.SUSPENDED and any(not signal.signal_received for signal in _signals(instance))


def progress(instance: InstanceSummary) -> str:
    """
    Where a pending instance stands, in one short line: `Suspended at "Manager approval", 1 of 2 signals`.
    """
    at = step(instance, longest=_LONGEST_STEP)
    status = safe_line(str(instance.status), longest=_LONGEST_STEP)
    text = f'{status} at "{at}"' if at else status
    received, wanted = signals(instance)
    if not wanted:
        return text
    if received == wanted and instance.status == Status.SUSPENDED:
        return f"{text}, all signals received: {_KEYFACTOR_GOES_ON}"
    return f"{text}, {received} of {wanted} signals"


def row(instance: InstanceSummary) -> str:
    """
    The same for the row of a terminal, of which 40 characters may show: `1 of 2 signals: Manager approval`.
    """
    at = step(instance, longest=_LONGEST_STEP)
    received, wanted = signals(instance)
    if not wanted:
        return progress(instance)
    if received == wanted and instance.status == Status.SUSPENDED:
        return f"all signals received: {_KEYFACTOR_GOES_ON}"
    return f"{received} of {wanted} signals{f': {at}' if at else ''}"


# Two signals at the same moment can conflict: both are stored, and a daily job goes on (H:v12.2).
_KEYFACTOR_GOES_ON: Final = "Keyfactor moves it on, by its daily job at the latest"


def _standing(instance: InstanceSummary | None) -> str:
    return "not there yet" if instance is None else progress(instance)


def who_can_approve(roles: tuple[str, ...]) -> str:
    """
    Who can approve, in a few words: the row of a terminal is one line.
    """
    named = [safe_line(role, longest=_LONGEST_ROLE) for role in roles[:2]]
    more = [f"{len(roles) - 2} more"] if len(roles) > 2 else []
    return f"{' or '.join(named + more)} can approve"


def _rejection(instance: InstanceSummary) -> str:
    # Both a denial and a stop leave Rejected. A denial is a signal that was received; the message is free text.
    known = _signals(instance)
    if not known:
        return "is Rejected"
    if any(signal.signal_received for signal in known):
        return "is Rejected by an approver"
    return "is Rejected, stopped before anyone answered,"


def signals(instance: InstanceSummary) -> tuple[int, int]:
    """
    How many signals its step has received, and how many it wants; none are known of a list's row.
    """
    return sum(signal.signal_received for signal in _signals(instance)), len(_signals(instance))


def _signals(instance: InstanceSummary) -> tuple[InstanceSignal, ...]:
    return instance.signals if isinstance(instance, Instance) else ()


def step(instance: InstanceSummary, *, longest: int = LONGEST) -> str:
    """
    The name of the step at which it is, for people; empty where there is none.
    """
    return safe_line(instance.current_step_display_name or instance.current_step_unique_name or "", longest=longest)


def _verdict(outcome: Outcome, instance: InstanceSummary, text: str) -> Verdict:
    return Verdict(outcome=outcome, text=f"workflow instance {instance.instance_id} {text}", instance=instance)
