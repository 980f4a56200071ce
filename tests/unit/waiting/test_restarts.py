"""
Which instance a restart made.
"""

from __future__ import annotations

import pytest

from kf_provider.errors import RestartError
from kf_provider.keyfactor.models import InstanceSummary
from kf_provider.waiting.restarts import successor

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
        ([row(2, start=10, end=20, status="CanceledForRestart"), row(3, start=20)], 2),
    ],
    ids=["none", "itself", "started then", "before", "title", "definition", "no date", "restarted again"],
)
def test_successor(rows: list[InstanceSummary], expected: int | None) -> None:
    """
    Same definition, same title, started not before the old one ended, nor after a restart of the successor itself.
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
