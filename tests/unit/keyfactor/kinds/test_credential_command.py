"""
A command that prints a token.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import pytest

from kf_provider.errors import KeyfactorError, SettingsError, UnauthorizedError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.kinds import credential_command
from kf_provider.keyfactor.settings import Settings, load_settings

from ...loopback import ID, Loopback, Reply, Seen
from ..given import authorization_of, refusal

CANARY = "canary-5be1"


def settings_of(program: str, server: Loopback | None = None) -> Settings:
    """Settings whose command is a program in Python."""
    command = [sys.executable, "-c", program]
    return load_settings(hostname=server.url if server else "kf.example.com", credential_command=command)


@pytest.mark.parametrize(
    "program",
    [
        "print('token-1')",
        "print(' token-1 ')",
        """print('{"access_token": "token-1", "expires_in": 300, "token_type": "Bearer"}')""",
        """print('{"access_token": "token-1"}')""",
        """import sys; print('token-1'); print('a warning', file=sys.stderr)""",
    ],
)
def test_token(program: str) -> None:
    """
    The token is printed bare, or in JSON; what is on stderr is for people.
    """
    assert "Bearer token-1" == authorization_of(settings_of(program))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("tool --for 'my server'", ("tool", "--for", "my server")),
        ('["tool", "--for", "my server"]', ("tool", "--for", "my server")),
        (["tool", "a; rm -rf /", "$HOME"], ("tool", "a; rm -rf /", "$HOME")),
        ("tool; rm -rf $HOME | x", ("tool;", "rm", "-rf", "$HOME", "|", "x")),
    ],
)
def test_words(monkeypatch: pytest.MonkeyPatch, given: str | list[str], expected: tuple[str, ...]) -> None:
    """
    A list, or text that is split as a shell would; nothing of a shell is done.
    """
    assert expected == load_settings(hostname="h", credential_command=given).credential_command
    if isinstance(given, str):
        monkeypatch.setenv("KEYFACTOR_AUTH_CREDENTIAL_COMMAND", given)
        assert expected == load_settings(hostname="h").credential_command


@pytest.mark.parametrize("given", ["tool 'open", "[1]", "[]", [], "{}x'", 7])
def test_words_without_sense(given: object) -> None:
    """
    What is no program is refused before anything is run.
    """
    message = refusal(hostname="h", credential_command=given)

    assert message.startswith("credential_command (KEYFACTOR_AUTH_CREDENTIAL_COMMAND) ")


def test_run_again(server: Loopback, tmp_path: Path) -> None:
    """
    The command is run once for many requests, and again at the token's end and at a 401.
    """
    runs = tmp_path / "runs"
    program = (
        f"import pathlib; p = pathlib.Path({str(runs)!r}); n = len(p.read_text()) if p.exists() else 0;"
        "p.write_text('x' * (n + 1)); print('token-%d' % (n + 1))"
    )

    def answer(request: Seen) -> Reply:
        is_good = request.headers["authorization"] in ("Bearer token-2", "Bearer token-3")
        return Reply({"Id": ID, "Status": "Complete"}) if is_good else Reply(status=401)

    server.answers = answer
    with Client(settings_of(program, server)) as client:
        for _ in range(3):
            client.get_workflow_instance(ID)

    assert "xx" == runs.read_text()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (f"import sys; print('{CANARY}'); sys.exit('no login: run tool login')", r"ended with 1 \(no login: run tool"),
        (f"print('{CANARY} two words')", "printed no token"),
        ("pass", "printed no token"),
        (f"""print('{{"token": "{CANARY}"}}')""", "printed no token"),
        (f"""print('{{"access_token": "{CANARY}"')""", "printed no token"),
        ("print('x' * 70000)", "printed no token"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "printed no token"),
    ],
)
def test_no_token(program: str, message: str) -> None:
    """
    What the command prints on stdout is never shown, and what it says on stderr is.
    """
    with pytest.raises(UnauthorizedError, match=message) as caught:
        authorization_of(settings_of(program))

    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_command_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A command that does not end is ended, with what it has started.
    """
    monkeypatch.setattr(credential_command, "_LONGEST_RUN", 0.5)
    late = tmp_path / "late"
    program = f"import subprocess; subprocess.run(['sh', '-c', 'sleep 2; touch {late}'])"
    with pytest.raises(UnauthorizedError, match="has not ended within"):
        authorization_of(settings_of(program))
    time.sleep(2)

    assert not late.exists()


@pytest.mark.parametrize("program", ["/nowhere/tool", "/", "a\0b"])
def test_command_that_is_none(program: str) -> None:
    """
    A program that cannot be run is a setting that makes no sense.
    """
    with pytest.raises(SettingsError, match="credential_command"):
        authorization_of(load_settings(hostname="h", credential_command=[program]))


def test_nothing_of_it_shows(caplog: pytest.LogCaptureFixture, server: Loopback) -> None:
    """
    Neither the token nor the arguments are in a log, a text or the identity.
    """
    caplog.set_level(logging.DEBUG)
    server.answers = [Reply({"ErrorCode": "1", "Message": f"no {CANARY}"}, 403)]
    settings = load_settings(
        hostname=server.url, credential_command=[sys.executable, "-c", f"print('{CANARY}')", "--password=canary-arg"]
    )
    with Client(settings) as client, pytest.raises(KeyfactorError) as caught:
        client.get_workflow_instance(ID)

    assert settings.identity.startswith("command:python")
    assert "canary" not in f"{caplog.text} {caught.value} {caught.value!r}"
