"""
Waiting from the first poll to the last, on a virtual clock and a scripted server.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from kf_provider.errors import NoAnswerError
from kf_provider.keyfactor.models import Instance
from kf_provider.waiting.threads import RequestThreads
from kf_provider.waiting.verdict import Conditions, Outcome, Verdict
from kf_provider.waiting.watcher import Watcher
from tests.virtual import (
    ID,
    Fleet,
    Script,
    ScriptedServer,
    VirtualLoop,
    instance,
    new_watcher,
    wait,
)


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


def test_last_poll_is_at_the_deadline() -> None:
    """
    An approval that arrives with the deadline wins.
    """
    server = ScriptedServer(lambda t: instance("Complete" if t >= 100 else "Suspended"))

    assert wait(server, timeout=100.0).is_approved


def test_no_timeout_is_one_poll() -> None:
    """
    A timeout of 0 polls once.
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


@pytest.mark.parametrize(("timeout", "seconds"), [(3600.0, 30), (20.0, 20), (0.0, 10)])
def test_silent_server(timeout: float, seconds: float) -> None:
    """
    Three hundred first polls of a server that never answers end together, though five requests at most are in flight.
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


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_polls_of_the_first_minute(jitter: float) -> None:
    """
    A wait polls every two seconds at first, wherever in a tick it has begun and whatever its lot.
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


def test_a_poll_that_hangs_over_the_deadline() -> None:
    """
    A request that takes the rest of the time is not the last poll: one begins at the deadline.
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


def test_one_poll_does_not_ask_who_can_approve() -> None:
    """
    A wait of one poll, as in preview, has nobody to tell.
    """
    server = ScriptedServer(
        lambda _: instance("Suspended", CurrentStepUniqueName="RequireApproval1", Signals=[{"SignalReceived": False}])
    )

    wait(server, timeout=0.0)

    assert [] == server.defined


def test_a_slow_definition_does_not_hold_up_the_wait() -> None:
    """
    A definition that does not come is not waited for: the polls keep to their time.
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
        if next(sent) != 2:  # the definition, after the first poll
            request()

    async def run() -> tuple[Verdict, float]:
        watcher = new_watcher(server, start=start)
        verdict = await watcher.wait(ID, timeout=100.0, report=heard.append)
        return verdict, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        verdict, ended = runner.run(run())

    assert (True, "0 of 1 signals: RequireApproval1") == (verdict.is_approved, heard[0])
    assert 20 < ended < 23
    assert [2, 2] == [round(pause) for pause in server.pauses[:2]]


def test_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A wall clock that jumps by a day changes nothing.
    """
    server = ScriptedServer(lambda t: instance("Complete" if t >= 100 else "Suspended"))
    jumping = itertools.count(time.time(), 86_400)
    monkeypatch.setattr(time, "time", lambda: float(next(jumping)))

    assert wait(server).is_approved
    assert 100 <= server.ended <= 110


class _Broken:
    """A server that is none."""

    settings = None


def _raising(error: BaseException) -> Script:
    def script(_: float) -> Instance:
        raise error

    return script


UNFORESEEN = [OverflowError("canary"), RecursionError(), StopIteration(), SystemExit(3), MemoryError(), TimeoutError()]


@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda error: type(error).__name__)
def test_wait_never_raises(error: BaseException) -> None:
    """
    What nobody foresaw is a verdict too, which names its class and not its words.
    """
    verdict = wait(ScriptedServer(_raising(error)))

    assert (Outcome.UNREACHABLE, (ID,)) == (verdict.outcome, verdict.lineage)
    assert "was not foreseen" in verdict.text
    assert "canary" not in verdict.text


@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda error: type(error).__name__)
def test_unforeseen_once_ends_no_wait(error: BaseException) -> None:
    """
    A wait that went well rides out what nobody foresaw.
    """

    def script(now: float) -> Instance:
        if 100 <= now < 200:
            raise error
        return instance("Complete" if now >= 600 else "Suspended")

    assert wait(ScriptedServer(script)).is_approved


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": None},
        {"timeout": "1h"},
        {"request_timeout": "x"},
        {"conditions": 5},
        {"conditions": Conditions(expect=5)},  # type: ignore[arg-type]  # what makes no sense
        {"conditions": Conditions(expect={"current_state_data.a": ...})},
        {"conditions": Conditions(expect={5: "x"})},  # type: ignore[dict-item]  # as above
    ],
    ids=str,
)
def test_wait_never_raises_for_what_is_passed(options: dict[str, Any]) -> None:
    """
    So is what makes no sense of what it was called with.
    """
    assert not wait(ScriptedServer(lambda _: instance("Complete")), **options).is_approved


def test_wait_never_raises_without_a_server() -> None:
    """
    So is a server that cannot be asked at all.
    """

    async def run() -> Verdict:
        return await Watcher(_Broken(), RequestThreads()).wait(ID, timeout=1.0)  # type: ignore[arg-type]  # that is it

    assert Outcome.UNREACHABLE is asyncio.run(run()).outcome


def test_a_broken_report_ends_no_wait() -> None:
    """
    A listener that raises loses its reports, and nothing else.
    """

    def report(text: str) -> None:
        raise BrokenPipeError(text)

    assert wait(ScriptedServer(lambda t: instance("Complete" if t >= 60 else "Suspended")), report=report).is_approved


def test_what_ends_the_program_ends_a_wait() -> None:
    """
    A cancelled wait is cancelled, and no verdict.
    """

    async def run() -> None:
        waiting = asyncio.ensure_future(
            new_watcher(ScriptedServer(lambda _: instance("Suspended"))).wait(ID, timeout=9.0)
        )
        await asyncio.sleep(1)
        waiting.cancel()
        await waiting

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(asyncio.CancelledError):
        runner.run(run())
