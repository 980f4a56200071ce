"""
What a server's certificate is checked with.
"""

from __future__ import annotations

import os
import re
import ssl
import textwrap
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests.utils

from ..errors import SettingsError
from .deadline import DeadlineTlsSocket
from .settings import Settings

_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_LINE: Final = 64  # characters of base64 in a line of PEM (RFC 7468)


def tls_context(settings: Settings) -> ssl.SSLContext:
    """
    A context for the explicit CA alone; else for REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE alone;
    else the system's roots and those of requests, but for a server in plain http, which shows no certificate.
    """
    context = _context(settings)
    if not _load_given(context, settings) and not _is_plain(settings.base_url):
        _load_roots(context)
    return context


def token_tls_context(settings: Settings) -> ssl.SSLContext:
    """
    A context for the identity provider: its explicit CA alone; without one, the server's and the roots, as above.
    """
    context = _context(settings)
    if settings.auth_ca_cert is None:
        _load_given(context, settings)
        if not _is_plain(settings.token_url or ""):
            _load_roots(context)
        return context
    _load(context, settings.auth_ca_cert, "auth_ca_cert (keyfactor:authCaCert or KEYFACTOR_AUTH_CA_CERT)")
    return context


def proxy_tls_context(settings: Settings) -> ssl.SSLContext:
    """
    A context for an https proxy: the same authorities, and the roots as well, since it is another's server.
    """
    context = _context(settings)
    _load_given(context, settings)
    _load_roots(context)
    return context


def _context(settings: Settings) -> ssl.SSLContext:
    # Not create_default_context: from Python 3.13 on, that one takes an issuing CA without its root, and refuses CAs
    # that RFC 5280 would have otherwise. Here the first holds in every version, and the second in none.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = DeadlineTlsSocket
    return context


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"  # of a server on loopback; to read the roots takes 20 ms


def _load_roots(context: ssl.SSLContext) -> None:
    context.load_verify_locations(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    context.load_default_certs()


def _load_given(context: ssl.SSLContext, settings: Settings) -> bool:
    """
    Load the CA of the settings, or of the environment. False when there is none.
    """
    if settings.ca_cert is not None:
        _load(context, settings.ca_cert, "ca_cert (keyfactor:caCert or KEYFACTOR_CA_CERT)")
    elif bundle := os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        _load(context, bundle, "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE")
    else:
        return False
    return True


def _load(context: ssl.SSLContext, ca: str, name: str) -> None:
    try:
        if "-----BEGIN" in ca:
            context.load_verify_locations(cadata=_with_lines(ca))
            return
        path = Path(ca).expanduser()
        if path.is_dir():
            context.load_verify_locations(capath=path)
            return
        try:
            context.load_verify_locations(cafile=path)
        except ssl.SSLError:
            context.load_verify_locations(cadata=_with_lines(path.read_text()))
    except (OSError, ValueError, TypeError, RuntimeError) as broken:  # ssl.SSLError, no ASCII, no such user
        raise SettingsError(f"{name} is neither the path of a readable PEM file nor the text of one") from broken


def _with_lines(pem: str) -> str:
    r"""
    PEM text with its lines. Variables and YAML turn them into blanks, or into `\n` in two characters.
    """
    blocks = []
    for label, inside in _PEM.findall(pem):
        lines = textwrap.wrap(re.sub(r"\\[rn]|\s", "", inside), _LINE)
        blocks.append("\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----\n")))
    return "".join(blocks)
