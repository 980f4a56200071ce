"""
Polls that fall together: the lists that they share, and the GETs for what a list does not tell.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from typing import Any

import pytest

from kf_provider.errors import ForbiddenError, NotFoundError
from kf_provider.keyfactor.models import Instance, InstanceSummary
from kf_provider.waiting.threads import RequestThreads
from kf_provider.waiting.verdict import Conditions, Verdict
from kf_provider.waiting.watcher import Watcher
from tests.virtual import Fleet, ScriptedServer, VirtualLoop, instance, new_watcher


@pytest.mark.parametrize("count", [2, 50, 52, 300, 1000])
def test_many_waits_share_a_list(count: int) -> None:
    """
    A tick costs one list request however many wait, but for the first two and those of every five minutes, which list
    each 50 by their ids. A GET brings each once; that it is approved is told by a list.
    """
    fleet = Fleet(count)
    fleet.approved_at = {id_: 100.0 + number * 2.7 for number, id_ in enumerate(fleet.ids)}

    verdicts = fleet.wait_for_all()

    assert all(is_approved and 0 <= at - fleet.approved_at[id_] < 63 for id_, (is_approved, at) in verdicts.items())
    ticks = Counter(round(at) for at, _ in fleet.listed)
    pages = -(-count // 50)
    most = [size for size in ticks.values() if size > 1]
    checks = max(at for _, at in verdicts.values()) // 300 + 2 if pages > 1 else 0
    assert len(most) <= checks
    assert max(ticks.values()) == pages
    assert len(fleet.asked) == count


@pytest.mark.parametrize("count", [52, 300, 1000])
def test_all_approved_at_once(count: int) -> None:
    """
    A list of changes that would take as many pages as lists by ids is cut off: those tell, in the same tick.
    """
    fleet = Fleet(count)
    fleet.approved_at = dict.fromkeys(fleet.ids, 600.0)

    verdicts = fleet.wait_for_all()

    assert all(is_approved and 600 <= at < 635 for is_approved, at in verdicts.values())
    assert len(fleet.asked) == count


CHANGES = {  # how late what is approved is seen at most, and how often such a list is asked for at most
    "honest": (64, 1000),
    "whole seconds": (64, 1000),
    "ahead": (64, 1000),
    "refused": (64, 3),
    "broken": (64, 3),
    "ignored": (64, 3),
    "east": (64, 3),
    "west": (64, 3),  # all of the last two hours, which is too much
    "null": (64, 0),
    "cached": (300 + 64, 200),  # until it lacks three times what the lists by ids have shown
}


@pytest.mark.parametrize("changes", CHANGES)
def test_list_of_changes(changes: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    A list of changes is believed when it proves itself, and given up for good, with a line for those who debug, when it
    fails to three times. What it misses is seen when all are listed by their ids, five minutes later at most.
    """
    caplog.set_level(logging.DEBUG)
    latest, lists = CHANGES[changes]
    fleet = Fleet(120, changes=changes)
    fleet.approved_at = {id_: 400.0 + number * 20 for number, id_ in enumerate(fleet.ids)}

    verdicts = fleet.wait_for_all()

    delays = [at - fleet.approved_at[id_] for id_, (_, at) in verdicts.items()]
    assert all(is_approved for is_approved, _ in verdicts.values())
    assert max(delays) < latest
    assert len(fleet.asked_for_changes) <= lists
    assert (0 < lists < 1000) == ("no list of changes from now on" in caplog.text)
    assert (lists > 0) == (len(fleet.asked_for_changes) > 0)


def test_what_a_list_of_changes_was_not_asked_for() -> None:
    """
    A wait that was told of by no list yet is not answered out of what has changed since: two waits for one instance
    may know different states of it.
    """
    fleet = Fleet(120)
    fleet.approved_at = {fleet.ids[0]: 1000.0}

    async def run() -> list[Verdict]:
        watcher = new_watcher(fleet)
        early = [asyncio.ensure_future(watcher.wait(id_, timeout=1500.0)) for id_ in fleet.ids]
        await asyncio.sleep(990)
        late = [asyncio.ensure_future(watcher.wait(id_, timeout=500.0)) for id_ in fleet.ids]
        await asyncio.sleep(75)
        assert [early[0].done(), late[0].done(), early[1].done()] == [True, True, False]
        return await asyncio.gather(*early, *late)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        verdicts = runner.run(run())

    assert [0, 120] == [number for number, verdict in enumerate(verdicts) if verdict.is_approved]


