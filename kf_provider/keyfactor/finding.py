"""
The newest instance that matches: which of a list's rows are candidates, which are read whole, and when it is settled.

Knows no requests: it is given rows as they come, and a way to read the whole instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, TypeVar

from ..errors import KeyfactorError, NotFoundError, RequestError, SearchError
from ..words import safe_line
from .matching import checked_expectations, unmet_expectation
from .models import Instance, InstanceSummary, moment
from .search import Filters, started_after, status_word

READ_AT_ONCE: Final = 5
MOST_CANDIDATES: Final = 50
_IN_A_ROW: Final = frozenset(InstanceSummary.model_fields)
_Row = TypeVar("_Row", bound=InstanceSummary)
_OLDEST: Final = datetime.min.replace(tzinfo=UTC)
UNPINNED: Final = (
    "find_workflow_instance has no definition_id and no match on definition.*: an instance of any workflow would do, "
    "also of one that nobody approves; pin the definition, and who may start it (initiated_by)"
)


def newest_first(rows: Iterable[_Row]) -> list[_Row]:
    """
    The rows by their start, the last one first; one without a date is the oldest.
    """
    return sorted(rows, key=_start, reverse=True)


def is_newest_first(rows: Sequence[InstanceSummary]) -> bool:
    """
    Whether they are in that order already: no source says by which columns a server can sort.
    """
    return all(_start(one) >= _start(other) for one, other in pairwise(rows))


class Search:
    """
    One search for the newest instance that meets the filters and the match.

    `read` brings an instance whole, or raises; five run at once where the match asks for what no row has.
    """

    def __init__(
        self,
        filters: Filters,
        match: Mapping[str, Any] | None,
        read: Callable[[str], Instance],
        *,
        server: str,
        status_names: Mapping[int, str],
    ) -> None:
        """
        Raises SearchError for a match that no instance can meet.
        """
        try:
            self._match = checked_expectations({} if match is None else match, name="match")
        except ValueError as error:
            raise SearchError(f"find_workflow_instance: {error}") from None
        status = filters.get("status")
        self._status = None if status is None else status_word(status, status_names)
        self._filters = filters
        self._row_match = {path: value for path, value in self._match.items() if _head(path) in _IN_A_ROW}
        self._server = server
        self._read = read
        self._read_rows: dict[str, Instance | None] = {}
        self._near: set[str] = set()
        self._may: dict[str, bool] = {}  # each row is judged once, however many pages follow

    @property
    def is_pinned(self) -> bool:
        """
        Whether it says which workflow the instance must be a run of.
        """
        return self._filters.get("definition_id") is not None or any(
            _head(path) == "definition" for path in self._match
        )

    def settled(self, rows: Sequence[InstanceSummary]) -> Instance | None:
        """
        The newest that matches, of the first rows in order of their start; None while rows that may follow could change
        that. Raises RequestError as `newest` does.
        """
        found = self._found(rows)
        return self._only(found) if found and _start(rows[-1]) < _start(found[0]) else None

    def newest(self, rows: Sequence[InstanceSummary]) -> Instance:
        """
        The newest that matches, of all rows in order of their start.

        Raises NotFoundError where none does, RequestError where two of the same moment do, and where none of the fifty
        newest candidates does and there are more.
        """
        found = self._found(rows)
        if not found:
            raise self._none()
        return self._only(found)

    def _found(self, rows: Sequence[InstanceSummary]) -> list[Instance]:
        """
        Those that match and are the newest; several only if they were started at the same moment.
        """
        for row in rows:
            if row.instance_id not in self._may:
                self._may[row.instance_id] = self._may_match(row)
        candidates = [row for row in rows if self._may[row.instance_id]]
        found: list[Instance] = []
        size = READ_AT_ONCE if self._row_match.keys() != self._match.keys() else 1
        for first in range(0, len(candidates), size):
            batch = candidates[first : first + size]
            if found and _start(batch[0]) < _start(found[0]):
                break
            found += [instance for instance in self._whole(batch) if self._matches(instance)]
        found = newest_first(found)
        return [instance for instance in found if _start(instance) == _start(found[0])]

    def _whole(self, batch: Sequence[InstanceSummary]) -> list[Instance]:
        unread = [row.instance_id for row in batch if row.instance_id not in self._read_rows]
        if len(self._read_rows) + len(unread) > MOST_CANDIDATES:
            unread = unread[: MOST_CANDIDATES - len(self._read_rows)]
            if not unread:
                raise RequestError(
                    f"more than {MOST_CANDIDATES} workflow instances on {self._server} are {self._sought()}, and none "
                    f"of the newest {MOST_CANDIDATES} has the wanted {', '.join(self._match)}: narrow the search by "
                    f"started_after, definition_id, title_contains or initiated_by"
                )
        if len(unread) > 1:
            with ThreadPoolExecutor(len(unread)) as threads:
                self._read_rows |= zip(unread, threads.map(self._read_one, unread), strict=True)
        else:
            self._read_rows |= {instance_id: self._read_one(instance_id) for instance_id in unread}
        instances = [self._read_rows.get(row.instance_id) for row in batch]
        return [instance for instance in instances if instance is not None]

    def _read_one(self, instance_id: str) -> Instance | None:
        try:
            return self._read(instance_id)
        except NotFoundError:
            return None  # purged since the list was made

    def _may_match(self, row: InstanceSummary) -> bool:
        """
        Whether the row meets the filters, by what it tells, and does not contradict the match.

        The filters again: not every server takes every query.
        """
        if not self._meets_filters(row):
            return False
        self._near.add(row.instance_id)
        known = {name for name, value in row.outputs().items() if value is not None}
        told = {path: value for path, value in self._row_match.items() if _head(path) in known}
        return unmet_expectation(row, told) is None

    def _matches(self, instance: Instance) -> bool:
        return self._meets_filters(instance) and unmet_expectation(instance, self._match) is None

    def _meets_filters(self, row: InstanceSummary) -> bool:
        given = self._filters
        kind, definition = given.get("workflow_type"), given.get("definition_id")
        title, after = given.get("title_contains"), started_after(given)
        if self._status is not None and row.status != self._status:
            return False
        if kind is not None and (row.definition.workflow_type or kind).lower() != kind.strip().lower():
            return False
        if definition is not None and row.definition.id not in (None, _plain_guid(definition)):
            return False
        if title is not None and title.lower() not in (row.title or title).lower():
            return False
        return after is None or row.start_date is None or _start(row) > after

    def _only(self, found: Sequence[Instance]) -> Instance:
        if len(found) > 1:
            ids = ", ".join(sorted(instance.instance_id for instance in found)[:5])
            raise RequestError(
                f"{len(found)} workflow instances on {self._server} match and were started at the same moment, "
                f"{found[0].start_date or 'which is not known'}: {ids}; narrow the search, or pass the id of one"
            )
        return found[0]

    def _none(self) -> KeyfactorError:
        wanted = f" and has the wanted {', '.join(self._match)}" if self._match else ""
        near = f"{len(self._near)} met the filters alone" if self._match else "none met the filters"
        return NotFoundError(
            f"no workflow instance on {self._server} is {self._sought()}{wanted}; {near}: check them, and that this "
            f"user may list workflow instances",
            status_code=404,
        )

    def _sought(self) -> str:
        """
        The filters in words. Never a value of the match: it may be one of state data, which is secret.
        """
        given = {name: value for name, value in self._filters.items() if value is not None}
        status = safe_line(str(given.pop("status", "of any status")), longest=40)
        return ", ".join(
            [status]
            + [
                "of a query of its own" if name == "query" else f"{name} {safe_line(str(value), longest=60)!r}"
                for name, value in given.items()
            ]
        )


def _head(path: str) -> str:
    return path.partition(".")[0]


def _start(row: InstanceSummary) -> datetime:
    return moment(row.start_date) or _OLDEST


def _plain_guid(value: object) -> str:
    return str(value).strip().strip("{}").lower()
