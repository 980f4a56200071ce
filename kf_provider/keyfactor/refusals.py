"""
An answer with a status other than 200: which error it is, what is said of it, and what to do next.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import ForbiddenError, NotFoundError, StatusError, UnauthorizedError, status_meaning
from ..words import safe_line
from .answers import Answer, is_page, parsed, text_of
from .challenges import is_expired, offered_schemes, refused_token
from .credentials import Credentials
from .models import ErrorBody
from .settings import Settings

LONGEST_QUERY: Final = 2048  # bytes that IIS takes unless told otherwise (requestLimits, maxQueryString)
_LONGEST_CODE: Final = 40  # characters
_WINDOWS: Final = frozenset({"negotiate", "ntlm", "kerberos"})


class Asked(NamedTuple):
    """
    What was asked for: its name in texts, the permission that it needs, and whether it is one thing, with an id.
    """

    what: str
    permission: str
    has_id: bool
    query: str = ""


class _Said(NamedTuple):
    """
    What the body says: Keyfactor's ErrorCode and Message; without them, a few words.
    """

    code: str | None
    message: str | None
    words: str | None

    @property
    def text(self) -> str:
        return ": ".join(part for part in (self.code, self.message or self.words) if part)


def refusal(answer: Answer, asked: Asked, settings: Settings, credentials: Credentials) -> StatusError:
    """
    The error that this answer is.
    """
    said = _said(answer, credentials)
    error, is_transient = status_meaning(answer.status_code)
    status = f"{answer.status_code}{f', {said.text}' if said.text else ''}"
    server, identity, what = settings.server, settings.identity, asked.what
    if answer.status_code < 400:
        text = (
            f"{server} answered with {status} instead of 200 when asked for {what}; something before Keyfactor may have"
            " answered: check the host name, the API path (keyfactor:apiPath) and the proxy"
        )
    elif _is_too_long(answer, asked, said):
        error = StatusError  # a 404 is about no instance
        text = (
            f"{server} refused {what} ({status}): the query has {len(asked.query)} characters, and IIS takes"
            f" {LONGEST_QUERY} unless told otherwise; ask for less at once"
        )
    elif error is UnauthorizedError:
        text = _unauthorized(answer, status, settings)
    elif error is ForbiddenError and not (said.code or said.message):
        text = (
            f"{server} refused {what} to {identity} ({status}), and not in Keyfactor's words: IIS, a proxy or a"
            f" firewall before it may not let this machine through"
            f"{asked.permission and f'; where it was Keyfactor, {asked.permission}'}"
        )
    elif error is ForbiddenError:
        text = f"{identity} may not read {what} on {server} ({status}){asked.permission and f'; {asked.permission}'}"
    elif error is NotFoundError:
        text = f"{what} was not found on {server}; {_checks(asked, said, identity)} ({status})"
    elif is_transient:
        text = f"{server} cannot give {what} now ({status}); try again later"
    else:
        text = f"{server} refused to give {what} ({status})"
    return error(
        text,
        status_code=answer.status_code,
        error_code=said.code,
        keyfactor_message=said.message,
        is_transient=is_transient,
        retry_after=answer.retry_after,
    )


def _said(answer: Answer, credentials: Credentials) -> _Said:
    if answer.status_code < 400:
        return _Said(None, None, None)  # a good answer, whatever its status: state data may be in it
    text = text_of(answer)
    try:
        body = ErrorBody.model_validate(parsed(text))
    except ValueError:
        body = ErrorBody()
    code, message = (credentials.quoted(part or "") or None for part in (body.error_code, body.message))
    if code or message:
        return _Said(code and safe_line(code, longest=_LONGEST_CODE), message, None)
    if answer.status_code == 401 and (refused := refused_token(answer.headers.get("WWW-Authenticate"))):
        return _Said(None, None, credentials.quoted(refused))
    return _Said(None, None, "a page" if is_page(text) else credentials.quoted(text))


def _is_too_long(answer: Answer, asked: Asked, said: _Said) -> bool:
    # IIS says 404.15, the system's http.sys 400 or 414, and what stands before them 413 or 431.
    if answer.status_code == 414:
        return bool(asked.query)
    is_long = len(asked.query) > LONGEST_QUERY
    return is_long and said.code is None and answer.status_code in (400, 404, 413, 431)


def _checks(asked: Asked, said: _Said, identity: str) -> str:
    checks = ["the id"] if asked.has_id else []
    checks.append(f"that {identity} may see it")
    if said.text and said.code is None:  # ASP.NET says "Message" as well, for a path that it does not know
        checks.append("the API path (keyfactor:apiPath): this may not be Keyfactor's own answer")
    *first, last = checks
    return f"check {', '.join(first)}{', and ' if first else ''}{last}"


def _unauthorized(answer: Answer, status: str, settings: Settings) -> str:
    challenge = answer.headers.get("WWW-Authenticate")
    offered = offered_schemes(challenge)
    refused = f"{settings.server} does not accept the credentials of {settings.identity} ({status});"
    is_windows = settings.credential_kind.auth_type == "kerberos"
    if offered and {scheme.lower() for scheme in offered} <= _WINDOWS and not is_windows:
        return (
            f"{refused} it takes {' and '.join(offered)} alone, which is Windows authentication: set authType to"
            " kerberos, or have Basic authentication or OAuth switched on for its API"
        )
    if settings.credential_kind.name != "access_token":
        return f"{refused} check them, and that this user may use the API"
    if is_expired(refused_token(challenge)):
        return f"{refused} the access token has expired: give a new one"
    return f"{refused} the access token may have expired, or is for another server: give a new one"
