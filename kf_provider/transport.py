"""
HTTP under our transport rules, and the one place that translates foreign exceptions.

https only, but for loopback; redirects are not followed; .netrc is not read; an explicit CA wins over the one in the
environment; proxies come from there; an answer has a largest size and a last moment. Sends GET, and POST for a token.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
import requests.utils
import urllib3
import urllib3.connection
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from .auth import TokenAnswer
from .errors import NoAnswerError, RedirectError, RequestError, SettingsError, UnusableAnswerError
from .schedule import retry_after_seconds
from .settings import Settings, is_loopback

LARGEST_BODY: Final = 5 * 1024 * 1024  # bytes, uncompressed
LONGEST_QUOTE: Final = 200  # characters of a body in a message
_LARGEST_ERROR_BODY: Final = 64 * 1024  # bytes; the rest is not read
_CHUNK: Final = 16 * 1024  # bytes; small, so that little is uncompressed before it is counted
_LONGEST_CONNECT: Final = 10.0  # seconds
_LONGEST_TIMEOUT: Final = 86400.0  # seconds; a socket takes no number beyond the system's time
_PASSING: Final = frozenset({502, 503, 504})
_RETRY_PAUSE: Final = 0.2  # seconds, doubled each time
_NO_COOKIES: Final = DefaultCookiePolicy(allowed_domains=[])


class Answer(NamedTuple):
    """
    What came back, whatever its status.
    """

    status_code: int
    headers: Mapping[str, str]  # without regard to case
    body: bytes
    authorization: str  # what the request was sent with


class Transport:
    """
    Sends requests. May be shared by threads.

    One Session for all threads: what makes sharing one unsafe is cookies (refused here) and more hosts than the pool
    remembers (here are two); urllib3's pools are made to be shared. psf/requests issue 1871.
    """

    def __init__(self, settings: Settings, *, retries: int) -> None:
        self._retries = retries
        self._session = _Session()
        # With trust_env, .netrc would replace our credentials, and REQUESTS_CA_BUNDLE our CA (psf/requests issue 3829).
        self._session.trust_env = False
        self._session.verify = not settings.skip_verify
        self._session.cookies.set_policy(_NO_COOKIES)
        self._session.headers.clear()
        self._session.headers.update(
            {"User-Agent": _user_agent(), "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        )
        adapter = _Adapter(_tls_context(settings))
        self._session.adapters.clear()
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """
        All that this thread sends in the `with` block must be over after these seconds.
        """
        with _DEADLINE.within(seconds):
            yield

    def seconds_left(self) -> float:
        """
        The seconds until the request of this thread must be over.
        """
        return _DEADLINE.left()

    def get(self, url: str, *, auth: AuthBase, headers: Mapping[str, str]) -> Answer:
        """
        GET, whatever the status; again after a connection error, a 502, 503 or 504, while time is left.
        """
        # urllib3's Retry would log a warning for each repetition, which a Pulumi program shows, and knows no deadline.
        for attempt in range(self._retries + 1):
            pause = _RETRY_PAUSE * 2**attempt
            is_last = attempt == self._retries or pause >= _DEADLINE.left()
            try:
                answer = self._send("GET", url, headers=headers, auth=auth)
            except NoAnswerError as failed:
                if is_last or not failed.is_transient or pause >= _DEADLINE.left():
                    raise
            else:
                if is_last or answer.status_code not in _PASSING or pause >= _DEADLINE.left():
                    return answer
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def post_form(self, url: str, form: Mapping[str, str], auth: AuthBase) -> TokenAnswer:
        """
        POST a form to a token endpoint.
        """
        answer = self._send("POST", url, form=form, auth=auth)
        retry_after = retry_after_seconds(answer.headers.get("Retry-After"))
        try:
            body = json_of(answer, _host(url))
        except UnusableAnswerError:
            if answer.status_code == 200:
                raise
            body = None
        return TokenAnswer(answer.status_code, body if isinstance(body, dict) else {}, retry_after)

    def close(self) -> None:
        """
        Close the idle connections.
        """
        self._session.close()

    def _send(
        self,
        method: str,
        url: str,
        *,
        auth: AuthBase,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        with _translated(_host(url)):
            left = min(max(_DEADLINE.left(), 0.001), _LONGEST_TIMEOUT)
            # Credentials in plain http must not leave the machine, so a proxy is not asked for loopback.
            proxies = {} if is_loopback(urlsplit(url).hostname or "") else requests.utils.get_environ_proxies(url)
            with self._session.request(
                method,
                url,
                data=form,
                headers=headers,
                auth=auth,
                proxies=proxies,
                timeout=(min(left, _LONGEST_CONNECT), left),
                allow_redirects=False,
                stream=True,
            ) as response:
                if 300 <= response.status_code < 400:
                    raise _redirect(response)
                return Answer(
                    response.status_code,
                    response.headers,
                    _body(response),
                    str(response.request.headers.get("Authorization", "")),
                )


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

    def shorten(self, timeout: float | None) -> float | None:
        left = self.left()
        if left <= 0:
            raise TimeoutError("the time allowed for this request is over")
        if math.isinf(left):
            return timeout
        return left if timeout is None else min(timeout, left)


_DEADLINE: Final = _Deadline()


@contextmanager
def _bounded(sock: socket.socket) -> Iterator[None]:
    usual = sock.gettimeout()
    sock.settimeout(_DEADLINE.shorten(usual))
    try:
        yield
    finally:
        sock.settimeout(usual)


class _Socket(socket.socket):
    def recv_into(self, *args: Any) -> int:
        with _bounded(self):
            return super().recv_into(*args)


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, *args: Any) -> int:
        with _bounded(self):
            return super().recv_into(*args)


class _Connection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        self.timeout = _shortened(self)
        super().connect()
        plain = self.sock
        usual = plain.gettimeout()
        self.sock = _Socket(fileno=plain.detach())
        self.sock.settimeout(usual)


class _TlsConnection(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        self.timeout = _shortened(self)  # the handshake as a whole keeps to it, by itself
        super().connect()


def _shortened(connection: urllib3.connection.HTTPConnection) -> float | None:
    try:
        return _DEADLINE.shorten(connection.timeout)
    except TimeoutError as over:
        raise urllib3.exceptions.ConnectTimeoutError(connection, str(over)) from over


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """
    Uses our TLS context for everything: requests would add its own roots to an explicit CA.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_maxsize=64)  # more threads at once, and urllib3 logs a warning for each connection

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"cert_reqs": pool["cert_reqs"], "ssl_context": self._context}

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
    target = one_line(host or "nowhere")
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


