"""
Windows integrated authentication, as IIS does it: by Negotiate or NTLM, in legs, and a connection is let in.

pyspnego accepts both; of Kerberos there is none here, because that needs a domain.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from .accounts import Account

_USERS: Final = "NTLM_USER_FILE"  # where pyspnego's acceptor finds who is known


class WindowsScheme(StrEnum):
    """
    What the server offers.
    """

    NEGOTIATE = "negotiate"
    NTLM = "ntlm"
    BOTH = "both"

    @property
    def offers(self) -> tuple[str, ...]:
        """
        The challenges of a 401.
        """
        return {"negotiate": ("Negotiate",), "ntlm": ("NTLM",), "both": ("Negotiate", "NTLM")}[self]


@dataclass
class _Connection:
    context: Any = None
    username: str | None = None


class WindowsLogin:
    """
    Who is let in on which connection. Not thread-safe: the caller holds a lock.
    """

    def __init__(self, scheme: WindowsScheme) -> None:
        import spnego  # the extra `negotiate`

        self._spnego: Any = spnego
        self._scheme = scheme
        self._connections: WeakKeyDictionary[Any, _Connection] = WeakKeyDictionary()
        self._folder = tempfile.TemporaryDirectory(prefix="kf-sandbox-")
        self._users = Path(self._folder.name) / "users"
        self._before = os.environ.get(_USERS)
        os.environ[_USERS] = str(self._users)

    def close(self) -> None:
        """
        Leave the environment as it was.
        """
        if os.environ.pop(_USERS, None) != str(self._users) or self._before is not None:
            os.environ[_USERS] = self._before or ""
        self._folder.cleanup()

    def leg(
        self, transport: object, authorization: str, accounts: Iterable[Account]
    ) -> tuple[Account | None, tuple[str, ...]]:
        """
        The account that this connection has logged in as, or None and the challenges to answer with.
        """
        connection = self._connections.setdefault(transport, _Connection())
        known = {account.username.lower(): account for account in accounts}
        scheme, _, token = authorization.partition(" ")
        offers = self._scheme.offers
        if scheme in offers:
            lines = (f"{name.replace(chr(92), ':', 1)}:{account.password}\n" for name, account in known.items())
            self._users.write_text("".join(lines))
            connection.username = None
            offers = self._accept(connection, scheme, token)
        return known.get((connection.username or "").lower()), offers

    def _accept(self, connection: _Connection, scheme: str, token: str) -> tuple[str, ...]:
        if connection.context is None:
            connection.context = self._spnego.server(hostname="localhost", service="HTTP", protocol=scheme.lower())
        try:
            answer = connection.context.step(base64.b64decode(token, validate=True)) or b""
        except (self._spnego.exceptions.SpnegoError, binascii.Error, ValueError):
            connection.context = None
            return self._scheme.offers
        if connection.context.complete:
            connection.username, connection.context = connection.context.client_principal, None
        return (f"{scheme} {base64.b64encode(answer).decode()}",)
