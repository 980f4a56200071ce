"""
Kerberos for real: an MIT KDC on loopback, its tickets and keytabs. `make test-kerberos` runs these.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from kf_provider.errors import UnauthorizedError
from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings

from ..unit.loopback import ID
from ..unit.windows import Acceptor

REALM = "KEYEXAMPLE.TEST"
PASSWORD = "canary-5be1"


@dataclass(frozen=True)
class Realm:
    """A realm with one user and one service, and the files that say so."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, said: str = "") -> None:
        subprocess.run(command, env=self.environment, input=said, text=True, check=True, capture_output=True)

    def kinit(self, *options: str, cache: str = "ccache") -> None:
        """Get a ticket for the user."""
        self.run("kinit", *options, "-c", f"FILE:{self.folder / cache}", f"jsmith@{REALM}", said=PASSWORD)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    folder = tmp_path_factory.mktemp("realm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "krb5.conf").write_text(
        f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n"
        f" dns_canonicalize_hostname = false\n udp_preference_limit = 1\n"
        f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {REALM}\n"
    )
    (folder / "kdc.conf").write_text(
        f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
        f"[realms]\n {REALM} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n"
        f"  acl_file = {folder}/acl\n  max_life = 1h\n }}\n"
    )
    environment = {
        **os.environ,
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        "KRB5CCNAME": f"FILE:{folder / 'ccache'}",
        "KRB5_KTNAME": f"FILE:{folder / 'service.keytab'}",
    }
    made = Realm(folder, environment)
    made.run("kdb5_util", "create", "-s", "-P", "master")
    for command in (
        f"addprinc -pw {PASSWORD} jsmith",
        "addprinc -randkey HTTP/localhost",
        f"ktadd -k {folder / 'service.keytab'} HTTP/localhost",
        f"ktadd -norandkey -k {folder / 'user.keytab'} jsmith",
    ):
        made.run("kadmin.local", "-q", command)
    kdc = subprocess.Popen(["krb5kdc", "-n"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not _answers(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    yield made
    kdc.terminate()
    kdc.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(autouse=True)
def _environment(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process, the client and the acceptor in one, belongs to the realm; the user has no ticket yet."""
    for name in ("KRB5_CONFIG", "KRB5CCNAME", "KRB5_KTNAME"):
        monkeypatch.setenv(name, realm.environment[name])
    (realm.folder / "ccache").unlink(missing_ok=True)


@pytest.fixture
def acceptor() -> Iterator[Acceptor]:
    server = Acceptor("Negotiate", hostname="localhost", each_request=True)
    yield server
    server.close()


def status(acceptor: Acceptor, **given: object) -> str | None:
    with Client(load_settings(hostname=acceptor.url, auth_type="kerberos", **given)) as client:
        client.get_workflow_instance(ID, retries=0)
        return client.get_workflow_instance(ID, retries=0).status


def test_ticket_of_the_user(realm: Realm, acceptor: Acceptor) -> None:
    """
    The ticket of the user is enough, in one leg, and from the second request on without asking first.
    """
    realm.kinit()

    assert "Suspended" == status(acceptor)
    assert ["", "Negotiate", "Negotiate"] == acceptor.schemes_sent


def test_ticket_cache(realm: Realm, acceptor: Acceptor, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A ticket cache elsewhere is taken where it is named.
    """
    realm.kinit(cache="elsewhere")
    monkeypatch.delenv("KRB5CCNAME")

    assert "Suspended" == status(acceptor, kerberos_ccache=str(realm.folder / "elsewhere"))


def test_keytab(realm: Realm, acceptor: Acceptor) -> None:
    """
    A keytab needs no ticket, and the name of its user.
    """
    given = {"kerberos_username": "jsmith", "kerberos_realm": REALM}

    assert "Suspended" == status(acceptor, **given, kerberos_keytab=str(realm.folder / "user.keytab"))


def test_password(acceptor: Acceptor) -> None:
    """
    A user and a password get a ticket, by Kerberos and not by NTLM.
    """
    given = {"kerberos_username": "jsmith", "kerberos_realm": REALM, "kerberos_password": PASSWORD}

    assert "Suspended" == status(acceptor, **given)
    assert 3 == len(acceptor.sent)  # NTLM takes a leg more


def test_service_name(realm: Realm, acceptor: Acceptor) -> None:
    """
    The service may have another name than the host in the address.
    """
    realm.kinit()
    acceptor.url = acceptor.url.replace("localhost", "127.0.0.1")

    assert "Suspended" == status(acceptor, kerberos_spn="HTTP/localhost")


def test_five_threads(realm: Realm, acceptor: Acceptor) -> None:
    """
    Five threads at once.
    """
    realm.kinit()
    settings = load_settings(hostname=acceptor.url, auth_type="kerberos")
    with Client(settings) as client, ThreadPoolExecutor(5) as threads:
        found = list(threads.map(client.get_workflow_instance, [ID] * 20))

    assert 20 == len(found)


def test_configuration_file(realm: Realm, acceptor: Acceptor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    krb5.conf may be named.
    """
    realm.kinit()
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "none"))
    elsewhere = shutil.copy(realm.folder / "krb5.conf", tmp_path / "mine.conf")

    assert "Suspended" == status(acceptor, kerberos_config=str(elsewhere))


def test_expired_ticket(realm: Realm, acceptor: Acceptor) -> None:
    """
    A ticket that has ended is said to have, with what to do.
    """
    realm.kinit("-l", "2s")
    time.sleep(3)
    with pytest.raises(UnauthorizedError, match=r"(?i)expired.*; get one with kinit"):
        status(acceptor)


def test_no_ticket(acceptor: Acceptor) -> None:
    """
    Without a ticket, the message says how to get one.
    """
    with pytest.raises(UnauthorizedError, match=r"no Kerberos or NTLM login to localhost .*; get one with kinit"):
        status(acceptor)


def test_wrong_password(acceptor: Acceptor) -> None:
    """
    A wrong password is not shown.
    """
    with pytest.raises(UnauthorizedError, match="check them, and that this user may use the API") as caught:
        status(acceptor, kerberos_username="jsmith", kerberos_realm=REALM, kerberos_password="canary-wrong")

    assert "canary" not in f"{caught.value} {caught.value!r}"