def test_what_was_approved_before_is_told_by_the_list() -> None:
    """
    A first poll of instances that are Complete costs one list request for each 50 of them, and no GET.
    """
    fleet = Fleet(300)
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)

    verdicts = fleet.wait_for_all()

    assert all(is_approved and at < 0.1 for is_approved, at in verdicts.values())
    assert (6, 0) == (len(fleet.listed), len(fleet.asked))


def test_what_is_expected_of_a_row_is_told_by_the_list() -> None:
    """
    What is Complete is read whole only where its row does not meet what one of its waits expects: a row has a title, a
    definition and dates, and no state data; a refusal is read.
    """
    fleet = Fleet(4)
    fleet.ids = [*fleet.ids, *fleet.ids]
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)
    definition = {"definition.id": "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94"}
    conditions = [
        *[Conditions(), Conditions(), Conditions(expect=definition), Conditions(max_age=5.0)],
        *[Conditions(expect={"title": "enrolls"}), Conditions(expect={"current_state_data.Subject": "CN=web"})],
        *[Conditions(expect={"title": "another"}), Conditions(expect={"title": "enrolls"}, max_age=60.0)],
    ]

    async def run() -> list[Verdict]:
        watcher = new_watcher(fleet)
        waits = (watcher.wait(id_, one, timeout=9.0) for id_, one in zip(fleet.ids, conditions, strict=True))
        return await asyncio.gather(*waits)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        verdicts = runner.run(run())

    assert [True, True, True, True, True, False, False, True] == [verdict.is_approved for verdict in verdicts]
    assert fleet.ids[1:3] == sorted(instance_id for _, instance_id in fleet.asked)


def test_hundred_approved_before_cost_two_lists() -> None:
    """
    A second update of a hundred gates that expect a title, and no older than a day, sends two requests.
    """
    fleet = Fleet(100)
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)
    conditions = Conditions(expect={"title": "enrolls", "status": "Complete"}, max_age=86_400.0)

    async def run() -> list[Verdict]:
        watcher = new_watcher(fleet)
        return await asyncio.gather(*(watcher.wait(id_, conditions, timeout=9.0) for id_ in fleet.ids))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        verdicts = runner.run(run())

    assert all(verdict.is_approved for verdict in verdicts)
    assert (2, 0) == (len(fleet.listed), len(fleet.asked))


def test_one_wait_asks_for_itself() -> None:
    """
    A single instance is read by its id, without a list.
    """
    fleet = Fleet(1)

    fleet.wait_for_all(timeout=100.0)

    assert fleet.listed == []


def test_waits_for_one_instance_share_their_polls() -> None:
    """
    Many gates on one instance cost what one costs.
    """
    fleet = Fleet(1)
    fleet.ids = fleet.ids * 20
    fleet.approved_at = dict.fromkeys(fleet.ids, 100.0)

    fleet.wait_for_all()

    alone = Fleet(1)
    alone.approved_at = dict.fromkeys(alone.ids, 100.0)
    alone.wait_for_all()
    assert alone.asked == fleet.asked


def test_requests_in_flight() -> None:
    """
    However many waits there are, five requests at most are in flight: four GETs and a list.
    """
    lock = threading.Lock()
    now, most = 0, 0
    full = threading.Barrier(4, timeout=60)

    class Busy(ScriptedServer):
        def get_workflow_instance(
            self, instance_id: str, *, timeout: float | None = None, retries: int = 2
        ) -> Instance:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            full.wait()
            with lock:
                now -= 1
            return instance("Complete")

        def list_workflow_instances(self, **_: Any) -> list[InstanceSummary]:
            return []

    async def run() -> list[Verdict]:
        watcher = Watcher(Busy(lambda _: instance("Complete")), RequestThreads())
        ids = [f"{n:08x}-9d1b-4b7e-8a60-3f5e2d7c1b94" for n in range(1, 49)]
        return await asyncio.gather(*(watcher.wait(instance_id, timeout=60.0) for instance_id in ids))

    assert all(verdict.is_approved for verdict in asyncio.run(run()))
    assert most == 4


