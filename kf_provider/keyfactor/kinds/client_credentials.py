"""
OAuth client credentials (RFC 6749, section 4.4), with a secret or with an assertion from a file (RFC 7523).

One POST, without a library: requests-oauthlib leaves the renewal of client credentials to its user (its issue 260, open
since 2017), and Authlib drops the audience on renewal (its issue 783).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, Final, Self, TypedDict
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, model_validator

from ...errors import SettingsError, StatusError, UnauthorizedError, UnusableAnswerError, status_meaning
from ..addresses import checked_url
from ..answers import THE_TOKEN_URL, Answer, Request, json_of
from ..bearer import RenewedToken, lifetime
from ..credentials import BEARER_TOKEN, basic
from ..inputs import Input
from ..sources import Setting, parts_of
from .kind import Fields, Kind, unwrapped, ways

_THE_URL: Final = "the token URL (keyfactor:tokenUrl or KEYFACTOR_AUTH_TOKEN_URL)"
_LARGEST_ASSERTION: Final = 64 * 1024  # bytes
# Three parts in base64url (RFC 7515, section 3.1). The file may be the wrong one, and nothing else leaves this machine.
_JWT: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_BY_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def _scopes(value: object) -> object:
    return parts_of(value) if isinstance(value, str) else value


class ClientCredentialsSettings(Fields):
    """
    The client, and how its tokens are asked for.
    """

    client_id: Annotated[
        str | None,
        Setting("for OAuth client credentials", "KEYFACTOR_AUTH_CLIENT_ID", "client_id"),
    ] = None
    client_secret: Annotated[
        SecretStr | None,
        Setting("for OAuth client credentials", "KEYFACTOR_AUTH_CLIENT_SECRET", "client_secret"),
    ] = None
    client_assertion_file: Annotated[
        str | None,
        Setting(
            "the path of a file with a signed token that stands for the client's secret, read each time (workload"
            " identity)",
            "KEYFACTOR_AUTH_CLIENT_ASSERTION_FILE",
            "client_assertion_file",
        ),
    ] = None
    token_url: Annotated[
        Annotated[str, AfterValidator(checked_url)] | None,
        Setting("where the identity provider issues tokens", "KEYFACTOR_AUTH_TOKEN_URL", "token_url"),
    ] = None
    scopes: Annotated[
        tuple[str, ...],
        BeforeValidator(_scopes),
        Setting("what the token is asked for", "KEYFACTOR_AUTH_SCOPES", "scopes"),
    ] = ()
    audience: Annotated[
        str | None,
        Setting(
            "whom the token is for, where the identity provider asks for it",
            "KEYFACTOR_AUTH_AUDIENCE",
            "audience",
        ),
    ] = None

    @model_validator(mode="after")
    def _with_one_proof(self) -> Self:
        if self.client_secret is not None and self.client_assertion_file is not None:
            both = " and ".join(ways(ClientCredentialsSettings, f) for f in ("client_secret", "client_assertion_file"))
            raise ValueError(f"{both} are both given in one place: leave one out")
        return self


class ClientCredentialsInputs(TypedDict, total=False):
    """
    The same settings as a program gives them.
    """

    client_id: Input[str] | None
    client_secret: Input[str] | None
    client_assertion_file: Input[str] | None
    token_url: Input[str] | None
    scopes: Input[str | Sequence[str]] | None
    audience: Input[str] | None


def _identity(given: ClientCredentialsSettings) -> str:
    return f"oauth:{given.client_id}@{urlsplit(given.token_url or '').netloc}"


class _Way(Enum):
    """
    How the client proves itself to the token endpoint.
    """

    BASIC = auto()
    FORM = auto()
    ASSERTION = auto()


# By token URL, client and secret: what the endpoint takes, found out once a process, because each try that fails counts
# towards a lock-out.
_known_ways: Final[dict[int, _Way]] = {}


class ClientCredentials(RenewedToken):
    """
    A token for the client, which proves itself by HTTP Basic, in the form where that is refused, or by an assertion.
    """

    def __init__(self, given: ClientCredentialsSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._client_id = given.client_id or ""
        self._url = given.token_url or ""
        self._secret = unwrapped(given.client_secret)
        self._assertion_file = given.client_assertion_file
        self._assertion = ""
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined; a blank as %20, because some servers
        # (Authlib's is one) do not take a plus for one.
        self._client = basic(quote(self._client_id, safe=""), quote(self._secret, safe=""))
        self._form = {"grant_type": "client_credentials"}
        if given.scopes:
            self._form["scope"] = " ".join(given.scopes)
        if given.audience:
            self._form["audience"] = given.audience
        self._key = hash((self._url, self._client_id, self._secret))

    @property
    def secrets(self) -> tuple[str, ...]:
        lasting = (self._secret, *self._client.secrets) if self._secret else ()
        return (*lasting, self._assertion, *super().secrets)

    def renewal(self) -> Generator[Request, Answer, tuple[str, float]]:
        if self._assertion_file is not None:
            return self._granted((yield self._asking(_Way.ASSERTION)))
        known = _known_ways.get(self._key)
        answer = yield self._asking(known or _Way.BASIC)
        if known is None and self._refuses_client(answer):
            other = yield self._asking(_Way.FORM)
            if not status_meaning(other.status_code)[1]:  # else it is still to be found out
                _known_ways[self._key] = _Way.BASIC if self._refuses_client(other) else _Way.FORM
            answer = other
        return self._granted(answer)

    def _asking(self, way: _Way) -> Request:
        match way:
            case _Way.BASIC:
                return Request("POST", self._url, form=self._form).authorized(self._client.authorization)
            case _Way.FORM:
                proof = {"client_id": self._client_id, "client_secret": self._secret}
            case _Way.ASSERTION:
                self._assertion = self._read_assertion()
                proof = {"client_assertion_type": _BY_ASSERTION, "client_assertion": self._assertion}
                if self._client_id:
                    proof["client_id"] = self._client_id
        return Request("POST", self._url, form={**self._form, **proof})

    def _refuses_client(self, answer: Answer) -> bool:
        if answer.status_code == 401:
            return True
        return answer.status_code == 400 and self._said(answer).get("error") == "invalid_client"

    def _read_assertion(self) -> str:
        """
        The token in the file, as it is now: who puts it there renews it.
        """
        name = ways(ClientCredentialsSettings, "client_assertion_file")
        path = Path(self._assertion_file or "")
        try:
            path = path.expanduser()
            if not path.is_file():  # a pipe would not end
                raise SettingsError(f"{name}: {path} is not a file that can be read")
            with path.open("rb") as file:
                text = file.read(_LARGEST_ASSERTION + 1)
        except (OSError, RuntimeError, ValueError) as broken:  # RuntimeError: no home; ValueError: no path
            raise SettingsError(f"{name}: {self._assertion_file} cannot be read") from broken
        token = text.strip().decode("ascii", "replace")
        if len(text) > _LARGEST_ASSERTION or not _JWT.fullmatch(token):
            raise SettingsError(f"{name}: {path} does not hold one signed token (a JWT), so nothing of it is sent")
        return token

    @property
    def _endpoint(self) -> str:
        return f"the token endpoint on {urlsplit(self._url).netloc}"

    def _granted(self, answer: Answer) -> tuple[str, float]:
        """
        The token in an answer, and the seconds for which it is good.
        """
        said = self._said(answer)
        if answer.status_code != 200:
            raise self._refusal(answer, said)
        token, kind = said.get("access_token"), said.get("token_type") or "Bearer"
        if not isinstance(token, str) or not BEARER_TOKEN.fullmatch(token) or str(kind).lower() != "bearer":
            raise UnusableAnswerError(f"{self._endpoint} gave no bearer token: check the token URL")
        return token, lifetime(said.get("expires_in"))

    def _said(self, answer: Answer) -> Mapping[str, object]:
        try:
            body = json_of(answer, self._endpoint, check=THE_TOKEN_URL)
        except UnusableAnswerError:
            if answer.status_code == 200:
                raise
            body = None
        return body if isinstance(body, dict) else {}

    def _refusal(self, answer: Answer, body: Mapping[str, object]) -> StatusError:
        code, text = (
            # A good answer is no refusal, whatever its status: nothing of it is quoted.
            self.quoted(part) if isinstance(part := body.get(name), str) and answer.status_code >= 400 else None
            for name in ("error", "error_description")
        )
        said = ": ".join(part for part in (code, text) if part)
        status = f"{answer.status_code}{f', {said}' if said else ''}"
        error, is_transient = status_meaning(answer.status_code)
        advice = "try again later"
        if answer.status_code in (400, 401, 403):
            error = UnauthorizedError
            proof = "assertion" if self._assertion_file is not None else "secret"
            advice = f"check the client's id and {proof}, the scopes and the audience"
            if answer.status_code == 403 and code is None:  # RFC 6749, section 5.2: a provider says why
                advice = f"this may be a proxy's or a firewall's answer; check the way to it, and {_THE_URL}"
        elif not is_transient:
            error = StatusError  # a 404 is about no instance
            advice = f"check {_THE_URL}"
        return error(
            f"{self._endpoint} gives no token to client {self._client_id!r} ({status}): {advice}",
            status_code=answer.status_code,
            error_code=code,
            keyfactor_message=text,
            is_transient=is_transient,
            retry_after=answer.retry_after,
        )


KIND: Final = Kind[ClientCredentialsSettings](
    name="client_credentials",
    model=ClientCredentialsSettings,
    auth_type="oauth",
    identified_by=(frozenset({"client_id", "client_secret"}), frozenset({"client_assertion_file"})),
    needs=("client_id", ("client_secret", "client_assertion_file"), "token_url"),
    identity=_identity,
    credentials=ClientCredentials,
)
