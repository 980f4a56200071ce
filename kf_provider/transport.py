"""
HTTP under our transport rules, and the one place that translates foreign exceptions.

https only, but for loopback; redirects are not followed; .netrc is not read; an explicit CA wins over the one in the
environment; proxies come from there; an answer has a largest size and a last moment. Sends GET, and POST for a token.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
import requests.utils
import urllib3
import urllib3.connection
from requests import exceptions as theirs
from requests.adapters import HTTPAdapter

from .errors import NoAnswerError, RedirectError, RequestError, SettingsError, UnusableAnswerError
from .keyfactor.addresses import is_loopback
from .keyfactor.answers import Answer, Request
from .keyfactor.settings import Settings

LARGEST_BODY: Final = 5 * 1024 * 1024  # bytes, uncompressed
_LARGEST_ERROR_BODY: Final = 64 * 1024  # bytes; the rest is not read
_CHUNK: Final = 16 * 1024  # bytes; small, so that little is uncompressed before it is counted
_LONGEST_CONNECT: Final = 10.0  # seconds
_LONGEST_TIMEOUT: Final = 86400.0  # seconds; a socket takes no number beyond the system's time
_PASSING: Final = frozenset({502, 503, 504})
_RETRY_PAUSE: Final = 0.2  # seconds, doubled each time


class Transport:
    """
    Sends requests. May be shared by threads.

    One Session for all threads: what makes sharing one unsafe is cookies (refused here) and more hosts than the pool
    remembers (here are two); urllib3's pools are made to be shared. psf/requests issue 1871.
    """

    def __init__(self, settings: Settings) -> None:
        self._session = _Session()
        # With trust_env, .netrc would replace our credentials, and REQUESTS_CA_BUNDLE our CA (psf/requests issue 3829).
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {"User-Agent": _user_agent(), "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        )
        adapter = _Adapter(_tls_context(settings))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """
        All that this thread sends in the `with` block must be over after these seconds.
        """
        return _DEADLINE.within(seconds)

    def seconds_left(self) -> float:
        """
        The seconds until the request of this thread must be over.
        """
        return _DEADLINE.left()

    def repeated(self, attempt: Callable[[], Answer], *, retries: int) -> Answer:
        """
        What the attempt brings; made again after a connection error, a 502, 503 or 504, while time is left.
        """
        # urllib3's Retry would log a warning for each repetition, which a Pulumi program shows, and knows no deadline.
        for number in range(retries):
            pause = _RETRY_PAUSE * 2**number
            try:
                answer = attempt()
            except NoAnswerError as failed:
                if not failed.is_transient or pause >= _DEADLINE.left():
                    raise
            else:
                if answer.status_code not in _PASSING or pause >= _DEADLINE.left():
                    return answer
            time.sleep(pause)
        return attempt()

    def send(self, request: Request) -> Answer:
        """
        Send a request once, as it is, whatever the status of the answer. Raises NoAnswerError, RedirectError, or
        UnusableAnswerError for too large a body.
        """
        method, url, headers, form = request
        with _translated(_host(url)):
            prepared = self._session.prepare_request(requests.Request(method, url, headers=headers, data=form))
            timeout = _DEADLINE.timeout()
            # Credentials in plain http must not leave the machine, so a proxy is not asked for loopback.
            proxies = {} if is_loopback(urlsplit(url).hostname or "") else requests.utils.get_environ_proxies(url)
            with self._session.send(
                prepared,
                proxies=proxies,
                timeout=(min(timeout, _LONGEST_CONNECT), timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                if 300 <= response.status_code < 400:
                    raise _redirect(response)
                return Answer(response.status_code, response.headers, _body(response))

    def close(self) -> None:
        """
        Close the idle connections.
        """
        self._session.close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """
        Nowhere. Even unfollowed, requests prepares the next request: it reads the whole body and trips over odd hosts.
        """


class _Deadline(threading.local):
    """
    When the request of this thread must be over, on the monotonic clock.

    requests' own timeouts start anew with every byte: a server that drips would hold a thread for ever. What is not
    bounded is the look-up of a name, which the system ends by itself.
    """

    at = math.inf
    allowed = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.allowed = min(seconds, _LONGEST_TIMEOUT)
        self.at = time.monotonic() + self.allowed
        try:
            yield
        finally:
            self.at = self.allowed = math.inf

    def left(self) -> float:
        return self.at - time.monotonic()

    def timeout(self) -> float:
        left = self.left()
        if left <= 0:
            raise TimeoutError("the time allowed for this request is over")
        return min(left, _LONGEST_TIMEOUT)


_DEADLINE: Final = _Deadline()


class _Socket(socket.socket):
    def recv_into(self, *args: Any) -> int:
        self.settimeout(_DEADLINE.timeout())  # urllib3 sets it anew for each request
        return super().recv_into(*args)


class _TlsSocket(_Socket, ssl.SSLSocket):
    """
    The same over TLS. The handshake keeps to the connection's time-out as a whole, by itself.
    """


class _Connection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        timeout = self.sock.gettimeout()
        self.sock = _Socket(fileno=self.sock.detach())
        self.sock.settimeout(timeout)


class _UnverifiedConnection(urllib3.connection.HTTPSConnection):
    """
    A connection under skip_verify, which its user has chosen: urllib3 does not warn that it is not verified.

    The warning would be a diagnostic of every `pulumi up` and `preview`. A filter would be the whole process's, where
    others may want it, and changing filters for a moment is not safe with threads.
    """

    def connect(self) -> None:
        super().connect()
        self.is_verified = True  # urllib3 asks this for its warning alone


class _Adapter(HTTPAdapter):
    """
    Uses our TLS context for everything: requests would add its own roots to an explicit CA.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_maxsize=64)  # more threads at once, and urllib3 logs a warning for each connection

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool.scheme == "http":
            pool.ConnectionCls = _Connection
        elif self._context.verify_mode == ssl.CERT_NONE:
            pool.ConnectionCls = _UnverifiedConnection
        return pool

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"ssl_context": self._context}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """
        Leave it to the context.
        """


