"""
The secret audit: canaries of every kind, looked for in all that a run leaves behind.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from kf_provider.sandbox import Sandbox

from .stack import NewStack, Stack

STATE_DATA = "canary/in+state data"


def spellings(secret: str) -> set[bytes]:
    """The secret as it is, in base64 at each of its three offsets, and URL-encoded."""
    raw = secret.encode()
    encoded = {base64.b64encode(b"\0" * offset + raw)[4 if offset else 0 : -4] for offset in range(3)}
    return {raw, quote(secret).encode(), quote(secret, safe="").encode(), quote_plus(secret).encode(), *encoded}


def audit(stack: Stack, secrets: list[str]) -> None:
    """
    Nothing of this in any file of the stack: state, history, output, configuration, engine log of the program.

    `PULUMI_DEBUG_GRPC` is left aside: it is the engine's own record of the wire, asked for by who debugs.
    """
    needles = {spelling for secret in secrets for spelling in spellings(secret)}
    for file in stack.folder.rglob("*"):
        if file.is_file() and file.name != "grpc.json":
            content = file.read_bytes()
            found = [needle for needle in needles if needle in content]
            assert not found, f"{file} has {found}"


ENDINGS = [("basic", ending) for ending in ("approved", "denied", "unauthorized", "mismatch")] + [
    (kind, ending)
    for kind in ("token", "oauth", "form", "assertion", "command", "ntlm")
    for ending in ("approved", "unauthorized")
]
SANDBOXES: dict[str, dict[str, Any]] = {
    "form": {"oauth_client": "form"},
    "assertion": {"oauth_client": "assertion"},
    "ntlm": {"windows": "ntlm"},
}


@pytest.mark.parametrize(("kind", "ending"), ENDINGS)
def test_audit(new_stack: NewStack, tmp_path: Path, kind: str, ending: str) -> None:
    """
    No password, token, assertion or state data occurs in the state or in the output, by whatever kind of credentials,
    and however the run ends.
    """
    with Sandbox(**SANDBOXES.get(kind, {})) as server:
        _audit(new_stack, server, tmp_path, kind, ending)


def _audit(new_stack: NewStack, server: Sandbox, folder: Path, kind: str, ending: str) -> None:
    good = ending != "unauthorized"
    files = {name: folder / name for name in ("assertion", "token")}
    assertion = server.client_assertion() if good else f"{server.client_assertion()[:-8]}AAAAAAAA"
    files["assertion"].write_text(assertion)
    files["token"].write_text(server.access_token if good else f"wrong-{server.access_token}")
    id_ = server.start_enrollment(subject="CN=web.example.com", state_data={"RestAnswer": {"token": STATE_DATA}})
    environment = {
        "basic": server.environment(),
        "token": {"KEYFACTOR_HOSTNAME": server.url, "KEYFACTOR_AUTH_ACCESS_TOKEN": server.access_token},
        "assertion": {
            "KEYFACTOR_HOSTNAME": server.url,
            "KEYFACTOR_AUTH_CLIENT_ID": server.client_id,
            "KEYFACTOR_AUTH_CLIENT_ASSERTION_FILE": str(files["assertion"]),
            "KEYFACTOR_AUTH_TOKEN_URL": server.token_url,
        },
        "command": {
            "KEYFACTOR_HOSTNAME": server.url,
            "KEYFACTOR_AUTH_CREDENTIAL_COMMAND": f"cat {files['token']}",
        },
        "ntlm": {
            "KEYFACTOR_HOSTNAME": server.url,
            "KEYFACTOR_AUTH_KRB_USERNAME": server.username,
            "KEYFACTOR_AUTH_KRB_PASSWORD": server.password,
        },
    }.get(
        kind,
        {
            "KEYFACTOR_HOSTNAME": server.url,
            "KEYFACTOR_AUTH_CLIENT_ID": server.client_id,
            "KEYFACTOR_AUTH_CLIENT_SECRET": server.client_secret,
            "KEYFACTOR_AUTH_TOKEN_URL": server.token_url,
        },
    )
    if ending == "unauthorized":
        environment = {
            name: f"wrong-{value}" if name.endswith(("PASSWORD", "ACCESS_TOKEN", "SECRET")) else value
            for name, value in environment.items()
        }
    expect = {"current_state_data.RestAnswer.token": "expected canary"} if ending == "mismatch" else {}
    stack = new_stack(
        f"""
        now = kf.get_workflow_instance_output("{id_}")
        read = kf.WorkflowInstance("read", "{id_}")
        approval = kf.WorkflowApproval("web", "{id_}", expect={expect!r})
        pulumi.export("now", now)
        pulumi.export("read", read)
        pulumi.export("approval", approval)
        pulumi.export("digest", approval.state_digest)
        """,
        environment,
    )
    (server.deny if ending == "denied" else server.approve)(id_)

    stack.preview()
    run = stack.up("--debug", "--logtostderr", "-v=9") if kind == "basic" else stack.up()

    assert (run.code == 0) == (ending == "approved"), run
    secrets = [STATE_DATA, server.password, server.access_token, server.client_secret, assertion]
    (stack.folder / "__main__.py").unlink()
    audit(stack, secrets)


def test_audit_finds(new_stack: NewStack, server: Sandbox) -> None:
    """
    The audit itself finds what is exported in the open.
    """
    stack = new_stack(f'pulumi.export("x", "{server.password}")', server.environment())
    assert stack.up().code == 0
    (stack.folder / "__main__.py").unlink()

    with pytest.raises(AssertionError):
        audit(stack, [server.password])


def test_wire(new_stack: NewStack, server: Sandbox) -> None:
    """
    Nor are credentials in a resource's inputs, as the engine's own log of the wire shows.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com", state_data={"RestAnswer": STATE_DATA})
    server.approve(id_)
    stack = new_stack(f'kf.WorkflowApproval("web", "{id_}")', server.environment())

    assert stack.up().code == 0

    text = (stack.folder / "grpc.json").read_bytes()
    for secret in (STATE_DATA, server.password, server.access_token):
        assert not [spelling for spelling in spellings(secret) if spelling in text]
