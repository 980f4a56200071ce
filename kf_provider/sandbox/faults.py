"""
The plan of faults: which of them meets which request. The same seed gives every operation the same sequence.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from .journal import READS, Endpoint

DEFAULT_MOST_IN_A_ROW: Final = 3
EXEMPTING_HEADER: Final = "x-sandbox-faults"


class FaultKind(StrEnum):
    """
    What a fault does to one request. README.md says which rule of a client each of them checks.
    """

    STATUS = "status"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"
    SLOW_BODY = "slow_body"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    HTML = "html"
    REDIRECT = "redirect"
    STALE = "stale"
    UNKNOWN_STATUS = "unknown_status"
    NO_ZONE = "no_zone"
    WHOLE_SECONDS = "whole_seconds"
    NO_DATES = "no_dates"
    OTHER_ZONE = "other_zone"
    CACHED = "cached"
    LOCK_STALL = "lock_stall"
    TOKEN_EXPIRY = "token_expiry"  # noqa: S105 - the name of a fault
    FORBIDDEN = "forbidden"


class RetryAfter(StrEnum):
    """
    Forms of the header Retry-After that are made when the answer is: RFC 9110 knows the first two.
    """

    SECONDS = "seconds"
    DATE = "date"
    GARBAGE = "garbage"
    NEGATIVE = "negative"
    FAR = "far"


class Phase(StrEnum):
    """
    How far a client is with an operation: no good answer yet; the instance goes on; the instance has ended.
    """

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


# What a fault can do its work on; every other kind meets all endpoints.
_ENDPOINTS_OF: Final = {
    FaultKind.STALE: READS,
    FaultKind.UNKNOWN_STATUS: READS,
    FaultKind.NO_ZONE: READS,
    FaultKind.WHOLE_SECONDS: READS,
    FaultKind.NO_DATES: READS,
    FaultKind.OTHER_ZONE: frozenset({Endpoint.LIST}),
    FaultKind.CACHED: frozenset({Endpoint.LIST}),
    FaultKind.LOCK_STALL: frozenset({Endpoint.SIGNAL}),
}


class FaultRule(BaseModel):
    """
    One fault and the requests that it may meet.

    `rate` is a probability. `times` ends the rule after so many faults. `endpoints`, `phases` and `instance_id` narrow
    it down. `status` and `retry_after` (a form, or the header as it is sent) belong to the kind `status`,
    `delay_seconds` to `slow_body`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    rate: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(default=None, ge=1)
    endpoints: frozenset[Endpoint] | None = None
    phases: frozenset[Phase] | None = None
    instance_id: UUID | None = None
    status: int = Field(default=503, ge=400, le=599)
    retry_after: RetryAfter | str | None = None
    delay_seconds: float = Field(default=1.0, ge=0, le=60)

    def concerns(self, operation: Operation, phase: Phase) -> bool:
        """
        Whether the rule may meet a request of this operation.
        """
        return (
            (self.endpoints is None or operation.endpoint in self.endpoints)
            and (self.phases is None or phase in self.phases)
            and (self.instance_id is None or operation.instance_id == self.instance_id)
            and operation.endpoint in _ENDPOINTS_OF.get(self.kind, frozenset({operation.endpoint}))
        )


