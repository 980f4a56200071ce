"""
HTTP under our transport rules.

https only, but for loopback; redirects are not followed; .netrc is not read; an explicit CA wins over the one in the
environment; proxies come from there; an answer has a largest size and a last moment. Sends GET, and POST for a token.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
import requests.utils
from requests.adapters import HTTPAdapter

from ..errors import NoAnswerError, RedirectError, SettingsError, UnusableAnswerError
from ..words import safe_line
from .addresses import is_loopback
from .answers import THE_ADDRESS, THE_TOKEN_URL, Answer, Request
from .connections import Connection, TlsConnection
from .deadline import DEADLINE
from .settings import Settings
from .tls import proxy_tls_context, tls_context, token_tls_context
from .translation import translated

LARGEST_BODY: Final = 5 * 1024 * 1024  # bytes, uncompressed
_LARGEST_ERROR_BODY: Final = 64 * 1024  # bytes; the rest is not read
_CHUNK: Final = 16 * 1024  # bytes; small, so that little is uncompressed before it is counted
_REPEATED_CODES: Final = frozenset({502, 503, 504})
_RETRY_PAUSE: Final = 0.2  # seconds, doubled each time


class Transport:
    """
    Sends requests. May be shared by threads.

    One Session for all threads: what makes sharing one unsafe is cookies (refused here) and more hosts than the pool
    remembers (here are two); urllib3's pools are made to be shared. psf/requests issue 1871. But one for each thread
    where the server lets in a connection and no request: so all legs of a login go over the same one.
    """

    def __init__(self, settings: Settings) -> None:
        context = tls_context(settings)
        self._new_session = partial(_Session, settings, context)
        self._of_thread = threading.local() if settings.credential_kind.binds_connection else None
        self._sessions = [self._new_session()]
        # Another's server, with another's CA.
        self._token_session = _Session(settings, token_tls_context(settings)) if settings.token_url else None

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """
        All that this thread sends in the `with` block must be over after these seconds, and no later than what is
        around it.
        """
        return DEADLINE.within(seconds)

    def seconds_left(self) -> float:
        """
        The seconds until the request of this thread must be over.
        """
        return DEADLINE.left()

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
                if not failed.is_transient or pause >= DEADLINE.left():
                    raise
            else:
                if answer.status_code not in _REPEATED_CODES or pause >= DEADLINE.left():
                    return answer
            time.sleep(pause)
        return attempt()

    def send(self, request: Request) -> Answer:
        """
        Send a request once, as it is, whatever the status of the answer. Raises NoAnswerError, RedirectError, or
        UnusableAnswerError for too large a body.
        """
        is_token = request.form is not None
        return translated(partial(self._exchange, request), _host(request.url), is_token=is_token)

    def close(self) -> None:
        """
        Close the idle connections.
        """
        for session in (*self._sessions, self._token_session):
            if session is not None:
                session.close()

    def _session(self, request: Request) -> _Session:
        if request.form is not None and self._token_session is not None:
            return self._token_session
        if self._of_thread is None:
            return self._sessions[0]
        session: _Session | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = self._of_thread.session = self._new_session()
            self._sessions.append(session)
        return session

    def _exchange(self, request: Request) -> Answer:
        url = request.url
        session = self._session(request)
        prepared = session.prepare_request(
            requests.Request(request.method, url, headers=request.headers, data=request.form)
        )
        # Credentials in plain http must not leave the machine, so a proxy is not asked for loopback.
        proxies = {} if is_loopback(urlsplit(url).hostname or "") else requests.utils.get_environ_proxies(url)
        with session.send(
            prepared, proxies=proxies, timeout=DEADLINE.timeout(), allow_redirects=False, stream=True
        ) as response:
            if 300 <= response.status_code < 400:
                raise _redirect(response, check=THE_TOKEN_URL if request.form is not None else THE_ADDRESS)
            return Answer(response.status_code, response.headers, _body(response))


class _Session(requests.Session):
    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
        super().__init__()
        # With trust_env, .netrc would replace our credentials, and REQUESTS_CA_BUNDLE our CA (psf/requests issue 3829).
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update(
            {"User-Agent": _user_agent(), "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        )
        adapter = _Adapter(settings, context)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """
        Nowhere. Even unfollowed, requests prepares the next request: it reads the whole body and trips over odd hosts.
        """


class _Adapter(HTTPAdapter):
    """
    Uses our TLS contexts and connections for everything: requests would add its own roots to an explicit CA.
    """

    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._context = context
        super().__init__(pool_maxsize=64)  # more threads at once, and urllib3 logs a warning for each connection

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        except (requests.exceptions.InvalidSchema, SettingsError):
            raise  # PySocks is missing, or the CA's file by now
        except Exception:
            # The request's own address is checked by now. Whatever is raised for a proxy's may quote its password.
            raise requests.exceptions.InvalidProxyURL("not the URL of a proxy") from None
        if "_socks_options" in pool.conn_kw:
            from .socks_connection import SocksConnection  # needs PySocks, which only users of such a proxy have

            pool.ConnectionCls = SocksConnection
        else:
            pool.ConnectionCls = Connection if pool.scheme == "http" else TlsConnection
        return pool

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if proxy not in self.proxy_manager and urlsplit(proxy).scheme.lower() == "https":
            kwargs["proxy_ssl_context"] = proxy_tls_context(self._settings)
        return super().proxy_manager_for(proxy, **kwargs)

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"ssl_context": self._context}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """
        Leave it to the context.
        """


def _redirect(response: requests.Response, *, check: str) -> RedirectError:
    try:
        host = urlsplit(urljoin(response.url, response.headers["Location"])).hostname
    except (KeyError, ValueError):
        host = None
    target = safe_line(host or "") or "nowhere"
    return RedirectError(
        f"{_host(response.url)} answered with a redirect ({response.status_code}) to {target}, which is not followed;"
        f" check {check}"
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
                f"{_host(response.url)} answered with more than {LARGEST_BODY // 1024 // 1024} MiB, which is not"
                " read: the state data of a workflow instance may be no larger"
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
