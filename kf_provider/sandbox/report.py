"""
The report card: how a client has behaved, read from the journal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from uuid import UUID

from .faults import Operation
from .journal import READS, Endpoint, RequestRecord

POLITE_INTERVAL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Polls:
    """
    The reads of one instance, by one client or by many: how many, and the time between two, in real seconds.
    """

    count: int
    shortest_gap_seconds: float | None
    longest_gap_seconds: float | None


@dataclass(frozen=True)
class Report:
    """
    What the journal says. A client that behaves has 0 in every field from `polled_too_fast` on.

    `highest_rate` is the most requests within any one second. `polled_too_fast` counts reads of the same thing by the
    same client less than a second after a good answer, where the one before came as fast: a program that looks, and a
    provider that checks it right after, poll no faster than they should. `ignored_retry_after` counts requests of an
    operation that came before the Retry-After of its last answer was over.
    """

    requests: int
    polls: Mapping[UUID, Polls]
    highest_rate: int
    tokens_fetched: int
    headers_seen: Mapping[str, int]
    polled_too_fast: int
    ignored_retry_after: int
    credentials_sent_elsewhere: int
    changes_requested: int
    refused_as_wrong: int

    def card(self) -> str:
        """
        The report for people.
        """
        lines = [
            f"requests: {self.requests}, at most {self.highest_rate} within a second",
            f"instances polled: {len(self.polls)}",
            f"tokens fetched: {self.tokens_fetched}",
            f"polled faster than 1/s: {self.polled_too_fast}",
            f"ignored Retry-After: {self.ignored_retry_after}",
            f"forwarded credentials on redirect: {self.credentials_sent_elsewhere}",
            f"asked for changes (anything but GET): {self.changes_requested}",
            f"requests that were wrong (400): {self.refused_as_wrong}",
        ]
        return "".join(line + "\n" for line in lines)


def build_report(records: Sequence[RequestRecord]) -> Report:
    """
    The report on these requests, oldest first.
    """
    headers: Counter[str] = Counter()
    of_instance: dict[UUID, list[RequestRecord]] = defaultdict(list)
    last: dict[tuple[Operation, str], RequestRecord] = {}
    was_fast: dict[tuple[Operation, str], bool] = {}
    too_fast = ignored = 0
    for record in records:
        headers.update(record.headers.keys())
        if record.endpoint is Endpoint.GET and record.instance_id is not None:
            of_instance[record.instance_id].append(record)
        # The query belongs to it: pages of a list are different questions.
        question = (Operation(record.endpoint, record.instance_id, record.identity), record.query)
        if (previous := last.get(question)) is not None:
            gap = record.elapsed_seconds - previous.elapsed_seconds
            is_fast = record.endpoint in READS and previous.status == 200 and gap < POLITE_INTERVAL_SECONDS
            too_fast += is_fast and was_fast.get(question, False)
            was_fast[question] = is_fast
            ignored += previous.retry_after_seconds is not None and gap < previous.retry_after_seconds
        last[question] = record
    elsewhere = [record for record in records if record.endpoint is Endpoint.ELSEWHERE]
    changing = [r for r in records if r.method not in {"GET", "HEAD"} and r.endpoint is not Endpoint.TOKEN]
    return Report(
        requests=len(records),
        polls={instance_id: _polls(reads) for instance_id, reads in of_instance.items()},
        highest_rate=_highest_rate(records),
        tokens_fetched=sum(record.endpoint is Endpoint.TOKEN and record.status == 200 for record in records),
        headers_seen=dict(sorted(headers.items())),
        polled_too_fast=too_fast,
        ignored_retry_after=ignored,
        credentials_sent_elsewhere=sum("authorization" in record.headers for record in elsewhere),
        changes_requested=len(changing),
        refused_as_wrong=sum(record.status == 400 and record.fault is None for record in records),
    )


def _polls(reads: Sequence[RequestRecord]) -> Polls:
    gaps = [later.elapsed_seconds - earlier.elapsed_seconds for earlier, later in pairwise(reads)]
    return Polls(len(reads), min(gaps, default=None), max(gaps, default=None))


def _highest_rate(records: Sequence[RequestRecord]) -> int:
    highest = first = 0
    for position, record in enumerate(records):
        while record.elapsed_seconds - records[first].elapsed_seconds >= 1:
            first += 1
        highest = max(highest, position - first + 1)
    return highest