def unkind_rules(rate: float) -> list[FaultRule]:
    """
    Every fault that passes, so that a patient client comes to its end; together they meet about `rate` of the requests.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate is between 0 and 1: {rate}")
    passing = [
        *(FaultRule(kind=FaultKind.STATUS, status=429, retry_after=form) for form in RetryAfter if form != "far"),
        *(FaultRule(kind=FaultKind.STATUS, status=503, retry_after=form) for form in (None, RetryAfter.DATE)),
        FaultRule(kind=FaultKind.STATUS, status=500),
        FaultRule(kind=FaultKind.CLOSE),
        FaultRule(kind=FaultKind.RESET),
        FaultRule(kind=FaultKind.SLOW_BODY, delay_seconds=0.5),
        FaultRule(kind=FaultKind.TRUNCATED, endpoints=READS),
        FaultRule(kind=FaultKind.EMPTY, endpoints=READS),
        FaultRule(kind=FaultKind.STALE),
        FaultRule(kind=FaultKind.TOKEN_EXPIRY),
    ]
    return [rule.model_copy(update={"rate": rate / len(passing)}) for rule in passing if rate]


@dataclass(frozen=True)
class Operation:
    """
    What a client wants, however often it asks: requests of one operation are retries or polls of each other.
    """

    endpoint: Endpoint
    instance_id: UUID | None
    identity: str | None

    def __str__(self) -> str:
        return f"{self.endpoint}/{self.instance_id}/{self.identity}"


class Faults:
    """
    The plan in force. Not thread-safe: the caller holds a lock.

    Switches (an outage, a missing permission) hold until they are turned off. Rules with `times` come next, in their
    order. Rules without are the seeded plan: they meet one operation at most `most_in_a_row` times in a row, so that
    unkind never means impossible.
    """

    def __init__(self, seed: int) -> None:
        self._own_seed = self.seed = seed
        self.most_in_a_row = DEFAULT_MOST_IN_A_ROW
        self._switches: dict[str, FaultRule] = {}
        self._counted: list[tuple[FaultRule, int]] = []
        self._seeded: list[FaultRule] = []
        self._asked: Counter[Operation] = Counter()
        self._in_a_row: Counter[Operation] = Counter()
        self._answered: set[Operation] = set()
        self._unauthorized: set[Operation] = set()
        self._release: Future[None] = Future()

    @property
    def rules(self) -> list[FaultRule]:
        """
        Every rule in force, in the order in which they are tried.
        """
        counted = [rule.model_copy(update={"times": left}) for rule, left in self._counted]
        return [*self._switches.values(), *counted, *self._seeded]

    @property
    def release(self) -> Future[None]:
        """
        Done when the requests that hang now may go on.
        """
        return self._release

    def add(self, rule: FaultRule) -> None:
        """
        Put a rule behind those of its sort.
        """
        if rule.times is not None:
            self._counted.append((rule, rule.times))
        else:
            self._seeded.append(rule)

    def replace_plan(self, seed: int | None, rules: Sequence[FaultRule]) -> None:
        """
        Begin a seeded plan, in place of the one before; without a seed with the sandbox's own.
        """
        self.seed = self._own_seed if seed is None else seed
        self._seeded = list(rules)
        self._asked.clear()
        self._in_a_row.clear()

    @property
    def outage(self) -> bool:
        """
        Whether every connection is closed without an answer.
        """
        return "outage" in self._switches

    def set_outage(self, on: bool) -> None:
        """
        Begin or end an outage.
        """
        self._switches.pop("outage", None)
        if on:
            self._switches["outage"] = FaultRule(kind=FaultKind.CLOSE)

    @property
    def hang(self) -> bool:
        """
        Whether requests get no answer.
        """
        return "hang" in self._switches

    def set_hang(self, on: bool) -> None:
        """
        Let requests hang, or let those that hang go on.
        """
        self._switches.pop("hang", None)
        if on:
            self._switches["hang"] = FaultRule(kind=FaultKind.HANG)
        else:
            self.release_hanging()

    def forbid(self, rule: FaultRule) -> None:
        """
        Take a permission away until `permit`.
        """
        self._switches[f"forbid {rule.instance_id} {sorted(rule.endpoints or ())}"] = rule

    def permit(self) -> None:
        """
        Give all permissions back.
        """
        self._switches = {name: rule for name, rule in self._switches.items() if rule.kind is not FaultKind.FORBIDDEN}

    def clear(self) -> None:
        """
        No faults from here on; sequences start again, and what hangs goes on.
        """
        self._switches.clear()
        self._counted.clear()
        self.replace_plan(None, [])
        self._answered.clear()
        self._unauthorized.clear()
        self.most_in_a_row = DEFAULT_MOST_IN_A_ROW
        self.release_hanging()

    def release_hanging(self) -> None:
        """
        Let the requests that hang now go on.
        """
        release, self._release = self._release, Future()
        release.set_result(None)

    def note_answer(self, operation: Operation, status: int) -> None:
        """
        Remember a real answer: it decides the phase of the operation's next requests.
        """
        self._unauthorized.discard(operation)
        if status == 401:
            self._unauthorized.add(operation)
        elif status < 300:
            self._answered.add(operation)

    def draw(self, operation: Operation, *, has_ended: bool, has_token: bool) -> FaultRule | None:
        """
        The fault that meets this request, or None.

        `has_ended`: the instance that is asked for has. `has_token`: the request carries a token that can expire.
        """
        phase = Phase.AFTER if has_ended else Phase.DURING if operation in self._answered else Phase.BEFORE
        expires = has_token and operation not in self._unauthorized

        def may_meet(rule: FaultRule) -> bool:
            # A client fetches one fresh token; a second expiry at once would be the end of it.
            return (
                rule.kind is not FaultKind.LOCK_STALL
                and (rule.kind is not FaultKind.TOKEN_EXPIRY or expires)
                and rule.concerns(operation, phase)
            )

        for rule in self._switches.values():
            if may_meet(rule):
                return rule
        for index, (rule, _) in enumerate(self._counted):
            if may_meet(rule):
                self._use_up(index)
                return rule
        return self._draw_seeded(operation, [rule if may_meet(rule) else None for rule in self._seeded])

    def draw_stall(self, instance_id: UUID) -> bool:
        """
        Whether the last approval of this instance stalls.
        """
        operation = Operation(Endpoint.SIGNAL, instance_id, None)

        def may_meet(rule: FaultRule) -> bool:
            return rule.kind is FaultKind.LOCK_STALL and rule.concerns(operation, Phase.DURING)

        for index, (rule, _) in enumerate(self._counted):
            if may_meet(rule):
                self._use_up(index)
                return True
        rules = [rule if may_meet(rule) else None for rule in self._seeded]
        return self._draw_seeded(operation, rules) is not None

    def _use_up(self, index: int) -> None:
        rule, left = self._counted[index]
        if left == 1:
            del self._counted[index]
        else:
            self._counted[index] = (rule, left - 1)

    def _draw_seeded(self, operation: Operation, rules: Sequence[FaultRule | None]) -> FaultRule | None:
        """
        The first of `rules` that chance picks; None holds the place of one that does not concern the request.
        """
        if not any(rules):
            return None
        self._asked[operation] += 1
        if self._in_a_row[operation] < self.most_in_a_row:
            for index, rule in enumerate(rules):
                # A generator for each request, so that what other clients do meanwhile does not change the sequence.
                chance = random.Random(f"{self.seed}/{index}/{operation}/{self._asked[operation]}")  # noqa: S311
                if rule is not None and chance.random() < rule.rate:
                    self._in_a_row[operation] += 1
                    return rule
        self._in_a_row[operation] = 0
        return None
