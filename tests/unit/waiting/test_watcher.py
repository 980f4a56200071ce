"""
Waiting, on a virtual clock and a scripted server.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kf_provider.errors import (
    ForbiddenError,
    NoAnswerError,
    NotFoundError,
    RedirectError,
    UnauthorizedError,
    UnusableAnswerError,
)
from kf_provider.keyfactor.models import Instance, InstanceSummary, WorkflowDefinition
from kf_provider.waiting.threads import RequestThreads
from kf_provider.waiting.verdict import Verdict
from kf_provider.waiting.watcher import Watcher
from tests.virtual import ID, START, Fleet, Script, ScriptedServer, VirtualLoop, instance, new_watcher, unavailable

NEW_ID = "11111111-9d1b-4b7e-8a60-3f5e2d7c1b94"


def wait(server: ScriptedServer, **options: Any) -> Verdict:
    async def run() -> Verdict:
        watcher = new_watcher(server)
        verdict = await watcher.wait(ID, **{"timeout": 3600.0, **options})
        server.ended = asyncio.get_running_loop().time()
        return verdict

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def test_wait_approved() -> None:
    """
    The wait ends soon after the approval: within 5 % of the time waited, and 2 seconds at first.
    """
    server = ScriptedServer(lambda t: instance("Complete" if t >= 600 else "Suspended"))

    verdict = wait(server)

    assert verdict.is_approved
    assert 600 <= server.ended <= 630


def test_wait_rejected() -> None:
    """
    A rejected instance ends the wait at once, although time is left.
    """
    server = ScriptedServer(lambda _: instance("Rejected"))

    assert "is Rejected" in (wait(server).problem or "")
    assert server.pauses == []


def test_wait_times_out_as_pending() -> None:
    """
    At the deadline the instance is pending, not refused.
    """
    server = ScriptedServer(lambda _: instance("Suspended"))

    verdict = wait(server, timeout=100.0)

    assert verdict.is_pending
    assert server.ended == pytest.approx(100, abs=0.2)


def test_last_look_is_at_the_deadline() -> None:
    """
    An approval that arrives with the deadline wins.
    """
    server = ScriptedServer(lambda t: instance("Complete" if t >= 100 else "Suspended"))

    assert wait(server, timeout=100.0).is_approved


def test_no_timeout_is_one_look() -> None:
    """
    A timeout of 0 looks once.
    """
    server = ScriptedServer(lambda _: instance("Suspended"))

    assert wait(server, timeout=0.0).is_pending
    assert [ID] == [id_ for _, id_ in server.asked]


def test_requests_of_a_long_wait() -> None:
    """
    Three days cost about one request a minute.
    """
    server = ScriptedServer(lambda _: instance("Suspended"))

    wait(server, timeout=3 * 86_400.0)

    assert len(server.asked) < 3 * 24 * 60 + 100


def test_retry_after_is_kept() -> None:
    """
    A server that asks for 40 seconds is not asked before.
    """
    server = ScriptedServer(
        lambda t: unavailable(40) if 10 < t < 50 else instance("Complete" if t > 60 else "Suspended")
    )

    wait(server)

    assert 40 <= max(server.pauses) < 43


def test_outage_is_ridden_out() -> None:
    """
    Nine minutes without an answer do not end a wait that had one before.
    """
    server = ScriptedServer(
        lambda t: (
            NoAnswerError("no answer", is_transient=True)
            if 30 < t < 30 + 540
            else instance("Complete" if t > 100 else "Suspended")
        ),
    )

    assert wait(server).is_approved


def test_outage_budget() -> None:
    """
    Ten minutes without an answer do, with the server's error.
    """
    server = ScriptedServer(lambda t: unavailable() if t > 30 else instance("Suspended"))

    assert wait(server, timeout=7200.0).problem == "503 from the server"
    assert 600 <= server.ended - 30 <= 700


def test_outages_are_not_added_up() -> None:
    """
    Each good answer gives the whole ten minutes again.
    """
    server = ScriptedServer(
        lambda t: instance("Complete" if t > 5000 else "Suspended") if int(t / 400) % 2 == 0 else unavailable()
    )

    assert wait(server, timeout=7200.0).is_approved


def test_dead_server_at_the_start() -> None:
    """
    Before the first good answer the patience is 30 seconds: a stack of recorded approvals must not hang.
    """
    server = ScriptedServer(lambda _: NoAnswerError("no answer", is_transient=True))

    assert wait(server).problem == "no answer"
    assert 30 <= server.ended <= 35


@pytest.mark.parametrize(("timeout", "seconds"), [(3600.0, 30), (20.0, 20), (0.0, 10)])
def test_silent_server(timeout: float, seconds: float) -> None:
    """
    Three hundred first looks at a server that never answers end together, though five requests at most are in flight.
    """
    fleet = Fleet(300)

    verdicts = fleet.wait_for_all(timeout, start=lambda _: None)

    assert all(not is_approved and seconds <= at < seconds + 0.1 for is_approved, at in verdicts.values())


def test_slow_server() -> None:
    """
    A server that has answered one wait is not taken for dead by those that are still in the queue.
    """
    fleet = Fleet(60, "forbids")
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)

    verdicts = fleet.wait_for_all(start=lambda request: asyncio.get_running_loop().call_later(4, request))

    assert all(is_approved for is_approved, _ in verdicts.values())
    assert max(at for _, at in verdicts.values()) == pytest.approx(4 + 15 * 4, abs=0.1)  # four GETs at a time


@pytest.mark.parametrize(
    ("answered_until", "patience"),
    [(0, 30), (100, 600)],
)
def test_retry_after_longer_than_patience(answered_until: float, patience: float) -> None:
    """
    A server that asks for an hour is asked once more when patience ends, and then believed.
    """
    server = ScriptedServer(lambda t: instance("Suspended") if t < answered_until else unavailable(3600))

    assert wait(server, timeout=7200.0).problem == "503 from the server"
    first, last = (at for at, _ in server.asked if at >= answered_until)
    assert first + patience <= last < first + patience + 3


@pytest.mark.parametrize(
    "error",
    [
        UnauthorizedError("401", status_code=401),
        ForbiddenError("403", status_code=403),
        NotFoundError("404", status_code=404),
        NoAnswerError("the certificate is not trusted", is_transient=False),
    ],
)
def test_final_errors(error: Exception) -> None:
    """
    What will not pass ends the wait at the first look.
    """
    server = ScriptedServer(lambda _: error)

    assert wait(server).problem == str(error)
    assert len(server.asked) == 1


def test_not_found_yet() -> None:
    """
    A server that does not know a new instance yet has a minute.
    """
    server = ScriptedServer(lambda t: NotFoundError("404", status_code=404) if t < 40 else instance("Complete"))

    assert wait(server, may_be_new=True).is_approved


def test_not_found_any_more() -> None:
    """
    An instance that was seen and is gone for a minute is gone.
    """
    server = ScriptedServer(lambda t: NotFoundError("404", status_code=404) if t > 10 else instance("Suspended"))

    assert (wait(server).problem or "").startswith("404; it was seen before, so it was deleted, or your identity")
    assert 60 <= server.ended - 10 <= 80


def test_stale_answer() -> None:
    """
    An answer older than the last one is ignored, whatever it says.
    """
    server = ScriptedServer(
        lambda t: (
            instance("Suspended", minute=5)
            if t < 10
            else instance("Complete", minute=3)
            if t < 20
            else instance("Rejected", minute=6)
        ),
    )

    assert "is Rejected" in (wait(server).problem or "")


def test_reports_on_change_and_heartbeat() -> None:
    """
    People hear of each change once, then of a standing wait in growing intervals of five minutes at most.
    """
    server = ScriptedServer(lambda t: instance("Running" if t < 10 else "Suspended"))
    heard: list[tuple[float, str]] = []

    wait(server, report=lambda text: heard.append((asyncio.get_running_loop().time(), text)))

    assert ["Running", "Suspended"] == [text for _, text in heard[:2]]
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(heard[1:])]
    assert len(gaps) < 20
    assert 25 < min(gaps)
    assert max(gaps) < 300 + 72  # the next look after five minutes


def test_reports_an_outage() -> None:
    """
    An outage is told when it begins, and when it is over.
    """
    server = ScriptedServer(
        lambda t: unavailable() if 10 < t < 100 else instance("Complete" if t > 150 else "Suspended")
    )
    heard: list[str] = []

    wait(server, report=heard.append)

    assert heard[:2] == ["Suspended", "Suspended; the server answers 503"]
    assert "Suspended" in heard[2:]
    assert "Complete, after 2 min" == heard[-1]


def roles(*names: str) -> WorkflowDefinition:
    signal = {"SignalName": "ApprovalStatus", "Roles": [{"RoleId": "7", "RoleName": name} for name in names]}
    return WorkflowDefinition.model_validate({"Steps": [{"UniqueName": "RequireApproval1", "Signals": [signal]}]})


@pytest.mark.parametrize(
    ("definition", "who"),
    [
        (roles("PKI Administrators"), "; PKI Administrators can approve"),
        (roles("PKI", "Security"), "; PKI or Security can approve"),
        (roles("PKI", "S" * 99, "C", "D", "PKI"), f"; PKI or {'S' * 29}… or 2 more can approve"),
        (roles(), ""),
        (ForbiddenError("403", status_code=403), ""),
        (unavailable(), ""),
    ],
)
def test_reports_who_can_approve(definition: WorkflowDefinition | Exception, who: str) -> None:
    """
    Who can approve is told with the step while a signal lacks, where the definition can be read; it is asked for once.
    """
    step = {
        "CurrentStepUniqueName": "RequireApproval1",
        "Definition": {"Id": "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94", "Version": 4},
    }

    def answer(t: float) -> Instance:
        received = [t > 50, False] if t < 100 else [True, True]
        return instance("Suspended", minute=int(t), Signals=[{"SignalReceived": one} for one in received], **step)

    server = ScriptedServer(answer)
    server.definition = definition
    heard: list[str] = []

    wait(server, timeout=200.0, report=heard.append)

    assert f'Suspended at "RequireApproval1", 0 of 2 signals{who}' == heard[0]
    assert f'Suspended at "RequireApproval1", 1 of 2 signals{who}' in heard
    assert "Keyfactor moves it on" in heard[-1]
    assert "can approve" not in heard[-1]
    assert [("22222222-9d1b-4b7e-8a60-3f5e2d7c1b94", 4)] == server.defined


def test_a_cached_list_does_not_keep_a_gate_shut() -> None:
    """
    The last look trusts no list: an approval that a cache hides is seen at the deadline.
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


