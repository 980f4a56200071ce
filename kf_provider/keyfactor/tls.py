"""
What a server's certificate is checked with.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import requests.utils

from ..errors import SettingsError
from .deadline import DeadlineTlsSocket
from .settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext:
    """
    A context for the explicit CA alone; else for REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE alone;
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
    context.sslsocket_class = DeadlineTlsSocket
    return context


def _context_for(ca: str, name: str) -> ssl.SSLContext:
    try:
        if "-----BEGIN" in ca:
            return ssl.create_default_context(cadata=ca)
        path = Path(ca).expanduser()
        return ssl.create_default_context(capath=path) if path.is_dir() else ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as broken:  # ssl.SSLError is an OSError
        raise SettingsError(f"{name} is neither the path of a readable PEM file nor the text of one") from broken
