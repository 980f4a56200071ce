"""
Which instance a restart made: Keyfactor gives it a new id, and no field names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from ..errors import RestartError
from ..keyfactor.models import InstanceSummary, Status, moment
from .poller import Server

STARTS_WITHIN: Final = timedelta(minutes=5)  # a restart begins at once; a later request is another one


def find_successor(
    server: Server, old: InstanceSummary, *, timeout: float | None = None, retries: int = 2
) -> InstanceSummary | None:
    """
    The one instance that a restart made of `old`; None while there is none.

    Blocks. Raises RestartError when it is not known, and RequestError.
    """
    if not _tells_its_successor(old):
        raise RestartError(
            f"workflow instance {old.instance_id} was restarted, but without a definition, a title and a date it does "
            f"not tell what its successor would look like; find the new id in Keyfactor Command and pass it"
        )
    rows = server.list_workflow_instances(definition_id=old.definition.id, timeout=timeout, retries=retries)
    return successor(old, rows)


def successor(old: InstanceSummary, rows: Sequence[InstanceSummary]) -> InstanceSummary | None:
    """
    The one among the rows that a restart made of `old`: same definition, same title, started within five minutes after
    the old one ended, and not after one of these was restarted in its turn. None is guessed where `old` has no
    definition, title or date. Raises RestartError when several may be it.
    """
    if not _tells_its_successor(old):
        return None
    found = [
        row
        for row in rows
        if row.instance_id != old.instance_id
        and row.definition.id == old.definition.id
        and row.title == old.title
        and _follows(row, old)
    ]
    restarted = [row for row in found if row.status == Status.CANCELED_FOR_RESTART]
    found = [row for row in found if not any(_follows(row, other) for other in restarted)]
    if len(found) > 1:
        ids = ", ".join(sorted(row.instance_id for row in found))
        raise RestartError(
            f"workflow instance {old.instance_id} was restarted, and more than one instance may be its "
            f"successor: {ids}; pass the id of the right one"
        )
    return found[0] if found else None


def _tells_its_successor(old: InstanceSummary) -> bool:
    return bool(old.definition.id and (old.title or "").strip() and old.last_modified)


def _follows(row: InstanceSummary, ended: InstanceSummary) -> bool:
    start, end = moment(row.start_date), moment(ended.last_modified)
    return start is not None and end is not None and timedelta() <= start - end <= STARTS_WITHIN