def json_of(answer: Answer, server: str) -> Any:
    """
    The JSON in the body. Raises UnusableAnswerError for anything else, which says what there is instead.
    """
    text = answer.body.decode("utf-8-sig", "replace").strip()
    if not text:
        raise UnusableAnswerError(f"{server} answered with an empty body", is_transient=True)
    if text.startswith("<"):
        title = page_title(text)
        raise UnusableAnswerError(
            f"{server} answered with a page{f' titled {title!r}' if title else ''} instead of JSON, perhaps a login"
            " page: check the host name and the API path (keyfactor:apiPath)"
        )
    try:
        value = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        is_cut = text.startswith(("{", "["))
        kind = "JSON that is cut off or broken" if is_cut else "text instead of JSON"
        raise UnusableAnswerError(f"{server} answered with {kind}", is_transient=is_cut) from None
    if "\\ud" in text.lower():
        # Half of a surrogate pair is fine in JSON, but in no UTF-8, nor on the engine's wire.
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def page_title(text: str) -> str | None:
    """
    The title of an HTML page, in one line.
    """
    found = re.search(r"<title[^>]*>([^<]*)", text[:_LARGEST_ERROR_BODY], re.IGNORECASE)
    return one_line(found[1])[:LONGEST_QUOTE] or None if found else None


def one_line(text: str) -> str:
    """
    The text without line breaks and control characters.
    """
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


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
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as foreign:
        # A ValueError is about a URL or header, and quotes it, with what is secret in it.
        raise translation(foreign, server) from (None if isinstance(foreign, ValueError) else foreign)


_BROKEN: Final = "the connection broke before the answer was complete"
_TRANSLATIONS: Final[tuple[tuple[type[Exception], type[RequestError], bool, str], ...]] = (
    # The first that fits: foreign class, ours, whether it may pass, what to say.
    (requests.exceptions.ConnectTimeout, NoAnswerError, True, "no connection in {time}"),
    (requests.exceptions.Timeout, NoAnswerError, True, "no answer in {time}"),
    (requests.exceptions.ProxyError, NoAnswerError, True, "the proxy of the environment does not let us through"),
    (requests.exceptions.SSLError, NoAnswerError, True, "the TLS handshake failed"),
    (requests.exceptions.ChunkedEncodingError, NoAnswerError, True, _BROKEN),
    (requests.exceptions.ContentDecodingError, UnusableAnswerError, True, "the answer cannot be uncompressed"),
    (requests.exceptions.ConnectionError, NoAnswerError, True, "no connection"),
    (requests.exceptions.RetryError, NoAnswerError, True, "no answer after several attempts"),
    (requests.exceptions.InvalidProxyURL, NoAnswerError, False, "the proxy of the environment is not a URL"),
    (requests.exceptions.InvalidSchema, NoAnswerError, False, "the scheme, or that of the proxy, is not supported"),
    (requests.exceptions.InvalidURL, NoAnswerError, False, "the address, or that of the proxy, is not a URL"),
    (requests.exceptions.MissingSchema, NoAnswerError, False, "the address has no scheme"),
    (requests.exceptions.URLRequired, NoAnswerError, False, "there is no address"),
    (requests.exceptions.InvalidHeader, NoAnswerError, False, "a header cannot be sent"),
    (requests.exceptions.TooManyRedirects, RedirectError, False, "the answer is a redirect, which is not followed"),
    (requests.exceptions.InvalidJSONError, UnusableAnswerError, True, "the answer is not JSON"),
    (requests.exceptions.HTTPError, UnusableAnswerError, False, "the answer has an odd status"),
    (requests.exceptions.StreamConsumedError, NoAnswerError, True, _BROKEN),
    (requests.exceptions.UnrewindableBodyError, NoAnswerError, True, _BROKEN),
    (urllib3.exceptions.TimeoutError, NoAnswerError, True, "no answer in {time}"),
    (TimeoutError, NoAnswerError, True, "no answer in {time}"),
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
        words = "no answer in {time}"
    elif system := next(
        (c for c in causes if isinstance(c, OSError) and isinstance(c.errno, int) and c.strerror), None
    ):
        words = f"{words} ({system.strerror})"
    allowed = min(_DEADLINE.allowed, _LONGEST_CONNECT if isinstance(foreign, requests.ConnectTimeout) else math.inf)
    time_allowed = "the time allowed" if math.isinf(allowed) else f"{allowed:g} s"
    return ours(f"{server}: {words.replace('{time}', time_allowed)}", is_transient=is_transient)


def _causes(error: BaseException) -> Iterator[BaseException]:
    # requests and urllib3 keep what they wrap in `args`, in `reason`, or as the cause.
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
