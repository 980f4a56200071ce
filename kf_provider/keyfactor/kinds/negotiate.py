"""
Windows integrated authentication: Kerberos by the user's ticket, a keytab or a password, and NTLM where the server
offers only that.

SPNEGO and NTLM are pyspnego's, and Kerberos that of the system, by pyspnego's extra `kerberos`.

Source: RFC 4559; RFC 4178; Keyfactor/keyfactor-auth-client-go, auth_providers, for the names of the settings.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Self, TypedDict
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator

from ...errors import SettingsError, UnauthorizedError
from ..answers import Request
from ..challenges import offered_schemes
from ..credentials import AuthFlow, Credentials
from ..inputs import Input
from ..sources import Setting
from .kind import Fields, Kind, unwrapped, ways

_MOST_LEGS: Final = 5
_SCHEMES: Final = {"negotiate": "Negotiate", "kerberos": "Negotiate", "ntlm": "NTLM"}


class NegotiateSettings(Fields):
    """
    Whose ticket, and for which service. Without any of them: the ticket of the user who runs the program.
    """

    kerberos_username: Annotated[
        str | None,
        Setting(
            "the user, where it is not the one whose ticket is there",
            "KEYFACTOR_AUTH_KRB_USERNAME",
            "kerberos_username",
        ),
    ] = None
    kerberos_password: Annotated[
        SecretStr | None,
        Setting(
            "the user's password, where there is neither a ticket nor a keytab",
            "KEYFACTOR_AUTH_KRB_PASSWORD",
            "kerberos_password",
        ),
    ] = None
    kerberos_realm: Annotated[
        str | None,
        Setting("the Kerberos realm of the user, as `KEYEXAMPLE.COM`", "KEYFACTOR_AUTH_KRB_REALM", "kerberos_realm"),
    ] = None
    kerberos_keytab: Annotated[
        str | None,
        Setting("the path of a keytab", "KEYFACTOR_AUTH_KRB_KEYTAB", "kerberos_keytab"),
    ] = None
    kerberos_ccache: Annotated[
        str | None,
        Setting("the path of a ticket cache", "KEYFACTOR_AUTH_KRB_CCACHE", "kerberos_ccache"),
    ] = None
    kerberos_config: Annotated[
        str | None,
        Setting("the path of a krb5.conf, for this process", "KEYFACTOR_AUTH_KRB_CONFIG", "kerberos_config"),
    ] = None
    kerberos_spn: Annotated[
        str | None,
        Setting("the service, where it is not `HTTP/` and the host name", "KEYFACTOR_AUTH_KRB_SPN", "kerberos_spn"),
    ] = None

    @model_validator(mode="after")
    def _with_a_user(self) -> Self:
        if self.kerberos_password is not None and not self.kerberos_username:
            raise ValueError(f"{ways(NegotiateSettings, 'kerberos_password')} needs the user's name beside it")
        return self

    @property
    def principal(self) -> str | None:
        """
        `user@REALM`, the user as it was given, or None.
        """
        user = self.kerberos_username
        return (
            f"{user}@{self.kerberos_realm}" if user and self.kerberos_realm and not re.search(r"[@\\]", user) else user
        )


class NegotiateInputs(TypedDict, total=False):
    """
    The same settings as a program gives them.
    """

    kerberos_username: Input[str] | None
    kerberos_password: Input[str] | None
    kerberos_realm: Input[str] | None
    kerberos_keytab: Input[str] | None
    kerberos_ccache: Input[str] | None
    kerberos_config: Input[str] | None
    kerberos_spn: Input[str] | None


def _identity(given: NegotiateSettings) -> str:
    return f"kerberos:{given.principal or given.kerberos_keytab or given.kerberos_ccache or 'the ticket of this user'}"


class Negotiate(Credentials):
    """
    A handshake of one or more legs, on one connection. What the server has let in once is asked without one, for as
    long as it takes that.
    """

    def __init__(self, given: NegotiateSettings) -> None:
        try:
            import spnego
        except ModuleNotFoundError as missing:
            raise SettingsError(
                f"Kerberos and NTLM need {missing.name}: pip install 'kf-provider[negotiate]'"
            ) from None
        self._spnego: Any = spnego
        self._given = given
        self._password = unwrapped(given.kerberos_password)
        self._is_one_leg = False  # of a server that lets each request in, and no connection
        if given.kerberos_config:
            os.environ["KRB5_CONFIG"] = given.kerberos_config  # the system's library reads it there alone

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self._password,) if self._password else ()

    def auth_flow(self, request: Request, *, time_left: Callable[[], float]) -> AuthFlow:  # noqa: ARG002 - never waits
        """
        The request as it is, on a connection that may be let in already, and the legs after a 401.
        """
        scheme: str | None = "Negotiate"
        if not self._is_one_leg:
            answer = yield request
            if answer.status_code != 401:
                return
            scheme = _offered(answer.headers.get("WWW-Authenticate"))
        if scheme is None:
            return
        context = self._context(scheme, request.url)
        token = self._step(context, None, request.url)
        for leg in range(1, _MOST_LEGS + 1):
            sent = base64.b64encode(token or b"").decode("ascii")
            answer = yield request.authorized(f"{scheme} {sent}")
            if answer.status_code != 401:
                self._is_one_leg = leg == 1 and scheme == "Negotiate"
                return
            self._is_one_leg = False
            challenge = _token(answer.headers.get("WWW-Authenticate"), scheme)
            if challenge is None or context.complete:
                return  # refused, and once is enough: accounts get locked
            token = self._step(context, challenge, request.url)

    def _context(self, scheme: str, url: str) -> Any:
        given, spnego = self._given, self._spnego
        credential = None
        if given.kerberos_ccache:
            credential = spnego.KerberosCCache(f"FILE:{given.kerberos_ccache}", principal=given.principal)
        elif given.kerberos_keytab:
            credential = spnego.KerberosKeytab(f"FILE:{given.kerberos_keytab}", principal=given.principal)
        elif self._password:
            credential = spnego.Password(given.principal or "", self._password)
        elif given.principal:
            credential = spnego.CredentialCache(username=given.principal)
        service, _, host = (given.kerberos_spn or "").partition("/")
        try:
            return spnego.client(
                credential,
                hostname=host.partition("@")[0] or urlsplit(url).hostname or "",
                service=service or "HTTP",
                protocol="ntlm" if scheme == "NTLM" else "negotiate",
            )
        except Exception as failed:
            raise self._no_proof(failed, url) from None

    def _step(self, context: Any, challenge: bytes | None, url: str) -> bytes | None:
        try:
            token: bytes | None = context.step(challenge)
        except Exception as failed:  # of pyspnego, gssapi, krb5, and what each lets through
            raise self._no_proof(failed, url) from None
        return token

    def _no_proof(self, failed: Exception, url: str) -> UnauthorizedError:
        why = self.quoted(getattr(failed, "message", None) or str(failed))
        ticket = "check the user and the password" if self._password else "get one with kinit, and see what klist shows"
        if isinstance(failed, ImportError):
            ticket = "Kerberos needs gssapi and krb5: pip install 'pyspnego[kerberos]', which compiles them"
        return UnauthorizedError(
            f"no Kerberos or NTLM login to {urlsplit(url).hostname} as {_identity(self._given)} ({why}); {ticket}",
            status_code=401,
        )


def _offered(header: str | None) -> str | None:
    """
    The scheme to take of those that are offered: Negotiate, which has NTLM in it, before NTLM.
    """
    offered = {_SCHEMES.get(scheme.lower()) for scheme in offered_schemes(header)}
    return next((scheme for scheme in ("Negotiate", "NTLM") if scheme in offered), None)


def _token(header: str | None, scheme: str) -> bytes | None:
    found = re.search(rf"(?:^|,)\s*{scheme}\s+([A-Za-z0-9+/=]+)", header or "", re.IGNORECASE)
    try:
        return base64.b64decode(found[1], validate=True) if found else None
    except binascii.Error:
        return None


KIND: Final = Kind[NegotiateSettings](
    name="negotiate",
    model=NegotiateSettings,
    auth_type="kerberos",
    identified_by=(
        frozenset({"kerberos_username", "kerberos_password"}),
        frozenset({"kerberos_keytab"}),
        frozenset({"kerberos_ccache"}),
        frozenset({"kerberos_spn"}),
    ),
    needs=(),
    identity=_identity,
    credentials=Negotiate,
    binds_connection=True,
)
