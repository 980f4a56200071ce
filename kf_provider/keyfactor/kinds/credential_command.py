"""
A program of the user's own that prints a bearer token: whatever logs in, logs in here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from typing import Annotated, Final, TypedDict

from pydantic import BeforeValidator

from ...errors import SettingsError, UnauthorizedError
from ...words import safe_line
from ..answers import Answer, Request
from ..bearer import RenewedToken, lifetime
from ..credentials import BEARER_TOKEN
from ..inputs import Input
from ..sources import Setting, json_setting
from .kind import Fields, Kind, ways

_LONGEST_RUN: Final = 30.0  # seconds
_LARGEST_OUTPUT: Final = 64 * 1024  # bytes


def _words(value: object) -> object:
    """
    The program and its arguments: a list, JSON, or text that is split as a shell would. Raises ValueError.
    """
    if isinstance(value, str):
        try:
            value = json_setting(value) if value.strip().startswith("[") else shlex.split(value)
        except ValueError as odd:
            raise ValueError(f"cannot be split into words ({odd})") from None
    if not isinstance(value, Sequence) or not value or not all(isinstance(word, str) and word for word in value[:1]):
        raise ValueError("is not a program and its arguments")
    return value


class CredentialCommandSettings(Fields):
    """
    The command.
    """

    credential_command: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(lambda value: None if value is None else _words(value)),
        Setting(
            "a program that prints a bearer token, or JSON with `access_token` and `expires_in`: a list, or text that"
            " is split as a shell would; no shell runs it, and the stack's configuration cannot name it",
            "KEYFACTOR_AUTH_CREDENTIAL_COMMAND",
            "credential_command",
            in_stack_config=False,
        ),
    ] = None


class CredentialCommandInputs(TypedDict, total=False):
    """
    The same setting as a program gives it.
    """

    credential_command: Input[str | Sequence[str]] | None


def _identity(given: CredentialCommandSettings) -> str:
    return f"command:{_name(given)}"


def _name(given: CredentialCommandSettings) -> str:
    # Its arguments may hold secrets.
    return safe_line(os.path.basename((given.credential_command or ("",))[0]), longest=40)


class CredentialCommand(RenewedToken):
    """
    The token that the command prints; it is run again when the token ends, or is refused.
    """

    def __init__(self, given: CredentialCommandSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._command = given.credential_command or ()
        self._program = _name(given)

    @property
    def _endpoint(self) -> str:
        return f"the credential command {self._program!r}"

    def renewal(self) -> Generator[Request, Answer, tuple[str, float]]:
        yield from ()
        printed = self._run().strip()
        said: object = printed
        if printed.startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                said = json.loads(printed)
        token, expires_in = (
            (said.get("access_token"), said.get("expires_in")) if isinstance(said, dict) else (said, None)
        )
        if not isinstance(token, str) or not BEARER_TOKEN.fullmatch(token):
            raise UnauthorizedError(  # nothing of its output is quoted: it may be a token with a blank
                f"{self._endpoint} printed no token; it prints one on stdout, bare or as JSON with access_token and"
                " expires_in, and nothing else",
                status_code=401,
            )
        return token, lifetime(expires_in)

    def _run(self) -> str:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, and no shell
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # so that what it has started ends with it
            )
        except (OSError, ValueError) as broken:
            why = broken.strerror if isinstance(broken, OSError) and broken.strerror else "a name with a null in it"
            raise SettingsError(
                f"{ways(CredentialCommandSettings, 'credential_command')}: {self._program!r} cannot be run ({why})"
            ) from None
        try:
            printed, told = process.communicate(timeout=_LONGEST_RUN)
        except subprocess.TimeoutExpired:
            raise UnauthorizedError(
                f"{self._endpoint} has not ended within {_LONGEST_RUN:.0f} s, and was ended; run it by hand to see what"
                " it waits for",
                status_code=401,
            ) from None
        finally:
            _end(process)
        if process.returncode:
            words = self.quoted(told.decode("utf-8", "replace"))
            raise UnauthorizedError(
                f"{self._endpoint} ended with {process.returncode}{f' ({words})' if words else ''}; run it by hand",
                status_code=401,
            )
        if len(printed) > _LARGEST_OUTPUT:
            return ""
        return printed.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()


KIND: Final = Kind[CredentialCommandSettings](
    name="credential_command",
    model=CredentialCommandSettings,
    auth_type="oauth",
    identified_by=(frozenset({"credential_command"}),),
    needs=("credential_command",),
    identity=_identity,
    credentials=CredentialCommand,
)
