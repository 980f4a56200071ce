"""
Refused credentials, and how seldom they are tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kf_provider.errors import NoAnswerError, UnauthorizedError
from kf_provider.keyfactor.models import Instance, InstanceSummary
from kf_provider.waiting.verdict import Outcome, Verdict
from tests.virtual import Fleet, VirtualLoop, new_watcher, unavailable


class Locking(Fleet):
    """A server that refuses the credentials for some time, and counts how often it did."""

    def __init__(self, count: int, mode: str = "honest", *, since: float, until: float = 1e9) -> None:
        super().__init__(count, mode)
        self.since, self.until = since, until
        self.refused: list[float] = []

    def refuse(self) -> None:
        now = self.clock()
        if self.since <= now < self.until:
            self.refused.append(now)
            raise UnauthorizedError("401", status_code=401)

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None, retries: int = 2) -> Instance:
        self.refuse()
        return super().get_workflow_instance(instance_id)

    def list_workflow_instances(self, **options: Any) -> list[InstanceSummary]:
        self.refuse()
        return super().list_workflow_instances(**options)


def verdicts(
    fleet: Fleet, timeout: float = 3600.0, *, start_within: float = 0.0, latency: float = 0.0
) -> list[tuple[Verdict, float]]:
    """One wait for each instance: its verdict, and when it came."""

    def start(request: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(latency, request)

    async def run() -> list[tuple[Verdict, float]]:
        watcher = new_watcher(fleet, start=start) if latency else new_watcher(fleet)

        async def one(number: int, instance_id: str) -> tuple[Verdict, float]:
            await asyncio.sleep(start_within * number / len(fleet.ids))
            return await watcher.wait(instance_id, timeout=timeout), asyncio.get_running_loop().time()

        return await asyncio.gather(*(one(number, id_) for number, id_ in enumerate(fleet.ids)))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


@pytest.mark.parametrize("mode", ["honest", "forbids"])
@pytest.mark.parametrize("count", [1, 40, 300])
def test_one_request_for_all_waits(count: int, mode: str) -> None:
    """
    While the credentials are refused, one request is sent after 30 seconds and one after two minutes, then all end.
    """
    fleet = Locking(count, mode, since=100.0)

    ended = verdicts(fleet)

    assert all(Outcome.FORBIDDEN is verdict.outcome and verdict.text == "401" for verdict, _ in ended)
    assert 3 == len(fleet.refused)
    first, second, last = fleet.refused
    assert pytest.approx([30, 120], abs=0.2) == [second - first, last - first]
    assert all(at == pytest.approx(last, abs=0.2) for _, at in ended)


@pytest.mark.parametrize("count", [1, 40, 300])
@pytest.mark.parametrize("until", [120.0, 215.0])
def test_refused_for_a_while(count: int, until: float) -> None:
    """
    A domain controller that is away for less than two minutes ends no wait, and refuses three times at most.
    """
    fleet = Locking(count, since=100.0, until=until)
    fleet.approved_at = dict.fromkeys(fleet.ids, 300.0)

    ended = verdicts(fleet)

    assert all(verdict.is_approved and 300 <= at < 330 for verdict, at in ended)
    assert len(fleet.refused) <= 2


def test_waits_of_every_age() -> None:
    """
    Waits that look at other times than the others share the refusal and its end.
    """
    fleet = Locking(30, since=2000.0)

    ended = verdicts(fleet, 7200.0, start_within=1500.0)

    assert 3 == len(fleet.refused)
    assert all(at == pytest.approx(fleet.refused[0] + 120, abs=0.3) for _, at in ended)


def test_requests_on_their_way() -> None:
    """
    With a slow server, those on their way are refused, and none of those in the queue behind them is sent.
    """
    fleet = Locking(300, "forbids", since=100.0)

    verdicts(fleet, latency=1.0)

    assert len(fleet.refused) <= 5 + 2


def test_refused_at_the_first_look() -> None:
    """
    Hundreds of gates with a wrong password end at once, after one request.
    """
    fleet = Locking(40, since=0.0)

    ended = verdicts(fleet)

    assert all(Outcome.FORBIDDEN is verdict.outcome and at < 1 for verdict, at in ended)
    assert 1 == len(fleet.refused)


def test_a_wait_that_begins_while_refused() -> None:
    """
    A wait that begins then ends at once, and sends nothing.
    """
    fleet = Locking(10, since=0.0)

    ended = verdicts(fleet, start_within=25.0)

    assert all(Outcome.FORBIDDEN is verdict.outcome for verdict, _ in ended)
    assert 1 == len(fleet.refused)


def test_a_deadline_while_refused() -> None:
    """
    A wait keeps its deadline, and its last look does not try the credentials either.
    """
    fleet = Locking(3, since=100.0)

    ended = verdicts(fleet, 150.0)

    assert all(Outcome.FORBIDDEN is verdict.outcome and at == pytest.approx(150, abs=0.3) for verdict, at in ended)
    assert 2 == len(fleet.refused)


@pytest.mark.parametrize("other", [unavailable(), NoAnswerError("no answer", is_transient=True)])
def test_an_outage_while_refused(other: Exception) -> None:
    """
    When the request that tries the credentials meets an outage, the waits go on as in any outage.
    """

    class Failing(Locking):
        def refuse(self) -> None:
            super().refuse()
            if 120 <= self.clock() < 200:
                raise other

    fleet = Failing(5, since=100.0, until=120.0)
    fleet.approved_at = dict.fromkeys(fleet.ids, 150.0)

    assert all(verdict.is_approved and at < 230 for verdict, at in verdicts(fleet))
