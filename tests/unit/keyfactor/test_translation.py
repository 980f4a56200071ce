"""
Errors as they leave: without what tools would find behind them that print locals, or follow causes.
"""

from __future__ import annotations

import base64
import inspect
import json
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import urllib3

from kf_provider.errors import KeyfactorError, NoAnswerError, SettingsError
from kf_provider.keyfactor.answers import Answer, Request
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings
from kf_provider.keyfactor.translation import translated, translation
from kf_provider.keyfactor.transport import Transport

from ..loopback import ID, OTHER_ID, Loopback, Reply, running
from ..proxies import drip, raw, reset

CANARY = "canary-5be1"
# Also as Basic authentication sends it, for the user, the client and the proxy of these tests.
SECRETS = (CANARY, *(base64.b64encode(f"{name}:{CANARY}".encode()).decode() for name in ("u", "c")))

CREDENTIALS: dict[str, dict[str, str]] = {
    "basic": {"username": "u", "password": CANARY},
    "token": {"access_token": CANARY},
    "oauth": {"client_id": "c", "client_secret": CANARY},
}


def behind(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that are behind it, whether Python would print them or not."""
    yield error
    for inner in (error.__cause__, error.__context__, *error.args):
        if isinstance(inner, BaseException):
            yield from behind(inner)


def found_by_tools(error: BaseException) -> str:
    """What is found by those that print an error's attributes, and the locals of each frame but the tests' own."""
    found = []
    for one in behind(error):
        found += [repr(one), repr(vars(one))]
        for carried in ("request", "response", "doc", "object"):
            held = getattr(one, carried, None)
            found += [repr(held), repr(getattr(held, "headers", None)), repr(getattr(held, "body", None))]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if not frame.f_globals["__name__"].rpartition(".")[2].startswith("test_"):
                found += [f"{name}={each(value)}" for name, value in frame.f_locals.items()]
    return "\n".join(found)


def each(value: object) -> str:
    # Some tools print a tuple or a list part by part, whatever its class.
    return repr([each(part) for part in value]) if isinstance(value, list | tuple) else repr(value)


FAULTS = {
    "hangs up": raw(reset),
    "drips": raw(drip(b"HTTP/1.1 200 OK\r\nX-Long: " + CANARY.encode(), b"x")),
    "cut body": raw(
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + CANARY.encode())
    ),
    "not HTTP": raw(lambda connection: connection.sendall(CANARY.encode() + b"\r\n\r\n")),
    "401": Reply({"Message": "no"}, 401, {"Set-Cookie": CANARY}),
    "500 with a body": Reply({"Trace": CANARY}, 500),
    "redirect": Reply(b"", 302, {"Location": f"https://login.example.com/?state={CANARY}"}),
    "broken JSON": Reply(b'{"CurrentStateData": {"Password": "' + CANARY.encode()),
    "a page": Reply(b"<html><body>" + CANARY.encode()),
    "unknown form": Reply({"Id": ID, "Status": {"Secret": CANARY}, "CurrentStateData": {"Password": CANARY}}),
    "another instance": Reply({"Id": OTHER_ID, "Status": "Complete", "CurrentStateData": {"Password": CANARY}}),
    "too large": Reply(json.dumps({"CurrentStateData": CANARY + " " * 6_000_000}).encode()),
    "badly compressed": Reply(CANARY.encode(), 200, {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_behind_an_error(server: Loopback, fault: str, kind: str) -> None:
    """
    Neither a frame's locals nor the errors behind an error hold credentials, or what the server sent.
    """
    with running() as identity_provider:
        identity_provider.answers = [Reply({"access_token": CANARY})]
        server.answers = [FAULTS[fault]]
        more = {"token_url": f"{identity_provider.url}/token"} if kind == "oauth" else {}
        with Client(load_settings(hostname=server.url, **CREDENTIALS[kind], **more)) as client:
            error = failure(lambda: client.get_workflow_instance(ID, timeout=0.5, retries=1))

    assert [] == leaks(error)


TOKEN_ANSWERS = {
    "hangs up": raw(reset),
    "broken JSON": Reply(b'{"access_token": "' + CANARY.encode()),
    "no bearer token": Reply({"access_token": f"{CANARY} x"}),
    "another type": Reply({"access_token": CANARY, "token_type": "mac"}),
    "400": Reply({"error": "invalid_client", "hint": CANARY}, 400),
    "500": Reply(CANARY.encode(), 500),
}


@pytest.mark.parametrize("renewed", [False, True], ids=["first", "renewed"])
@pytest.mark.parametrize("answer", TOKEN_ANSWERS)
def test_no_token_behind_an_error(server: Loopback, answer: str, renewed: bool) -> None:
    """
    The same of what a token endpoint is sent and answers; also when a token was refused that is in use.
    """
    with running() as identity_provider:
        good = [Reply({"access_token": CANARY})] if renewed else []
        identity_provider.answers = [*good, TOKEN_ANSWERS[answer]]
        server.answers = [Reply({}, 401)]
        settings = load_settings(
            hostname=server.url, token_url=f"{identity_provider.url}/token", **CREDENTIALS["oauth"]
        )
        with Client(settings) as client:
            error = failure(lambda: client.get_workflow_instance(ID, timeout=0.5, retries=0))

    assert [] == leaks(error)


def test_no_proxy_password_behind_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same of a proxy's password, whether the proxy refuses it or its URL is none.
    """
    with running() as proxy:
        proxy.answers = [Reply(status=407)]
        for address in (
            f"http://u:{CANARY}@127.0.0.1:{proxy.port}",
            f"http://u:{CANARY}@",
            f"http://u:{CANARY}@[",
            f"socks9://u:{CANARY}@h",
        ):
            monkeypatch.setenv("HTTPS_PROXY", address)
            with Client(load_settings(hostname="keyfactor.test", access_token=CANARY)) as client:
                assert [] == leaks(failure(lambda: client.get_workflow_instance(ID, timeout=60, retries=0)))


def test_no_secret_behind_a_refused_token() -> None:
    """
    The same of a token that cannot be one.
    """
    error = failure(lambda: Client(load_settings(hostname="h", access_token=f"{CANARY} x")))

    assert isinstance(error, SettingsError)
    assert [] == leaks(error)


def failure(attempt: Callable[[], object]) -> KeyfactorError:
    with pytest.raises(KeyfactorError) as caught:
        attempt()
    return caught.value


def leaks(error: KeyfactorError) -> list[str]:
    return [line[:300] for line in found_by_tools(error).splitlines() if any(secret in line for secret in SECRETS)]


def test_cause_is_the_systems() -> None:
    """
    What is behind an error is the system's own, by itself: it knows of no request.
    """
    with running() as gone:
        settings = load_settings(hostname=gone.url, access_token=CANARY)
    with Client(settings) as client:
        error = failure(lambda: client.get_workflow_instance(ID, retries=0))

    assert [NoAnswerError, ConnectionRefusedError] == [type(one) for one in behind(error)]


@pytest.mark.parametrize(
    "foreign",
    [TypeError(CANARY), ValueError(CANARY), RecursionError(), requests.RequestException(CANARY), OSError(CANARY)],
    ids=lambda foreign: type(foreign).__name__,
)
def test_translated(foreign: Exception) -> None:
    """
    Whatever is raised while something is sent is one of ours, by its type and not by a list.
    """

    def send() -> None:
        raise foreign

    with pytest.raises(NoAnswerError, match=r"^https://h: ") as caught:
        translated(send, "https://h")

    assert CANARY not in f"{caught.value}"


@pytest.mark.parametrize(
    "value",
    [
        Request("POST", f"https://h/?{CANARY}", {"Authorization": CANARY}, {"client_secret": CANARY}),
        Answer(200, {"Set-Cookie": CANARY}, CANARY.encode()),
    ],
)
def test_repr(value: Any) -> None:
    """
    What is sent and what comes back shows neither headers nor bodies, nor is it a tuple that is printed part by part.
    """
    assert CANARY not in repr(value)
    assert not isinstance(value, tuple)


# Every exception of requests and urllib3.

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


@pytest.mark.parametrize(("is_token", "setting"), [(False, "keyfactor:hostname"), (True, "keyfactor:tokenUrl")])
def test_translation_of_a_name_that_is_not_known(is_token: bool, setting: str) -> None:
    """
    A host that no name server knows is a setting to check.
    """
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    error = requests.ConnectionError(urllib3.exceptions.HTTPError(unknown))

    text = str(translation(error, "https://kf.exmaple.com", is_token=is_token))

    assert text.startswith("https://kf.exmaple.com: no connection (Name or service not known); check the ")
    assert setting in text
