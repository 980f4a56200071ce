"""
No secret of any kind of credentials shows: in a log, a text, an exception, a pickle or a list of processes.
"""

from __future__ import annotations

import base64
import logging
import os
import pickle
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

from kf_provider.errors import KeyfactorError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ..loopback import ID, Loopback, Reply, Seen

CANARY = "canary-5be1"
JWT = f"{CANARY}.eyJzdWIiOiJ4In0.c2ln"

KINDS: dict[str, dict[str, object]] = {
    "basic": {"username": "u", "password": CANARY},
    "token": {"access_token": CANARY},
    "secret": {"client_id": "c", "client_secret": CANARY},
    "assertion": {"client_id": "c"},
    "command": {"credential_command": [sys.executable, "-c", f"print('{CANARY}')"]},
    "kerberos": {"kerberos_username": "D\\u", "kerberos_password": CANARY},
}


def echo(request: Seen) -> Reply:
    """A token, or what a careless server shows of a request that it refuses."""
    if request.path == "/token" and "invalid" not in request.body:
        return Reply({"access_token": CANARY, "expires_in": 300})
    said = f"{request.headers.get('authorization', '')} {request.body}"
    encoded = base64.b64decode(said.removeprefix("Basic ").strip() + "==").decode() if "Basic" in said else ""
    return Reply({"ErrorCode": "1", "Message": f"no: {said} {encoded}"}, 401, {"WWW-Authenticate": "NTLM"})


def processes() -> str:
    """The command lines of this process and of those that it has started; other tests run beside it."""
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            lines[folder.name] = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
    ours = [str(os.getpid())]
    for process in ours:  # grows
        ours += [child for child, parent in parents.items() if parent == process]
    return "\n".join(lines.get(process, "") for process in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_shows(caplog: pytest.LogCaptureFixture, server: Loopback, tmp_path: Path, kind: str) -> None:
    """
    A server echoes what it refuses, everything is logged, and no secret is to be found.
    """
    caplog.set_level(logging.DEBUG)
    server.answers = echo
    given = dict(KINDS[kind])
    if kind in ("secret", "assertion"):
        given["token_url"] = f"{server.url}/token"
    if kind == "assertion":
        (tmp_path / "token").write_text(JWT)
        given["client_assertion_file"] = str(tmp_path / "token")
    settings = load_settings(hostname=server.url, **given)
    with Client(settings) as client, pytest.raises(KeyfactorError) as caught:
        client.get_workflow_instance(ID, retries=1)
    with pytest.raises(TypeError):
        pickle.dumps(client)

    texts = [
        caplog.text,
        settings.identity,
        "".join(traceback.format_exception(caught.value)),
        repr(caught.value),
        pickle.dumps(caught.value).decode("latin-1"),
        repr(client),
        # Here the command itself has the secret in its arguments, where no user would have it.
        *([repr(settings), settings.model_dump_json(), processes()] if kind != "command" else []),
    ]
    needles = {CANARY, base64.b64encode(CANARY.encode()).decode().rstrip("=")}
    assert [] == [text for text in texts if any(needle in text for needle in needles)]
