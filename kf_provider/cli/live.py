"""
How waits are shown while they last: a live table on a terminal, a line on each change elsewhere, or lines of JSON.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import click

from ..durations import spoken
from ..waiting.progress import Progress
from ..waiting.verdict import Outcome, Verdict, signals, step, who_can_approve
from ..words import printable
from .options import as_json

_NARROW: Final = 100  # columns: below, who can approve is left out of the table


class View(Protocol):
    """
    Who is told of the waits, by the id that each began with.
    """

    def progressed(self, instance_id: str, progress: Progress) -> None: ...

    def reported(self, instance_id: str, text: str) -> None: ...

    def ended(self, instance_id: str, verdict: Verdict) -> None: ...

    def refresh(self) -> None: ...

    def close(self) -> None: ...


class Lines:
    """
    A line on each change and on a heartbeat, on stderr; each verdict on stdout.
    """

    def progressed(self, instance_id: str, progress: Progress) -> None:
        pass

    def reported(self, instance_id: str, text: str) -> None:
        click.echo(f"{datetime.now(UTC):%H:%M:%S}Z  {instance_id}  {printable(text)}", err=True)

    def ended(self, instance_id: str, verdict: Verdict) -> None:
        click.echo(f"{instance_id}  {verdict.outcome}  {printable(verdict.text)}")

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


class JsonLines:
    """
    A line of JSON for each change, on stdout.
    """

    def __init__(self) -> None:
        self._latest: dict[str, Progress] = {}
        self._is_broken = False

    def progressed(self, instance_id: str, progress: Progress) -> None:
        self._latest[instance_id] = progress

    def reported(self, instance_id: str, text: str) -> None:
        latest = self._latest.get(instance_id)
        self._write(
            instance_id,
            outcome=str(Outcome.PENDING),
            status=latest.status if latest else None,
            step=latest.step if latest else None,
            signals_received=latest.signals_received if latest else 0,
            signals_wanted=latest.signals_wanted if latest else 0,
            approvers=list(latest.approvers) if latest else [],
            text=text,
            is_final=False,
        )

    def ended(self, instance_id: str, verdict: Verdict) -> None:
        instance = verdict.instance
        received, wanted = (0, 0) if instance is None else signals(instance)
        latest = self._latest.get(instance_id)
        self._write(
            instance_id,
            outcome=str(verdict.outcome),
            status=None if instance is None else str(instance.status),
            step=None if instance is None else step(instance) or None,
            signals_received=received,
            signals_wanted=wanted,
            approvers=list(latest.approvers) if latest and verdict.is_pending else [],
            text=verdict.text,
            is_final=True,
        )

    def _write(self, instance_id: str, **fields: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            click.echo(as_json({"time": now, "instance_id": instance_id, **fields}, indent=None))
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_broken = True  # a wait lets nothing out that goes wrong in who listens to it
            raise

    def refresh(self) -> None:
        if self._is_broken:
            raise BrokenPipeError

    def close(self) -> None:
        pass


@dataclass
class _Row:
    progress: Progress | None = None
    at: float = field(default_factory=time.monotonic)
    verdict: Verdict | None = None


class Table:
    """
    A table that is drawn again each second, on stderr; each verdict on stdout when it is over.
    """

    def __init__(self, ids: Sequence[str], *, timeout: float) -> None:
        from rich.console import Console
        from rich.live import Live

        self._rows: Mapping[str, _Row] = {id_: _Row() for id_ in ids}
        self._began, self._timeout = time.monotonic(), timeout
        self._console = Console(stderr=True, highlight=False, no_color="NO_COLOR" in os.environ or None)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self.refresh()

    def progressed(self, instance_id: str, progress: Progress) -> None:
        row = self._rows[instance_id]
        row.progress, row.at = progress, time.monotonic()

    def reported(self, instance_id: str, text: str) -> None:
        pass

    def ended(self, instance_id: str, verdict: Verdict) -> None:
        self._rows[instance_id].verdict = verdict

    def refresh(self) -> None:
        self._live.update(self._drawn(), refresh=True)

    def close(self) -> None:
        self._live.stop()
        for instance_id, row in self._rows.items():
            if row.verdict is not None:
                click.echo(f"{instance_id}  {row.verdict.outcome}  {printable(row.verdict.text)}")

    def _drawn(self) -> Any:
        from rich.table import Table as RichTable
        from rich.text import Text

        is_wide = self._console.width >= _NARROW
        table = RichTable(box=None, pad_edge=False, header_style="bold", expand=True)
        table.add_column("INSTANCE", no_wrap=True, width=36 if is_wide else 8)
        table.add_column("STATUS", no_wrap=True, width=10, overflow="ellipsis")
        table.add_column("STEP", no_wrap=True, overflow="ellipsis", ratio=2)
        table.add_column("SIGNALS", no_wrap=True, width=7)
        if is_wide:
            table.add_column("WHO", no_wrap=True, overflow="ellipsis", ratio=2)
        for name, width in (("AGE", 8), ("LEFT", 8), ("NEXT", 5)):
            table.add_column(name, no_wrap=True, width=width)
        now = time.monotonic()
        left = spoken(max(self._timeout - (now - self._began), 0))
        for instance_id, row in self._rows.items():
            cells = [instance_id if is_wide else instance_id[:8], *self._cells(row, now, left, is_wide=is_wide)]
            table.add_row(*(Text(printable(cell), style=_style(row)) for cell in cells))
        return table

    def _cells(self, row: _Row, now: float, left: str, *, is_wide: bool) -> list[str]:
        age = spoken(now - self._began)
        who: list[str]
        if row.verdict is not None:
            who = [""] if is_wide else []
            return [str(row.verdict.outcome), "", "", *who, age, "", ""]
        progress = row.progress
        if progress is None:
            who = [""] if is_wide else []
            return ["...", "", "", *who, age, left, ""]
        signals_text = f"{progress.signals_received} of {progress.signals_wanted}" if progress.signals_wanted else ""
        who = [who_can_approve(progress.approvers) if progress.approvers else ""] if is_wide else []
        return [
            progress.status or "...",
            progress.trouble or progress.step or "",
            signals_text,
            *who,
            age,
            left,
            spoken(max(progress.next_poll_in - (now - row.at), 0)),
        ]


def _style(row: _Row) -> str:
    if row.verdict is not None:
        return "green" if row.verdict.is_approved else "yellow" if row.verdict.is_pending else "red"
    return "red" if row.progress is not None and row.progress.trouble else ""


def view_for(output: str, ids: Sequence[str], *, timeout: float) -> View:
    """
    The view for this output: a table where a person looks at a terminal.
    """
    if output == "jsonl":
        return JsonLines()
    if sys.stderr.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return Table(ids, timeout=timeout)
    return Lines()
