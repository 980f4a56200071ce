"""
The command `kf sandbox`.
"""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from kf_provider.cli import sandbox as command
from kf_provider.sandbox import Sandbox


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_command(signum: signal.Signals) -> None:
    """
    The first line is JSON with the credentials, stderr tells people what to do, and a signal ends it with 0.
    """
    command = [sys.executable, "-m", "kf_provider", "sandbox", "--statuses", "numbers", "--seed", "5"]
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        started = httpx.post(f"{line['url']}/sandbox/enrollments", json={"subject": "CN=a"}, trust_env=False).json()
        read = httpx.get(
            f"{line['url']}/{line['api_path']}/Workflow/Instances/{started['instance_id']}",
            auth=(line["username"], line["password"]),
            headers={"x-keyfactor-requested-with": "APIClient"},
            trust_env=False,
        )
        process.send_signal(signum)
        out, err = process.communicate(timeout=60)

    assert set(line) == {
        "url",
        "api_path",
        "username",
        "password",
        "access_token",
        "token_url",
        "client_id",
        "client_secret",
        "ca_cert",
        "seed",
    }
    assert read.json()["Status"] == 1
    assert (process.returncode, out) == (0, "")
    assert f"{line['url']}/sandbox/enrollments" in err
    assert "(seed 5)" in err
    assert "polled faster than 1/s: 0\n" in err


def test_command_options() -> None:
    """
    https, a dialect and unkindness; the seed is in the first line.
    """
    command = [
        sys.executable,
        "-m",
        "kf_provider",
        "sandbox",
        "--tls",
        "--dialect",
        "11",
        "--unkind",
        "1",
        "--seed",
        "2",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        context = ssl.create_default_context(cafile=line["ca_cert"])
        with httpx.Client(verify=context, trust_env=False) as client:
            version = client.get(
                f"{line['url']}/KeyfactorAPI/Status/Endpoints",
                auth=(line["username"], line["password"]),
                headers={"x-keyfactor-requested-with": "APIClient", "x-sandbox-faults": "off"},
            ).headers["x-keyfactor-product-version"]
            rules = client.post(f"{line['url']}/sandbox/faults", json={}).json()["rules"]
        process.terminate()
        process.communicate(timeout=60)

    assert (line["seed"], version, process.returncode) == (2, "11.5.0.0", 0)
    assert sum(rule["rate"] for rule in rules) == pytest.approx(1)


def test_command_refuses_other_addresses() -> None:
    """
    A wrong address is one line, not a traceback.
    """
    done = subprocess.run(
        [sys.executable, "-m", "kf_provider", "sandbox", "--host", "0.0.0.0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert done.stderr.startswith("Error: the sandbox listens on loopback only")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("missing", "extra"), [("click", "cli"), ("uvicorn", "sandbox"), ("starlette", "sandbox")])
def test_command_without_the_extra(missing: str, extra: str) -> None:
    """
    Without what the extra brings, one line says how to get it.
    """
    code = f"import sys, runpy; sys.modules[{missing!r}] = None; sys.argv = ['kf', 'sandbox']; "
    code += "runpy.run_module('kf_provider', run_name='__main__')"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"needs {missing}: pip install 'kf-provider[{extra}]'" in done.stderr


def test_command_prints_the_address() -> None:
    """
    `kf sandbox` tells people on stderr where the page is, and the page is there.
    """
    command = [sys.executable, "-m", "kf_provider", "sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(line for line in process.stderr if "approve and deny" in line).split()[-1]
            page = httpx.get(address, trust_env=False)
        finally:
            process.terminate()

    assert page.headers["content-type"].startswith("text/html")


def test_port_in_use() -> None:
    """
    A port that somebody else has is named, in one line.
    """
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "kf_provider", "sandbox", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert f"port {port} is in use" in done.stderr


@pytest.mark.parametrize("module", ["kf_provider.sandbox", "kf_provider.sandbox.pytest_plugin"])
def test_class_without_the_extra(module: str) -> None:
    """
    Who imports the class, or uses a fixture, without the extra is told its name.
    """
    code = f"import sys; sys.modules['starlette.routing'] = None; import {module}\n"
    code += "from kf_provider.sandbox import Sandbox"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert 1 == done.stderr.count("Traceback")
    assert "needs starlette" in done.stderr.splitlines()[-1]
    assert "pip install 'kf-provider[sandbox]'" in done.stderr.splitlines()[-1]


def test_connection_file(tmp_path: Path) -> None:
    """
    The first line is in a file, too, for shells: whole, and for nobody else to read.
    """
    file = tmp_path / "sandbox.json"
    command = [sys.executable, "-m", "kf_provider", "sandbox", "--connection", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        written = file.read_text()
        process.terminate()
        process.communicate(timeout=60)
    elsewhere = subprocess.run(
        [*command[:-1], str(tmp_path / "no" / "x")], capture_output=True, text=True, timeout=60, check=False
    )

    assert line == written
    assert 0o600 == file.stat().st_mode & 0o777
    assert (1, 1, "") == (elsewhere.returncode, elsewhere.stderr.count("\n"), elsewhere.stdout)


@pytest.mark.parametrize(
    ("system", "export", "curl"),
    [("nt", "$env:KEYFACTOR_HOSTNAME='", "curl.exe -s "), ("posix", "export KEYFACTOR_HOSTNAME='", "curl -s ")],
)
def test_hints_are_for_the_shell(
    server: Sandbox, monkeypatch: pytest.MonkeyPatch, system: str, export: str, curl: str
) -> None:
    """
    What the sandbox prints for people can be pasted: into PowerShell on Windows, into a POSIX shell elsewhere.
    """
    monkeypatch.setattr(command, "os", SimpleNamespace(name=system))

    lines = [line.strip() for line in command._instructions(server).splitlines()]

    assert 1 == sum(line.startswith(export) for line in lines)
    assert 3 == sum(line.startswith(curl) for line in lines)
