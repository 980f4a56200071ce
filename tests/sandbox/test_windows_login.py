"""
Windows logins at the sandbox.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from kf_provider import Client, UnauthorizedError, load_settings
from kf_provider.sandbox import Sandbox


@pytest.mark.parametrize("windows", ["negotiate", "ntlm", "both"])
def test_windows_login(windows: str) -> None:
    """
    A user and a password let connections in, by Negotiate or NTLM; Basic is refused, and the journal says who it was.
    """
    before = os.environ.get("NTLM_USER_FILE")
    with Sandbox(windows=windows) as server:
        id_ = server.start_enrollment()
        given = {"hostname": server.url, "kerberos_username": server.username, "kerberos_password": server.password}
        with Client(load_settings(**given)) as client, ThreadPoolExecutor(5) as threads:
            found = list(threads.map(client.get_workflow_instance, [id_] * 10))
        with (
            Client(load_settings(hostname=server.url, username=server.username, password=server.password)) as client,
            pytest.raises(UnauthorizedError, match="which is Windows authentication: set authType to kerberos"),
        ):
            client.get_workflow_instance(id_)
        good = [record for record in server.journal() if record.status == 200]

    assert ["Suspended"] * 10 == [instance.status for instance in found]
    assert {(server.username, "windows")} == {(record.identity, str(record.credential)) for record in good}
    assert before == os.environ.get("NTLM_USER_FILE")


def test_wrong_password() -> None:
    """
    A wrong password is refused.
    """
    with Sandbox(windows="both") as server:
        given = {"hostname": server.url, "kerberos_username": server.username, "kerberos_password": "wrong"}
        with Client(load_settings(**given)) as client, pytest.raises(UnauthorizedError):
            client.get_workflow_instance(server.start_enrollment())
