"""
Addresses of servers: which make sense, and how they are written, seen through settings.
"""

from __future__ import annotations

import pytest

from kf_provider.keyfactor.settings import load_settings

from .given import BASIC, refusal


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [
        ("kf.example.com", "https://kf.example.com/KeyfactorAPI"),
        (" KF.Example.com ", "https://kf.example.com/KeyfactorAPI"),
        ("kf.example.com:8443", "https://kf.example.com:8443/KeyfactorAPI"),
        ("kf.example.com:443", "https://kf.example.com/KeyfactorAPI"),
        ("https://kf.example.com/", "https://kf.example.com/KeyfactorAPI"),
        ("https://kf.example.com:8443/KeyfactorPortal", "https://kf.example.com:8443/KeyfactorAPI"),
        ("HTTPS://kf.example.com", "https://kf.example.com/KeyfactorAPI"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/KeyfactorAPI"),
        ("http://localhost", "http://localhost/KeyfactorAPI"),
        ("http://[::1]:8080", "http://[::1]:8080/KeyfactorAPI"),
    ],
)
def test_base_url(hostname: str, expected: str) -> None:
    """
    https unless plain http to loopback is asked for; a path beside the host is dropped, as Keyfactor's tools do.
    """
    settings = load_settings(**{**BASIC, "hostname": hostname})

    assert (expected, expected) == (settings.base_url, settings.server)


def test_requests_keep_the_final_dot() -> None:
    """
    The final dot keeps a resolver from looking elsewhere: requests have it, the address that is recorded has not.
    """
    settings = load_settings(**{**BASIC, "hostname": "kf."})

    assert ("https://kf./KeyfactorAPI", "https://kf/KeyfactorAPI") == (settings.base_url, settings.server)


@pytest.mark.parametrize(
    "hostname",
    [
        "http://kf.example.com",
        "http://10.0.0.1",
        "http://127.0.0.1.example.com",
        "http://127.1@kf.example.com",
        "http://0177.0.0.1",
        "https://jsmith:canary-5be1@kf.example.com",
        "jsmith@kf.example.com",
        "ftp://kf.example.com",
        "kf example com",
        "kf.example.com:http",
        "kf.example.com:99999",
        "https://",
        "kf.example.com?x=1",
        "kf.example.com#x",
        "kf.example.com\\@other.example.com",
        "::1",
        "kf.example.com\r\nX-Evil: 1",
    ],
)
def test_hostname_without_sense(hostname: str) -> None:
    """
    What is no host, or would send credentials in the clear, is refused by the name of the setting.
    """
    assert refusal(**{**BASIC, "hostname": hostname}).startswith("hostname (keyfactor:hostname or KEYFACTOR_HOSTNAME) ")


@pytest.mark.parametrize("path", ["../admin", "a/../b", "a?b", "a#b", "a b", "/", "a//b", "a\\b"])
def test_api_path_without_sense(path: str) -> None:
    """
    The API path is a plain path.
    """
    assert "api_path (keyfactor:apiPath or KEYFACTOR_API_PATH)" in refusal(**BASIC, api_path=path)
