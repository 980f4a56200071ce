"""
What one wait has seen so far, and what that means for it.

It knows neither the clock nor the server: who polls tells it what came back, and when.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ..durations import spoken
from ..errors import (
    ForbiddenError,
    KeyfactorError,
    NoAnswerError,
    NotFoundError,
    RequestError,
    StatusError,
    UnauthorizedError,
    unforeseen,
)
from ..keyfactor.models import InstanceSummary, Status, moment
from ..words import safe_line
from .login import REFUSAL_SECONDS
from .progress import Progress
from .schedule import TICK_SECONDS, Schedule, heartbeat_interval
from .verdict import ANY, Conditions, Verdict, failure, judge, pending, row, signals, step, who_can_approve

FIRST_ANSWER_SECONDS: Final = 30.0  # a stack of recorded approvals must not hang on a dead server
NOT_FOUND_GRACE_SECONDS: Final = 60.0
SHORTEST_REQUEST_TIMEOUT: Final = 10.0

_log = logging.getLogger(__name__)

Told = TypeVar("Told")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """
    What is waited for, and how patiently; times are in seconds.
    """

    timeout: float
    conditions: Conditions = ANY
    may_be_new: bool = False
    request_timeout: float
    outage_seconds: float
    first_answer_seconds: float = FIRST_ANSWER_SECONDS


class Wait:
    """
    One wait for one instance, and for what goes on in its place. Times are those of one monotonic clock, in seconds.
    """

    def __init__(
        self,
        instance_id: str,
        terms: Terms,
        *,
        begun: float,
        report: Callable[[str], None] | None,
        first_seen: Callable[[InstanceSummary], None] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.instance_id = instance_id
        self.lineage: tuple[str, ...] = (instance_id,)
        self.terms = terms
        self.begun = begun
        self.deadline = begun + terms.timeout
        self.latest: InstanceSummary | None = None
        self._newest: InstanceSummary | None = None  # by its date: a late node shows an earlier one again
        self._changed = begun  # when that was first seen
        self._was_seen = False  # the instance, or the one that it goes on from
        self._listener = report
        self._first_seen = first_seen
        self._follower = progress
        self._reported: str | None = None
        self._silent_since = begun
        self._failing_since: dict[str, float] = {}
        self._reason: str | None = None  # of the last failure
        self._trouble: str | None = None
        self._retry_after: float | None = None
        self._patience_ends = self.deadline  # with the failure that lasts now
        self._is_locked_out = False

    def first_answer_due(self) -> float:
        """
        When a server that has answered nothing at all is taken for dead.
        """
        within = self.terms.first_answer_seconds
        return min(self.begun + within, max(self.deadline, self.begun + SHORTEST_REQUEST_TIMEOUT))

    def silence_left(self, now: float) -> float:
        """
        How long a server that has answered nothing at all is still given.
        """
        return max(self.first_answer_due() - now, TICK_SECONDS)

    def request_timeout(self, now: float, *, has_answered: bool) -> float:
        """
        How long a request may take that is sent now.
        """
        timeout = min(self.terms.request_timeout, max(self.deadline - now, SHORTEST_REQUEST_TIMEOUT))
        return timeout if has_answered else min(timeout, self.silence_left(now), SHORTEST_REQUEST_TIMEOUT)

    def answered(self, instance: InstanceSummary, now: float) -> Verdict:
        """
        What an answer means. It is believed by its status, whatever its date: clocks are set back, and an older state
        can only be a pending one, which costs a poll.
        """
        self._was_seen = True
        self._failing_since.clear()
        self._trouble = self._retry_after = None
        self._is_locked_out = False
        known, verdict = self.latest, judge(instance, self.terms.conditions)
        if known is not None and known.status == Status.CANCELED_FOR_RESTART and verdict.is_pending:
            return judge(known, self.terms.conditions)  # no instance leaves it again
        if _is_later(instance, self._newest):
            if known is not None:
                self._changed = now  # people or the server are at work, and the next change is near
            self._newest = instance
        self.latest = instance
        if known is None and verdict.is_pending:
            self._notify(self._first_seen, instance)
        return verdict

    def failed(
        self, error: KeyfactorError, now: float, *, was_seen: bool, has_answered: bool, is_last: bool
    ) -> Verdict:
        """
        Pending while the failure may pass, the error itself when it will not or has lasted too long.

        `was_seen`: the server has shown this instance; `has_answered`: it has answered anything.
        """
        self._was_seen |= was_seen
        self._retry_after = error.retry_after
        if not isinstance(error, RequestError):
            return failure(error, self.latest)
        # Each has its own time: a server that comes back from an outage may not know everything in its first minute.
        kind = "not found" if isinstance(error, NotFoundError) else "refused" if _is_refusal(error) else "no answer"
        since = self._failing_since.setdefault(kind, now)
        self._is_locked_out = isinstance(error, UnauthorizedError)
        if isinstance(error, NotFoundError):
            may_pass = self._was_seen or self.terms.may_be_new
            self._patience_ends = since + NOT_FOUND_GRACE_SECONDS
        elif isinstance(error, UnauthorizedError):
            # All waits have one patience: the error says when the credentials are tried again, if they are.
            may_pass = self._was_seen and error.retry_after is not None
            self._patience_ends = math.inf
        elif _is_refusal(error):
            # Without a code it is not Keyfactor that refuses, but what stands before it.
            may_pass = self._was_seen and not _is_keyfactors(error)
            self._patience_ends = since + REFUSAL_SECONDS
        else:
            # A page of maintenance, or one poll that went elsewhere, does not end a wait that went well.
            may_pass = error.is_transient or self._was_seen
            self._patience_ends = since + self.terms.outage_seconds if has_answered else self.first_answer_due()
        self._reason = _reason(error)
        self._trouble = self._reason + (f" for {spoken(now - since)}" if now - since >= 1 else "")
        if may_pass and now < self._patience_ends and not is_last:
            return pending(self.instance_id, self.latest)
        return failure(error, self.latest, hint=_SEEN_BEFORE if self._lost_sight(error) else "")

    def not_before(self, now: float) -> float:
        """
        When the server may be polled again by its own words, as far as patience goes.
        """
        return now if self._retry_after is None else min(now + self._retry_after, self._patience_ends)

    def next_poll(self, schedule: Schedule, *, now: float, polled: float) -> float:
        """
        When to poll again after the poll at `polled`: on the schedule, but when the credentials are tried again, then.
        """
        if self._is_locked_out:
            return min(self.not_before(now), self.deadline)
        return schedule.next_poll(
            now=now, since=self._changed, polled=polled, not_before=self.not_before(now), deadline=self.deadline
        )

    def go_on_as(self, successor: InstanceSummary, now: float) -> None:
        """
        Wait for the instance that a restart made.
        """
        self.instance_id = successor.instance_id
        self.lineage += (successor.instance_id,)
        self.latest = self._newest = None
        self._changed = now
        self.report(f"was restarted; goes on as {successor.instance_id}")

    def report(self, text: str) -> None:
        """
        Report where the wait stands, if anybody wants to know.
        """
        self._notify(self._listener, text)

    @property
    def wants_reports(self) -> bool:
        return self._listener is not None or self._follower is not None

    def report_end(self, verdict: Verdict, now: float) -> None:
        """
        Report an approval to those who were told that it was pending.
        """
        if verdict.is_approved and self._reported is not None:
            self.report(f"Complete, after {spoken(now - self.begun)}")

    def report_progress(self, now: float, *, approvers: tuple[str, ...], next_poll_in: float) -> None:
        """
        Report what is new, or the same again when the silence has grown long.
        """
        standing = "waits for the server" if self.latest is None else row(self.latest)
        self._notify(self._follower, self._progress(now, standing, approvers, next_poll_in))
        if self._trouble:
            topic = f"{self._reason}; {standing}"  # how long it lasts is no news
        else:
            topic = f"{standing}; {who_can_approve(approvers)}" if approvers else standing
        is_new = topic != self._reported
        if not is_new and now - self._silent_since < heartbeat_interval(now - self.begun):
            return
        self._reported, self._silent_since = topic, now
        if self._trouble:
            self.report(f"{self._trouble}; {standing}")  # what is wrong comes first: the end may not show
        elif is_new:
            self.report(topic)
        else:
            waited = spoken(now - self.begun)
            self.report(f"{standing}; waits for {waited}, next look in {spoken(math.ceil(next_poll_in))}")

    def _progress(self, now: float, standing: str, approvers: tuple[str, ...], next_poll_in: float) -> Progress:
        latest = self.latest
        received, wanted = (0, 0) if latest is None else signals(latest)
        return Progress(
            instance_id=self.instance_id,
            status=None if latest is None else safe_line(str(latest.status)),
            step=None if latest is None else step(latest) or None,
            signals_received=received,
            signals_wanted=wanted,
            approvers=tuple(safe_line(role) for role in approvers),
            trouble=self._trouble,
            waited=now - self.begun,
            time_left=max(self.deadline - now, 0.0),
            next_poll_in=max(next_poll_in, 0.0),
            text=f"{self._trouble}; {standing}" if self._trouble else standing,
        )

    def _notify(self, listener: Callable[[Told], None] | None, what: Told) -> None:
        # What goes wrong there ends no wait.
        if listener is None:
            return
        try:
            listener(what)
        except Exception as error:
            _log.debug("workflow instance %s: a report was lost: %s", self.instance_id, unforeseen(error))

    def _lost_sight(self, error: RequestError) -> bool:
        is_forbidden = isinstance(error, ForbiddenError) and _is_keyfactors(error)
        return self._was_seen and (is_forbidden or isinstance(error, NotFoundError))


_SEEN_BEFORE: Final = (
    "; it was seen before, so it was deleted, or your identity can no longer see this instance: one that may only read "
    "what is assigned to it cannot see what it has signed (grant ReadAll, or /workflows/instances/read/)"
)


def _is_later(instance: InstanceSummary, known: InstanceSummary | None) -> bool:
    before, after = moment(None if known is None else known.last_modified), moment(instance.last_modified)
    return after is not None and (before is None or after > before)


def _is_keyfactors(error: RequestError) -> bool:
    return isinstance(error, StatusError) and error.error_code is not None


def _is_refusal(error: RequestError) -> bool:
    return isinstance(error, StatusError) and not error.is_transient


def _reason(error: RequestError) -> str:
    """
    What is wrong with the server, in a few words.
    """
    if isinstance(error, NotFoundError):
        return "not found"
    if isinstance(error, StatusError):
        return f"the server answers {error.status_code}"
    return "no answer" if isinstance(error, NoAnswerError) else "no usable answer"