@pytest.mark.parametrize("odd", [UnusableAnswerError("a page"), NoAnswerError("not trusted"), RedirectError("to SSO")])
def test_an_odd_answer_in_between(odd: Exception) -> None:
    """
    A page of maintenance is no reason to end a wait that went well; at its beginning it is.
    """
    server = ScriptedServer(lambda t: odd if 10 < t < 20 else instance("Complete" if t > 60 else "Suspended"))
    heard: list[str] = []

    assert wait(server, report=heard.append).is_approved
    assert "Suspended; no usable answer" in heard or "Suspended; no answer" in heard
    assert wait(ScriptedServer(lambda _: odd)).problem == str(odd)


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_looks_of_the_first_minute(jitter: float) -> None:
    """
    A wait looks every two seconds at first, wherever in a tick it has begun and whatever its lot.
    """
    server = ScriptedServer(lambda _: instance("Suspended"))

    async def run() -> None:
        watcher = new_watcher(server, random=lambda: jitter)
        await asyncio.sleep(0.7)
        await watcher.wait(ID, timeout=300.0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())

    assert 2 <= server.pauses[0] < 4
    assert [2.0] * 18 == [round(pause, 3) for pause in server.pauses[1:19]]
    assert min(server.pauses[:-1]) >= 1.99
    assert 45 <= len(server.asked) <= 70


