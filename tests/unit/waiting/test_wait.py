"""
What a wait has seen, what that means for it, and what it reports: through a watcher, on a virtual clock.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest

from kf_provider.errors import (
    ForbiddenError,
    NoAnswerError,
    NotFoundError,
    RedirectError,
    UnauthorizedError,
    UnusableAnswerError,
)
from kf_provider.keyfactor.models import Instance, WorkflowDefinition
from tests.virtual import ScriptedServer, instance, unavailable, wait

# What fails, and how long that may last.


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


def test_retry_after_is_kept() -> None:
    """
    A server that asks for 40 seconds is not asked before.
    """
    server = ScriptedServer(
        lambda t: unavailable(40) if 10 < t < 50 else instance("Complete" if t > 60 else "Suspended")
    )

    wait(server)

    assert 40 <= max(server.pauses) < 43


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
    What will not pass ends the wait at the first poll.
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


# What is reported.


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
    assert max(gaps) < 300 + 72  # the next poll after five minutes


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
