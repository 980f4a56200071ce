"""
The record's own question, where no event loop runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from kf_provider.errors import NotFoundError, UnavailableError
from kf_provider.keyfactor.models import Instance, InstanceSummary
from kf_provider.waiting.verdict import ANY, Conditions, Outcome, failure, judge, pending
from kf_provider.waiting.verify import PATIENCE_SECONDS, Patience, verify
from tests.virtual import ID, Script, ScriptedServer, instance


def server_of(script: Script, rows: Sequence[InstanceSummary] = ()) -> ScriptedServer:
    return ScriptedServer(script, rows, clock=time.monotonic)


def test_approved() -> None:
    """
    The verdict has the instance whole, after one GET, and its lineage.
    """
    server = server_of(lambda _: instance("Complete", CurrentStateData={"Subject": "CN=web"}))

    verdict = verify(server, ID, Conditions(expect={"current_state_data.Subject": "CN=web"}))

    assert (Outcome.APPROVED, (ID,)) == (verdict.outcome, verdict.lineage)
    assert isinstance(verdict.instance, Instance)
    assert (1, 0) == (len(server.asked), len(server.listed))


def test_not_confirmed() -> None:
    """
    Whatever the server says ends as a verdict, and nothing is raised.
    """
    rejected = verify(server_of(lambda _: instance("Rejected")), ID, ANY)
    missing = NotFoundError("404", status_code=404)
    gone = verify(server_of(lambda _: missing), ID, ANY)

    assert (Outcome.REJECTED, Outcome.NOT_FOUND) == (rejected.outcome, gone.outcome)


def test_pending_is_no_approval() -> None:
    """
    An answer from before the approval is asked for again; what is pending in the end is not approved.
    """
    answers = iter([instance("Suspended"), instance("Complete", minute=1)])
    late = verify(server_of(lambda _: next(answers)), ID, ANY)
    spent = Patience(iter([0.0, 0.0, 121.0, 121.0]).__next__)
    spent.left()
    spent.heard(pending(ID, None), begun=0.0)
    never = verify(server_of(lambda _: instance("Suspended")), ID, ANY, patience=spent)

    assert late.is_approved
    assert "is not approved yet" in never.text


def test_follows_a_restart() -> None:
    """
    The successor is found by the rules of the program's wait, and the lineage leads to it.
    """
    new_id = "11111111-9d1b-4b7e-8a60-3f5e2d7c1b94"
    row = instance("Complete", minute=5, Id=new_id, StartDate="2026-11-24T12:01:00Z")
    answers = iter([instance("CanceledForRestart"), row])
    server = server_of(lambda _: next(answers), rows=[row])

    verdict = verify(server, ID, Conditions(follow_restarts=True))

    assert (Outcome.APPROVED, (ID, new_id)) == (verdict.outcome, verdict.lineage)


def test_a_server_that_asks_for_patience() -> None:
    """
    A 429 with `Retry-After`, just when many gates open, is kept to; the approval is recorded after it.
    """
    busy = UnavailableError("429", status_code=429, is_transient=True, retry_after=3.0)
    answers: Iterator[Instance | Exception] = iter([busy, busy, instance("Complete")])
    server = server_of(lambda _: next(answers))

    verdict = verify(server, ID, ANY)

    assert verdict.is_approved
    assert all(2.9 < pause for pause in server.pauses)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patience_is_shared() -> None:
    """
    All records of a process have two minutes together; a settled verdict gives the next ones two minutes again.
    """
    clock = Clock()
    patience = Patience(clock)
    unreachable = failure(UnavailableError("503", status_code=503))

    assert PATIENCE_SECONDS == patience.left()
    clock.now = 100.0
    patience.heard(unreachable, begun=0.0)
    assert 20.0 == patience.left()
    clock.now = 500.0
    patience.heard(unreachable, begun=100.0)
    assert 0.0 == patience.left()
    patience.heard(judge(instance("Complete")), begun=499.0)
    assert PATIENCE_SECONDS == patience.left()