def test_slow_first_looks_are_followed_together() -> None:
    """
    Looks that have queued for longer than their interval go on with the next tick, and lists do not queue behind GETs:
    the requests of a tick stay as few as they are later.
    """
    fleet = Fleet(300)

    fleet.wait_for_all(60.0, start=lambda request: asyncio.get_running_loop().call_later(0.3, request))

    assert max(Counter(round(at - 0.35) // 2 for at, _ in fleet.listed).values()) <= 7  # one of them late


def test_a_look_that_hangs_over_the_deadline() -> None:
    """
    A request that takes the rest of the time is not the last look: one begins at the deadline.
    """
    sent = itertools.count(1)

    def answer(t: float) -> Instance | Exception:
        if len(server.asked) == 3:
            return NoAnswerError("no answer in 60 s", is_transient=True)
        return instance("Complete" if t > 50 else "Suspended")

    server = ScriptedServer(answer)

    def start(request: Callable[[], None]) -> None:
        if next(sent) == 3:
            asyncio.get_running_loop().call_later(60.0, request)
        else:
            request()

    async def run() -> Verdict:
        watcher = new_watcher(server, start=start)
        return await watcher.wait(ID, timeout=60.0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(run()).is_approved


def test_one_look_does_not_ask_who_can_approve() -> None:
    """
    A wait of one look, as in preview, has nobody to tell.
    """
    server = ScriptedServer(
        lambda _: instance("Suspended", CurrentStepUniqueName="RequireApproval1", Signals=[{"SignalReceived": False}])
    )

    wait(server, timeout=0.0)

    assert [] == server.defined


def test_a_slow_definition_does_not_hold_up_the_wait() -> None:
    """
    A definition that does not come is not waited for: the looks keep to their time.
    """
    server = ScriptedServer(
        lambda t: instance(
            "Complete" if t > 20 else "Suspended",
            CurrentStepUniqueName="RequireApproval1",
            Signals=[{"SignalReceived": False}],
        )
    )
    heard: list[str] = []

    sent = itertools.count(1)

    def start(request: Callable[[], None]) -> None:
        if next(sent) != 2:  # the definition, after the first look
            request()

    async def run() -> tuple[Verdict, float]:
        watcher = new_watcher(server, start=start)
        verdict = await watcher.wait(ID, timeout=100.0, report=heard.append)
        return verdict, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        verdict, ended = runner.run(run())

    assert (True, 'Suspended at "RequireApproval1", 0 of 1 signals') == (verdict.is_approved, heard[0])
    assert 20 < ended < 23
    assert [2, 2] == [round(pause) for pause in server.pauses[:2]]


def successor(row_id: str, *, minute: int, title: str = "enrolls", **fields: Any) -> InstanceSummary:
    return InstanceSummary.model_validate(
        {
            **fields,
            "Id": row_id,
            "Title": title,
            "Definition": {"Id": "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94"},
            "StartDate": (START + timedelta(minutes=minute)).isoformat(),
        }
    )


def restarted(server: ScriptedServer) -> Script:
    return lambda _: (
        instance("CanceledForRestart", minute=10) if server.asked[-1][1] == ID else instance("Complete", Id=NEW_ID)
    )


def test_follow_restarts() -> None:
    """
    The one successor of a restarted instance is waited for instead.
    """
    rows = [successor(NEW_ID, minute=10), successor(ID, minute=20), successor("3" * 32, minute=5)]
    rows.append(successor("4" * 32, minute=20, title="another"))
    server = ScriptedServer(lambda _: instance("Running"), rows)
    server.script = restarted(server)

    verdict = wait(server, follow_restarts=True)

    assert verdict.is_approved
    assert verdict.instance is not None
    assert verdict.instance.instance_id == NEW_ID


def test_follow_restarts_none_yet() -> None:
    """
    Without a successor yet, the wait goes on.
    """
    server = ScriptedServer(lambda _: instance("CanceledForRestart"))

    assert wait(server, follow_restarts=True, timeout=100.0).is_pending


def test_follow_restarts_two_candidates() -> None:
    """
    Two candidates are a problem that lists them; nothing is guessed.
    """
    rows = [successor(NEW_ID, minute=20), successor("5" * 32, minute=30)]
    server = ScriptedServer(lambda _: instance("CanceledForRestart", minute=10), rows)

    problem = wait(server, follow_restarts=True).problem

    assert problem is not None
    assert f"{NEW_ID}, 55555555-5555-5555-5555-555555555555" in problem


def test_follow_restarts_of_restarts() -> None:
    """
    What began after a successor was restarted in its turn is that one's successor.
    """
    third = "3" * 32
    ended = (START + timedelta(minutes=20)).isoformat()
    rows = [
        successor(NEW_ID, minute=10, Status="CanceledForRestart", LastModified=ended),
        successor(third, minute=20),
    ]
    server = ScriptedServer(lambda _: instance("Running"), rows)
    minutes = {ID: 10, NEW_ID: 20}
    server.script = lambda _: (
        instance("CanceledForRestart", minute=minutes[server.asked[-1][1]])
        if server.asked[-1][1] in minutes
        else instance("Complete")
    )

    verdict = wait(server, follow_restarts=True)

    assert verdict.is_approved
    assert [ID, NEW_ID, "33333333-3333-3333-3333-333333333333"] == [id_ for _, id_ in server.asked]


def test_restart_not_followed() -> None:
    """
    A restart is a problem unless it was asked to be followed.
    """
    server = ScriptedServer(lambda _: instance("CanceledForRestart"))

    assert "follow_restarts=True" in (wait(server).problem or "")


def test_requests_in_flight() -> None:
    """
    However many waits there are, five requests at most are in flight: four GETs and a list.
    """
    lock = threading.Lock()
    now, most = 0, 0
    full = threading.Barrier(4, timeout=10)

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
        return await asyncio.gather(*(watcher.wait(instance_id, timeout=10.0) for instance_id in ids))

    assert all(verdict.is_approved for verdict in asyncio.run(run()))
    assert most == 4


@pytest.mark.parametrize(("count", "pages"), [(2, 1), (50, 1), (52, 2), (300, 6), (1000, 20)])
def test_many_waits_share_a_list(count: int, pages: int) -> None:
    """
    A tick costs one list request for each 50 instances, and a GET only for what has changed.
    """
    fleet = Fleet(count)
    fleet.approved_at = dict.fromkeys(fleet.ids, 600.0)

    verdicts = fleet.wait_for_all()

    assert all(is_approved and 600 <= at < 635 for is_approved, at in verdicts.values())
    ticks = Counter(round(at) for at, _ in fleet.listed)
    assert set(ticks.values()) == {pages}
    assert len(fleet.asked) == 2 * count  # the first look, and the change


def test_what_was_approved_before_is_told_by_the_list() -> None:
    """
    A first look at instances that are Complete costs one list request for each 50 of them, and no GET.
    """
    fleet = Fleet(300)
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)

    verdicts = fleet.wait_for_all()

    assert all(is_approved and at < 0.1 for is_approved, at in verdicts.values())
    assert (6, 0) == (len(fleet.listed), len(fleet.asked))


def test_what_is_expected_is_read() -> None:
    """
    A list has no state data: what is Complete is read whole where something is expected of it, by one wait or more.
    """
    fleet = Fleet(3)
    fleet.ids = [*fleet.ids, *fleet.ids]
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)

    async def run() -> list[Verdict]:
        watcher = new_watcher(fleet)
        expects: list[Any] = [None, None, None, {"title": "enrolls"}, {"current_state_data.Subject": "CN=web"}, None]
        waits = (watcher.wait(id_, timeout=9.0, expect=expect) for id_, expect in zip(fleet.ids, expects, strict=True))
        return await asyncio.gather(*waits)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        verdicts = runner.run(run())

    assert [True, True, True, True, False, True] == [verdict.is_approved for verdict in verdicts]
    assert fleet.ids[:2] == [instance_id for _, instance_id in fleet.asked]


def test_a_query_that_is_too_long_is_asked_in_parts() -> None:
    """
    A server that refuses the ids of 50 in one query is asked for 20 at a time, at once, without a GET for each.
    """
    fleet = Fleet(300, "short")
    fleet.approved_at = dict.fromkeys(fleet.ids, 0.0)

    verdicts = fleet.wait_for_all()

    assert all(is_approved and at < 0.1 for is_approved, at in verdicts.values())
    assert (6 + 18, 0) == (len(fleet.listed), len(fleet.asked))


def test_one_wait_asks_for_itself() -> None:
    """
    A single instance is read by its id, without a list.
    """
    fleet = Fleet(1)

    fleet.wait_for_all(timeout=100.0)

    assert fleet.listed == []


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


def test_waits_for_one_instance_share_their_looks() -> None:
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
                raise ForbiddenError("403", status_code=403)
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


def test_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A wall clock that jumps by a day changes nothing.
    """
    server = ScriptedServer(lambda t: instance("Complete" if t >= 100 else "Suspended"))
    jumping = itertools.count(time.time(), 86_400)
    monkeypatch.setattr(time, "time", lambda: float(next(jumping)))

    assert wait(server).is_approved
    assert 100 <= server.ended <= 110
