"""
Keyfactor's own clients against the sandbox: what they can and cannot parse, in each dialect.

Both read only numbers as a status, as the specifications have it, and never the words of the documentation. Each test
notes what is: a change here means that the sandbox has changed, or that another version of a client is used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from kf_provider.sandbox import FaultKind, FaultRule, Sandbox

SOURCES = Path(__file__).parent / "other_clients"
PYTHON_SDK = SOURCES / "keyfactor_python_sdk.py"
GO_SDK = SOURCES / "go"
ABSENT = "3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11"
KEY = "RequireApproval1.ApprovalStatus"
APPROVED = {"Approved": "True", "Comment": "fine"}

DIALECTS = ("10", "11", "25")

Client = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def python_sdk() -> Client:
    """
    Keyfactor's Python SDK 1.0.3, in an environment of its own that is kept in the user's cache.
    """
    requirements = SOURCES / "requirements.txt"

    def build(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
        python = str(folder / "bin/python")
        install = [python, "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
        environment = {name: text for name, text in os.environ.items() if name != "PIP_CONSTRAINT"}
        subprocess.run(install, env=environment, check=True, capture_output=True, text=True)

    version = f"{sys.base_prefix} {sys.version}"
    folder = cached("keyfactor-python-sdk", [requirements], version, build)

    def run(server: Sandbox, *calls: list[object], **credentials: str) -> list[dict[str, Any]]:
        given = {"username": server.username, "password": server.password} | credentials
        task: dict[str, object] = {**given, "url": f"{server.url}/{server.api_path}", "calls": calls}
        return results([str(folder / "bin/python"), str(PYTHON_SDK)], task)

    return run


@pytest.fixture(scope="session")
def go_sdk() -> Client:
    """
    Keyfactor's Go SDK 25.0.2, in a program of a few lines that is kept in the user's cache. It speaks https only.
    """
    go = shutil.which("go")
    if go is None:
        pytest.skip("Keyfactor's Go SDK needs Go")
    sources = [GO_SDK / name for name in ("go.mod", "go.sum", "main.go")]

    def build(folder: Path) -> None:
        folder.mkdir()
        environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
        command = [go, "build", "-o", str(folder / "client"), "."]
        subprocess.run(command, check=True, cwd=GO_SDK, env=environment, capture_output=True, text=True)

    version = subprocess.run([go, "version"], check=True, capture_output=True, text=True).stdout
    folder = cached("keyfactor-go-sdk", sources, version, build)

    def run(server: Sandbox, *calls: list[object], **credentials: str) -> list[dict[str, Any]]:
        given = {"username": server.username, "password": server.password, "auth_type": "basic"}
        # The SDK's first request leaves out a port that is set apart from the host.
        connection = {"host": f"127.0.0.1:{server.port}", "api_path": server.api_path, "ca_cert_path": server.ca_cert}
        return results([str(folder / "client")], {"server": connection | (credentials or given), "calls": calls})

    return run


def cached(name: str, sources: Iterable[Path], version: str, build: Callable[[Path], None]) -> Path:
    """
    The folder that `build` makes, once for the same sources and version on this machine.
    """
    digest = hashlib.sha256(version.encode())
    for source in sources:
        digest.update(source.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kf-provider"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{name}-{digest.hexdigest()[:12]}"
    complete = folder / ".complete"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                build(folder)
            except subprocess.CalledProcessError as exc:
                pytest.skip(f"{name} cannot be built here: {str(exc.stderr)[-500:]}")
            complete.touch()
    return folder


def results(command: list[str], task: dict[str, object]) -> list[dict[str, Any]]:
    """
    What the client's program makes of the calls.
    """
    done = subprocess.run(
        command,
        input=json.dumps(task),
        env={"HOME": "/nowhere"},  # nothing of the developer's own Keyfactor or proxy gets through
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def query(instance_id: str) -> list[object]:
    return ["query", f'Id -eq "{instance_id}"']


# Keyfactor's Python SDK 1.0.3


@pytest.mark.parametrize("dialect", ["10", "25"])
def test_python_words(python_sdk: Client, dialect: str) -> None:
    """
    A status in words is a `ValueError`, in one instance and in a list; the signal goes through.
    """
    with Sandbox(dialect=dialect, statuses="words") as server:
        instance_id = server.start_enrollment()
        got, listed, signalled = python_sdk(
            server, ["get", instance_id], query(instance_id), ["signal", instance_id, KEY, APPROVED]
        )

        assert got["error"].startswith("ValueError: 'Suspended' is not a valid")
        assert listed["error"].startswith("ValueError: 'Suspended' is not a valid")
        assert signalled == {"http_status": 204, "parsed": None}
        assert server.instance(instance_id).status == "Complete"


@pytest.mark.parametrize("dialect", ["10", "25"])
def test_python_numbers(python_sdk: Client, dialect: str) -> None:
    """
    A list is understood. One instance is not: the SDK wants an object in every place of the data, and they are texts.
    """
    with Sandbox(dialect=dialect, statuses="numbers") as server:
        instance_id = server.start_enrollment()
        got, listed, signalled, after = python_sdk(
            server,
            ["get", instance_id],
            query(instance_id),
            ["signal", instance_id, KEY, APPROVED],
            query(instance_id),
        )

        assert got == {"error": "AttributeError: 'str' object has no attribute 'copy'", "at": "d = src_dict.copy()"}
        (row,) = listed["parsed"]
        start_date = row.pop("start_date")
        assert row == {
            "id": instance_id,
            "status": 1,
            "title": "KEYEXAMPLE\\pulumi is enrolling for a certificate with CN=web.keyexample.com.",
            "step": "RequireApproval1",
            "definition": "Global Enrollment",
        }
        assert start_date.endswith("+00:00")
        assert signalled["http_status"] == 204
        assert (after["parsed"][0]["status"], after["parsed"][0]["step"]) == (2, "EndNOOP")


@pytest.mark.parametrize("statuses", ["words", "numbers"])
def test_python_camel_case(python_sdk: Client, statuses: str) -> None:
    """
    Of the dialect of Command 11 it understands not one name, and says nothing about it.
    """
    with Sandbox(dialect="11", statuses=statuses) as server:
        instance_id = server.start_enrollment()
        got, listed, signalled = python_sdk(
            server, ["get", instance_id], query(instance_id), ["signal", instance_id, KEY, APPROVED]
        )

        assert got["http_status"] == 200
        assert set(got["parsed"].values()) == {None}
        assert [set(row.values()) for row in listed["parsed"]] == [{None}]
        assert signalled["http_status"] == 204
        assert server.instance(instance_id).status == "Complete"


def test_python_null(python_sdk: Client) -> None:
    """
    A LastModified of null, which the specifications of 24 and 25 allow, breaks a whole list.
    """
    with Sandbox(dialect="25", statuses="numbers") as server:
        server.start_enrollment(held=True)
        (listed,) = python_sdk(server, ["query", ""])

        assert listed["error"].startswith("TypeError: ")
        assert listed["at"] == "last_modified = isoparse(_last_modified)"


def test_python_refusals(python_sdk: Client) -> None:
    """
    Refusals come with their status, and without their reason. The SDK's own kind of signal data is one of them.
    """
    with Sandbox(statuses="numbers") as server:
        instance_id = server.start_enrollment()
        absent, wrong_data = python_sdk(
            server, ["get", ABSENT], ["signal", instance_id, KEY, {"Approved": {}, "Comment": {}}]
        )
        (unknown,) = python_sdk(server, ["get", instance_id], password="wrong")

        assert absent == {"http_status": 404, "parsed": None}
        assert wrong_data == {"http_status": 400, "parsed": None}
        assert unknown == {"http_status": 401, "parsed": None}
        assert server.instance(instance_id).status == "Suspended"


def test_python_user_at_domain(python_sdk: Client) -> None:
    """
    The SDK's documented way to write the user, user@domain, is understood.
    """
    with Sandbox(dialect="10", statuses="numbers") as server:
        instance_id = server.start_enrollment()
        domain, user = server.username.split("\\")
        (listed,) = python_sdk(server, query(instance_id), username=f"{user}@{domain}")

        assert [row["id"] for row in listed["parsed"]] == [instance_id]


# Keyfactor's Go SDK 25.0.2


@pytest.mark.parametrize("dialect", ["11", "25"])
def test_go_numbers(go_sdk: Client, dialect: str) -> None:
    """
    With numbers the Go SDK understands everything, also the camelCase of Command 11, and nulls.
    """
    with Sandbox(dialect=dialect, statuses="numbers", tls="valid") as server:
        held = server.start_enrollment("CN=held.keyexample.com", held=True)
        instance_id = server.start_enrollment(state_data={"Ticket": {"Number": 7}})
        got, listed, signalled, after, null = go_sdk(
            server,
            ["get", instance_id],
            query(instance_id),
            ["signal", instance_id, KEY, APPROVED],
            ["get", instance_id],
            ["get", held],
        )

        assert (got["parsed"]["Id"], got["parsed"]["Status"]) == (instance_id, 1)
        assert got["parsed"]["CurrentStateData"]["Ticket"] == {"Number": 7}
        assert got["parsed"]["Signals"][0]["SignalReceived"] is False
        assert [row["Id"] for row in listed["parsed"]] == [instance_id]
        assert signalled == {"http_status": 204, "parsed": None}
        assert (after["parsed"]["Status"], server.instance(instance_id).status) == (2, "Complete")
        assert after["parsed"]["CurrentStepDisplayName"] == (None if dialect == "11" else "End")
        assert (null["parsed"]["Status"], null["parsed"]["LastModified"]) == (0, None)
        assert {str(record.endpoint) for record in server.journal()} == {"status_endpoints", "get", "list", "signal"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_go_words(go_sdk: Client, dialect: str) -> None:
    """
    A status in words is an error, in one instance and in a list; the signal goes through.
    """
    with Sandbox(dialect=dialect, statuses="words", tls="valid") as server:
        instance_id = server.start_enrollment()
        got, listed, signalled = go_sdk(
            server, ["get", instance_id], query(instance_id), ["signal", instance_id, KEY, APPROVED]
        )

        for result in (got, listed):
            assert result["http_status"] == 200
            assert "cannot unmarshal string into Go struct field" in result["error"]
            assert ".Status of type int32" in result["error"]
        assert signalled["http_status"] == 204
        assert server.instance(instance_id).status == "Complete"


def test_go_times_without_zone(go_sdk: Client) -> None:
    """
    Times without a zone, as .NET may write them, are an error.
    """
    with Sandbox(statuses="numbers", tls="valid") as server:
        instance_id = server.start_enrollment()
        server.add_fault(FaultRule(kind=FaultKind.NO_ZONE))
        got, listed = go_sdk(server, ["get", instance_id], query(instance_id))

        assert 'cannot parse "" as "Z07:00"' in got["error"]
        assert 'cannot parse "" as "Z07:00"' in listed["error"]


def test_go_oauth(go_sdk: Client) -> None:
    """
    Client credentials work; a refusal keeps its status and loses its reason.

    The SDK's authentication 1.3.0 fetches a token for each request, the first of which is its own check.
    """
    with Sandbox(statuses="numbers", tls="valid") as server:
        instance_id = server.start_enrollment()
        credentials = {
            "client_id": server.client_id,
            "client_secret": server.client_secret,
            "token_url": server.token_url,
            "auth_type": "oauth",
        }
        got, absent = go_sdk(server, ["get", instance_id], ["get", ABSENT], **credentials)

        assert got["parsed"]["Id"] == instance_id
        assert absent == {"http_status": 404, "parsed": None, "error": "404 Not Found"}
        asked = [str(record.endpoint) for record in server.journal()]
        assert asked == ["token", "status_endpoints", "token", "get", "token", "get"]
        assert {record.credential for record in server.journal() if record.endpoint == "get"} == {"oauth"}
