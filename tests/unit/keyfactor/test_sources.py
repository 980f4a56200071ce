"""
Where settings come from, and what they tell of the server without anything else.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kf_provider.errors import SettingsError
from kf_provider.keyfactor.kinds import KINDS
from kf_provider.keyfactor.settings import CONFIG_KEYS, load_settings
from kf_provider.keyfactor.sources import config_key, former_servers, merge_sources, server_address

from .given import BASIC, profile_file

BASIC_KIND = {"username": "u", "password": "p"}
CLIENT_KIND = {"client_id": "c", "client_secret": "s", "token_url": "t"}
TOKEN_KIND = {"access_token": "a"}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([BASIC_KIND, TOKEN_KIND], BASIC_KIND),
        ([TOKEN_KIND, BASIC_KIND], TOKEN_KIND),
        ([CLIENT_KIND, TOKEN_KIND, BASIC_KIND], CLIENT_KIND),
        ([{}, BASIC_KIND, CLIENT_KIND], BASIC_KIND),
        ([{"username": "mine"}, TOKEN_KIND, BASIC_KIND], {"username": "mine", "password": "p"}),
        (
            [{"token_url": "mine", "scopes": "x"}, BASIC_KIND, CLIENT_KIND],
            CLIENT_KIND | {"token_url": "mine", "scopes": "x"},
        ),
        ([{"domain": "D"}, CLIENT_KIND, BASIC_KIND], BASIC_KIND | {"domain": "D"}),
        # One source with several kinds: the order of Keyfactor's tools, and a whole kind before a part of one.
        ([BASIC_KIND | CLIENT_KIND | TOKEN_KIND], TOKEN_KIND),
        ([BASIC_KIND | CLIENT_KIND], CLIENT_KIND),
        ([BASIC_KIND | {"client_id": "c"}], BASIC_KIND),
        ([BASIC_KIND | {"token_url": "t", "audience": "x"}], BASIC_KIND),
        ([{"hostname": "a"}, {"hostname": "b", "gates": "off"}], {"hostname": "a", "gates": "off"}),
        ([{"hostname": None, "access_token": None}, BASIC_KIND], BASIC_KIND),
        ([], {}),
    ],
)
def test_merge_sources(sources: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """
    The highest source with any credential decides the kind; lower ones fill that kind, and nothing of another.
    """
    assert expected == merge_sources(*sources, kinds=KINDS)


class Unseen:
    """Stands for an Output: it must not be looked into."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError

    def __bool__(self) -> bool:
        raise AssertionError

    __hash__ = object.__hash__


def test_merge_sources_looks_at_no_value() -> None:
    """
    Values may be Outputs: only their presence counts.
    """
    mine = Unseen()
    merged: dict[str, object] = merge_sources(
        {"username": mine, "password": mine}, {"access_token": "a", "gates": mine}, kinds=KINDS
    )

    assert ["gates", "password", "username"] == sorted(merged)
    assert merged["username"] is mine


# The server's address.


@pytest.mark.parametrize(
    ("hostname", "api_path", "expected"),
    [
        ("kf.example.com", None, "https://kf.example.com/KeyfactorAPI"),
        (" KF.Example.COM. ", "/KeyfactorAPI/", "https://kf.example.com/KeyfactorAPI"),
        ("https://kf.example.com.:443/Portal/", None, "https://kf.example.com/KeyfactorAPI"),
        ("HTTPS://kf.example.com:8443", "Keyfactor/API", "https://kf.example.com:8443/Keyfactor/API"),
        ("http://LOCALHOST:80", None, "http://localhost/KeyfactorAPI"),
        ("https://[2001:DB8::1]:443", None, "https://[2001:db8::1]/KeyfactorAPI"),
        ("kf.example.com", "API-\u00fc", "https://kf.example.com/API-%C3%BC"),
    ],
)
def test_server_address(hostname: str, api_path: str | None, expected: str) -> None:
    """
    One address for every way to write it, and the same as the settings have.
    """
    found = server_address(hostname=hostname, api_path=api_path)

    assert (expected, expected) == (
        found,
        load_settings(**(BASIC | {"hostname": hostname}), api_path=api_path).server,
    )


