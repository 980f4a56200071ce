"""
What one wait has seen so far, and what that means for it.

It knows neither the clock nor the server: who polls tells it what came back, and when.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..durations import spoken
from ..errors import ForbiddenError, KeyfactorError, NoAnswerError, NotFoundError, RequestError, StatusError
from ..keyfactor.models import InstanceSummary, moment
from .schedule import TICK_SECONDS, heartbeat_interval
from .verdict import Verdict, failure, judge, pending, progress, who_can_approve

FIRST_ANSWER_SECONDS: Final = 30.0  # a stack of recorded approvals must not hang on a dead server
NOT_FOUND_GRACE_SECONDS: Final = 60.0
SHORTEST_REQUEST_TIMEOUT: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """
    What is waited for, and how patiently; times are in seconds.
    """

    timeout: float
    expect: Mapping[str, object] | None = None
    follow_restarts: bool = False
    may_be_new: bool = False
    request_timeout: float
    outage_seconds: float
    first_answer_seconds: float = FIRST_ANSWER_SECONDS


class Wait:
    """
    One wait for one instance, and for what goes on in its place. Times are those of one monotonic clock, in seconds.
    """

    def __init__(self, instance_id: str, terms: Terms, *, begun: float, report: Callable[[str], None] | None) -> None:
        self.instance_id = instance_id
        self.lineage: tuple[str, ...] = (instance_id,)
        self.terms = terms
        self.begun = begun
        self.deadline = begun + terms.timeout
        self.latest: InstanceSummary | None = None
        self._was_seen = False  # the instance, or the one that it goes on from
        self._listener = report
        self._reported: str | None = None
        self._silent_since = begun
        self._failing_since: dict[str, float] = {}
        self._trouble: str | None = None
        self._retry_after: float | None = None
        self._patience_ends = self.deadline  # with the failure that lasts now

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

    def answered(self, instance: InstanceSummary) -> Verdict:
        """
        What an answer means. An older state than the one that is known is not believed.
        """
        self._was_seen = True
        self._failing_since.clear()
        self._trouble = self._retry_after = None
        if self.latest is None or not _is_older(instance, self.latest):
            self.latest = instance
        else:
            self._trouble = "the server answers with an older state, which is ignored"
        return judge(self.latest, expect=self.terms.expect)

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
        kind = "not found" if isinstance(error, NotFoundError) else "no answer"
        since = self._failing_since.setdefault(kind, now)
        if isinstance(error, NotFoundError):
            may_pass = self._was_seen or self.terms.may_be_new
            self._patience_ends = since + NOT_FOUND_GRACE_SECONDS
        else:
            # A page of maintenance, or one poll that went elsewhere, does not end a wait that went well.
            may_pass = error.is_transient or (self._was_seen and not isinstance(error, StatusError))
            self._patience_ends = since + self.terms.outage_seconds if has_answered else self.first_answer_due()
        self._trouble = _reason(error) + (f", for {spoken(now - since)}" if now - since >= 1 else "")
        if may_pass and now < self._patience_ends and not is_last:
            return pending(self.instance_id, self.latest)
        return failure(error, self.latest, hint=_SEEN_BEFORE if self._lost_sight(error) else "")

    def not_before(self, now: float) -> float:
        """
        When the server may be polled again by its own words, as far as patience goes.
        """
        return now if self._retry_after is None else min(now + self._retry_after, self._patience_ends)

    def go_on_as(self, successor: InstanceSummary) -> None:
        """
        Wait for the instance that a restart made.
        """
        self.instance_id = successor.instance_id
        self.lineage += (successor.instance_id,)
        self.latest = None
        self.report(f"was restarted; goes on as {successor.instance_id}")

    def report(self, text: str) -> None:
        """
        Report where the wait stands, if anybody wants to know.
        """
        if self._listener is not None:
            self._listener(text)

    @property
    def wants_reports(self) -> bool:
        return self._listener is not None

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
        standing = "waits for the server" if self.latest is None else progress(self.latest)
        if self._trouble:
            topic = f"{standing}; trouble"  # how long it lasts is no news
        else:
            topic = f"{standing}; {who_can_approve(approvers)}" if approvers else standing
        is_new = topic != self._reported
        if not is_new and now - self._silent_since < heartbeat_interval(now - self.begun):
            return
        self._reported, self._silent_since = topic, now
        if self._trouble:
            self.report(f"{standing}; {self._trouble}")
        elif is_new:
            self.report(topic)
        else:
            self.report(f"{standing}, for {spoken(now - self.begun)}; next look in {spoken(math.ceil(next_poll_in))}")

    def _lost_sight(self, error: RequestError) -> bool:
        return self._was_seen and isinstance(error, ForbiddenError | NotFoundError)


_SEEN_BEFORE: Final = (
    "; it was seen before, so it was deleted, or your identity can no longer see this instance: one that may only read "
    "what is assigned to it loses sight of what it has signed (grant ReadAll, or /workflows/instances/read/)"
)


def _reason(error: RequestError) -> str:
    """
    What is wrong with the server, in a few words.
    """
    if isinstance(error, NotFoundError):
        return "not found"
    if isinstance(error, StatusError):
        return f"the server answers {error.status_code}"
    return "no answer" if isinstance(error, NoAnswerError) else "no usable answer"


def _is_older(instance: InstanceSummary, latest: InstanceSummary) -> bool:
    # A cache or a second server may answer with what was true before.
    answered, known = moment(instance.last_modified), moment(latest.last_modified)
    return answered is not None and known is not None and answered < known
