"""
What to say, and what to do next, where no request came through: a certificate, TLS, a proxy.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import requests.utils

from ..words import safe_line

# OpenSSL's codes, x509_vfy.h. Whatever is not here is a certificate that no trusted CA has signed, or not properly.
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_HOST: Final = frozenset({62, 63, 64})
_UNKNOWN_CA: Final = frozenset({2, 18, 19, 20, 21, 27})
_PLAIN: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})
_PROXY_STATUS: Final = re.compile(r"Tunnel connection failed: (\d{3})")


def certificate_advice(error: ssl.SSLCertVerificationError, server: str, *, is_token: bool) -> str:
    """
    What is wrong with a certificate.
    """
    code = getattr(error, "verify_code", None)
    reason = safe_line(getattr(error, "verify_message", None) or "certificate verify failed")
    whose = f"the TLS certificate of {'the token endpoint ' if is_token else ''}{server}"
    if code == _EXPIRED:
        return f"{whose} or of its CA has expired ({reason}); have it renewed there, or check the clock of this machine"
    if code == _NOT_YET_VALID:
        return f"{whose} is not valid yet ({reason}); check the clock of this machine"
    if code in _OTHER_HOST:
        setting = "the token URL (keyfactor:tokenUrl)" if is_token else "the host name (keyfactor:hostname)"
        return f"{whose} is not trusted, it was issued for another host ({reason}); check {setting}"
    if code is not None and code not in _UNKNOWN_CA:
        return f"{whose} is not trusted ({reason}); have it replaced there, or see whether its CA is the one you gave"
    place = "keyfactor:authCaCert or KEYFACTOR_AUTH_CA_CERT" if is_token else "keyfactor:caCert or KEYFACTOR_CA_CERT"
    return f"{whose} is not trusted ({reason}); give the CA that signed it as {place}"


def is_plain_http(causes: Iterable[BaseException]) -> bool:
    """
    Whether the other side of a handshake does not speak TLS at all.
    """
    return any(isinstance(cause, ssl.SSLError) and cause.reason in _PLAIN for cause in causes)


def proxy_advice(causes: Iterable[BaseException], server: str) -> tuple[str, bool]:
    """
    What a proxy does instead of letting us through, and whether that may pass.
    """
    proxy = f"the proxy of the environment{_name_of_proxy(server)}"
    causes = tuple(causes)
    if is_plain_http(causes):
        return f"{proxy} does not speak TLS; write http:// before its name in HTTPS_PROXY", False
    # http.client has the status in the text of an OSError, and nowhere else.
    refused = next((found for cause in causes if (found := _PROXY_STATUS.match(str(cause)))), None)
    if refused is None:
        system = next((cause for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
        why = f" ({safe_line(system.strerror or '')})" if system else ""
        return f"{proxy} does not let us through{why}", True
    status = refused[1]  # its reason is free text, in which some proxies show what they were sent
    match refused[1]:
        case "407":
            return f"{proxy} wants a login ({status}); give it in HTTPS_PROXY, as http://user:password@host:port", False
        case "403":
            return f"{proxy} refuses this host ({status}); have it allowed there, or name it in NO_PROXY", False
    return f"{proxy} does not let us through ({status})", int(refused[1]) >= 500


def _name_of_proxy(server: str) -> str:
    url = requests.utils.select_proxy(server, requests.utils.get_environ_proxies(server)) or ""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        name = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        name = None
    return f" ({safe_line(name)})" if name else ""
