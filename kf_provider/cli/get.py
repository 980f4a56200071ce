"""
`kf get`: one workflow instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from ..keyfactor.models import canonical_state, state_digest
from .exits import NOT_THERE
from .options import SECRET, as_json, as_lines, as_text, client_of, profile_option, show_secrets_option, shown, tell


@click.command(name="get")
@click.argument("instance_id", metavar="ID", required=False)
@click.option("--reference-id", type=int, metavar="N", help="The number that the portal shows, instead of the ID.")
@click.option("--path", metavar="PATH", help="Print one value, such as title or current_state_data.Subject.")
@click.option("--digest", is_flag=True, help="Print what state_digest is computed over, and the digest.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
@show_secrets_option
@profile_option
def get_command(
    instance_id: str | None,
    reference_id: int | None,
    path: str | None,
    digest: bool,
    output: str,
    show_secrets: bool,
    profile: str | None,
) -> int:
    """
    Show one workflow instance.

    State data is shown as [secret] without --show-secrets. Ends with 0; 2 for a bad ID, 66 when there is no such
    instance, 69 without an answer, 77 without the permission, 78 without settings.

    \b
    Examples:
      kf get 0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94
      kf get --reference-id 42 --output json
      kf get ID --path current_state_data.Subject --show-secrets
      kf get ID --digest --show-secrets
    """
    if (instance_id is None) == (reference_id is None):
        raise click.UsageError("give an ID, or --reference-id N")
    if path is not None and digest:
        raise click.UsageError("give --path or --digest, not both")
    with client_of(profile) as client:
        instance = client.get_workflow_instance(instance_id, reference_id=reference_id)
    if digest:
        text = canonical_state(instance.current_state_data) if show_secrets else SECRET
        digested = {"text": text, "state_digest": state_digest(instance.current_state_data)}
        click.echo(as_json(digested) if output == "json" else f"{text}\n{digested['state_digest']}")
        return 0
    fields = shown(instance.outputs(), show_secrets=show_secrets)
    if path is None:
        click.echo(as_json(fields) if output == "json" else as_lines(fields))
        return 0
    first, *rest = path.split(".")
    if fields.get(first) == SECRET:
        click.echo(SECRET)
        return 0
    found, value = _at(fields, [first, *rest])
    if not found:
        tell(f"workflow instance {instance.instance_id} has no {path}")
        return NOT_THERE
    click.echo(as_json(value) if output == "json" else as_text(value))
    return 0


def _at(value: object, path: Sequence[str]) -> tuple[bool, object]:
    """
    Whether there is a value at this path, and the value; a key may have dots in it.
    """
    if not path:
        return True, value
    if isinstance(value, Mapping):
        for length in range(len(path), 0, -1):
            if (key := ".".join(path[:length])) in value:
                found, inner = _at(value[key], path[length:])
                if found:
                    return True, inner
    if isinstance(value, list | tuple) and path[0].isdecimal() and int(path[0]) < len(value):
        return _at(value[int(path[0])], path[1:])
    return False, None
