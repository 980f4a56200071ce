"""
`kf certificate`: the certificate that an approved enrollment has issued.
"""

from __future__ import annotations

import click

from .exits import NOT_THERE
from .options import as_json, as_lines, client_of, profile_option, show_secrets_option, tell

_SECRET = "metadata"  # noqa: S105 - a name, and no secret


@click.command(name="certificate")
@click.option("--instance-id", metavar="ID", help="The workflow instance of the enrollment, which must be Complete.")
@click.option("--request-id", type=int, metavar="N", help="KeyfactorRequestId in the answer to the enrollment.")
@click.option("--thumbprint", metavar="HEX", help="The SHA-1 thumbprint, in hexadecimal digits.")
@click.option("--id", "certificate_id", type=int, metavar="N", help="The certificate's id in Keyfactor.")
@click.option(
    "--output", type=click.Choice(["text", "json", "pem"]), default="text", show_default=True, help="How to print."
)
@show_secrets_option
@profile_option
def certificate_command(
    instance_id: str | None,
    request_id: int | None,
    thumbprint: str | None,
    certificate_id: int | None,
    output: str,
    show_secrets: bool,
    profile: str | None,
) -> int:
    """
    Show a certificate.

    It is found by its enrollment's workflow instance or request, by its thumbprint, or by its id. Its metadata is shown
    as [secret] without --show-secrets. Ends with 66 when there is none, or none yet.

    \b
    Examples:
      kf certificate --instance-id 0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94 --output pem > web.pem
      kf certificate --request-id 77 --output json
    """
    if [instance_id, request_id, thumbprint, certificate_id].count(None) != 3:
        raise click.UsageError("give one of --instance-id, --request-id, --thumbprint and --id")
    with client_of(profile) as client:
        found = client.get_certificate(
            instance_id=instance_id, request_id=request_id, thumbprint=thumbprint, certificate_id=certificate_id
        )
    fields = dict(found.outputs())
    if fields.get(_SECRET) and not show_secrets:
        fields[_SECRET] = "[secret]"
    if output == "pem":
        if found.pem is None:
            tell(f"certificate {found.certificate_id} comes without its content: nothing to print as PEM")
            return NOT_THERE
        click.echo(found.pem, nl=not found.pem.endswith("\n"))
    elif output == "json":
        click.echo(as_json(fields))
    else:
        # A line is one line here, and a PEM in one line is none.
        click.echo(as_lines(fields | {"pem": found.pem and "see --output pem"}))
    return 0
