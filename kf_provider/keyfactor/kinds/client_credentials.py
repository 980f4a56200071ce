"""
OAuth client credentials (RFC 6749, section 4.4).

One POST, without a library: requests-oauthlib leaves the renewal of client credentials to its user (its issue 260, open
since 2017), and Authlib drops the audience on renewal (its issue 783).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, TypedDict
from urllib.parse import quote_plus, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from ...errors import NoAnswerError, StatusError, UnauthorizedError, UnusableAnswerError, status_meaning
from ..addresses import checked_url
from ..answers import THE_TOKEN_URL, Answer, Request, json_of
from ..credentials import BEARER_TOKEN, AuthFlow, Credentials, basic
from ..inputs import Input
from ..sources import Setting, parts_of
from .kind import Fields, Kind, unwrapped

_LONGEST_MARGIN: Final = 60.0  # seconds
_THE_URL: Final = "the token URL (keyfactor:tokenUrl or KEYFACTOR_AUTH_TOKEN_URL)"


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
            "whom the token is for, where the identity provider wants to be told",
            "KEYFACTOR_AUTH_AUDIENCE",
            "audience",
        ),
    ] = None


class ClientCredentialsInputs(TypedDict, total=False):
    """
    The same settings as a program gives them.
    """

    client_id: Input[str] | None
    client_secret: Input[str] | None
    token_url: Input[str] | None
    scopes: Input[str | Sequence[str]] | None
    audience: Input[str] | None


def _identity(given: ClientCredentialsSettings) -> str:
    return f"oauth:{given.client_id}@{urlsplit(given.token_url or '').netloc}"


class ClientCredentials(Credentials):
    """
    One token for its lifetime, for all threads; a new one when the server refuses it.

    Only one thread asks for a token; the others wait for it, no longer than their own requests may take.
    """

    def __init__(self, given: ClientCredentialsSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client_id = given.client_id or ""
        self._url = given.token_url or ""
        client_secret = unwrapped(given.client_secret)
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        self._client = basic(quote_plus(self._client_id), quote_plus(client_secret))
        self._lasting_secrets = (client_secret, *self._client.secrets)
        self._form = {"grant_type": "client_credentials"}
        if given.scopes:
            self._form["scope"] = " ".join(given.scopes)
        if given.audience:
            self._form["audience"] = given.audience
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._good_until = -math.inf

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*self._lasting_secrets, self._token)

    def auth_flow(self, request: Request, *, time_left: Callable[[], float]) -> AuthFlow:
        """
        The request with a token; again with a new one after a 401.
        """
        token = yield from self._good_token(time_left)
        answer = yield request.authorized(f"Bearer {token}")
        if answer.status_code == 401:
            token = yield from self._good_token(time_left, refused=token)
            yield request.authorized(f"Bearer {token}")

    def _good_token(
        self, time_left: Callable[[], float], *, refused: str | None = None
    ) -> Generator[Request, Answer, str]:
        with self._held_lock(time_left()):
            if self._clock() >= self._good_until or self._token == refused:  # else another thread has asked already
                self._good_until = -math.inf
                asked = self._clock()
                answer = yield Request("POST", self._url, form=self._form).authorized(self._client.authorization)
                self._token, lifetime = self._granted(answer)
                self._good_until = asked + lifetime
            return self._token

    @contextmanager
    def _held_lock(self, seconds: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX)):
            raise NoAnswerError(f"{self._endpoint}: no access token in the time allowed", is_transient=True)
        try:
            yield
        finally:
            self._lock.release()

    @property
    def _endpoint(self) -> str:
        return f"the token endpoint on {urlsplit(self._url).netloc}"

    def _granted(self, answer: Answer) -> tuple[str, float]:
        """
        The token in an answer, and the seconds for which it is good.
        """
        try:
            body = json_of(answer, self._endpoint, check=THE_TOKEN_URL)
        except UnusableAnswerError:
            if answer.status_code == 200:
                raise
            body = None
        said = body if isinstance(body, dict) else {}
        if answer.status_code != 200:
            raise self._refusal(answer, said)
        token, kind = said.get("access_token"), said.get("token_type") or "Bearer"
        if not isinstance(token, str) or not BEARER_TOKEN.fullmatch(token) or str(kind).lower() != "bearer":
            raise UnusableAnswerError(f"{self._endpoint} gave no bearer token: check the token URL")
        return token, _lifetime(said.get("expires_in"))

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
            advice = "check the client's id and secret, the scopes and the audience"
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


def _lifetime(expires_in: object) -> float:
    # Left out by some servers (then: until a 401), a string from others. Renewed a little early: clocks and requests
    # take their time.
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # anything else is caught below
    except (TypeError, ValueError, OverflowError):
        return math.inf
    return seconds - min(_LONGEST_MARGIN, seconds / 5) if math.isfinite(seconds) else math.inf


KIND: Final = Kind[ClientCredentialsSettings](
    name="client_credentials",
    model=ClientCredentialsSettings,
    identified_by=frozenset({"client_id", "client_secret"}),
    needs=("client_id", "client_secret", "token_url"),
    identity=_identity,
    credentials=ClientCredentials,
)
