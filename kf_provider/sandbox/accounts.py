"""
Who may ask the sandbox, and for what: accounts, passwords, tokens, permissions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from .definitions import PKI_ADMINISTRATORS
from .workflow import Person

DEFAULT_USERNAME: Final = "KEYEXAMPLE\\pulumi"
DEFAULT_CLIENT_ID: Final = "pulumi"
DEFAULT_TOKEN_LIFETIME_SECONDS: Final = 300.0


class Permission(StrEnum):
    """
    The permissions on workflow instances, by their names of Command 10, and the one on certificates.
    """

    READ_ALL = "ReadAll"
    READ_ASSIGNED_TO_ME = "ReadAssignedToMe"
    READ_MY = "ReadMy"
    MANAGE = "Manage"
    READ_CERTIFICATES = "CertificatesRead"


EVERY_PERMISSION: Final = frozenset(Permission)


class CredentialKind(StrEnum):
    """
    How a request was authenticated.
    """

    BASIC = "basic"
    ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of a kind, not a token
    OAUTH = "oauth"
    WINDOWS = "windows"


class ClientProof(StrEnum):
    """
    How a client proves itself to the token endpoint.
    """

    ANY = "any"
    BASIC = "basic"
    FORM = "form"
    ASSERTION = "assertion"


@dataclass(frozen=True)
class Account:
    """
    An account of Keyfactor Command: a user with a password, and the OAuth client of the same identity.
    """

    username: str
    password: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    access_token: str = field(repr=False)
    permissions: frozenset[Permission] = EVERY_PERMISSION
    role_ids: frozenset[int] = frozenset({PKI_ADMINISTRATORS})

    @property
    def person(self) -> Person:
        """
        The account as a sender of signals.
        """
        return Person(self.username, self.role_ids)

    def may(self, *permissions: Permission) -> bool:
        """
        Whether the account holds at least one of `permissions`.
        """
        return not self.permissions.isdisjoint(permissions)


@dataclass(frozen=True)
class Caller:
    """
    The account behind one request, and how it proved it.
    """

    account: Account
    kind: CredentialKind


@dataclass(frozen=True)
class OAuthToken:
    """
    What the token endpoint gave out.
    """

    text: str = field(repr=False)
    account: Account
    expires: datetime


def _new_secret() -> str:
    # Letters and digits alone: to the command line that it is pasted into, what begins with a dash is an option.
    return secrets.token_hex(24)


class Accounts:
    """
    The accounts and the tokens that are good now. Not thread-safe: the caller holds a lock.
    """

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self.token_lifetime_seconds = DEFAULT_TOKEN_LIFETIME_SECONDS
        self._now = now
        self._accounts: list[Account] = []
        self._tokens: dict[str, OAuthToken] = {}

    def add(
        self,
        username: str,
        *,
        client_id: str,
        permissions: frozenset[Permission] = EVERY_PERMISSION,
        role_ids: frozenset[int] = frozenset({PKI_ADMINISTRATORS}),
    ) -> Account:
        """
        Add an account with a new password, client secret and static access token.
        """
        if ":" in username:  # RFC 7617: what follows it would be the password
            raise ValueError(
                f"a user name has no colon, because Basic authentication cannot carry one: {username[:60]!r}"
            )
        if any(account.username.lower() == username.lower() for account in self._accounts):
            raise ValueError(f"there is an account {username} already")
        account = Account(
            username=username,
            password=_new_secret(),
            client_id=client_id,
            client_secret=_new_secret(),
            access_token=_new_secret(),
            permissions=permissions,
            role_ids=role_ids,
        )
        self._accounts.append(account)
        return account

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts)

    def renew(self, account: Account) -> Account:
        """
        The account with a new password, client secret and access token; the old ones are good no longer.
        """
        renewed = replace(
            account,
            password=_new_secret(),
            client_secret=_new_secret(),
            access_token=_new_secret(),
        )
        self._accounts = [renewed if known is account else known for known in self._accounts]
        self.revoke_tokens(account)
        return renewed

    def authenticate(self, authorization: str | None) -> Caller | None:
        """
        The caller behind an `Authorization` header, or None: missing, wrong, unknown, expired and revoked look alike.
        """
        scheme, _, credentials = (authorization or "").partition(" ")
        match scheme.lower():
            case "basic":
                return self._by_password(credentials)
            case "bearer":
                return self._by_token(credentials.strip())
        return None

    def client(self, client_id: str, client_secret: str) -> Account | None:
        """
        The account of an OAuth client, or None.
        """
        for account in self._accounts:
            if account.client_id == client_id and _matches(account.client_secret, client_secret):
                return account
        return None

    def asserted(self, assertion: str) -> Account | None:
        """
        The account of an OAuth client whose assertion this is, or None.
        """
        now = self._now().timestamp()
        for account in self._accounts:
            claims = _claims(assertion, account.client_secret)
            if claims.get("sub") == account.client_id and float(claims.get("exp", 0)) > now:
                return account
        return None

    def assertion(self, account: Account, *, lifetime_seconds: float = 600.0) -> str:
        """
        A signed token that stands for the client's secret (RFC 7523), as a platform gives it to a workload.
        """
        expires = int(self._now().timestamp() + lifetime_seconds)
        claims = {"iss": account.client_id, "sub": account.client_id, "exp": expires, "jti": secrets.token_hex(8)}
        head, body = (_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{head}.{body}.{_signature(f'{head}.{body}', account.client_secret)}"

    def issue_token(self, account: Account) -> OAuthToken:
        """
        A new token that is good for `token_lifetime_seconds` on the sandbox's clock.
        """
        token = OAuthToken(_new_secret(), account, self._now() + timedelta(seconds=self.token_lifetime_seconds))
        self._tokens = {text: kept for text, kept in self._tokens.items() if kept.expires > self._now()}
        self._tokens[token.text] = token
        return token

    def revoke_tokens(self, account: Account | None = None) -> None:
        """
        End every token that the token endpoint gave out, or those of one account; static access tokens stay good.
        """
        self._tokens = {
            text: token for text, token in self._tokens.items() if account is not None and token.account != account
        }

    def _by_password(self, credentials: str) -> Caller | None:
        try:
            username, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        user, at, domain = username.partition("@")
        if at:  # Keyfactor's Python SDK sends user@domain, everything else DOMAIN\user.
            username = f"{domain}\\{user}"
        for account in self._accounts:
            if account.username.lower() == username.lower() and _matches(account.password, password):
                return Caller(account, CredentialKind.BASIC)
        return None

    def _by_token(self, text: str) -> Caller | None:
        for account in self._accounts:
            if _matches(account.access_token, text):
                return Caller(account, CredentialKind.ACCESS_TOKEN)
        token = self._tokens.get(text)
        if token is not None and token.expires > self._now():
            return Caller(token.account, CredentialKind.OAUTH)
        return None


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def _signature(text: str, key: str) -> str:
    return _encoded(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())


def _claims(assertion: str, key: str) -> dict[str, Any]:
    """
    What a token says that was signed with this key; nothing for any other.
    """
    text, _, signature = assertion.rpartition(".")
    if not _matches(_signature(text, key), signature):
        return {}
    body = text.partition(".")[2]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def _matches(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())
