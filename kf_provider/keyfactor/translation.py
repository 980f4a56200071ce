"""
Where the exceptions of a request, those of requests, urllib3 and the operating system, become ours.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import urllib3
from requests import exceptions as theirs

from ..errors import KeyfactorError, NoAnswerError, RequestError, UnusableAnswerError, without_frames
from ..words import safe_line
from .advice import certificate_advice, is_plain_http, proxy_advice
from .deadline import DEADLINE

LONGEST_CONNECT: Final = 10.0  # seconds, with all that it takes until a request can be sent

Result = TypeVar("Result")


def translated(send: Callable[[], Result], server: str, *, is_token: bool = False) -> Result:
    """
    What is sent brings; what it raises is ours, names the server, and is bare.
    """
    try:
        return send()
    except KeyfactorError as own:
        error = own
    except Exception as foreign:
        error = translation(foreign, server, is_token=is_token)
    raise without_frames(error)


# The first that fits: foreign classes, ours, whether it may pass, what to say.
_TRANSLATIONS: Final[
    tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[RequestError], bool, str], ...]
] = (
    (theirs.ConnectTimeout, NoAnswerError, True, "no connection in {time}"),
    (theirs.Timeout, NoAnswerError, True, "no answer in {time}"),
    (theirs.SSLError, NoAnswerError, True, "the TLS handshake failed"),
    ((theirs.ConnectionError, theirs.RetryError), NoAnswerError, True, "no connection"),
    (
        (theirs.ChunkedEncodingError, theirs.StreamConsumedError, theirs.UnrewindableBodyError),
        NoAnswerError,
        True,
        "the connection broke before the answer was complete",
    ),
    (theirs.ContentDecodingError, UnusableAnswerError, True, "the answer cannot be uncompressed"),
    (theirs.InvalidJSONError, UnusableAnswerError, True, "the answer is not JSON"),
    ((theirs.HTTPError, theirs.TooManyRedirects), UnusableAnswerError, False, "the answer has an odd status"),
    (theirs.InvalidProxyURL, NoAnswerError, False, "the proxy of the environment is not a URL"),
    (theirs.InvalidSchema, NoAnswerError, False, "the SOCKS proxy of the environment needs the package PySocks"),
    (
        (theirs.InvalidURL, theirs.MissingSchema, theirs.URLRequired, urllib3.exceptions.LocationValueError),
        NoAnswerError,
        False,
        "the address, or that of the proxy, is not a URL",
    ),
    (theirs.InvalidHeader, NoAnswerError, False, "a header cannot be sent"),
    (Exception, NoAnswerError, True, "the request failed"),
)


def translation(foreign: Exception, server: str, *, is_token: bool = False) -> RequestError:
    """
    Our exception for any other. Quotes no URL and no header; its cause is the system's own error, which knows of none.
    """
    causes = list(_causes(foreign))
    error = _meaning(foreign, causes, server, is_token=is_token)
    for cause in reversed(causes):
        # Without a number it is no error of the system: http.client has a proxy's words in one.
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, theirs.RequestException):
            cause.__cause__ = cause.__context__ = None
            error.__cause__ = cause.with_traceback(None)
            break
    return error


def _meaning(foreign: Exception, causes: Sequence[BaseException], server: str, *, is_token: bool) -> RequestError:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NoAnswerError(certificate_advice(cause, server, is_token=is_token))
    is_late = any(isinstance(cause, TimeoutError | urllib3.exceptions.ReadTimeoutError) for cause in causes)
    if isinstance(foreign, theirs.ProxyError) and not is_late:
        advice, may_pass = proxy_advice(causes, server)
        return NoAnswerError(f"{server}: {advice}", is_transient=may_pass)
    if is_plain_http(causes):
        return NoAnswerError(f"{server}: plain http where TLS (https) was asked; check the host name and the port")
    ours, is_transient, words = next(row[1:] for row in _TRANSLATIONS if isinstance(foreign, row[0]))
    if is_late:
        if isinstance(foreign, theirs.ProxyError):
            words = "no connection to the proxy of the environment in {time}"
        elif "{time}" not in words:
            words = "no answer in {time}"
    elif system := next((c for c in causes if isinstance(c, OSError) and c.strerror), None):
        words = f"{words} ({safe_line(system.strerror or '')})"
        if isinstance(system, socket.gaierror):
            setting = "the token URL (keyfactor:tokenUrl)" if is_token else "the host name (keyfactor:hostname)"
            words += f"; check {setting}"
    is_connecting = isinstance(foreign, theirs.ConnectTimeout | theirs.ProxyError)
    allowed = min(DEADLINE.allowed, LONGEST_CONNECT if is_connecting else math.inf)
    time_allowed = "the time allowed" if math.isinf(allowed) else f"{max(round(allowed, 1), 0.1):g} s"
    return ours(f"{server}: {words.replace('{time}', time_allowed)}", is_transient=is_transient)


def _causes(error: object, seen: tuple[BaseException, ...] = ()) -> Iterator[BaseException]:
    # requests keeps what it wraps in `args`, urllib3 there or as the cause; a wrapper may hold itself.
    if isinstance(error, BaseException) and error not in seen:
        yield error
        for inner in (*error.args, error.__cause__):
            yield from _causes(inner, (*seen, error))
