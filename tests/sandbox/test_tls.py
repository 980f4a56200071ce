"""
https, with the sandbox's own certificate authority.
"""

import ssl
from pathlib import Path

import httpx
import pytest

from kf_provider.sandbox import Sandbox


def get(server: Sandbox) -> int:
    """
    The status of a read by a client that trusts the sandbox's authority alone.
    """
    context = ssl.create_default_context(cafile=server.ca_cert)
    headers = {"x-keyfactor-requested-with": "APIClient"}
    with httpx.Client(verify=context, headers=headers, trust_env=False) as client:
        url = f"{server.url}/KeyfactorAPI/Workflow/Instances"
        return client.get(url, auth=(server.username, server.password)).status_code


def test_valid() -> None:
    """
    The certificate is good for a client that trusts the authority; the environment names it; its file goes at the end.
    """
    with Sandbox(tls="valid") as server:
        ca_cert = server.ca_cert or ""
        assert server.url.startswith("https://127.0.0.1:")
        assert server.token_url.startswith(server.url)
        assert server.environment()["KEYFACTOR_CA_CERT"] == ca_cert
        assert get(server) == 200
        assert Path(ca_cert).is_file()
    assert not Path(ca_cert).exists()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "certificate has expired"),
        ("wrong-host", "IP address mismatch"),
        ("self-signed", "self-signed certificate"),
    ],
)
def test_bad_certificates(kind: str, reason: str) -> None:
    """
    Each is refused for its own reason, and nothing is asked.
    """
    with Sandbox(tls=kind) as server:
        with pytest.raises(httpx.ConnectError, match=reason):
            get(server)
        assert server.journal() == []


def test_port_taken_leaves_no_files(server: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A sandbox that cannot start cleans up after itself.
    """
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(OSError, match="in use"):
        Sandbox(tls="valid", port=server.port)

    assert list(tmp_path.iterdir()) == []
