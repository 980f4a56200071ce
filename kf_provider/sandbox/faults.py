"""
Faults: what goes wrong on purpose, when, and how often; the same seed gives every client operation the same sequence.
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from .journal import Endpoint

DEFAULT_MOST_IN_A_ROW: Final = 3
READS: Final = frozenset({Endpoint.GET, Endpoint.LIST, Endpoint.ASSIGNED_TO_ME, Endpoint.MY})


class FaultKind(StrEnum):
    """
    What a fault does to one request.
    """

    STATUS = "status"
    CLOSE = "close"
    HANG = "hang"
    FORBIDDEN = "forbidden"


class FaultRule(BaseModel):
    """
    One fault and the requests that it may meet.

    `rate` is a probability. `times` ends the rule after so many faults. `endpoints` and `instance_id` narrow it down.
    `status` and `retry_after` (the header as it is sent) belong to the kind `status`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    rate: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(default=None, ge=1)
    endpoints: frozenset[Endpoint] | None = None
    instance_id: UUID | None = None
    status: int = Field(default=503, ge=400, le=599)
    retry_after: str | None = None

    def concerns(self, operation: Operation) -> bool:
        """
        Whether the rule may meet this operation.
        """
        return (self.endpoints is None or operation.endpoint in self.endpoints) and (
            self.instance_id is None or operation.instance_id == self.instance_id
        )


@dataclass(frozen=True)
class Operation:
    """
    What a client wants, however often it asks: requests of one operation are retries or polls of each other.
    """

    endpoint: Endpoint
    instance_id: UUID | None
    identity: str | None


class Faults:
    """
    The plan in force. Not thread-safe: the caller holds a lock.

    Switches (an outage, a missing permission) hold until they are turned off. Rules with `times` come next, in their
    order. Rules without are the seeded plan: they meet one operation at most `most_in_a_row` times in a row, so that
    unkind never means impossible.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.most_in_a_row = DEFAULT_MOST_IN_A_ROW
        self._switches: dict[str, FaultRule] = {}
        self._counted: list[tuple[FaultRule, int]] = []
        self._seeded: list[FaultRule] = []
        self._asked: Counter[Operation] = Counter()
        self._in_a_row: Counter[Operation] = Counter()
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
        self._seeded.clear()
        self._asked.clear()
        self._in_a_row.clear()
        self.most_in_a_row = DEFAULT_MOST_IN_A_ROW
        self.release_hanging()

    def release_hanging(self) -> None:
        """
        Let the requests that hang now go on.
        """
        release, self._release = self._release, Future()
        release.set_result(None)

    def draw(self, operation: Operation) -> FaultRule | None:
        """
        The fault that meets this request, or None.
        """
        for rule in self._switches.values():
            if rule.concerns(operation):
                return rule
        for index, (rule, left) in enumerate(self._counted):
            if rule.concerns(operation):
                if left == 1:
                    del self._counted[index]
                else:
                    self._counted[index] = (rule, left - 1)
                return rule
        return self._draw_seeded(operation)

    def _draw_seeded(self, operation: Operation) -> FaultRule | None:
        if not self._seeded:
            return None
        self._asked[operation] += 1
        if self._in_a_row[operation] < self.most_in_a_row:
            for index, rule in enumerate(self._seeded):
                # A generator for each request, so that what other clients do meanwhile does not change the sequence.
                chance = random.Random(f"{self.seed}/{index}/{operation}/{self._asked[operation]}")  # noqa: S311
                if rule.concerns(operation) and chance.random() < rule.rate:
                    self._in_a_row[operation] += 1
                    return rule
        self._in_a_row[operation] = 0
        return None
