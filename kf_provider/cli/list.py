"""
`kf list`: workflow instances.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from ..keyfactor.client import Client
from ..keyfactor.matching import unmet_expectation
from ..keyfactor.models import InstanceSummary, parse_instance_id
from ..words import safe_line
from .options import PathValues, as_json, as_mapping, client_of, filter_options, profile_option, tell

_MOST_READS = 50
_IN_FLIGHT = 5
_NARROW = 100  # columns: below, the date is left out of the table


@click.command(name="list")
@click.option("--status", metavar="STATUS", help="Running, Suspended, Complete, Failed, Rejected, CanceledForRestart.")
@filter_options
@click.option("--reference-id", type=int, metavar="N", help="The number that the portal shows.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="One of these, at most 50; may be repeated.")
@click.option("--assigned-to-me", is_flag=True, help="Those that wait for this user's answer.")
@click.option("--started-by-me", is_flag=True, help="Those that this user started.")
@click.option("--match", type=PathValues(), multiple=True, help="What the instance must be, exactly; may be repeated.")
@click.option("--newest", is_flag=True, help="The newest first; with --limit 1, the newest alone.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.")
@click.option(
    "--output",
    type=click.Choice(["table", "json", "jsonl", "ids"]),
    default="table",
    show_default=True,
    help="How to print.",
)
@profile_option
def list_command(
    match: tuple[tuple[str, Any], ...],
    newest: bool,
    limit: int | None,
    output: str,
    ids: tuple[str, ...],
    profile: str | None,
    **filters: Any,
) -> int:
    """
    List workflow instances, the oldest first.

    They come without their signals and state data.

    --match takes paths into the instance, as `kf wait --expect` does; what the list does not have, such as state data,
    is read one by one, for at most 50 instances.

    \b
    Examples:
      kf list --status Suspended --assigned-to-me
      kf list --title-contains CN=web.example.com --newest --limit 1 --output ids
      kf list --match current_state_data.Subject=CN=web.example.com --output json
    """
    expected = as_mapping(match, "--match")
    given = {name: value for name, value in filters.items() if value not in (None, False)}
    if ids:
        given["ids"] = [parse_instance_id(id_) for id_ in ids]
    with client_of(profile) as client:
        rows: Iterable[InstanceSummary] = client.list_workflow_instances(
            **given, newest_first=newest, limit=None if expected else limit, warn=tell
        )
        if expected:
            rows = _matching(client, list(rows), expected)[:limit]
    _print([row.outputs() for row in rows], output)
    return 0


def _matching(client: Client, rows: list[InstanceSummary], expected: dict[str, Any]) -> list[InstanceSummary]:
    on_rows = {
        path: value for path, value in expected.items() if path.partition(".")[0] in InstanceSummary.model_fields
    }
    near = [row for row in rows if not unmet_expectation(row, on_rows)]
    if len(on_rows) == len(expected):
        return near
    if len(near) > _MOST_READS:
        raise click.UsageError(
            f"--match asks for what the list does not have, and {len(near)} instances would be read one by one: narrow"
            f" them to {_MOST_READS} by --status, --title-contains, --started-after or --definition-id"
        )
    with ThreadPoolExecutor(_IN_FLIGHT) as threads:
        whole = list(threads.map(lambda row: client.get_workflow_instance(row.instance_id), near))
    return [row for row, instance in zip(near, whole, strict=True) if not unmet_expectation(instance, expected)]


def _print(rows: list[dict[str, Any]], output: str) -> None:
    match output:
        case "json":
            click.echo(as_json(rows))
        case "jsonl":
            for row in rows:
                click.echo(as_json(row, indent=None))
        case "ids":
            for row in rows:
                click.echo(row["instance_id"])
        case _:
            _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        tell("none")
        return
    # In a pipe a line is as long as it is.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, highlight=False, soft_wrap=width is not None)
    fields = {"instance_id": "ID", "status": "STATUS", "start_date": "STARTED", "title": "TITLE"}
    if console.width < _NARROW:
        del fields["start_date"]
    rows = [row | {"start_date": (row["start_date"] or "")[:16]} for row in rows]
    cells = [[safe_line(str(row[name] or ""), longest=4000) for name in fields] for row in rows]
    # The title alone is cut: an id that is cut is none.
    others = sum(max(len(cell) for cell in column) + 2 for column in [*zip(*cells, strict=True)][:-1])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in fields.values():
        is_title = header == "TITLE"
        table.add_column(
            header, no_wrap=True, overflow="ellipsis", max_width=max(console.width - others, 8) if is_title else None
        )
    for line in cells:
        table.add_row(*map(Text, line))
    console.print(table)
