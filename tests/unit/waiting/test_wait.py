"""
What a wait makes of the answers that it sees, on a virtual clock.
"""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest

from kf_provider.errors import (
    ForbiddenError,
    NoAnswerError,
    NotFoundError,
    RedirectError,
    StatusError,
    UnauthorizedError,
    UnusableAnswerError,
    status_meaning,
)
from kf_provider.keyfactor.models import Instance, InstanceSummary, WorkflowDefinition
from kf_provider.waiting.verdict import Conditions, Outcome
from tests.virtual import ID, START, ScriptedServer, instance, unavailable, wait

NEW_ID = "11111111-9d1b-4b7e-8a60-3f5e2d7c1b94"


@pytest.mark.parametrize("seconds", [1, 3600])
@pytest.mark.parametrize(
    ("status", "outcome"), [("Complete", "approved"), ("Rejected", "rejected"), ("CanceledForRestart", "restarted")]
)
def test_what_is_final_has_an_older_date(status: str, outcome: str, seconds: int) -> None:
    """
    A clock that is set back, or the end of summer time, hides no end of an instance: no date is a reason for doubt.
    """
    earlier = (START - timedelta(seconds=seconds)).isoformat()
    server = ScriptedServer(lambda t: instance(status, LastModified=earlier) if t >= 10 else instance("Suspended"))

    verdict = wait(server)

    assert Outcome(outcome) is verdict.outcome
    assert server.ended < 15


def test_what_is_final_has_an_older_date_at_the_deadline() -> None:
    """
    So it is with the last look.
    """
    server = ScriptedServer(lambda t: instance("Complete", minute=-60) if t >= 100 else instance("Suspended"))

    assert wait(server, timeout=100.0).is_approved


def refusal(status: int, code: str | None) -> StatusError:
    error, is_transient = status_meaning(status)
    return error(f"{status}", status_code=status, error_code=code, is_transient=is_transient)


@pytest.mark.parametrize("status", [400, 403, 405, 407, 410, 418, 451])
def test_a_refusal_of_something_before_keyfactor(status: int) -> None:
    """
    What refuses without Keyfactor's code, a proxy or a filter, is ridden out for two minutes in a wait that went well.
    """
    passing = ScriptedServer(
        lambda t: refusal(status, None) if 10 < t < 120 else instance("Complete" if t > 130 else "Suspended")
    )
    lasting = ScriptedServer(lambda t: refusal(status, None) if t > 10 else instance("Suspended"))

    assert wait(passing).is_approved
    assert str(status) == wait(lasting).problem
    assert 120 <= lasting.ended - 10 < 140


@pytest.mark.parametrize(("status", "code"), [(400, "0xA0110001"), (403, "0xA0140002")])
def test_a_refusal_of_keyfactor(status: int, code: str) -> None:
    """
    Keyfactor's own refusal ends the wait at once.
    """
    server = ScriptedServer(lambda t: refusal(status, code) if t > 10 else instance("Suspended"))

    assert (wait(server).problem or "").startswith(str(status))
    assert server.ended < 15


def test_a_refusal_at_the_first_seen() -> None:
    """
    A wait that has never gone well ends at the first refusal, whoever it is from.
    """
    server = ScriptedServer(lambda _: refusal(403, None))

    assert "403" == wait(server).problem
    assert 1 == len(server.asked)


@pytest.mark.parametrize("status", [408, 421, 425])
def test_what_is_transient_by_definition(status: int) -> None:
    """
    A 408, 421 or 425 has the patience of an outage, at the first look too.
    """
    first = ScriptedServer(lambda t: refusal(status, None) if t < 20 else instance("Complete"))
    later = ScriptedServer(
        lambda t: refusal(status, "0xA0110001") if 10 < t < 500 else instance("Complete" if t > 500 else "Running")
    )

    assert (True, True) == (wait(first).is_approved, wait(later).is_approved)


def test_first_seen() -> None:
    """
    Who wants to warn is given each pending instance once, whole: the first, and the one that a restart made.
    """
    started: dict[str, Any] = {"StartDate": START.isoformat(), "CurrentStateData": {"Subject": "CN=web"}}
    row = InstanceSummary.model_validate(instance("Suspended", Id=NEW_ID, **started).outputs())

    def script(t: float) -> Any:
        if server.asked[-1][1] == NEW_ID:
            return instance("Complete" if t > 40 else "Suspended", Id=NEW_ID, **started)
        return instance("Suspended" if t < 20 else "CanceledForRestart", **started)

    server = ScriptedServer(script, [row])
    seen: list[Any] = []

    wait(server, conditions=Conditions(follow_restarts=True), first_seen=seen.append)

    assert [(ID, "Suspended"), (NEW_ID, "Suspended")] == [(one.instance_id, one.status) for one in seen]
    assert all(one.current_state_data == {"Subject": "CN=web"} for one in seen)


@pytest.mark.parametrize("error", [ForbiddenError("403", status_code=403), None])
def test_no_first_seen(error: Exception | None) -> None:
    """
    What is not pending, or not seen, is no reason to warn.
    """
    seen: list[Any] = []

    wait(ScriptedServer(lambda _: error or instance("Complete")), first_seen=seen.append)

    assert [] == seen


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
    assert "no usable answer; Suspended" in heard or "no answer; Suspended" in heard
    assert wait(ScriptedServer(lambda _: odd)).problem == str(odd)


def test_stale_answer() -> None:
    """
    An answer is believed by its status: an older pending one costs a look, and the next tells what is true.
    """
    server = ScriptedServer(
        lambda t: (
            instance("Suspended", minute=5)
            if t < 10
            else instance("Running", minute=3)
            if t < 20
            else instance("Complete", minute=6)
        ),
    )

    assert wait(server).is_approved
    assert server.ended < 25


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

    assert heard[:2] == ["Suspended", "the server answers 503; Suspended"]
    assert "Suspended" in heard[2:]
    assert "Complete, after 2 min" == heard[-1]


def test_reports_another_trouble() -> None:
    """
    When a server that was away answers something else, that is told, and not what was before.
    """

    def play(t: float) -> Instance | Exception:
        if 10 < t < 40:
            return NoAnswerError("connection refused", is_transient=True)
        return unavailable() if 40 <= t < 100 else instance("Suspended")

    heard: list[str] = []

    wait(ScriptedServer(play), timeout=200.0, report=heard.append)

    troubles = [text.partition(" for ")[0].partition(";")[0] for text in heard if text.endswith("; Suspended")]
    assert list(dict.fromkeys(troubles)) == ["no answer", "the server answers 503"]
    assert len(heard) < 10


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

    assert f"0 of 2 signals: RequireApproval1{who}" == heard[0]
    assert f"1 of 2 signals: RequireApproval1{who}" in heard
    assert "Keyfactor moves it on" in heard[-1]
    assert "can approve" not in heard[-1]
    assert [("22222222-9d1b-4b7e-8a60-3f5e2d7c1b94", 4)] == server.defined


def test_what_hears_of_an_instance_ends_no_wait() -> None:
    """
    A callback that raises when the instance is first seen, or at a report, is dropped, and the wait goes on.
    """

    def fail(_: object) -> None:
        raise ZeroDivisionError

    server = ScriptedServer(lambda t: instance("Complete" if t > 30 else "Suspended", minute=int(t > 30)))

    assert wait(server, first_seen=fail, report=fail).is_approved
