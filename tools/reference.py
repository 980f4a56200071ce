"""
Write docs/reference.md, out of the signatures, docstrings and tables of the package, and the help of the commands in
docs/command-line.md: what `make pages` runs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click
from click.testing import CliRunner

import kf_provider as kf
from kf_provider import errors
from kf_provider.cli import COMMANDS, main
from kf_provider.keyfactor.settings import SECRET_FIELDS, SETTINGS, Settings
from kf_provider.keyfactor.sources import config_key
from kf_provider.waiting.verdict import Outcome

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
PAGE: Final = DOCS / "reference.md"
COMMAND_LINE: Final = DOCS / "command-line.md"

RESOURCES: Final = (kf.WorkflowApproval, kf.WorkflowInstance, kf.Provider)
_TWIN: Final = "_output"


def functions() -> Iterator[Callable[..., Any]]:
    """The functions of a Pulumi program, without their twins."""
    for name in kf.__all__:
        found = getattr(kf, name)
        if inspect.isfunction(found) and not name.endswith(_TWIN) and f"{name}{_TWIN}" in kf.__all__:
            yield found


def methods() -> Iterator[Callable[..., Any]]:
    """The methods of `Client` that people call, in the order of the source."""
    for name, found in vars(kf.Client).items():
        if inspect.isfunction(found) and not name.startswith("_"):
            yield found


def result_types() -> Iterator[type]:
    """What functions and resources give."""
    for name in kf.__all__:
        found = getattr(kf, name)
        if inspect.isclass(found) and found.__module__ == "kf_provider.results":
            yield found


def page() -> str:
    """The whole page."""
    return "\n".join(line.rstrip() for line in _page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Made by `make pages` from the signatures and docstrings of the package; do not edit it by hand."
    yield ""
    yield "## Resources"
    for resource in RESOURCES:
        yield from _described(f"### `{resource.__name__}`", resource, resource.__init__)
    yield "## Functions"
    yield ""
    yield f"Each has a twin that ends in `{_TWIN}`, which takes Inputs and gives an Output."
    for function in functions():
        yield from _described(f"### `{function.__name__}`", function, function)
    yield "## What they give"
    for kind in result_types():
        yield from _described(f"### `{kind.__name__}`", kind, None)
        yield from _table(("output", "type"), ([f"`{name}`", _code(of)] for name, of in _fields(kind)))
    yield "## Without Pulumi"
    yield from _described("### `Client`", kf.Client, kf.Client.__init__)
    for method in methods():
        yield from _described(f"### `Client.{method.__name__}`", method, method)
    yield from _described("### `load_settings`", kf.load_settings, kf.load_settings)
    yield "## Settings"
    yield ""
    yield "The names are explained, with the order of the places they come from, in [settings.md](settings.md)."
    yield from _table(("argument", "stack configuration", "environment", "unless given", "meaning"), _settings())
    yield "## Outcomes and exit codes"
    yield ""
    yield "How a wait ends, for a gate as for `kf wait`; [command-line.md](command-line.md) has the other codes."
    yield from _table(("outcome", "exit code of `kf wait`"), _outcomes())
    yield "## Errors"
    yield ""
    yield "All are in `kf`, and `except kf.KeyfactorError` catches each of them."
    yield ""
    yield "```text"
    tree = inspect.cleandoc(errors.__doc__ or "").partition("\n\n")[2]
    yield re.sub(r" \(provider\.py\)", "", tree)
    yield "```"


def _described(heading: str, thing: object, call: Callable[..., Any] | None) -> Iterator[str]:
    """A heading, the text of the docstring, and a table of the parameters."""
    text, about = _split(inspect.getdoc(thing) or "")
    if call is not None and call is not thing:
        more, parameters = _split(inspect.getdoc(call) or "")
        text, about = "\n\n".join(filter(None, (text, more))), {**about, **parameters}
    yield ""
    yield heading
    yield ""
    yield text
    if call is None:
        return
    rows = [
        [f"`{parameter.name}`", _default(parameter), about.get(parameter.name, "")]
        for parameter in inspect.signature(call).parameters.values()
        if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    ]
    known = {row[0] for row in rows}
    rows += [[f"`{name}`", "no", meaning] for name, meaning in about.items() if f"`{name}`" not in known]
    if rows:
        yield from _table(("parameter", "needed", "meaning"), rows)
    else:
        yield ""


def _split(docstring: str) -> tuple[str, dict[str, str]]:
    """The text of a docstring, a paragraph a line, and what it says of each parameter."""
    paragraphs, about = [], {}
    for paragraph in re.split(r"\n\s*\n", docstring):
        if paragraph.startswith(":param "):
            for name, meaning in re.findall(r":param (\w+):\s*(.*?)(?=\n:param |\Z)", paragraph, re.DOTALL):
                about[name] = " ".join(meaning.split())
        elif paragraph.startswith("|"):
            paragraphs.append(paragraph)
        else:
            # One sentence a line, as in the other pages.
            paragraphs.append(re.sub(r"(?<=[.:]) (?=[A-Z`])", "\n", " ".join(paragraph.split())))
    return "\n\n".join(paragraphs), about


def _default(parameter: inspect.Parameter) -> str:
    return "yes" if parameter.default is inspect.Parameter.empty else "no"


def _fields(kind: type) -> Iterator[tuple[str, str]]:
    for name, annotation in kind.__annotations__.items():
        yield name, re.sub(r"pulumi\.Output\[(.*)\]$", r"\1", str(annotation))


def _settings() -> Iterator[list[str]]:
    for field, setting in SETTINGS.items():
        default = Settings.model_fields[field].default
        is_shown = default not in (None, (), {}, False) and isinstance(default, str | float | int)
        secret = "; a secret" if field in SECRET_FIELDS else ""
        yield [
            f"`{field}`",
            f"`keyfactor:{config_key(field)}`",
            f"`{setting.variable}`",
            f"`{default:g}`" if is_shown and isinstance(default, float) else f"`{default}`" if is_shown else "",
            f"{setting.about}{secret}",
        ]


def _outcomes() -> Iterator[list[str]]:
    from kf_provider.cli.exits import OF_OUTCOME

    for outcome in Outcome:
        yield [f"`{outcome}`", str(int(OF_OUTCOME[outcome]))]


def _code(text: str) -> str:
    return f"`{text}`" if "|" not in text else f"`{text.replace(' | ', ' or ')}`"


def _table(heads: Iterable[str], rows: Iterable[list[str]]) -> Iterator[str]:
    heads = list(heads)
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def command_line(text: str) -> str:
    """docs/command-line.md, with the help of each command as it is printed now."""
    for command in COMMANDS:
        block = f"### `kf {command}`\n\n```text\n"
        before, _, after = text.partition(block)
        text = f"{before}{block}{help_of(command)}```{after.partition('```')[2]}"
    return text


def help_of(command: str) -> str:
    """What `kf COMMAND --help` prints on a terminal of 100 columns, and the same of each command below it."""

    def printed(*names: str) -> str:
        return CliRunner().invoke(main, [*names, "--help"], prog_name="kf", terminal_width=100).output

    found = main.get_command(click.Context(main), command)
    below = found.commands if isinstance(found, click.Group) else ()
    return "\n".join([printed(command), *(printed(command, name) for name in below)])


if __name__ == "__main__":
    PAGE.write_text(page())
    COMMAND_LINE.write_text(command_line(COMMAND_LINE.read_text()))
