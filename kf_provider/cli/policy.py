"""
`kf policy check`: the rules of kf_provider.policy on a stack's state or preview, without an engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from ..policy import Finding, Graph, StackFileError, rules
from ..policy.configuration import PolicyConfig
from ..policy.graph import TOO_DEEP
from ..policy.parameters import PARAMETERS
from .exits import BROKEN_INPUT, USAGE, VIOLATED
from .options import as_json, tell
from .reports import REPORTS, one_line

_REASON: Final = "violated when exceptions were written: say why it may stay"


@click.group(name="policy")
def policy_command() -> None:
    """
    Check a stack's certificates for approvals.
    """


@policy_command.command(name="check")
@click.option("--state", metavar="FILE", help="What `pulumi stack export` writes; - is standard input.")
@click.option("--preview", metavar="FILE", help="What `pulumi preview --json --show-sames` writes; - as above.")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="A type of certificate, instead of the known ones."
)
@click.option("--also", multiple=True, metavar="TYPE", help="A type of certificate, besides them.")
@click.option("--config", metavar="FILE", help="Pulumi's policy configuration: levels, parameters, exceptions.")
@click.option("--write-exceptions", metavar="FILE", help="Write what is violated today as exceptions, and end with 0.")
@click.option(
    "--output",
    type=click.Choice(list(REPORTS)),
    default="text",
    show_default=True,
    help="How to print.",
)
def check_command(
    state: str | None,
    preview: str | None,
    types: tuple[str, ...],
    also: tuple[str, ...],
    config: str | None,
    write_exceptions: str | None,
    output: str,
) -> int:
    """
    Refuse certificates that wait for no approved workflow instance.

    Nothing is asked and no secret is needed. Ends with 0; 2 for a call that makes no sense, 20 when a rule is violated,
    65 when a file cannot be read as one.

    \b
    Examples:
      pulumi stack export | kf policy check --state -
      pulumi preview --json --show-sames | kf policy check --preview -
      kf policy check --state state.json --write-exceptions policy.json
      kf policy check --state state.json --config policy.json --output sarif
    """
    if (state is None) == (preview is None):
        raise click.UsageError("give --state FILE or --preview FILE")
    configuration = _configuration(config)
    kept = state if state is not None else preview or ""
    try:
        document = _document(kept)
        graph = Graph.from_state(document) if state is not None else Graph.from_preview(document)
    except StackFileError as error:
        _end(f"{_spoken(kept)} {error}", BROKEN_INPUT)
    stars = {urn for urns in configuration.excepted.values() for urn in urns if "*" in urn}
    if star := min(stars - graph.nodes.keys(), default=None):
        tell(f"{config}: no resource is named {one_line(star)}: a * in an exception stands for itself alone")
    found = [finding for finding in _findings(graph, configuration, types, also) if not configuration.excepts(finding)]
    violated = [finding for finding in found if configuration.refuses(finding)]
    if write_exceptions is not None:
        _write(Path(write_exceptions), configuration, violated, is_replaced=write_exceptions == config)
        return 0
    click.echo(REPORTS[output](found, configuration))
    return VIOLATED if violated else 0


def _findings(
    graph: Graph, configuration: PolicyConfig, types: Sequence[str], also: Sequence[str]
) -> Iterator[Finding]:
    for name in (*rules.RULES, *rules.OPT_IN):
        if configuration.is_run(name):
            how = configuration.parameters(name)
            if "types" in PARAMETERS.get(name, {}):
                how |= {key: given for key, given in (("types", types), ("also", also)) if given}
            yield from getattr(rules, name.replace("-", "_"))(graph, **how)


def _document(file: str) -> object:
    try:
        with click.open_file(file, encoding="utf-8-sig") as text:
            return json.load(text)
    except OSError as error:
        _end(f"{_spoken(file)} cannot be read: {error.strerror}", BROKEN_INPUT)
    except RecursionError:
        _end(f"{_spoken(file)} {TOO_DEEP}", BROKEN_INPUT)
    except ValueError:
        _end(f"{_spoken(file)} is not JSON", BROKEN_INPUT)


def _configuration(file: str | None) -> PolicyConfig:
    if file is None:
        return PolicyConfig()
    try:
        return PolicyConfig.read(_document(file))
    except ValueError as error:
        _end(f"{file} is not a policy configuration: {error}", BROKEN_INPUT)


def _spoken(file: str) -> str:
    return "standard input" if file == "-" else file


def _end(text: str, code: int) -> NoReturn:
    tell(text)
    raise click.exceptions.Exit(code)


def _write(file: Path, configuration: PolicyConfig, violated: Sequence[Finding], *, is_replaced: bool) -> None:
    """
    The configuration, and an exception for each resource and rule that is violated.
    """
    written = {"version": 2, "policies": {}, "exceptions": {}, **configuration.model_dump(exclude_unset=True)}
    taken = set(written["exceptions"])
    numbers = (number for number in range(1, len(taken) + len(violated) + 1) if f"existing-{number}" not in taken)
    for number, finding in zip(numbers, violated, strict=False):
        written["exceptions"][f"existing-{number}"] = {
            "reason": _REASON,
            "match": [{"policies": [finding.rule], "targets": [finding.urn]}],
        }
    try:
        with file.open("w" if is_replaced else "x", encoding="utf-8") as out:
            out.write(as_json(written) + "\n")
    except FileExistsError:
        _end(f"{file} is there already: name another file, or give it as --config too to add to it", USAGE)
    except OSError as error:
        _end(f"{file} cannot be written: {error.strerror}", USAGE)
    tell(f"{file}: {len(violated)} exceptions; write the reason into each")
