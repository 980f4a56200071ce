"""
`kf doctor`: each finding with its remedy, and the exit codes.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from kf_provider.sandbox import Sandbox

from ..unit.loopback import STRANGER_CA, Loopback, Reply, Seen
from .conftest import Kf, Run

CANARY = "canary-5be1"


def findings(run: Run) -> dict[str, tuple[str, str, str]]:
    """Grade, text and remedy of each check; of several of one check the worst."""
    order = ["ok", "warning", "error"]
    found: dict[str, tuple[str, str, str]] = {}
    for finding in run.json["findings"]:
        row = finding["grade"], finding["text"], finding["remedy"]
        name = finding["check"]
        if name not in found or order.index(row[0]) > order.index(found[name][0]):
            found[name] = row
    return found


def examined(kf: Kf, **environment: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
    run = kf("doctor", "--output", "json", **environment)
    assert CANARY not in f"{run}"
    return run.code, findings(run)


def test_all_is_well(kf: Kf, server: Sandbox) -> None:
    """
    Where all is well, it says what it has seen: sources, address, connection, version, login, permissions, words.
    """
    server.start_enrollment()
    code, found = examined(kf)
    text = kf("doctor")

    assert 0 == code, found
    expected = {
        "settings", "proxy", "name", "connection", "api", "login", "clock", "permission get", "permission list",
        "permission mine", "permission assigned", "permission definitions", "statuses",
    }  # fmt: skip
    assert expected <= found.keys()
    assert {"ok"} == {found[name][0] for name in expected}
    assert "Keyfactor Command 25." in found["api"][1]
    assert "keyfactor:password = [secret]  (KEYFACTOR_PASSWORD)" in text.out
    assert server.password not in text.out


@pytest.fixture
def other() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def keyfactor(change: Callable[[Seen], Reply | None]) -> Callable[[Seen], Reply]:
    """A Keyfactor that answers as it should, but for what a test changes."""

    def answer(request: Seen) -> Reply:
        if (changed := change(request)) is not None:
            return changed
        if request.path.endswith("/Status/Endpoints"):
            return Reply(["/Status/Endpoints"])
        if request.path.count("/") > 3 and request.path.endswith("1"):
            return Reply({"ErrorCode": "0xA0110001", "Message": "none"}, 404)
        return Reply([])

    return answer


def forbidding(part: str) -> Callable[[Seen], Reply | None]:
    said = {"ErrorCode": "0xA0140002", "Message": "User 7 doesn't have the required permission"}
    return lambda request: Reply(said, 403) if re.search(part, request.path) else None


PAGE = Reply(b"<!DOCTYPE html><title>Sign in</title>")
FAULTS: dict[str, tuple[Callable[[Seen], Reply | None], int, str, str, str, str]] = {
    "path": (lambda _: Reply(b"", 404), 69, "api", "error", "has no API (404)", "check keyfactor:apiPath"),
    "login page": (lambda _: PAGE, 69, "api", "error", "a page instead of JSON", ""),
    "login": (lambda _: Reply(b"no", 401), 77, "login", "error", "does not accept the credentials", "check them"),
    "clock": (
        lambda request: (
            Reply([], headers={"Date": formatdate(time.time() - 600)}) if "Status" in request.path else None
        ),
        0,
        "clock",
        "warning",
        "clock is 10 min ahead of the server's",
        "set it (NTP)",
    ),
    "get": (forbidding("1$"), 77, "permission get", "error", "", "grant /workflows/instances/read/"),
    "list": (forbidding("Instances$"), 77, "permission list", "error", "", "grant /workflows/instances/read/"),
    "mine": (forbidding("My$"), 0, "permission mine", "warning", "not allowed (403)", "grant "),
    "definitions": (forbidding("Definitions"), 0, "permission definitions", "warning", "not allowed", "grant "),
    "numbers": (
        lambda request: (
            Reply([{"Id": "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94", "Status": 3}])
            if request.path.endswith("Instances")
            else None
        ),
        0,
        "statuses",
        "warning",
        "the server sends numbers, and nothing names 3",
        "set keyfactor:statusNames",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_server(kf: Kf, other: Loopback, fault: str) -> None:
    """
    Each fault of a server is found, with its remedy and its exit code.
    """
    change, code, check, grade, text, remedy = FAULTS[fault]
    other.answers = keyfactor(change)

    ended, found = examined(kf, KEYFACTOR_HOSTNAME=other.url, KEYFACTOR_PASSWORD=CANARY)

    assert (code, grade) == (ended, found[check][0]), found
    assert text in found[check][1]
    assert not found[check][1].endswith((";", "; "))
    assert remedy in found[check][2]


@pytest.mark.parametrize(
    ("environment", "code", "check", "text"),
    [
        ({"KEYFACTOR_HOSTNAME": "nowhere.invalid"}, 69, "name", "nowhere.invalid has no address"),
        ({"KEYFACTOR_HOSTNAME": "http://127.0.0.1:1"}, 69, "connection", "no connection to 127.0.0.1:1"),
        ({"KEYFACTOR_PASSWORD": ""}, 78, "settings", "missing settings: password"),
        ({"KEYFACTOR_GATES": "open"}, 78, "settings", "KEYFACTOR_GATES"),
        ({"KEYFACTOR_AUTH_CONFIG_PROFILE": "none"}, 78, "settings", "the profile file"),
    ],
)
def test_fault_of_the_settings(kf: Kf, environment: dict[str, str], code: int, check: str, text: str) -> None:
    """
    A wrong host, port or setting is found, and the other checks still run.
    """
    ended, found = examined(kf, **environment)

    assert (code, "error") == (ended, found[check][0]), found
    assert text in found[check][1]
    assert len(found) > 1 or code == 78


def test_certificates(tmp_path: Path) -> None:
    """
    It says which CA is trusted, and what to give where the wrong one is.
    """
    with Sandbox(tls="valid") as server:
        kf = Kf(tmp_path, {**os.environ, **server.environment(), "HOME": str(tmp_path)})
        good, found = examined(kf)
        bad, wrong = examined(kf, KEYFACTOR_CA_CERT=str(STRANGER_CA))

    assert (0, True) == (good, "trusted by keyfactor:caCert" in found["certificate"][1])
    assert (69, "error") == (bad, wrong["api"][0])
    assert "give the CA that signed it" in wrong["api"][2]


def test_proxy(kf: Kf, other: Loopback) -> None:
    """
    A proxy in the way is named, and what to do.
    """
    other.answers = [Reply(b"", 407)]
    proxy = other.url.removeprefix("http://")
    ended, found = examined(
        kf, KEYFACTOR_HOSTNAME="kf.example.com", HTTPS_PROXY=f"http://user:{CANARY}@{proxy}", NO_PROXY="", no_proxy=""
    )

    assert (69, "warning") == (ended, found["proxy"][0]), found
    assert f"requests go through {proxy}" in found["proxy"][1]
    assert "wants a login" in found["api"][1]


def test_token_that_ends(kf: Kf, other: Loopback) -> None:
    """
    A token that is about to end is told.
    """

    def encoded(part: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    other.answers = keyfactor(lambda _: None)
    token = f"{encoded({'alg': 'none'})}.{encoded({'exp': time.time() - 60})}.x"
    for name in ("KEYFACTOR_USERNAME", "KEYFACTOR_PASSWORD"):
        kf.environment.pop(name)

    ended, found = examined(kf, KEYFACTOR_HOSTNAME=other.url, KEYFACTOR_AUTH_ACCESS_TOKEN=token)

    assert (0, "warning") == (ended, found["token"][0]), found
    assert "ends in 0 s" in found["token"][1]


def test_two_kinds_and_a_profile(kf: Kf, server: Sandbox) -> None:
    """
    Credentials of two kinds, and a profile of which nothing is used, are warnings.
    """
    folder = kf.folder / ".keyfactor"
    folder.mkdir()
    profile = {"host": "other", "client_id": "c", "client_secret": CANARY, "token_url": "https://idp.example.com"}
    (folder / "command_config.json").write_text(json.dumps({"servers": {"default": profile}}))

    ended, found = examined(kf)

    assert (0, "warning", "warning") == (ended, found["credentials"][0], found["profile"][0]), found
    assert "credentials of 2 kinds are given" in found["credentials"][1]
    assert "used is basic" in found["credentials"][1]
