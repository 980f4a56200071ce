"""
Waiting, on a virtual clock and a scripted server.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kf_provider.errors import (
    ForbiddenError,
    NoAnswerError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from kf_provider.models import Instance, InstanceSummary
from kf_provider.settings import Settings
from kf_provider.verdict import Verdict
from kf_provider.watcher import Watcher

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"
NEW_ID = "11111111-9d1b-4b7e-8a60-3f5e2d7c1b94"
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    """A monotonic clock on which sleeping takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


Script = Callable[[float], Instance | Exception]


class ScriptedServer:
    """A server whose answer depends on how long the wait has lasted."""

    def __init__(self, clock: Clock, script: Script, rows: Sequence[InstanceSummary] = ()) -> None:
        self.settings = Settings(hostname="keyfactor.example.com", username="u", password="p")
        self.asked: list[str] = []
        self._clock = clock
        self._script = script
        self._rows = rows

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None) -> Instance:
        self.asked.append(instance_id)
        answer = self._script(self._clock() - 1000.0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def list_workflow_instances(
        self, *, query: str | None = None, timeout: float | None = None
    ) -> list[InstanceSummary]:
        return list(self._rows)


def instance(status: str, *, minute: int = 0, **fields: Any) -> Instance:
    return Instance.model_validate(
        {
            "Id": ID,
            "Status": status,
            "Title": "enrolls",
            "Definition": {"Id": "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94"},
            "LastModified": (START + timedelta(minutes=minute)).isoformat(),
            **fields,
        }
    )


def unavailable(retry_after: float | None = None) -> UnavailableError:
    return UnavailableError("503 from the server", status_code=503, is_transient=True, retry_after=retry_after)


def wait(clock: Clock, server: ScriptedServer, **options: Any) -> Verdict:
    async def run() -> Verdict:
        watcher = Watcher(server, clock=clock, sleep=clock.sleep, luck=lambda: 0.0)
        return await watcher.wait(ID, **{"timeout": 3600.0, **options})

    return asyncio.run(run())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_wait_approved(clock: Clock) -> None:
    """
    The wait ends soon after the approval: within 5 % of the time waited, and 2 seconds at first.
    """
    server = ScriptedServer(clock, lambda t: instance("Complete" if t >= 600 else "Suspended"))

    verdict = wait(clock, server)

    assert verdict.is_approved
    assert 600 <= clock.now - 1000 <= 630


def test_wait_rejected(clock: Clock) -> None:
    """
    A rejected instance ends the wait at once, although time is left.
    """
    server = ScriptedServer(clock, lambda _: instance("Rejected"))

    assert "is Rejected" in (wait(clock, server).problem or "")
    assert clock.pauses == []


def test_wait_times_out_as_pending(clock: Clock) -> None:
    """
    At the deadline the instance is pending, not refused.
    """
    server = ScriptedServer(clock, lambda _: instance("Suspended"))

    verdict = wait(clock, server, timeout=100.0)

    assert verdict.is_pending
    assert clock.now - 1000 == pytest.approx(100)


def test_last_look_is_at_the_deadline(clock: Clock) -> None:
    """
    An approval that arrives with the deadline wins.
    """
    server = ScriptedServer(clock, lambda t: instance("Complete" if t >= 100 else "Suspended"))

    assert wait(clock, server, timeout=100.0).is_approved


def test_no_timeout_is_one_look(clock: Clock) -> None:
    """
    A timeout of 0 looks once.
    """
    server = ScriptedServer(clock, lambda _: instance("Suspended"))

    assert wait(clock, server, timeout=0.0).is_pending
    assert server.asked == [ID]


def test_requests_of_a_long_wait(clock: Clock) -> None:
    """
    Three days cost about one request a minute.
    """
    server = ScriptedServer(clock, lambda _: instance("Suspended"))

    wait(clock, server, timeout=3 * 86_400.0)

    assert len(server.asked) < 3 * 24 * 60 + 100


def test_retry_after_is_kept(clock: Clock) -> None:
    """
    A server that asks for 40 seconds is not asked before.
    """
    server = ScriptedServer(
        clock, lambda t: unavailable(40) if 10 < t < 50 else instance("Complete" if t > 60 else "Suspended")
    )

    wait(clock, server)

    assert 40 in clock.pauses


def test_outage_is_ridden_out(clock: Clock) -> None:
    """
    Nine minutes without an answer do not end a wait that had one before.
    """
    server = ScriptedServer(
        clock,
        lambda t: (
            NoAnswerError("no answer", is_transient=True)
            if 30 < t < 30 + 540
            else instance("Complete" if t > 100 else "Suspended")
        ),
    )

    assert wait(clock, server).is_approved


def test_outage_budget(clock: Clock) -> None:
    """
    Ten minutes without an answer do, with the server's error.
    """
    server = ScriptedServer(clock, lambda t: unavailable() if t > 30 else instance("Suspended"))

    assert wait(clock, server, timeout=7200.0).problem == "503 from the server"
    assert 600 <= clock.now - 1000 - 30 <= 700


def test_outages_are_not_added_up(clock: Clock) -> None:
    """
    Each good answer gives the whole ten minutes again.
    """
    server = ScriptedServer(
        clock, lambda t: instance("Complete" if t > 5000 else "Suspended") if int(t / 400) % 2 == 0 else unavailable()
    )

    assert wait(clock, server, timeout=7200.0).is_approved


def test_dead_server_at_the_start(clock: Clock) -> None:
    """
    Before the first good answer the patience is 30 seconds: a stack of recorded approvals must not hang.
    """
    server = ScriptedServer(clock, lambda _: NoAnswerError("no answer", is_transient=True))

    assert wait(clock, server).problem == "no answer"
    assert 30 <= clock.now - 1000 <= 35


@pytest.mark.parametrize(
    "error",
    [
        UnauthorizedError("401", status_code=401),
        ForbiddenError("403", status_code=403),
        NotFoundError("404", status_code=404),
        NoAnswerError("the certificate is not trusted", is_transient=False),
    ],
)
def test_final_errors(clock: Clock, error: Exception) -> None:
    """
    What will not pass ends the wait at the first look.
    """
    server = ScriptedServer(clock, lambda _: error)

    assert wait(clock, server).problem == str(error)
    assert len(server.asked) == 1


def test_not_found_yet(clock: Clock) -> None:
    """
    A server that does not know a new instance yet has a minute.
    """
    server = ScriptedServer(clock, lambda t: NotFoundError("404", status_code=404) if t < 40 else instance("Complete"))

    assert wait(clock, server, may_be_new=True).is_approved


def test_not_found_any_more(clock: Clock) -> None:
    """
    An instance that was seen and is gone for a minute is gone.
    """
    server = ScriptedServer(clock, lambda t: NotFoundError("404", status_code=404) if t > 10 else instance("Suspended"))

    assert wait(clock, server).problem == "404"
    assert 60 <= clock.now - 1000 - 10 <= 80


def test_stale_answer(clock: Clock) -> None:
    """
    An answer older than the last one is ignored, whatever it says.
    """
    server = ScriptedServer(
        clock,
        lambda t: (
            instance("Suspended", minute=5)
            if t < 10
            else instance("Complete", minute=3)
            if t < 20
            else instance("Rejected", minute=6)
        ),
    )

    assert "is Rejected" in (wait(clock, server).problem or "")


def test_reports_on_change_and_heartbeat(clock: Clock) -> None:
    """
    People hear of each change once, then of a standing wait in growing intervals of five minutes at most.
    """
    server = ScriptedServer(clock, lambda t: instance("Running" if t < 10 else "Suspended"))
    heard: list[tuple[float, str]] = []

    wait(clock, server, report=lambda text: heard.append((clock.now - 1000, text)))

    assert ["Running", "Suspended"] == [text for _, text in heard[:2]]
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(heard[1:])]
    assert len(gaps) < 20
    assert 25 < min(gaps)
    assert max(gaps) < 300 + 72  # the next look after five minutes


