"""
`kf doctor`: what works here, what does not, and the remedy.
"""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from ..words import printable
from .checks import Grade, examine, settings_told
from .options import as_json, profile_option


@click.command(name="doctor")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
@profile_option
def doctor_command(output: str, profile: str | None) -> int:
    """
    Check settings, network, login and permissions.

    It looks at TLS and at the clock, too, and says what to do. It runs to the end, sends GET alone, and shows no
    secret. An error sets the exit code: 78 for settings, 69 for the way to the server, 77 for login and permissions.
    Warnings do not: numbers without names, a permission beyond get and list, credentials of two kinds, a clock that is
    off.

    \b
    Examples:
      kf doctor
      kf doctor --profile test --output json
    """
    if profile:
        os.environ["KEYFACTOR_AUTH_CONFIG_PROFILE"] = profile
    if output == "json":
        findings = list(examine())
        told = [{name: value for name, value in asdict(finding).items() if name != "code"} for finding in findings]
        click.echo(as_json({"settings": settings_told(), "findings": told}))
    else:
        for row in settings_told():
            click.echo(printable(f"         {row['setting']} = {row['value']}  ({row['source']})"))
        findings = []
        for finding in examine():  # each as soon as it is known
            findings.append(finding)
            color = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.ERROR: "red"}[finding.grade]
            click.secho(f"{finding.grade:7}  ", fg=color, nl=False)
            click.echo(f"{finding.check}: {printable(finding.text, keep=chr(10))}")
            if finding.remedy:
                click.echo(f"         -> {printable(finding.remedy)}")
    return next((finding.code for finding in findings if finding.grade is Grade.ERROR), 0)
