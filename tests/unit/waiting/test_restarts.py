"""
Which instance a restart made, and the wait that goes on with it.
"""

from __future__ import annotations

from typing import Any

import pytest

from kf_provider.errors import RestartError
from kf_provider.keyfactor.models import InstanceSummary
from kf_provider.waiting.restarts import find_successor, successor
from kf_provider.waiting.verdict import Conditions
from tests.virtual import ID, Script, ScriptedServer, instance, wait

FOLLOWS = Conditions(follow_restarts=True)
DEFINITION = "22222222-9d1b-4b7e-8a60-3f5e2d7c1b94"


def row(number: int, *, start: int = 0, end: int = 0, status: str = "Suspended", **fields: object) -> InstanceSummary:
    return InstanceSummary.model_validate(
        {
            "Id": f"{number:08x}-9d1b-4b7e-8a60-3f5e2d7c1b94",
            "Status": status,
            "Title": "enrolls",
            "Definition": {"Id": DEFINITION},
            "StartDate": f"2026-11-24T12:{start:02}:00Z",
            "LastModified": f"2026-11-24T12:{end:02}:00Z",
            **fields,
        }
    )


OLD = row(1, end=10, status="CanceledForRestart")
NEW_ID = row(2).instance_id


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], None),
        ([OLD], None),
        ([OLD, row(2, start=10)], 2),
        ([row(2, start=9)], None),
        ([row(2, start=11, Title="enrolls another")], None),
        ([row(2, start=11, Definition={"Id": "33333333-9d1b-4b7e-8a60-3f5e2d7c1b94"})], None),
        ([row(2, start=11, StartDate=None)], None),
        ([row(2, start=10, end=13, status="CanceledForRestart"), row(3, start=13)], 2),
        ([row(2, start=15)], 2),
        ([row(2, start=15, StartDate="2026-11-24T12:15:01Z")], None),
        ([row(2, start=11, StartDate="2026-12-24T12:11:00Z")], None),
        ([row(2, start=11, StartDate="2026-12-24T12:11:00Z"), row(3, start=11)], 3),
        ([row(2, start=11, Title=None)], None),
    ],
    ids=[
        "none",
        "itself",
        "started then",
        "before",
        "title",
        "definition",
        "no date",
        "restarted again",
        "five minutes",
        "a second more",
        "a month later",
        "a month later and now",
        "no title",
    ],
)
def test_successor(rows: list[InstanceSummary], expected: int | None) -> None:
    """
    Same definition, same title, started within five minutes of the restart, and not after one of the successor itself.
    """
    found = successor(OLD, rows)

    assert (expected and row(expected).instance_id) == (found and found.instance_id)


def test_several_successors() -> None:
    """
    Several are never guessed from; the error names them.
    """
    with pytest.raises(RestartError) as caught:
        successor(OLD, [row(2, start=11), row(3, start=12)])

    assert all(row(number).instance_id in str(caught.value) for number in (1, 2, 3))


# Through a watcher.


def restarted(server: ScriptedServer) -> Script:
    return lambda _: (
        instance("CanceledForRestart", minute=10) if server.asked[-1][1] == ID else instance("Complete", Id=NEW_ID)
    )


def test_follow_restarts() -> None:
    """
    The one successor of a restarted instance is waited for instead.
    """
    rows = [row(2, start=10), row(2, start=20, Id=ID), row(3, start=5)]
    rows.append(row(4, start=20, Title="another"))
    server = ScriptedServer(lambda _: instance("Running"), rows)
    server.script = restarted(server)

    verdict = wait(server, conditions=FOLLOWS)

    assert verdict.is_approved
    assert verdict.instance is not None
    assert verdict.instance.instance_id == NEW_ID


def test_follow_restarts_none_yet() -> None:
    """
    Without a successor yet, the wait goes on.
    """
    server = ScriptedServer(lambda _: instance("CanceledForRestart"))

    assert wait(server, conditions=FOLLOWS, timeout=100.0).is_pending


def test_follow_restarts_two_candidates() -> None:
    """
    Two candidates are a problem that lists them; nothing is guessed.
    """
    rows = [row(2, start=11), row(3, start=12)]
    server = ScriptedServer(lambda _: instance("CanceledForRestart", minute=10), rows)

    problem = wait(server, conditions=FOLLOWS).problem

    assert problem is not None
    assert f"{NEW_ID}, {row(3).instance_id}" in problem


def test_follow_restarts_of_restarts() -> None:
    """
    What began after a successor was restarted in its turn is that one's successor.
    """
    rows = [row(2, start=10, end=20, status="CanceledForRestart"), row(3, start=20)]
    server = ScriptedServer(lambda _: instance("Running"), rows)
    minutes = {ID: 10, NEW_ID: 20}
    server.script = lambda _: (
        instance("CanceledForRestart", minute=minutes[server.asked[-1][1]])
        if server.asked[-1][1] in minutes
        else instance("Complete")
    )

    verdict = wait(server, conditions=FOLLOWS)

    assert verdict.is_approved
    assert [ID, NEW_ID, row(3).instance_id] == [id_ for _, id_ in server.asked]


def test_restart_not_followed() -> None:
    """
    A restart is a problem unless it was asked to be followed.
    """
    server = ScriptedServer(lambda _: instance("CanceledForRestart"))

    assert "follow_restarts=True" in (wait(server).problem or "")


@pytest.mark.parametrize("fields", [{"Title": None}, {"Title": " "}, {"Definition": {}}, {"LastModified": None}])
def test_no_successor_is_guessed(fields: dict[str, Any]) -> None:
    """
    What has no title, definition or date looks like anything: there is no successor, and the error says so at once.
    """
    old = row(1, end=10, status="CanceledForRestart", **fields)
    twin = row(2, start=10, **fields)

    assert successor(old, [twin]) is None
    with pytest.raises(RestartError, match="find the new id in Keyfactor Command and pass it"):
        find_successor(ScriptedServer(lambda _: RestartError("not asked"), [twin], clock=lambda: 0.0), old)