def test_slow_first_polls_are_followed_together() -> None:
    """
    Polls that have queued for longer than their interval go on with the next tick, and lists do not queue behind GETs:
    the requests of a tick stay as few as they are later.
    """
    fleet = Fleet(300)

    fleet.wait_for_all(60.0, start=lambda request: asyncio.get_running_loop().call_later(0.3, request))

    assert max(Counter(round(at - 0.35) // 2 for at, _ in fleet.listed).values()) <= 7  # one of them late


def test_a_query_that_is_too_long_is_asked_in_parts() -> None:
    """
    A server that refuses the ids of 50 in one query is asked for 20 at a time, at once, without a GET for each.
    """
    fleet = Fleet(300, "short")
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)

    verdicts = fleet.wait_for_all()

    assert all(is_approved and at < 0.1 for is_approved, at in verdicts.values())
    assert (6 + 18, 0) == (len(fleet.listed), len(fleet.asked))


@pytest.mark.parametrize(
    ("mode", "lists"), [("refuses", 3), ("forbids", 1), ("ignores", 1), ("broken", 3), ("short", 1000), ("empty", 1)]
)
def test_list_of_no_use(mode: str, lists: int, caplog: pytest.LogCaptureFixture) -> None:
    """
    A list that is refused, hidden, ignores the query, shows nothing, or fails while a GET works, is given up and
    remembered, with a line for those who debug.
    """
    caplog.set_level(logging.DEBUG)
    fleet = Fleet(30, mode)
    fleet.approved_at = dict.fromkeys(fleet.ids, 600.0)

    verdicts = fleet.wait_for_all()

    assert all(is_approved and 600 <= at < 635 for is_approved, at in verdicts.values())
    assert len(fleet.listed) <= lists
    assert "instances from now on" in caplog.text
    assert max(len(filters.get("ids") or ()) for _, filters in fleet.listed[1:] or fleet.listed) <= 30


def test_an_instance_that_leaves_the_list() -> None:
    """
    What the list does not show any more is read by its id, which tells why.
    """
    fleet = Fleet(3)
    gone = fleet.ids[0]

    class Hiding(Fleet):
        def list_workflow_instances(self, **options: Any) -> list[InstanceSummary]:
            return [row for row in super().list_workflow_instances(**options) if row.instance_id != gone]

        def get_workflow_instance(
            self, instance_id: str, *, timeout: float | None = None, retries: int = 2
        ) -> Instance:
            if instance_id == gone and asyncio.get_running_loop().time() > 10:
                raise ForbiddenError("403", status_code=403, error_code="0xA0140002")
            return super().get_workflow_instance(instance_id, timeout=timeout)

    hiding = Hiding(3)

    verdicts = hiding.wait_for_all(timeout=100.0)

    assert verdicts[gone][1] < 20
    assert all(at == pytest.approx(100, abs=0.2) for id_, (_, at) in verdicts.items() if id_ != gone)


def test_a_broken_list_of_an_instance_that_is_gone() -> None:
    """
    The GET that tells a broken list from a dead server is about one instance: its 404 is not the others' error.
    """

    class Hiding(Fleet):
        def get_workflow_instance(
            self, instance_id: str, *, timeout: float | None = None, retries: int = 2
        ) -> Instance:
            if instance_id == self.ids[0]:
                raise NotFoundError("404", status_code=404)
            return super().get_workflow_instance(instance_id, timeout=timeout)

    fleet = Hiding(3, "broken")
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)

    verdicts = fleet.wait_for_all()

    assert [False, True, True] == [is_approved for is_approved, _ in verdicts.values()]


def test_a_cached_list_does_not_keep_a_gate_shut() -> None:
    """
    The last poll trusts no list: an approval that a cache hides is seen at the deadline.
    """
    fleet = Fleet(3, "cached")
    fleet.approved_at = dict.fromkeys(fleet.ids, 20.0)

    verdicts = fleet.wait_for_all(timeout=100.0)

    assert all(is_approved and at == pytest.approx(100, abs=0.2) for is_approved, at in verdicts.values())


def test_a_list_that_lags_behind_is_read_past() -> None:
    """
    A row that is older than what a GET has shown tells nothing: the instance is read.
    """
    fleet = Fleet(3)
    rows = [instance("Suspended", minute=-5, Id=id_) for id_ in fleet.ids]
    fleet.approved_at = dict.fromkeys(fleet.ids, 20.0)

    class Lagging(Fleet):
        def list_workflow_instances(self, **_: Any) -> list[InstanceSummary]:
            return list(rows)

    lagging = Lagging(3)
    lagging.approved_at = fleet.approved_at

    assert all(is_approved and 20 <= at < 23 for is_approved, at in lagging.wait_for_all().values())
