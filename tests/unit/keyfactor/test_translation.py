"""
Exceptions of requests, urllib3 and the operating system, and what becomes of them.
"""

from __future__ import annotations

import inspect
import ssl

import pytest
import requests
import urllib3

from kf_provider.errors import KeyfactorError
from kf_provider.keyfactor.settings import load_settings
from kf_provider.keyfactor.translation import translation
from kf_provider.keyfactor.transport import Transport

FOREIGN = [
    error
    for module in (requests.exceptions, urllib3.exceptions)
    for _, error in inspect.getmembers(module, inspect.isclass)
    if issubclass(error, Exception) and not issubclass(error, Warning) and error.__module__ == module.__name__
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda error: f"{error.__module__}.{error.__name__}")
def test_translation(foreign: type[Exception]) -> None:
    """
    Every exception of requests and urllib3 becomes one of ours, which quotes nothing of its text.
    """
    error = foreign.__new__(foreign, "canary-5be1")
    error.args = ("canary-5be1",)
    ours = translation(error, "https://kf.example.com")

    assert isinstance(ours, KeyfactorError)
    assert str(ours).startswith("https://kf.example.com: ")
    assert "canary" not in str(ours)


@pytest.mark.parametrize(
    "foreign",
    [error for error in FOREIGN if error.__module__ == "requests.exceptions"],
    ids=lambda error: error.__name__,
)
def test_translation_is_no_fallback(foreign: type[Exception]) -> None:
    """
    Every exception of requests has words of its own, but for the base class.
    """
    error = foreign.__new__(foreign)

    assert (foreign is requests.RequestException) == ("the request failed" in str(translation(error, "s")))


def test_translation_of_the_system() -> None:
    """
    The system's reason is shown, however deep it is.
    """
    deep = requests.ConnectionError(
        urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "Reset"))
    )

    assert "s: no connection (Reset)" == str(translation(deep, "s"))


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(37.3562, "37.4 s"), (60.0, "60 s"), (59.97, "60 s"), (0.3, "0.3 s"), (0.04, "0.1 s"), (1e9, "86400 s")],
)
def test_translation_of_a_timeout(seconds: float, says: str) -> None:
    """
    The time allowed is told in tenths of a second, and is never none at all.
    """
    with Transport(load_settings(hostname="h", access_token="t")).within(seconds):
        assert f"s: no answer in {says}" == str(translation(requests.Timeout(), "s"))


def test_translation_of_a_certificate() -> None:
    """
    A certificate that is not trusted is found, however deep it is, and does not pass.
    """
    deep = requests.exceptions.SSLError(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError(1, "expired")))

    assert not translation(deep, "s").is_transient
    assert translation(requests.exceptions.SSLError("EOF"), "s").is_transient
