"""
What can go wrong, as exceptions.

KeyfactorError
├── SettingsError             a setting is missing or makes no sense; nothing was sent
├── InstanceIdError           not the id of an instance; nothing was sent (also a ValueError)
│   └── InvalidIdError        the same in a program, where the CLI shows it as one line (provider.py)
├── SearchError               a search that cannot be put into Keyfactor's query language; nothing was sent (also a ValueError)
├── ArgumentError             a call with an argument that it does not take; nothing was sent (also a TypeError)
├── NotApprovedError          an approval is to be recorded that the server does not confirm
├── RestartError              an instance was restarted, and its successor is not known
└── RequestError              a request did not give what was asked for
    ├── NotIssuedError        there is no certificate yet
    ├── NoAnswerError         no connection, a TLS failure, a time-out, a connection that broke
    ├── UnusableAnswerError   an answer that is not Keyfactor's JSON: a login page, an empty or truncated or huge body
    │   └── RedirectError     an answer that points elsewhere
    └── StatusError           an answer with a status other than 200
        ├── UnauthorizedError 401
        ├── ForbiddenError    403
        ├── NotFoundError     404
        └── UnavailableError  408, 421, 425, 429, and 500 and above
"""  # noqa: E501, RUF100 - a line of the tree is a line

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from .words import printable

P = ParamSpec("P")
R = TypeVar("R")
Error = TypeVar("Error", bound="KeyfactorError")


class KeyfactorError(Exception):
    """
    The base of all errors of this package; the message is one line, stands alone, and holds no secret.

    `is_transient`: the same attempt may succeed later. `retry_after`: seconds that the server asks to be left alone.
    """

    is_transient: bool = False
    retry_after: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own way calls the class with `args` alone, which required keywords do not survive.
        return _restored, (type(self), self.args), self.__dict__


def _restored(error: type[KeyfactorError], args: tuple[object, ...]) -> KeyfactorError:
    return error.__new__(error, *args)


class SettingsError(KeyfactorError):
    """
    A setting is missing or makes no sense; nothing was sent.

    The message may have several lines: one for each way to log in.
    """

    def __init__(self, message: str) -> None:
        Exception.__init__(self, printable(message, keep="\n"))


class InstanceIdError(KeyfactorError, ValueError):
    """
    Not the id of a workflow instance; nothing was sent. `reference_id` is the number where it is one, as text.
    """

    reference_id: str | None = None


class SearchError(KeyfactorError, ValueError):
    """
    A search that cannot be put into Keyfactor's query language; nothing was sent.
    """


class ArgumentError(KeyfactorError, TypeError):
    """
    A call with an argument that it does not take; nothing was sent.
    """


class NotApprovedError(KeyfactorError):
    """
    An approval is to be recorded that the server does not confirm; nothing was recorded.
    """


class RestartError(KeyfactorError):
    """
    An instance was restarted, and its successor is not known: several may be it, or nothing says what it looks like.
    """


class RequestError(KeyfactorError):
    """
    A request did not give what was asked for.
    """

    def __init__(self, message: str, *, is_transient: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.retry_after = retry_after


class NotIssuedError(RequestError):
    """
    There is no certificate yet: the request is not approved, or what was approved is not issued. Transient.
    """

    def __init__(self, message: str, *, is_transient: bool = True) -> None:
        super().__init__(message, is_transient=is_transient)


class NoAnswerError(RequestError):
    """
    No connection, a TLS failure, a time-out, or a connection that broke.

    Transient, but for a certificate that is not trusted.
    """


class UnusableAnswerError(RequestError):
    """
    An answer that is not Keyfactor's JSON.

    Transient when the body is empty or truncated; not when it is a login page, too large, or about something else.
    """


class RedirectError(UnusableAnswerError):
    """
    An answer that points elsewhere; it is not followed, and no credential goes there.
    """


class StatusError(RequestError):
    """
    An answer with a status other than 200.

    `error_code` and `keyfactor_message` are Keyfactor's own, or None when the body is not Keyfactor's.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        error_code: str | None = None,
        keyfactor_message: str | None = None,
        is_transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, is_transient=is_transient, retry_after=retry_after)
        self.status_code = status_code
        self.error_code = error_code
        self.keyfactor_message = keyfactor_message


class UnauthorizedError(StatusError):
    """
    The server, or the token endpoint, does not accept the credentials (401).
    """


class ForbiddenError(StatusError):
    """
    The credentials are good, the permission is missing (403).
    """


class NotFoundError(StatusError):
    """
    There is no such thing on this server, or this user may not see it (404).

    Also, with this status, when a search by reference id finds nothing.
    """


class UnavailableError(StatusError):
    """
    The server asks for patience, for another connection, or has a problem of its own. Transient.

    408, 421, 425, 429, and 500 and above (RFC 9110, sections 15.5.9 and 15.5.20; RFC 8470, section 5.2).
    """


_TRANSIENT_CODES: Final = frozenset({408, 421, 425, 429})
_OF_STATUS: Final[Mapping[int, type[StatusError]]] = {401: UnauthorizedError, 403: ForbiddenError, 404: NotFoundError}


def status_meaning(status_code: int) -> tuple[type[StatusError], bool]:
    """
    The class of an answer with this status, and whether the same request may succeed later.
    """
    if status_code in _TRANSIENT_CODES or status_code >= 500:
        return UnavailableError, True
    return _OF_STATUS.get(status_code, StatusError), False


def only_ours(otherwise: Callable[[str], KeyfactorError]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    A decorator: whatever goes wrong inside the function, a KeyfactorError leaves it; what nobody foresaw becomes
    `otherwise`. A call that does not fit the function's signature stays Python's TypeError.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            signature.bind(*args, **kwargs)
            try:
                return function(*args, **kwargs)
            except KeyfactorError as own:
                error = own
            except Exception as foreign:
                error = otherwise(f"{function.__name__}: {unforeseen(foreign)}")
            del args, kwargs  # they may hold secrets, too
            raise without_frames(error)

        return guarded

    return decorate


def without_frames(error: Error) -> Error:
    """
    The error without the frames that it came through, and without what was handled there. To be raised anew, outside
    of any `except`.

    Tools that print the locals of frames, or follow the errors behind one, would find what was sent and what came.
    """
    error.__context__ = None
    return error.with_traceback(None)


def unforeseen(error: BaseException) -> str:
    """
    What to say of an error that should not have come: its class and its place, and never its own words.
    """
    place = _place(error.__traceback__)
    where = f" in {place}" if place else ""
    return f"{type(error).__name__}{where} was not foreseen; check what was passed, and report it if that was right"


def _place(traceback: TracebackType | None) -> str | None:
    # The last line of this package: below it are others' libraries.
    place = None
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] == __name__.partition(".")[0]:
            place = f"{module}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