def test_server_address_by_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Each source is asked in the order of the settings; credentials, of whichever kind, make no difference.
    """
    profile_file(tmp_path, {"servers": {"default": {"host": "profile", "port": 8443, "api_path": "A", **BASIC}}})
    found = [(server_address(), load_settings().server)]
    monkeypatch.setenv("KEYFACTOR_HOSTNAME", "environment")
    monkeypatch.setenv("KEYFACTOR_AUTH_ACCESS_TOKEN", "t")
    found.append((server_address(), load_settings().server))
    monkeypatch.setenv("KEYFACTOR_PORT", "9")
    found.append((server_address(), load_settings().server))
    config = {"hostname": "config", "apiPath": "B", "username": "u"}
    found.append((server_address(config), load_settings(config, password="p").server))
    found.append(
        (server_address(config, hostname="explicit"), load_settings(config, password="p", hostname="explicit").server)
    )

    expected = ["profile:8443/A", "environment/A", "environment:9/A", "config/B", "explicit/B"]
    assert [(f"https://{address}",) * 2 for address in expected] == found


@pytest.mark.parametrize(
    "given",
    [
        {"hostname": "http://kf.example.com"},
        {"hostname": "https://u:canary-5be1@kf.example.com"},
        {"hostname": "kf example com"},
        {"hostname": "."},
        {"hostname": 5},
        {"hostname": "h", "api_path": "../admin"},
        {"hostname": "h", "api_path": ["a"]},
    ],
)
def test_server_address_without_sense(given: dict[str, Any]) -> None:
    """
    What the settings refuse is refused here with the same words.
    """
    with pytest.raises(SettingsError) as caught:
        load_settings(**(BASIC | given))
    with pytest.raises(SettingsError) as here:
        server_address(**given)

    assert str(caught.value) == str(here.value)
    assert "canary" not in str(here.value)


def test_server_address_of_none() -> None:
    """
    Without a server, the message says how to name one.
    """
    with pytest.raises(
        SettingsError, match=r"^missing settings: hostname \(keyfactor:hostname or KEYFACTOR_HOSTNAME\)$"
    ):
        server_address({"username": "u"})


def test_server_address_of_a_profile_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A profile that is named must be there, also under the home of a user who is not.
    """
    monkeypatch.setenv("KEYFACTOR_AUTH_CONFIG_FILE", "~nobody-of-this-name/command_config.json")
    with pytest.raises(SettingsError, match=r"the profile file ~nobody-of-this-name/.* cannot be read"):
        server_address()


def test_server_address_without_libraries() -> None:
    """
    The address is found without pydantic and requests, which take longer to import than most checks last.
    """
    program = (
        "import sys; from kf_provider.keyfactor.sources import server_address;"
        " print(server_address({'hostname': 'KF.example.com:443'}), {'pydantic', 'requests'} & sys.modules.keys())"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "https://kf.example.com/KeyfactorAPI set()\n" == done.stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [("[1", "is not JSON"), ("[" * 200_000 + "]" * 200_000, "is not JSON"), ("[1]", "is not a list of texts")],
    ids=["cut", "deep", "numbers"],
)
def test_former_servers_without_sense(given: str, says: str) -> None:
    """
    A list that cannot be read is one line that says how the setting is given.
    """
    with pytest.raises(SettingsError) as caught:
        former_servers({"formerServers": given})

    assert str(caught.value) == f"former_servers (keyfactor:formerServers or KEYFACTOR_FORMER_SERVERS) {says}"


def test_config_keys() -> None:
    """
    The keys in the stack's configuration are camelCase.
    """
    assert ("hostname", "apiPath", "caCert") == tuple(
        config_key(field) for field in ("hostname", "api_path", "ca_cert")
    )
    assert all(key.isidentifier() and "_" not in key for key in CONFIG_KEYS)
