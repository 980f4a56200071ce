"""
`kf wait`: wait for approvals, as a gate does, without Pulumi.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from ..durations import spoken
from ..errors import InstanceIdError
from ..keyfactor.client import Client
from ..keyfactor.models import parse_instance_id
from ..keyfactor.settings import Settings
from ..waiting.verdict import Conditions, Outcome, Verdict
from ..waiting.watcher import watcher_for
from . import resume as resuming
from .ci import Ci, found, tell_ci
from .exits import OF_OUTCOME, USAGE
from .live import View, view_for
from .options import Duration, PathValues, as_mapping, filter_options, profile_option, said_of, settings_of, tell

DEFAULT_TIMEOUT_SECONDS: Final = 3600.0
_FILTERS: Final = ("title_contains", "workflow_type", "initiated_by", "started_after", "definition_id", "query")


@click.command(name="wait")
@click.argument("instance_ids", metavar="[ID]... | -", nargs=-1)
@click.option("--timeout", type=Duration(), help="For the whole command; 1h unless given.")
@click.option("--once", is_flag=True, help="Look once, and do not wait.")
@click.option("--any", "is_any", is_flag=True, help="End with 0 at the first that is approved.")
@click.option("--expect", type=PathValues(), multiple=True, help="What each must be, exactly; may be repeated.")
@click.option("--max-age", type=Duration(), help="An approval that is older than this is expired.")
@click.option("--follow-restarts", is_flag=True, help="Go on with the one successor of a restarted instance.")
@click.option("--match", type=PathValues(), multiple=True, help="Instead of IDs: wait for the newest that matches.")
@filter_options
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="FILE", help="Keep the wait there, and go on with it."
)
@click.option("--output", type=click.Choice(["text", "jsonl"]), default="text", show_default=True, help="How to print.")
@click.option(
    "--ci",
    type=click.Choice([str(ci) for ci in Ci]),
    default="auto",
    show_default=True,
    help="Which CI system to tell.",
)
@profile_option
def wait_command(
    instance_ids: tuple[str, ...],
    timeout: float | None,
    once: bool,
    is_any: bool,
    expect: tuple[tuple[str, Any], ...],
    max_age: float | None,
    follow_restarts: bool,
    match: tuple[tuple[str, Any], ...],
    resume: Path | None,
    output: str,
    ci: str,
    profile: str | None,
    **filters: Any,
) -> int:
    """
    Wait until workflow instances are approved.

    Approved is what is Complete, and as expected. All must be approved: the first that cannot be any more ends the
    command. At the timeout it says where each stands, and how to go on; nothing is lost then. IDs come as arguments, or
    one a line on standard input with `-`.

    \b
    Exit codes:
      0   approved                      66  no such instance
      10  rejected                      69  no answer, or none that can be used
      11  failed                        75  still pending
      12  restarted                     77  not allowed, or not logged in
      13  not what is expected          78  settings are missing or make no sense
      14  expired (--max-age)            2  usage, also a bad ID
      15  a status that nothing explains 65  a broken file of --resume

    \b
    Examples:
      kf wait 0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94 --timeout 8h
      kf wait ID --expect current_state_data.Subject=CN=web.example.com
      kf list --status Suspended --output ids | kf wait - --once
      kf wait --match current_state_data.Subject=CN=web.example.com --max-age 30d
      kf wait ID --resume approval.json --once
    """
    if once and timeout is not None:
        raise click.UsageError("--once looks once: leave out --timeout")
    conditions = Conditions(expect=as_mapping(expect, "--expect"), follow_restarts=follow_restarts, max_age=max_age)
    searched = {name: filters[name] for name in _FILTERS if filters[name] is not None}
    ids = _ids(instance_ids)
    if ids and (match or searched):
        raise click.UsageError("give IDs, or --match and filters, not both")
    settings = settings_of(profile)
    if match or searched:
        ids = (_newest(settings, as_mapping(match, "--match"), searched),)
    lock = contextlib.nullcontext() if resume is None else resuming.locked(resume)
    with lock:
        wanted = resuming.Kept(
            ids=ids,
            expect=dict(conditions.expect),
            max_age=max_age,
            follow_restarts=follow_restarts,
            any=is_any,
            server=settings.server,
            identity=settings.identity,
            began=time.time(),
            timeout=timeout or DEFAULT_TIMEOUT_SECONDS,
        )
        kept = wanted if resume is None else _resumed(resume, wanted, timeout)
        return _waited(settings, kept, once=once, resume=resume, output=output, ci=found(Ci(ci)))


def _ids(arguments: Sequence[str]) -> tuple[str, ...]:
    """
    The ids, each once and in one form. Raises UsageError for what is none.
    """
    if list(arguments) == ["-"]:
        arguments = sys.stdin.read().split()
        if not arguments:
            raise click.UsageError("there is no ID on standard input, so nothing was approved")
    try:
        return tuple(dict.fromkeys(map(parse_instance_id, arguments)))
    except InstanceIdError as odd:
        raise click.UsageError(said_of(odd)) from None


def _newest(settings: Settings, match: dict[str, Any], filters: dict[str, Any]) -> str:
    with Client(settings) as client:
        newest = client.find_workflow_instance(match=match or None, status=None, **filters, warn=tell)
    tell(f"the newest that matches is {newest.instance_id} ({newest.status})")
    return newest.instance_id


def _resumed(file: Path, wanted: resuming.Kept, timeout: float | None) -> resuming.Kept:
    kept = resuming.read(file)
    if kept is None and not wanted.ids:
        raise click.UsageError(f"give IDs: there is no {file} to go on with")
    said = {"ids": wanted.ids, "expect": wanted.expect, "max_age": wanted.max_age is not None}
    said |= {"follow_restarts": wanted.follow_restarts, "any": wanted.any}
    given = [name for name, is_said in said.items() if is_said]
    going_on = resuming.gone_on(kept, wanted, given=given, new_timeout=timeout)
    try:
        resuming.write(file, going_on)
    except OSError as broken:
        tell(f"{file} cannot be written ({broken.strerror}), so the wait could not go on later: name another file")
        raise click.exceptions.Exit(USAGE) from None
    return going_on


@dataclass(frozen=True)
class _End:
    """
    How the command ends: the outcome, the instance that has decided, and what happened to each.
    """

    outcome: Outcome
    instance_id: str
    verdicts: Sequence[tuple[str, Verdict]]


def _waited(settings: Settings, kept: resuming.Kept, *, once: bool, resume: Path | None, output: str, ci: Ci) -> int:
    if not kept.ids:
        raise click.UsageError("give IDs, `-` for those on standard input, or --match and filters")
    left = 0.0 if once else max(kept.began + kept.timeout - time.time(), 0.0)
    view = view_for(output, kept.ids, timeout=left)
    try:
        end = asyncio.run(_wait(settings, kept, left, view))
    finally:
        view.close()
    if end.outcome is Outcome.PENDING:
        if resume is not None and not once:
            try:
                resuming.write(resume, kept.model_copy(update={"is_over": True}))
            except OSError as broken:
                tell(f"{resume} cannot be written ({broken.strerror})")
        how = "looked once" if once else f"stopped watching after {spoken(kept.timeout)}"
        tell(f"{how}; nothing was lost. Go on with:")
        click.echo(f"  {_command(kept, resume)}", err=True)
    tell_ci(ci, end.outcome, end.instance_id, end.verdicts, to_stderr=output == "jsonl")
    return OF_OUTCOME[end.outcome]


async def _wait(settings: Settings, kept: resuming.Kept, timeout: float, view: View) -> _End:  # noqa: ASYNC109
    watcher = watcher_for(settings)
    conditions = Conditions(expect=kept.expect, follow_restarts=kept.follow_restarts, max_age=kept.max_age)

    async def one(instance_id: str) -> tuple[str, Verdict]:
        verdict = await watcher.wait(
            instance_id,
            conditions,
            timeout=timeout,
            report=partial(view.reported, instance_id),
            progress=partial(view.progressed, instance_id),
        )
        view.ended(instance_id, verdict)
        return instance_id, verdict

    async def tick() -> None:
        while True:
            view.refresh()
            await asyncio.sleep(1)

    ticking = asyncio.ensure_future(tick())
    waits = [asyncio.ensure_future(one(id_)) for id_ in kept.ids]
    ended: list[tuple[str, Verdict]] = []
    try:
        left = set(waits)
        while left:
            done, _ = await asyncio.wait({*left, ticking}, return_when=asyncio.FIRST_COMPLETED)
            if ticking in done:
                ticking.result()  # nobody reads any more
            left -= done
            ended += [wait.result() for wait in waits if wait in done]  # in the order of the ids
            if timeout and (decided := _decided(ended, is_any=kept.any)):
                return decided
    finally:
        ticking.cancel()
        for wait in waits:
            wait.cancel()
    in_order = sorted(ended, key=lambda pair: kept.ids.index(pair[0]))
    return _decided(in_order, is_any=kept.any) or _undecided(in_order, is_any=kept.any)


def _decided(ended: Sequence[tuple[str, Verdict]], *, is_any: bool) -> _End | None:
    """
    The end, when what has ended so far decides it.
    """
    for instance_id, verdict in ended:
        if verdict.is_approved if is_any else not (verdict.is_approved or verdict.is_pending):
            return _End(verdict.outcome, instance_id, ended)
    return None


def _undecided(ended: Sequence[tuple[str, Verdict]], *, is_any: bool) -> _End:
    """
    The end when all have: with `--any` none is approved, without it none is refused.
    """
    pending = next((pair for pair in ended if pair[1].is_pending), None)
    instance_id, verdict = pending or (ended[0] if is_any else ended[-1])
    return _End(verdict.outcome, instance_id, ended)


def _command(kept: resuming.Kept, resume: Path | None) -> str:
    """
    The whole command to go on with.
    """
    words = ["kf", "wait", *kept.ids]
    for path, value in kept.expect.items():
        words += ["--expect", f"{path}={_written(value)}"]
    if kept.max_age is not None:
        words += ["--max-age", f"{kept.max_age:g}"]
    words += ["--follow-restarts"] if kept.follow_restarts else []
    words += ["--any"] if kept.any else []
    words += ["--timeout", f"{kept.timeout:g}"]
    words += ["--resume", str(resume)] if resume is not None else []
    return shlex.join(words)


def _written(value: object) -> str:
    """
    A value of `--expect` as it is typed: text as it is, unless it would be taken for JSON.
    """
    from .options import as_json

    if isinstance(value, str):
        taken = PathValues().convert(f"path={value}", None, None) if value[:1] not in ("[", "{", '"') else None
        if taken == ("path", value):
            return value
    return as_json(value, indent=None)
