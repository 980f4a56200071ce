"""
How requests prove who we are: Basic, a bearer token, OAuth client credentials. The only file that unwraps a secret.

OAuth is one POST here, without a library: requests-oauthlib leaves the renewal of client credentials to its user (its
issue 260, open since 2017), and Authlib drops the audience on renewal (its issue 783).
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote_plus, urlsplit

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from .errors import NoAnswerError, SettingsError, StatusError, UnauthorizedError, UnavailableError, UnusableAnswerError
from .settings import Settings

_BEARER_TOKEN: Final = re.compile(r"[\x21-\x7e]+")  # anything else would end the header, or start another
_LONGEST_MARGIN: Final = 60.0
_LONGEST_QUOTE: Final = 200


class TokenAnswer(NamedTuple):
    """
    What a token endpoint says: the body is {} when it is not a JSON object.
    """

    status_code: int
    body: Mapping[str, Any]
    retry_after: float | None


class TokenTransport(Protocol):
    """
    How a token is asked for; the client brings it, with its transport rules.
    """

    def post_form(self, url: str, form: Mapping[str, str], auth: AuthBase) -> TokenAnswer:
        """
        POST the form. Raises NoAnswerError, or UnusableAnswerError for a 200 that is not a JSON object.
        """

    def seconds_left(self) -> float:
        """
        The seconds until the request that needs the token must be over.
        """


class Credentials(AuthBase):
    """
    Adds the Authorization header to a request. Safe to share between threads.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self.authorization()
        return request

    def authorization(self) -> str:
        """
        The value of the Authorization header.
        """
        raise NotImplementedError

    def renew(self, used: str) -> bool:  # noqa: ARG002 - what is fixed cannot be renewed
        """
        Give up the header value that got a 401, and say whether there is another to try.
        """
        return False

    def conceal(self, text: str) -> str:
        """
        The text without our secrets, for what a server or proxy says about a request.
        """
        for secret in sorted(filter(None, self.secrets()), key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        return text

    def secrets(self) -> tuple[str, ...]:
        """
        What must not show.
        """
        raise NotImplementedError


class BasicCredentials(Credentials):
    """
    `DOMAIN\\user` and a password, in UTF-8 (RFC 7617).
    """

    def __init__(self, username: str, password: str) -> None:
        self._password = password
        self._encoded = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")

    def authorization(self) -> str:
        """
        The value of the Authorization header.
        """
        return f"Basic {self._encoded}"

    def secrets(self) -> tuple[str, ...]:
        return self._encoded, self._password


class BearerToken(Credentials):
    """
    An access token as it is, until the server refuses it.
    """

    def __init__(self, token: str) -> None:
        self._token = token.strip()  # files and shells add a newline
        if not _BEARER_TOKEN.fullmatch(self._token):
            raise SettingsError("access_token (keyfactor:accessToken or KEYFACTOR_AUTH_ACCESS_TOKEN) is not a token")

    def authorization(self) -> str:
        """
        The value of the Authorization header.
        """
        return f"Bearer {self._token}"

    def secrets(self) -> tuple[str, ...]:
        return (self._token,)


class ClientCredentials(Credentials):
    """
    OAuth client credentials (RFC 6749, section 4.4): one token for its lifetime, for all threads.

    Only one thread asks for a token; the others wait for it, no longer than their own requests may take.
    """

    def __init__(
        self, settings: Settings, transport: TokenTransport, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client_id = settings.client_id or ""
        self._client_secret = _unwrapped(settings.client_secret)
        self._url = settings.token_url or ""
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        self._client = BasicCredentials(quote_plus(self._client_id), quote_plus(self._client_secret))
        self._form = {"grant_type": "client_credentials"}
        if settings.scopes:
            self._form["scope"] = " ".join(settings.scopes)
        if settings.audience:
            self._form["audience"] = settings.audience
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._good_until = 0.0

    def authorization(self) -> str:
        """
        The value of the Authorization header; asks for a token when there is none, or an old one.
        """
        with self._held_lock():
            if self._token is None or self._clock() >= self._good_until:
                self._token, self._good_until = self._fetch()
            return f"Bearer {self._token}"

    def renew(self, used: str) -> bool:
        """
        Give up the header value that got a 401: the next request asks for a token, unless another thread has.
        """
        with self._held_lock():
            if used == f"Bearer {self._token}":
                self._token = None
        return True

    @contextmanager
    def _held_lock(self) -> Iterator[None]:
        left = max(self._transport.seconds_left(), 0.0)
        if not self._lock.acquire(timeout=min(left, threading.TIMEOUT_MAX)):
            raise NoAnswerError(f"{self._endpoint}: no access token in the time allowed", is_transient=True)
        try:
            yield
        finally:
            self._lock.release()

    @property
    def _endpoint(self) -> str:
        return f"the token endpoint on {urlsplit(self._url).netloc}"

    def _fetch(self) -> tuple[str, float]:
        asked = self._clock()
        answer = self._transport.post_form(self._url, self._form, self._client)
        if answer.status_code != 200:
            raise self._refusal(answer)
        token, kind = answer.body.get("access_token"), answer.body.get("token_type") or "Bearer"
        if not isinstance(token, str) or not _BEARER_TOKEN.fullmatch(token) or str(kind).lower() != "bearer":
            raise UnusableAnswerError(f"{self._endpoint} gave no bearer token: check the token URL")
        return token, asked + _lifetime(answer.body.get("expires_in"))

    def _refusal(self, answer: TokenAnswer) -> StatusError:
        code, text = (answer.body.get(name) for name in ("error", "error_description"))
        code = self._quoted(code) if isinstance(code, str) else None
        text = self._quoted(text) if isinstance(text, str) else None
        said = ": ".join(part for part in (code, text) if part)
        status = f"{answer.status_code}{f', {said}' if said else ''}"
        error: type[StatusError] = StatusError
        advice = "check the token URL (keyfactor:tokenUrl or KEYFACTOR_AUTH_TOKEN_URL)"
        if answer.status_code in (400, 401, 403):
            error = UnauthorizedError
            advice = "check the client's id and secret, the scopes and the audience"
        elif answer.status_code == 429 or answer.status_code >= 500:
            error = UnavailableError
            advice = "try again later"
        return error(
            f"{self._endpoint} gives no token to client {self._client_id!r} ({status}): {advice}",
            status_code=answer.status_code,
            error_code=code,
            keyfactor_message=text,
            is_transient=error is UnavailableError,
            retry_after=answer.retry_after,
        )

    def _quoted(self, text: str) -> str:
        return " ".join("".join(sign if sign.isprintable() else " " for sign in self.conceal(text)).split())[
            :_LONGEST_QUOTE
        ]

    def secrets(self) -> tuple[str, ...]:
        return self._client_secret, *self._client.secrets(), self._token or ""


def credentials(settings: Settings, transport: TokenTransport) -> Credentials:
    """
    The credentials that the settings name. Sends nothing yet.
    """
    match settings.auth_kind:
        case "access_token":
            return BearerToken(_unwrapped(settings.access_token))
        case "client_credentials":
            return ClientCredentials(settings, transport)
        case "basic":
            return BasicCredentials(settings.qualified_username, _unwrapped(settings.password))


def _unwrapped(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _lifetime(expires_in: object) -> float:
    # Left out by some servers (then: until a 401), a string from others. Renewed a little early: clocks and requests
    # take their time.
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # anything else is caught below
    except (TypeError, ValueError):
        return float("inf")
    return max(seconds - min(_LONGEST_MARGIN, seconds / 5), 0.0)
