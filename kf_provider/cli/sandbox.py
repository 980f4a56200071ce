"""
`kf sandbox`: run the sandbox in the foreground until a signal ends it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from ..sandbox.accounts import ClientProof
from ..sandbox.dialect import Dialect
from ..sandbox.tls import ServerCertificate
from ..sandbox.windows_login import WindowsScheme

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@click.command(name="sandbox")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0, the default: a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option("--api-path", default="KeyfactorAPI", show_default=True, help="Path of the API on the server.")
@click.option(
    "--statuses",
    type=click.Choice(["words", "numbers"]),
    default="words",
    show_default=True,
    help="How statuses are written; which number means what is invented.",
)
@click.option(
    "--dialect",
    type=click.Choice([str(dialect) for dialect in Dialect]),
    default=str(Dialect.COMMAND_25),
    show_default=True,
    help="Which Keyfactor Command to play.",
)
@click.option(
    "--tls",
    type=click.Choice([str(certificate) for certificate in ServerCertificate]),
    is_flag=False,
    flag_value=str(ServerCertificate.VALID),
    help="Speak https, with a certificate authority made for this run; name a fault of the certificate, if wanted.",
)
@click.option(
    "--unkind",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="RATE",
    help="Share of the requests that meet a fault which a patient client survives.",
)
@click.option(
    "--oauth-client",
    type=click.Choice([str(proof) for proof in ClientProof]),
    default=str(ClientProof.ANY),
    show_default=True,
    help="How the token endpoint lets clients in; `assertion`: by `POST /sandbox/assertions`.",
)
@click.option(
    "--windows",
    type=click.Choice([str(scheme) for scheme in WindowsScheme]),
    help="Take Windows logins alone, by Negotiate or NTLM, as IIS does; needs pyspnego.",
)
@click.option(
    "--connection",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the first line to a file, too, as soon as the sandbox answers.",
)
@click.option("--seed", type=int, help="Seed of ids and faults; without it a new one, which is shown.")
def sandbox_command(
    port: int,
    host: str,
    api_path: str,
    statuses: str,
    dialect: str,
    tls: str | None,
    unkind: float,
    oauth_client: str,
    windows: str | None,
    connection: Path | None,
    seed: int | None,
) -> None:
    """
    Run a Keyfactor Command in memory, to try things on.

    The first line on stdout is a JSON object with its address and credentials. It ends at SIGINT or SIGTERM.
    """
    try:
        from ..sandbox import Sandbox
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.startswith("kf_provider"):
            raise
        raise click.ClickException(
            f"the sandbox needs {exc.name.partition('.')[0]}: pip install 'kf-provider[sandbox]'"
        ) from exc
    # Handlers are in place before the first line is out: whoever reads it may end the sandbox at once.
    ends: queue.SimpleQueue[int] = queue.SimpleQueue()

    def end(signum: int, _frame: FrameType | None) -> None:
        ends.put(signum)  # SimpleQueue.put is reentrant, unlike Event.set

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, end)
    try:
        server = Sandbox(
            host=host,
            port=port,
            api_path=api_path,
            statuses=statuses,
            dialect=dialect,
            tls=tls,
            unkind=unkind,
            oauth_client=oauth_client,
            windows=windows,
            seed=seed,
        )
    except ModuleNotFoundError as exc:
        extra = "negotiate" if exc.name == "spnego" else "sandbox"
        raise click.ClickException(f"this needs {exc.name}: pip install 'kf-provider[{extra}]'") from exc
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            text = f"port {port} is in use: end what listens there, or choose another with --port (0: a free one)"
            raise click.ClickException(text) from exc
        raise click.ClickException(f"{host}, port {port}: {exc.strerror}") from exc
    except ValueError as exc:
        raise click.ClickException(str(exc)) from exc
    with server:
        line = json.dumps(server.connection())
        if connection is not None:
            _write(connection, line)
        click.echo(line)
        sys.stdout.flush()
        click.echo(_instructions(server), err=True)
        while ends.empty():
            with contextlib.suppress(queue.Empty):
                ends.get(timeout=1)  # on Windows a signal does not interrupt a wait without end
                break
        click.echo(f"\nHow the clients have behaved (seed {server.seed}):\n\n{server.report().card()}", err=True)


def _write(file: Path, line: str) -> None:
    """
    The line in a file that others cannot read: whole from the moment it is there, because a shell waits for it.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
        with os.fdopen(descriptor, "w") as new:
            new.write(f"{line}\n")
        os.replace(name, file)
    except OSError as exc:
        raise click.ClickException(f"--connection: {file} cannot be written ({exc.strerror})") from exc


def _instructions(server: Sandbox) -> str:
    # In the words of the shell that it runs in: on Windows that is PowerShell, whose `curl` may be another program.
    is_windows = os.name == "nt"
    export = "$env:{}='{}'" if is_windows else "export {}='{}'"
    exports = "".join(f"  {export.format(name, text)}\n" for name, text in server.environment().items())
    curl, goes_on = ("curl.exe", "`") if is_windows else ("curl", "\\")
    return f"""\
Keyfactor sandbox at {server.url}/{server.api_path} (seed {server.seed}); Ctrl-C ends it.

See the workflow instances, approve and deny:  {server.url}/

Start an enrollment that one person must approve, approve it, look at it:

  {curl} -s {server.url}/sandbox/enrollments -d '{{"subject": "CN=web.keyexample.com", "approvals": 1}}'
  {curl} -s {server.url}/sandbox/instances/INSTANCE_ID/approve -d '{{"comment": "fine"}}'
  {curl} -s -u '{server.username}:{server.password}' -H 'x-keyfactor-requested-with: APIClient' {goes_on}
    {server.url}/{server.api_path}/Workflow/Instances/INSTANCE_ID

For a client in another shell:

{exports}"""
