"""
What the commands share: options, settings, and how values are read and shown.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import click

from ..durations import duration_seconds
from ..errors import InstanceIdError, KeyfactorError
from ..keyfactor.client import Client
from ..keyfactor.matching import checked_expectations
from ..keyfactor.settings import Settings, load_settings
from ..words import printable, safe_line

Command = TypeVar("Command", bound=Callable[..., Any])

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SECRET_FIELDS: Final = ("initial_data", "current_state_data")
_LONGEST: Final = 4000  # characters of a value in a line
SECRET: Final = "[secret]"  # noqa: S105 - a name, and no secret

profile_option: Final = click.option(
    "--profile", metavar="NAME", help="Profile of the profile file, instead of KEYFACTOR_AUTH_CONFIG_PROFILE."
)
show_secrets_option: Final = click.option("--show-secrets", is_flag=True, help="Show state data, which is secret else.")


def settings_of(profile: str | None) -> Settings:
    """
    The settings of the environment and the profile file. Raises SettingsError.
    """
    if profile:
        os.environ["KEYFACTOR_AUTH_CONFIG_PROFILE"] = profile
    return load_settings()


def client_of(profile: str | None) -> Client:
    """
    A client with these settings. Raises SettingsError.
    """
    return Client(settings_of(profile))


def tell(text: str) -> None:
    """
    A line for people, on stderr.
    """
    click.echo(f"kf: {printable(text)}", err=True)


def said_of(error: KeyfactorError) -> str:
    """
    What is said of an error here: where a call of a program is the remedy, the command that does the same.
    """
    if isinstance(error, InstanceIdError) and (number := error.reference_id):
        return f"{number} is a reference id: look it up with kf get --reference-id {number}, and pass its instance_id"
    return str(error)


class PathValues(click.ParamType[tuple[str, Any]]):
    """
    `PATH=VALUE`, given any number of times, as a mapping. A value is JSON where it is a number, true or false, or
    begins with `[`, `{` or `"`; else it is text.
    """

    name = "PATH=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path, equals, text = str(value).partition("=")
        if not equals or not path:
            self.fail(f"{value!r} is not of the form PATH=VALUE", param, ctx)
        is_json = text in ("true", "false") or text[:1] in ("[", "{", '"') or _NUMBER.fullmatch(text)
        try:
            return path, json.loads(text) if is_json else text
        except (ValueError, RecursionError):
            self.fail(f"the value of {path!r} begins like JSON and is none", param, ctx)


class Duration(click.ParamType[float]):
    """
    Seconds, `90m`, `8h`, `30d`, `PT8H`.
    """

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return duration_seconds(value)
        except ValueError as odd:
            self.fail(str(odd), param, ctx)


def as_mapping(pairs: Iterable[tuple[str, Any]], option: str) -> dict[str, Any]:
    """
    The pairs of an option, checked. Raises UsageError for two values of one path, and for what no instance can have.
    """
    found: dict[str, Any] = {}
    for path, value in pairs:
        if path in found:
            raise click.UsageError(f"{option} has two values for {path!r}: give it once")
        found[path] = value
    try:
        return checked_expectations(found, name=option)
    except ValueError as odd:
        raise click.UsageError(f"{option} {odd}") from None


def filter_options(command: Command) -> Command:
    """
    The filters of a list, as options.
    """
    options = (
        click.option("--title-contains", metavar="TEXT", help="A part of the title, such as CN=web.example.com."),
        click.option("--workflow-type", metavar="TYPE", help="Enrollment, Revocation, Expiration, ..."),
        click.option("--initiated-by", metavar="USER", help="Who started it, as DOMAIN\\user."),
        click.option("--started-after", metavar="TIME", help="ISO 8601; in UTC when it has no zone."),
        click.option("--definition-id", metavar="GUID", help="The workflow definition."),
        click.option("--query", metavar="QUERY", help="A query in Keyfactor's own language, besides the others."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def shown(fields: Mapping[str, Any], *, show_secrets: bool) -> dict[str, Any]:
    """
    The fields as they may be shown: state data is hidden unless asked for.
    """
    return {
        name: SECRET if name in _SECRET_FIELDS and not show_secrets and value else value
        for name, value in fields.items()
    }


def as_json(value: object, *, indent: int | None = 2) -> str:
    """
    JSON for programs; what a terminal, or a CI that reads `##`, would take for an order is escaped, as JSON does.
    """
    return json.dumps(value, indent=indent, ensure_ascii=True).replace("##", "#\\u0023")


def as_lines(fields: Mapping[str, Any]) -> str:
    """
    Fields for people, a line each. No CI system finds an order in what a server says: a log of these lines is read by
    one. `--path` and JSON give what it said.
    """
    width = max(len(name) for name in fields)
    return "\n".join(
        f"{name:{width}}  {safe_line(as_text(value), longest=_LONGEST)}".rstrip() for name, value in fields.items()
    )


def as_text(value: object) -> str:
    """
    One value for people, in one line: text as it is, the rest as JSON.
    """
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) else printable(json.dumps(value, ensure_ascii=False))
