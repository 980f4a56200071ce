"""
What has changed on a server since an answer of its: by one list, however many instances are waited for.

It knows neither the clock nor the server: who polls tells it what was listed, and when. All times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ..keyfactor.models import InstanceSummary, utc_text

CHECK_SECONDS: Final = 300.0  # so long an instance may be known by the list of changes alone
FAILURES: Final = 3  # so many in a row, and no list of changes is asked for any more
_MARGIN: Final = timedelta(seconds=1)  # a row may be stored a little after its date, and Date has whole seconds


@dataclass(frozen=True)
class _Listed:
    row: InstanceSummary
    mark: InstanceSummary  # whatever has changed before this row did was in the answer
    checked: float  # when a list by ids had it


class Changes:
    """
    Which instances a list of changes can tell of, how it is asked for, and whether its answer can be believed.

    Keyfactor sets LastModified at each step and signal, so what was modified after a row that was seen before the last
    answer is all that can be new (reference 10.3, table 659). How a server reads such a query is written nowhere, so
    each answer proves itself: that row must be in it, and it must not be cut off. What it may miss all the same (a
    server whose nodes or clocks differ, a cache) is found when the instance is listed by its id, every five minutes.
    """

    def __init__(self) -> None:
        self._listed: dict[str, _Listed] = {}
        self._failures = 0
        self.newest: InstanceSummary | None = None  # of all rows; what is asked for next is asked after it was seen

    @property
    def is_given_up(self) -> bool:
        return self._failures >= FAILURES

    def can_tell(self, instance_id: str, latest: InstanceSummary | None, now: float) -> bool:
        """
        Whether the list of changes is enough for an instance of which this is known.
        """
        listed = self._listed.get(instance_id)
        return (
            listed is not None
            and latest is not None
            and not self.is_given_up
            and now < listed.checked + CHECK_SECONDS
            and (listed.row.status, listed.row.last_modified) == (latest.status, latest.last_modified)
        )

    def query(self, ids: Iterable[str]) -> tuple[str, InstanceSummary]:
        """
        What to ask for about these instances, and the row that its answer must have.
        """
        mark = min((self._listed[instance_id].mark for instance_id in ids), key=_modified)
        return f'LastModified -gt "{utc_text((_modified(mark) - _MARGIN).replace(microsecond=0))}"', mark

    def note_list(self, rows: Iterable[InstanceSummary], *, before: InstanceSummary | None, now: float) -> None:
        """
        Note the answer to a list by ids; `before` is the newest row that was known when it was asked for.
        """
        rows = [*rows]
        for row in rows:
            self._listed.pop(row.instance_id, None)
            if before is not None and row.last_modified is not None:
                self._listed[row.instance_id] = _Listed(row, before, now)
        self._note_newest(rows)

    def note_changes(
        self,
        ids: Iterable[str],
        rows: Sequence[InstanceSummary],
        *,
        before: InstanceSummary | None,
        mark: InstanceSummary,
        limit: int,
    ) -> Mapping[str, InstanceSummary] | None:
        """
        The rows of these instances as they are now; None when the answer proves nothing, which counts as a failure.
        """
        changed = {row.instance_id: row for row in rows}
        if len(rows) >= limit or mark.instance_id not in changed:
            self.failed(ids)
            return None
        self._failures = 0
        for instance_id in ids:
            listed = self._listed[instance_id]
            self._listed[instance_id] = replace(listed, row=changed.get(instance_id, listed.row), mark=before or mark)
        self._note_newest(rows)
        return {instance_id: self._listed[instance_id].row for instance_id in ids}

    def failed(self, ids: Iterable[str]) -> None:
        """
        Note that no list of changes was to be had; these instances are listed by their ids before the next one.
        """
        self._failures += 1
        for instance_id in ids:
            self._listed.pop(instance_id, None)

    def _note_newest(self, rows: Iterable[InstanceSummary]) -> None:
        known = [] if self.newest is None else [self.newest]
        self.newest = max([*known, *filter(_is_dated, rows)], key=_modified, default=None)


def _is_dated(row: InstanceSummary) -> bool:
    """
    Whether its date can be what others are asked for by: a clock that is ahead would hide what comes until then.
    """
    now = row.answered_at
    return row.last_modified is not None and (now is None or _modified(row) <= now + _MARGIN)


def _modified(row: InstanceSummary) -> datetime:
    return datetime.fromisoformat(row.last_modified or "")  # of a row that has one
