"""
What makes a kind of credentials, and what a new one costs: a file, its lines in the list, and a test.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kf_provider
from kf_provider.keyfactor.kinds import KINDS, CredentialSettings
from kf_provider.keyfactor.kinds.kind import Kind
from kf_provider.keyfactor.settings import AUTH_TYPES

PACKAGE = Path(kf_provider.__file__).parent


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_record(kind: Kind[CredentialSettings]) -> None:
    """
    A kind is identified by some of its settings, and needs some of them; it has a word of Keyfactor's.
    """
    needed = {field for need in kind.needs for field in ([need] if isinstance(need, str) else need)}

    assert kind.identified_by
    assert all(frozenset() < fields <= kind.fields for fields in kind.identified_by)
    assert needed <= kind.fields
    assert kind.auth_type in AUTH_TYPES


BADGE = """
from typing import Annotated, TypedDict

from pydantic import SecretStr

from ..credentials import Credentials
from ..inputs import Input
from ..sources import Setting
from .kind import Fields, Kind, unwrapped


class BadgeSettings(Fields):
    badge_number: Annotated[int | None, Setting("the number on the badge", "KEYFACTOR_BADGE_NUMBER", "badge")] = None
    badge_code: Annotated[SecretStr | None, Setting("the code of the badge", "KEYFACTOR_BADGE_CODE")] = None


class BadgeInputs(TypedDict, total=False):
    badge_number: Input[int] | None
    badge_code: Input[str] | None


class Badge(Credentials):
    def __init__(self, given):
        self.number, self.code = given.badge_number, unwrapped(given.badge_code)

    @property
    def secrets(self):
        return (self.code,)

    def auth_flow(self, request, *, time_left):
        answer = yield request
        if answer.status_code == 401:
            yield request.authorized(f"Badge {answer.headers['X-Nonce']}-{self.number}-{self.code}")


KIND = Kind(
    name="badge",
    model=BadgeSettings,
    auth_type="basic",
    identified_by=(frozenset({"badge_number"}),),
    needs=("badge_number", "badge_code"),
    identity=lambda given: f"badge:{given.badge_number}",
    credentials=Badge,
)
"""

PROGRAM = """
import os
import pydoc

import kf_provider as kf
from kf_provider.keyfactor.auth import authenticated
from kf_provider.errors import SettingsError
from kf_provider.keyfactor.answers import Answer, Request
from kf_provider.keyfactor.settings import CONFIG_KEYS, SECRET_FIELDS, load_settings

assert CONFIG_KEYS["badgeCode"] == "badge_code" and "badge_code" in SECRET_FIELDS

os.environ["KEYFACTOR_AUTH_ACCESS_TOKEN"] = "t"
try:
    load_settings({"badgeNumber": "7"}, hostname="h")
except SettingsError as missing:
    assert str(missing) == "missing settings: badge_code (keyfactor:badgeCode or KEYFACTOR_BADGE_CODE)", missing
os.environ["KEYFACTOR_BADGE_CODE"] = "canary-5be1"
settings = load_settings({"badgeNumber": "7"}, hostname="h")
assert (settings.identity, settings.access_token) == ("badge:7", None)
assert "canary" not in repr(settings)

text = pydoc.plain(pydoc.render_doc(kf.Provider))
assert ":param badge_number: the number on the badge" in text
assert ":param badge_code: the code of the badge; a secret" in text


class Server:
    sent = []

    def send(self, request):
        self.sent.append(request.headers.get("Authorization"))
        return Answer(200 if self.sent[-1] else 401, {"X-Nonce": "n"}, b"")

    def seconds_left(self):
        return 5.0


credentials = settings.credential_kind.credentials(settings)
assert authenticated(Request("GET", "https://h"), credentials, Server()).status_code == 200
assert Server.sent == [None, "Badge n-7-canary-5be1"]
assert credentials.quoted("no canary-5be1") == "no [secret]"
print("served")
"""


def test_new_kind(tmp_path: Path) -> None:
    """
    A file and its three lines in the list are a kind of credentials: known to every source, to messages, to the
    documentation of `kf.Provider`, to what conceals secrets, and to what sends requests.
    """
    package = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("sandbox", "__pycache__"))
    kinds = package / "keyfactor" / "kinds"
    (kinds / "badge.py").write_text(BADGE)
    listed = (kinds / "__init__.py").read_text()
    for before, line in [
        ("import access_token, ", "badge, "),
        ("    access_token.AccessTokenSettings,\n", "    badge.BadgeSettings,\n"),
        ("    access_token.AccessTokenInputs,\n", "    badge.BadgeInputs,\n"),
        ("    access_token.KIND,\n", "    badge.KIND,\n"),
    ]:
        assert 1 == listed.count(before)
        listed = listed.replace(before, before + line)
    (kinds / "__init__.py").write_text(listed)
    (tmp_path / "program.py").write_text(PROGRAM)

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert ("", "served\n") == (done.stderr, done.stdout)
