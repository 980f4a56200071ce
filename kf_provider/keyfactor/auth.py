"""
How requests prove who we are: Basic, a bearer token, OAuth client credentials. The only file that unwraps a secret.

OAuth is one POST here, without a library: requests-oauthlib leaves the renewal of client credentials to its user (its
issue 260, open since 2017), and Authlib drops the audience on renewal (its issue 783).
"""

from __future__ import annotations

import base64
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote_plus, urlsplit

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from ..errors import NoAnswerError, SettingsError, StatusError, UnauthorizedError, UnavailableError, UnusableAnswerError
from ..transport import Answer, Transport, json_of
from .settings import Settings

_BEARER_TOKEN: Final = re.compile(r"[\x21-\x7e]+")  # anything else would end the header, or start another
_LONGEST_MARGIN: Final = 60.0
_LONGEST_QUOTE: Final = 200


class Credentials(AuthBase):
    """
    Adds an Authorization header to a request, always the same. Safe to share between threads.

    `secrets` are what must not show.
    """

    def __init__(self, header: str, *secrets: str) -> None:
        self._header = header
        self._secrets = secrets

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self.authorization()
        return request

    def authorization(self) -> str:
        """
        The value of the Authorization header.
        """
        return self._header

    def renew(self, used: str) -> bool:  # noqa: ARG002 - what is fixed cannot be renewed
        """
        Give up the header value that got a 401, and say whether there is another to try.
        """
        return False

    def quoted(self, text: str) -> str:
        """
        What a server or proxy says, on one line of at most 200 characters, without our secrets.
        """
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:_LONGEST_QUOTE]


class ClientCredentials(Credentials):
    """
    OAuth client credentials (RFC 6749, section 4.4): one token for its lifetime, for all threads.

    Only one thread asks for a token; the others wait for it, no longer than their own requests may take.
    """

    def __init__(
        self, settings: Settings, transport: Transport, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client_id = settings.client_id or ""
        client_secret = _unwrapped(settings.client_secret)
        self._url = settings.token_url or ""
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        self._client = _basic(quote_plus(self._client_id), quote_plus(client_secret))
        self._lasting_secrets = (client_secret, *self._client._secrets)
        super().__init__("", *self._lasting_secrets)
        self._form = {"grant_type": "client_credentials"}
        if settings.scopes:
            self._form["scope"] = " ".join(settings.scopes)
        if settings.audience:
            self._form["audience"] = settings.audience
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._good_until = -math.inf

    def authorization(self) -> str:
        """
        The value of the Authorization header; asks for a token when there is none, or an old one.
        """
        with self._held_lock():
            if self._clock() >= self._good_until:
                self._fetch()
            return self._header

    def renew(self, used: str) -> bool:
        """
        Give up the header value that got a 401: the next request asks for a token, unless another thread has.
        """
        with self._held_lock():
            if used == self._header:
                self._good_until = -math.inf
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

    def _fetch(self) -> None:
        asked = self._clock()
        answer = self._transport.send("POST", self._url, form=self._form, auth=self._client)
        try:
            body = json_of(answer, self._endpoint)
        except UnusableAnswerError:
            if answer.status_code == 200:
                raise
            body = None
        said = body if isinstance(body, dict) else {}
        if answer.status_code != 200:
            raise self._refusal(answer, said)
        token, kind = said.get("access_token"), said.get("token_type") or "Bearer"
        if not isinstance(token, str) or not _BEARER_TOKEN.fullmatch(token) or str(kind).lower() != "bearer":
            raise UnusableAnswerError(f"{self._endpoint} gave no bearer token: check the token URL")
        self._header, self._secrets = f"Bearer {token}", (*self._lasting_secrets, token)
        self._good_until = asked + _lifetime(said.get("expires_in"))

    def _refusal(self, answer: Answer, body: Mapping[str, object]) -> StatusError:
        code, text = (
            self.quoted(part) if isinstance(part := body.get(name), str) else None
            for name in ("error", "error_description")
        )
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


def credentials(settings: Settings, transport: Transport) -> Credentials:
    """
    The credentials that the settings name. Sends nothing yet.
    """
    match settings.credential_kind.name:
        case "access_token":
            token = _unwrapped(settings.access_token).strip()  # files and shells add a newline
            if not _BEARER_TOKEN.fullmatch(token):
                raise SettingsError(
                    "access_token (keyfactor:accessToken or KEYFACTOR_AUTH_ACCESS_TOKEN) is not a token"
                )
            return Credentials(f"Bearer {token}", token)
        case "client_credentials":
            return ClientCredentials(settings, transport)
        case _:
            return _basic(settings.qualified_username, _unwrapped(settings.password))


def _basic(username: str, password: str) -> Credentials:
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")  # in UTF-8: RFC 7617
    return Credentials(f"Basic {encoded}", encoded, password)


def _unwrapped(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _lifetime(expires_in: object) -> float:
    # Left out by some servers (then: until a 401), a string from others. Renewed a little early: clocks and requests
    # take their time.
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # anything else is caught below
    except (TypeError, ValueError):
        return math.inf
    return seconds - min(_LONGEST_MARGIN, seconds / 5)
