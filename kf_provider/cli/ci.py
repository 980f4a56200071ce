"""
What CI systems are told at the end of `kf wait`: outputs, a summary, annotations.

Source: GitHub, "Workflow commands"; Azure Pipelines, "Logging commands"; GitLab, "Predefined variables" and the report
`dotenv`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import click

from ..waiting.verdict import Outcome, Verdict
from ..words import safe_line
from .options import tell

GITLAB_FILE: Final = "kf-wait.env"  # for `artifacts:reports:dotenv`


class Ci(StrEnum):
    """
    Who is told.
    """

    AUTO = "auto"
    NONE = "none"
    GITHUB = "github"
    AZURE = "azure"
    GITLAB = "gitlab"


def found(wanted: Ci) -> Ci:
    """
    The system that this runs in, by its documented variables.
    """
    if wanted is not Ci.AUTO:
        return wanted
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return Ci.GITHUB
    if os.environ.get("TF_BUILD", "").lower() == "true":
        return Ci.AZURE
    return Ci.GITLAB if os.environ.get("GITLAB_CI") == "true" else Ci.NONE


def tell_ci(
    ci: Ci, outcome: Outcome, instance_id: str, verdicts: Sequence[tuple[str, Verdict]], *, to_stderr: bool
) -> None:
    """
    Outputs `outcome`, `instance_id` and `approved`, a summary, and an annotation for each outcome but approved.
    """
    outputs = {
        "outcome": str(outcome),
        "instance_id": instance_id,
        "approved": "true" if outcome is Outcome.APPROVED else "false",
    }
    match ci:
        case Ci.GITHUB:
            _github(outputs, verdicts, to_stderr=to_stderr)
        case Ci.AZURE:
            _azure(outputs, verdicts, to_stderr=to_stderr)
        case Ci.GITLAB:
            lines = "".join(f"{name.upper()}={value}\n" for name, value in outputs.items())
            _to_file(Path(os.environ.get("CI_PROJECT_DIR") or ".") / GITLAB_FILE, lines, mode="w")


def _github(outputs: dict[str, str], verdicts: Sequence[tuple[str, Verdict]], *, to_stderr: bool) -> None:
    for variable, text in (
        ("GITHUB_OUTPUT", "".join(f"{name}={value}\n" for name, value in outputs.items())),
        ("GITHUB_STEP_SUMMARY", _summary(verdicts)),
    ):
        if path := os.environ.get(variable):
            _to_file(Path(path), text, mode="a")
    _annotate(
        verdicts, lambda level, text: f"::{level} title=kf wait::{_escaped(text)}", "warning", to_stderr=to_stderr
    )


def _azure(outputs: dict[str, str], verdicts: Sequence[tuple[str, Verdict]], *, to_stderr: bool) -> None:
    for name, value in outputs.items():
        click.echo(f"##vso[task.setvariable variable={name};isOutput=true]{value}", err=to_stderr)
    _annotate(verdicts, lambda level, text: f"##vso[task.logissue type={level}]{text}", "warning", to_stderr=to_stderr)
    with tempfile.NamedTemporaryFile("w", suffix=".md", prefix="kf-wait-", delete=False, encoding="utf-8") as file:
        file.write(_summary(verdicts))  # the agent reads it when the step is over
    click.echo(f"##vso[task.uploadsummary]{file.name}", err=to_stderr)


def _annotate(
    verdicts: Sequence[tuple[str, Verdict]], order: Callable[[str, str], str], of_pending: str, *, to_stderr: bool
) -> None:
    for _, verdict in verdicts:
        if not verdict.is_approved:
            level = of_pending if verdict.is_pending else "error"
            click.echo(order(level, safe_line(verdict.text, longest=1000)), err=to_stderr)


def _summary(verdicts: Sequence[tuple[str, Verdict]]) -> str:
    rows = "".join(f"| `{id_}` | {verdict.outcome} | {_in_table(verdict.text)} |\n" for id_, verdict in verdicts)
    return f"### Keyfactor approvals\n\n| instance | outcome | |\n|---|---|---|\n{rows}\n"


def _in_table(text: str) -> str:
    # A server's words are no markup: neither a link, nor an image, nor the end of a cell.
    plain = safe_line(text, longest=1000)
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()<>#+!|~" else sign for sign in plain)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _to_file(path: Path, text: str, *, mode: str) -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as broken:
        tell(f"{path} cannot be written ({broken.strerror}): this CI is not told")