def _tls_context(settings: Settings) -> ssl.SSLContext:
    """
    What a server's certificate is checked with: the explicit CA alone; else REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE alone;
    else the system's roots and those of requests.
    """
    if settings.ca_cert is not None:
        context = _context_for(settings.ca_cert, "ca_cert (keyfactor:caCert or KEYFACTOR_CA_CERT)")
    elif bundle := os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        context = _context_for(bundle, "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE")
    else:
        context = ssl.create_default_context(cafile=requests.utils.DEFAULT_CA_BUNDLE_PATH)
        context.load_default_certs()
    if settings.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _TlsSocket
    return context


def _context_for(ca: str, name: str) -> ssl.SSLContext:
    try:
        if "-----BEGIN" in ca:
            return ssl.create_default_context(cadata=ca)
        path = Path(ca).expanduser()
        return ssl.create_default_context(capath=path) if path.is_dir() else ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as broken:  # ssl.SSLError is an OSError
        raise SettingsError(f"{name} is neither the path of a readable PEM file nor the text of one") from broken


def _redirect(response: requests.Response) -> RedirectError:
    try:
        host = urlsplit(urljoin(response.url, response.headers["Location"])).hostname
    except (KeyError, ValueError):
        host = None
    target = host if host and host.isprintable() else "nowhere"
    return RedirectError(
        f"{_host(response.url)} answered with a redirect ({response.status_code}) to {target}, which is not followed;"
        " check the host name and the API path (keyfactor:apiPath)"
    )


def _body(response: requests.Response) -> bytes:
    is_good = response.status_code == 200
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if not is_good and len(body) > _LARGEST_ERROR_BODY:
            break
        if len(body) > LARGEST_BODY:
            raise UnusableAnswerError(
                f"{_host(response.url)} answered with more than {LARGEST_BODY // 1024 // 1024} MiB: it was not read"
            )
    return bytes(body)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _user_agent() -> str:
    try:
        return f"kf-provider/{version('kf-provider')} requests/{requests.__version__}"
    except PackageNotFoundError:  # run from a source tree
        return f"kf-provider requests/{requests.__version__}"


@contextmanager
def _translated(server: str) -> Iterator[None]:
    """
    The one place where foreign exceptions become ours.
    """
    try:
        yield
    except (theirs.RequestException, urllib3.exceptions.HTTPError, OSError) as foreign:
        # A ValueError is about a URL or header, and quotes it, with what is secret in it.
        raise translation(foreign, server) from (None if isinstance(foreign, ValueError) else foreign)


# The first that fits: foreign classes, ours, whether it may pass, what to say.
_TRANSLATIONS: Final[
    tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[RequestError], bool, str], ...]
] = (
    (theirs.ConnectTimeout, NoAnswerError, True, "no connection in {time}"),
    (theirs.Timeout, NoAnswerError, True, "no answer in {time}"),
    (theirs.ProxyError, NoAnswerError, True, "the proxy of the environment does not let us through"),
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
    (theirs.InvalidSchema, NoAnswerError, False, "the scheme, or that of the proxy, is not supported"),
    (
        (theirs.InvalidURL, theirs.MissingSchema, theirs.URLRequired),
        NoAnswerError,
        False,
        "the address, or that of the proxy, is not a URL",
    ),
    (theirs.InvalidHeader, NoAnswerError, False, "a header cannot be sent"),
    (Exception, NoAnswerError, True, "the request failed"),
)


def translation(foreign: Exception, server: str) -> RequestError:
    """
    Our exception for one of requests, urllib3 or the operating system. Quotes no URL and no header.
    """
    causes = list(_causes(foreign))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = getattr(cause, "verify_message", None) or "certificate verify failed"
            return NoAnswerError(
                f"the TLS certificate of {server} is not trusted ({reason}); give the CA that signed it as"
                " keyfactor:caCert or KEYFACTOR_CA_CERT"
            )
    ours, is_transient, words = next(row[1:] for row in _TRANSLATIONS if isinstance(foreign, row[0]))
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.ReadTimeoutError) for cause in causes):
        words = words if "{time}" in words else "no answer in {time}"
    elif system := next((c for c in causes if isinstance(c, OSError) and c.strerror), None):
        words = f"{words} ({system.strerror})"
    allowed = min(_DEADLINE.allowed, _LONGEST_CONNECT if isinstance(foreign, theirs.ConnectTimeout) else math.inf)
    time_allowed = "the time allowed" if math.isinf(allowed) else f"{max(round(allowed, 1), 0.1):g} s"
    return ours(f"{server}: {words.replace('{time}', time_allowed)}", is_transient=is_transient)


def _causes(error: object) -> Iterator[BaseException]:
    # requests keeps what it wraps in `args`, urllib3 there or as the cause.
    if isinstance(error, BaseException):
        yield error
        for inner in (*error.args, error.__cause__):
            yield from _causes(inner)
