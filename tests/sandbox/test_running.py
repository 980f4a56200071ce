"""
How the sandbox runs: port, threads, command line.
"""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from kf_provider.sandbox import Sandbox

from .conftest import connect


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
def test_loopback_only(host: str) -> None:
    """
    Another address than a loopback one is refused before anything listens.
    """
    with pytest.raises(ValueError, match="loopback only"):
        Sandbox(host=host)


def test_port_taken(server: Sandbox) -> None:
    """
    A port that is in use is an error at once.
    """
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=server.port)


def test_environment(server: Sandbox) -> None:
    """
    The names are those of Keyfactor's own tools.
    """
    assert server.environment() == {
        "KEYFACTOR_HOSTNAME": server.url,
        "KEYFACTOR_API_PATH": "KeyfactorAPI",
        "KEYFACTOR_USERNAME": "KEYEXAMPLE\\pulumi",
        "KEYFACTOR_PASSWORD": server.password,
    }


def test_close_with_open_connections() -> None:
    """
    A client that keeps its connection does not hold the sandbox up; afterwards the port is free, closing again is fine.
    """
    server = Sandbox()
    server.start()
    with connect(server) as client:
        assert client.get("/Workflow/Instances").status_code == 200
        before = time.monotonic()
        server.close()

        assert time.monotonic() - before < 2
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_ipv6() -> None:
    """
    The other loopback address, in brackets where a URL wants them.
    """
    try:
        server = Sandbox(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, connect(server) as client:
        assert server.url == f"http://[::1]:{server.port}"
        assert client.get("/Workflow/Instances").status_code == 200


def test_environment_of_another_account(server: Sandbox) -> None:
    """
    Every account has an environment.
    """
    account = server.add_account("KEYEXAMPLE\\auditor")

    environment = server.environment(account)

    assert (environment["KEYFACTOR_USERNAME"], environment["KEYFACTOR_PASSWORD"]) == (
        "KEYEXAMPLE\\auditor",
        account.password,
    )


@pytest.mark.parametrize("wrong", [{"statuses": "letters"}, {"tls": "none"}, {"unkind": 2.0}])
def test_wrong_options(wrong: dict[str, Any]) -> None:
    """
    An option that means nothing is refused.
    """
    with pytest.raises(ValueError, match=r"."):
        Sandbox(**wrong)


def test_secrets_stay_out_of_texts(server: Sandbox) -> None:
    """
    Neither an account nor an instance shows its secrets in a failed test.
    """
    instance = server.instance(server.start_enrollment(state_data={"Vault": "canary"}))

    text = f"{server.account!r} {instance!r}"

    assert [
        secret for secret in (server.password, server.access_token, server.client_secret, "canary") if secret in text
    ] == []


def test_two_sandboxes() -> None:
    """
    Two servers in one process know nothing of each other.
    """
    with Sandbox() as one, Sandbox() as other, connect(other) as client:
        assert client.get(f"/Workflow/Instances/{one.start_enrollment()}").status_code == 404
        assert one.journal() == []
        assert one.password != other.password


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
        before = time.monotonic()
        process.send_signal(signum)
        out, err = process.communicate(timeout=10)

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
    assert time.monotonic() - before < 3


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
        process.communicate(timeout=10)

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


@pytest.mark.parametrize("missing", ["click", "uvicorn", "starlette"])
def test_command_without_the_extra(missing: str) -> None:
    """
    Without what the extra brings, one line says how to get it.
    """
    code = f"import sys, runpy; sys.modules[{missing!r}] = None; sys.argv = ['kf', 'sandbox']; "
    code += "runpy.run_module('kf_provider', run_name='__main__')"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"needs {missing}: pip install 'kf-provider[sandbox]'" in done.stderr