def test_reports_an_outage(clock: Clock) -> None:
    """
    An outage is told when it begins, and when it is over.
    """
    server = ScriptedServer(
        clock, lambda t: unavailable() if 10 < t < 100 else instance("Complete" if t > 150 else "Suspended")
    )
    heard: list[str] = []

    wait(clock, server, report=heard.append)

    assert heard[:2] == ["Suspended", "Suspended; no answer for 0 s"]
    assert "Suspended" in heard[2:]


def successor(row_id: str, *, minute: int, title: str = "enrolls") -> InstanceSummary:
    return InstanceSummary.model_validate(
        {
            "Id": row_id,
            "Title": title,
            "Definition": {"Id": "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94"},
            "StartDate": (START + timedelta(minutes=minute)).isoformat(),
        }
    )


def restarted(server: ScriptedServer) -> Script:
    return lambda _: (
        instance("CanceledForRestart", minute=10) if server.asked[-1] == ID else instance("Complete", Id=NEW_ID)
    )


def test_follow_restarts(clock: Clock) -> None:
    """
    The one successor of a restarted instance is waited for instead.
    """
    rows = [successor(NEW_ID, minute=10), successor(ID, minute=20), successor("3" * 32, minute=5)]
    rows.append(successor("4" * 32, minute=20, title="another"))
    server = ScriptedServer(clock, lambda _: instance("Running"), rows)
    server._script = restarted(server)

    verdict = wait(clock, server, follow_restarts=True)

    assert verdict.is_approved
    assert verdict.instance is not None
    assert verdict.instance.instance_id == NEW_ID


def test_follow_restarts_none_yet(clock: Clock) -> None:
    """
    Without a successor yet, the wait goes on.
    """
    server = ScriptedServer(clock, lambda _: instance("CanceledForRestart"))

    assert wait(clock, server, follow_restarts=True, timeout=100.0).is_pending


def test_follow_restarts_two_candidates(clock: Clock) -> None:
    """
    Two candidates are a problem that lists them; nothing is guessed.
    """
    rows = [successor(NEW_ID, minute=20), successor("5" * 32, minute=30)]
    server = ScriptedServer(clock, lambda _: instance("CanceledForRestart", minute=10), rows)

    problem = wait(clock, server, follow_restarts=True).problem

    assert problem is not None
    assert f"{NEW_ID}, 55555555-5555-5555-5555-555555555555" in problem


def test_restart_not_followed(clock: Clock) -> None:
    """
    A restart is a problem unless it was asked to be followed.
    """
    server = ScriptedServer(clock, lambda _: instance("CanceledForRestart"))

    assert "follow_restarts=True" in (wait(clock, server).problem or "")


def test_requests_in_flight(clock: Clock) -> None:
    """
    However many waits there are, five requests at most are in flight.
    """
    import threading

    lock = threading.Lock()
    now, most = 0, 0
    full = threading.Barrier(5, timeout=10)

    def script(_: float) -> Instance:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        full.wait()
        with lock:
            now -= 1
        return instance("Complete")

    async def run() -> list[Verdict]:
        watcher = Watcher(ScriptedServer(clock, script), clock=clock, sleep=clock.sleep)
        return await asyncio.gather(*(watcher.wait(ID, timeout=10.0) for _ in range(50)))

    assert all(verdict.is_approved for verdict in asyncio.run(run()))
    assert most == 5
