"""
Where settings come from, and which of them count.
"""

from __future__ import annotations

import copy
import pickle
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kf_provider.errors import SettingsError
from kf_provider.keyfactor.settings import (
    CONFIG_KEYS,
    ENVIRONMENT,
    SECRET_FIELDS,
    SETTINGS,
    Settings,
    SettingsInputs,
    load_settings,
)
from kf_provider.keyfactor.sources import config_key

from .given import BASIC, profile_file, refusal


def test_defaults() -> None:
    """
    A host and credentials are enough.
    """
    expected = Settings(
        hostname="kf.example.com",
        api_path="KeyfactorAPI",
        username="jsmith",
        password=SecretStr("canary-5be1"),
        skip_verify=False,
        request_timeout=60.0,
        gates="wait",
        outage_seconds=600.0,
        status_names={},
    )

    assert expected == load_settings(**BASIC)


def test_order_of_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Explicit beats the stack's configuration, that the environment, that the profile file, that the default.
    """
    profile_file(tmp_path, {"servers": {"default": {"host": "profile", "api_path": "profile", **BASIC}}})
    found = [load_settings().hostname]
    monkeypatch.setenv("KEYFACTOR_HOSTNAME", "environment")
    found.append(load_settings().hostname)
    found.append(load_settings({"hostname": "config"}).hostname)
    found.append(load_settings({"hostname": "config"}, hostname="explicit").hostname)

    assert ["profile", "environment", "config", "explicit"] == found
    assert "profile" == load_settings().api_path


def test_every_setting_in_the_configuration() -> None:
    """
    The stack's configuration is text, with JSON or commas for lists and maps.
    """
    config = {
        "hostname": "kf.example.com:8443",
        "apiPath": "/Keyfactor/API/",
        "clientId": "gate",
        "clientSecret": "canary-5be1",
        "tokenUrl": "https://idp.example.com/token",
        "scopes": "read, write",
        "audience": "keyfactor",
        "caCert": "/etc/ca.pem",
        "skipVerify": "true",
        "requestTimeout": "90s",
        "gates": "check",
        "outageSeconds": "10m",
        "statusNames": '{"0": "running", "6": "CANCELEDFORRESTART"}',
    }
    expected = Settings(
        hostname="kf.example.com:8443",
        api_path="Keyfactor/API",
        client_id="gate",
        client_secret=SecretStr("canary-5be1"),
        token_url="https://idp.example.com/token",
        scopes=("read", "write"),
        audience="keyfactor",
        ca_cert="/etc/ca.pem",
        skip_verify=True,
        request_timeout=90.0,
        gates="check",
        outage_seconds=600.0,
        status_names={0: "Running", 6: "CanceledForRestart"},
    )

    assert expected == load_settings(config)


def test_every_setting_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The names in the environment are those of Keyfactor's own tools, and three of ours.
    """
    values = {
        "KEYFACTOR_HOSTNAME": "kf.example.com",
        "KEYFACTOR_PORT": "8443",
        "KEYFACTOR_API_PATH": "API",
        "KEYFACTOR_AUTH_CLIENT_ID": "gate",
        "KEYFACTOR_AUTH_CLIENT_SECRET": "canary-5be1",
        "KEYFACTOR_AUTH_TOKEN_URL": "https://idp.example.com/token",
        "KEYFACTOR_AUTH_SCOPES": "a,b",
        "KEYFACTOR_AUTH_AUDIENCE": "keyfactor",
        "KEYFACTOR_CA_CERT": "/etc/ca.pem",
        "KEYFACTOR_SKIP_VERIFY": "1",
        "KEYFACTOR_CLIENT_TIMEOUT": "60s",
        "KEYFACTOR_GATES": "off",
        "KEYFACTOR_OUTAGE_SECONDS": "0",
        "KEYFACTOR_STATUS_NAMES": "0=Running,1=suspended",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    expected = Settings(
        hostname="https://kf.example.com:8443",
        api_path="API",
        client_id="gate",
        client_secret=SecretStr("canary-5be1"),
        token_url="https://idp.example.com/token",
        scopes=("a", "b"),
        audience="keyfactor",
        ca_cert="/etc/ca.pem",
        skip_verify=True,
        request_timeout=60.0,
        gates="off",
        outage_seconds=0.0,
        status_names={0: "Running", 1: "Suspended"},
    )

    assert expected == load_settings()


def test_tables_cover_all_settings() -> None:
    """
    Every setting has a configuration key, an environment variable of its own, and words for users in one line; but a
    command is never taken from the stack's configuration.
    """
    assert list(Settings.model_fields) == list(SETTINGS)
    assert [field for field in SETTINGS if field != "credential_command"] == list(CONFIG_KEYS.values())
    assert [*SETTINGS, "port"] == list(ENVIRONMENT.values())
    assert all(setting.about and setting.about.isprintable() for setting in SETTINGS.values())


def test_secret_fields() -> None:
    """
    What is secret is told by its type.
    """
    assert {"password", "client_secret", "access_token"} <= SECRET_FIELDS
    assert SECRET_FIELDS.isdisjoint({"hostname", "username", "domain", "client_id", "token_url", "scopes", "audience"})


def test_inputs_have_every_setting() -> None:
    """
    What a program may give is what there is.
    """
    assert SettingsInputs.__annotations__.keys() == Settings.model_fields.keys()
    assert frozenset() == SettingsInputs.__required_keys__


def test_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An empty text, as CI systems give for a missing variable, leaves the word to the next source.
    """
    monkeypatch.setenv("KEYFACTOR_HOSTNAME", "environment")
    monkeypatch.setenv("KEYFACTOR_AUTH_ACCESS_TOKEN", "")

    assert "environment" == load_settings({"hostname": " "}, **{**BASIC, "hostname": ""}, audience=None).hostname


@pytest.mark.parametrize("port", ["8443", 8443])
def test_port_beside_hostname(tmp_path: Path, port: object) -> None:
    """
    A port in the profile belongs to the host in the profile.
    """
    profile_file(tmp_path, {"servers": {"default": {"host": "profile", "port": port, **BASIC}}})

    assert "https://profile:8443/KeyfactorAPI" == load_settings().base_url
    assert "https://explicit/KeyfactorAPI" == load_settings(hostname="explicit").base_url


def test_port_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    KEYFACTOR_PORT without KEYFACTOR_HOSTNAME completes the host name of another source, unless it has a port.
    """
    monkeypatch.setenv("KEYFACTOR_PORT", "8443")

    assert "https://kf.example.com:8443/KeyfactorAPI" == load_settings(**BASIC).base_url
    assert (
        "https://kf.example.com:9/KeyfactorAPI" == load_settings(**{**BASIC, "hostname": "kf.example.com:9"}).base_url
    )


@pytest.mark.parametrize("value", ["600", 600, 600.0, "10m", "PT10M", timedelta(minutes=10)])
@pytest.mark.parametrize("field", ["request_timeout", "outage_seconds"])
def test_durations(field: str, value: object) -> None:
    """
    A time is taken in every form that the rest of the package takes.
    """
    assert 600.0 == getattr(load_settings(**(BASIC | {field: value})), field)


@pytest.mark.parametrize("value", ["0", 0, "0s", timedelta()])
def test_no_outage(value: object) -> None:
    """
    Riding out no outage is a choice, unlike a request without time.
    """
    assert 0 == load_settings(**BASIC, outage_seconds=value).outage_seconds
    assert refusal(**BASIC, request_timeout=value).endswith(": input should be greater than 0")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("skip_verify", "yes"),
        ("request_timeout", "soon"),
        ("request_timeout", True),
        ("request_timeout", 10**400),
        ("request_timeout", "0"),
        ("request_timeout", "-5"),
        ("request_timeout", "nan"),
        ("outage_seconds", "-1"),
        ("outage_seconds", "inf"),
        ("gates", "open"),
        ("status_names", "0"),
        ("status_names", "zero=Running"),
        ("status_names", "{"),
        ("status_names", "[1]"),
        ("status_names", {0: 1}),
        ("password", ["canary-5be1"]),
    ],
)
def test_value_without_sense(field: str, value: object) -> None:
    """
    A value without sense is refused by the name of its setting, in one line.
    """
    message = refusal(**(BASIC | {field: value}))

    assert message.startswith(field)
    assert message.isprintable()


@pytest.mark.parametrize("value", ['{"0": "running", "1": "Approved"}', "0=running,1=Approved", {1: " Approved "}])
def test_status_name_that_is_none(value: object) -> None:
    """
    A word that is none of Keyfactor's is refused here, with those that are, and not blamed on an instance later.
    """
    expected = (
        "status_names (keyfactor:statusNames or KEYFACTOR_STATUS_NAMES) has the word 'Approved', which is none of"
        " Keyfactor's: give Running, Suspended, Complete, Rejected, Failed or CanceledForRestart"
    )

    assert expected == refusal(**BASIC, status_names=value)


def test_status_name_that_is_long() -> None:
    """
    Of a word that is none of Keyfactor's, little is quoted, and in one line.
    """
    message = refusal(**BASIC, status_names={1: "a\n" + "x" * 1000})

    assert message.isprintable()
    assert len(message) < 300


def test_all_complaints_at_once() -> None:
    """
    Several values without sense are one error.
    """
    message = refusal(**BASIC, gates="open", skip_verify="yes")

    assert all(name in message for name in ("keyfactor:gates", "KEYFACTOR_GATES", "keyfactor:skipVerify"))


def test_nothing_set() -> None:
    """
    Without any setting, the message names the host, and has a line for each way to log in.
    """
    ways = {field: setting.ways(field) for field, setting in SETTINGS.items()}
    expected = [
        "missing settings: hostname (keyfactor:hostname or KEYFACTOR_HOSTNAME); credentials, in one of these ways:",
        "- credential_command (KEYFACTOR_AUTH_CREDENTIAL_COMMAND)",
        f"- {ways['access_token']}",
        f"- {ways['client_id']} and {ways['client_secret']} or {ways['client_assertion_file']} and {ways['token_url']}",
        f"- {ways['auth_type']} kerberos, with a ticket (kinit)",
        f"- {ways['username']} and {ways['password']}",
    ]

    assert expected == refusal().splitlines()


def test_half_a_kind() -> None:
    """
    With a part of one kind of credentials, what is missing of that kind is named.
    """
    expected = (
        "missing settings: client_secret (keyfactor:clientSecret or KEYFACTOR_AUTH_CLIENT_SECRET) or"
        " client_assertion_file (keyfactor:clientAssertionFile or KEYFACTOR_AUTH_CLIENT_ASSERTION_FILE); token_url"
        " (keyfactor:tokenUrl or KEYFACTOR_AUTH_TOKEN_URL)"
    )

    assert expected == refusal({"clientId": "gate"}, hostname="kf.example.com")


def test_unknown_names() -> None:
    """
    A name that is no setting is refused, with those that are.
    """
    assert refusal(hostnme="x").startswith("there is no setting hostnme: access_token, api_path")
    assert refusal({"hostnme": "x"}).startswith("there is no setting keyfactor:hostnme: hostname, apiPath")


def test_hash() -> None:
    """
    Equal settings are one key, whatever the order and the form in which they were given; others are another.
    """
    one = load_settings(**BASIC, status_names={0: "Running", 1: "Suspended"}, request_timeout=60)
    same = load_settings({"statusNames": "1=suspended,0=running", "requestTimeout": "1m"}, **BASIC)
    made = {one: "client"}

    assert (one, hash(one), "client") == (same, hash(same), made[same])
    assert made.keys().isdisjoint(
        {load_settings(**(BASIC | more)) for more in ({"password": "canary-5be2"}, {"status_names": {0: "Running"}})}
    )


def test_secrets_do_not_show() -> None:
    """
    Neither `repr`, nor text, nor JSON shows a secret.
    """
    settings = load_settings(**BASIC)

    assert "canary-5be1" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_are_not_pickled() -> None:
    """
    A pickle would carry the secrets, so there is none; a copy in memory is fine.
    """
    settings = load_settings(**BASIC)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(settings)

    assert settings == copy.copy(settings) == copy.deepcopy(settings)


PROFILES = {
    "servers": {
        "default": {"host": "default", "username": "jsmith", "password": "canary-5be1", "domain": "KEYEXAMPLE"},
        "second": {
            "host": "second",
            "client_id": "gate",
            "client_secret": "canary-5be1",
            "token_url": "https://idp.example.com/token",
            "scopes": ["a", "b"],
            "api_path": "API",
            "skip_tls_verify": True,
            "ca_cert_path": "/etc/ca.pem",
            "auth_type": "oauth",
            "auth_provider": {"type": ""},
            "port": 0,
            "audience": "",
        },
    }
}


def test_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The profile file is that of Keyfactor's tools, and another profile is named in the environment.
    """
    profile_file(tmp_path, PROFILES)
    default = load_settings()
    monkeypatch.setenv("KEYFACTOR_AUTH_CONFIG_PROFILE", "second")
    expected = Settings(
        hostname="second",
        api_path="API",
        client_id="gate",
        client_secret=SecretStr("canary-5be1"),
        token_url="https://idp.example.com/token",
        scopes=("a", "b"),
        skip_verify=True,
        ca_cert="/etc/ca.pem",
        auth_type="oauth",
    )

    assert ("https://default/KeyfactorAPI", "basic:KEYEXAMPLE\\jsmith") == (default.server, default.identity)
    assert expected == load_settings()


def test_profile_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The path of the profile file comes from the environment, too; `~` is the home.
    """
    profile_file(tmp_path, PROFILES).rename(tmp_path / "other.json")
    monkeypatch.setenv("KEYFACTOR_AUTH_CONFIG_FILE", "~/other.json")

    assert "default" == load_settings().hostname


BAD_FILES: list[object] = [None, "{", '{"canary-5be1"', "[]", {}, {"servers": []}, {"servers": {"default": 1}}]


@pytest.mark.parametrize("content", BAD_FILES)
def test_bad_profile_unasked(tmp_path: Path, content: object) -> None:
    """
    A missing or broken file that nobody named is ignored.
    """
    if content is not None:
        profile_file(tmp_path, content)

    assert "kf.example.com" == load_settings(**BASIC).hostname


@pytest.mark.parametrize("content", BAD_FILES)
@pytest.mark.parametrize("named", ["KEYFACTOR_AUTH_CONFIG_FILE", "KEYFACTOR_AUTH_CONFIG_PROFILE"])
def test_bad_profile_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: object, named: str) -> None:
    """
    A missing or broken file is an error when it, or a profile in it, was named.
    """
    path = tmp_path / ".keyfactor" / "command_config.json"
    if content is not None:
        profile_file(tmp_path, content)
    monkeypatch.setenv(named, str(path) if named.endswith("FILE") else "default")

    assert str(path) in refusal(**BASIC)


# As Keyfactor's own tools write them, with what other logins have left behind.
WRITTEN_BY_THEIR_TOOLS = {
    "username": "jsmith",
    "password": "canary-5be1",
    "domain": "KEYEXAMPLE",
    "client_id": "gate",
    "client_secret": "canary-5be1",
    "token_url": "https://idp.example.com/token",
    "access_token": "",
    "kerberos_realm": "",
    "kerberos_keytab": "",
    "scopes": None,
    "auth_provider": {"type": "", "profile": "", "parameters": None},
}


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({}, "oauth:gate@idp.example.com"),
        ({"auth_type": "basic"}, "basic:KEYEXAMPLE\\jsmith"),
        ({"auth_type": " Basic "}, "basic:KEYEXAMPLE\\jsmith"),
        ({"auth_type": "oauth"}, "oauth:gate@idp.example.com"),
        ({"auth_type": "kerberos", "kerberos_realm": "KEYEXAMPLE.COM"}, "kerberos:jsmith@KEYEXAMPLE.COM"),
        ({"auth_type": "", "client_id": "", "client_secret": ""}, "basic:KEYEXAMPLE\\jsmith"),
        ({"client_id": "", "client_secret": "", "kerberos_keytab": "/k"}, "kerberos:jsmith"),
    ],
)
def test_profile_decides(tmp_path: Path, profile: dict[str, object], expected: str) -> None:
    """
    In a profile `auth_type` decides, without it the order of Keyfactor's tools; what other logins left is ignored.
    """
    profile_file(tmp_path, {"servers": {"default": {"host": "h"} | WRITTEN_BY_THEIR_TOOLS | profile}})
    settings = load_settings()

    assert expected == settings.identity
    others = {"basic": "username", "oauth": "client_id", "kerberos": "kerberos_username"}
    del others[settings.credential_kind.auth_type]
    assert [None, None] == [getattr(settings, field) for field in others.values()]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (
            {"auth_type": "akv"},
            "auth_type (keyfactor:authType or KEYFACTOR_AUTH_TYPE) is 'akv', which is not supported",
        ),
        ({"auth_type": "basic", "password": ""}, "missing settings: password (keyfactor:password or"),
        ({"auth_type": "oauth", "client_id": "", "client_secret": "", "token_url": ""}, "credentials, in one of these"),
        (
            {
                "auth_provider": {"type": "azid"},
                **dict.fromkeys(["username", "password", "domain", "client_id", "client_secret", "token_url"], ""),
            },
            "leaves its credentials to its auth_provider (azid), which is not supported: give them as settings, or let",
        ),
    ],
)
def test_profile_of_no_kind(tmp_path: Path, profile: dict[str, object], message: str) -> None:
    """
    A profile of a kind that is not supported is refused by that name, and no other login takes its place.
    """
    profile_file(tmp_path, {"servers": {"default": {"host": "h"} | WRITTEN_BY_THEIR_TOOLS | profile}})

    assert message in refusal()


def test_kerberos_password_is_none_for_basic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A password is sent by no other scheme than its profile names, also when the user comes from elsewhere.
    """
    profile_file(tmp_path, {"servers": {"default": {"host": "h", "auth_type": "kerberos", "password": "canary-5be1"}}})
    monkeypatch.setenv("KEYFACTOR_USERNAME", "jsmith")

    assert refusal().startswith("missing settings: password")


# Every kind of credentials, and how each source gives it.
KINDS_GIVEN: list[tuple[dict[str, object], str]] = [
    ({"username": "u", "password": "p"}, "basic:u"),
    ({"access_token": "t"}, "token:e3b98a4d"),
    ({"client_id": "c", "client_secret": "s", "token_url": "https://i/t"}, "oauth:c@i"),
    ({"client_id": "c", "client_assertion_file": "/run/token", "token_url": "https://i/t"}, "oauth:c@i"),
    ({"credential_command": '["/opt/tool", "a b"]'}, "command:tool"),
    ({"kerberos_username": "k", "kerberos_password": "p"}, "kerberos:k"),
    ({"auth_type": "kerberos"}, "kerberos:the ticket of this user"),
]


@pytest.mark.parametrize("higher", ["argument", "config", "environment", "profile"])
@pytest.mark.parametrize("lower", ["config", "environment", "profile"])
@pytest.mark.parametrize(("given", "identity"), KINDS_GIVEN, ids=lambda value: value if isinstance(value, str) else "")
def test_every_kind_by_every_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, object], identity: str, higher: str, lower: str
) -> None:
    """
    The kind that the higher source names is used, whatever the lower one has; a command comes from no stack's
    configuration.
    """
    order = ["argument", "config", "environment", "profile"]
    if order.index(higher) >= order.index(lower):
        lower = ""  # the kind stands alone
    other: dict[str, object] = {"username": "lower", "password": "canary-5be1"}
    if identity == "basic:u":
        other = {"access_token": "canary-5be1"}
    is_refused = higher == "config" and "credential_command" in given

    explicit, config, profile = {"hostname": "h"}, {}, {}
    for source, values in ((higher, given), (lower, other)):
        for field, value in values.items():
            match source:
                case "argument":
                    explicit[field] = str(value)
                case "config" if SETTINGS[field].in_stack_config:
                    config[config_key(field)] = value
                case "environment":
                    monkeypatch.setenv(SETTINGS[field].variable, str(value))
                case "profile":
                    profile[_in_profile(field)] = value
        if source == "profile" and "kerberos_username" in values:
            profile["auth_type"] = "kerberos"
    profile_file(tmp_path, {"servers": {"default": profile}})

    if is_refused:
        assert "credential_command" not in config
        return
    assert identity == load_settings(config, **explicit).identity


def _in_profile(field: str) -> str:
    # A profile for Kerberos has its user and password under the names of Basic.
    return {"kerberos_username": "username", "kerberos_password": "password"}.get(
        field, SETTINGS[field].profile_key or field
    )


def test_command_from_the_stack_is_refused() -> None:
    """
    A pull request that changes the stack's configuration runs nothing.
    """
    assert "there is no setting keyfactor:credentialCommand" in refusal({"credentialCommand": "touch /tmp/x"})


UNUSABLE_FILES: list[tuple[object, str]] = [
    ("servers:\n  default:\n    host: canary-5be1\n", "is not JSON (line 1)"),
    ('{"servers": {\n"default": {"password": "canary-5be1",}}}', "is not JSON (line 2)"),
    ("[" * 3000, "is JSON of too many levels"),
    ({"servers": {"production": {}, "test\x1b[31m": {}}}, "has no profile 'default', but 'production', 'test [31m'"),
    ({"servers": []}, "has no profile 'default'"),
    ([], "has no profile 'default'"),
    ({"servers": {"default": "canary-5be1"}}, "is not an object"),
    (
        {"servers": {"default": {"auth_provider": {"type": "azid"}}}},
        "to its auth_provider (azid), which is not supported",
    ),
]


@pytest.mark.parametrize(("content", "says"), UNUSABLE_FILES)
def test_unusable_profile_is_named(tmp_path: Path, content: object, says: str) -> None:
    """
    A default profile file that is there and gives nothing has a line of its own in the error about missing settings.
    """
    path = profile_file(tmp_path, content)
    last = refusal(hostname="kf.example.com").splitlines()[-1]

    assert says in last
    assert path.name in last


@pytest.mark.parametrize("content", [None, {"servers": {"default": {"host": "kf.example.com"}}}])
def test_usable_profile_is_not_named(tmp_path: Path, content: object) -> None:
    """
    No file, and one that gives what it has, is no matter.
    """
    if content is not None:
        profile_file(tmp_path, content)

    assert "profile" not in refusal(username="u")


@pytest.mark.parametrize(
    "given",
    [
        {"status_names": '{"1": ' + "[" * 2000 + "]" * 2000 + "}"},
        {"status_names": {"9" * 5000: "Complete"}},
        {"request_timeout": "9" * 5000},
        {"request_timeout": 10**5000},
        {"hostname": f"kf.example.com:{'9' * 5000}"},
        {"hostname": [[]]},
        {"api_path": "\udce9"},
        {"password": "\udce9"},
        {"client_id": "a", "client_secret": "b", "token_url": "https://idp", "scopes": "[" * 2000 + "]" * 2000},
    ],
    ids=lambda given: next(iter(given)),
)
def test_odd_values(given: dict[str, object]) -> None:
    """
    Whatever a setting holds, what leaves is one of our errors, whoever makes the settings.
    """
    several = {"hostname": "kf.example.com", **({} if "client_id" in given else BASIC), **given}

    assert refusal(**several)
    with pytest.raises(SettingsError):
        Settings(**several)


@pytest.mark.parametrize("given", [{}, {"hostname": "h"}, {**BASIC, "hostnme": "x"}, {**BASIC, "gates": "ajar"}])
def test_settings_themselves(given: dict[str, Any]) -> None:
    """
    Settings that are made without `load_settings` refuse with the same error.
    """
    with pytest.raises(SettingsError) as caught:
        Settings(**given)

    assert "canary-5be1" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("path", ["~nouser/x.json", "\udce9.json", "x" * 5000, "/"])
def test_profile_file_that_is_none(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """
    A path of any kind that is no file is an error that can be printed.
    """
    monkeypatch.setenv("KEYFACTOR_AUTH_CONFIG_FILE", path)

    assert refusal(**BASIC).isprintable()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ('{"1": "Rejected", "1": "Complete"}', "names the number 1 twice"),
        ('{"1": "Rejected", " 1 ": "Complete"}', "names the number 1 twice"),
        ("1=Rejected,1=Complete", "names the number 1 twice"),
        ({1: "Rejected", "1": "Complete"}, "names the number 1 twice"),
        ('{"1.0": "Complete"}', "has a key that is no number of a status"),
        ({"1_0": "Complete"}, "has a key that is no number of a status"),
        ({10**5000: "Complete"}, "has a key that is no number of a status"),
        ({True: "Complete"}, "has a key that is no number of a status"),
    ],
    ids=["json", "blanks", "text", "mapping", "fraction", "underscore", "digits", "truth"],
)
def test_status_number_that_is_none_or_named_twice(names: object, says: str) -> None:
    """
    A number has one word: of two, the last would decide what opens a gate.
    """
    with pytest.raises(SettingsError, match=says):
        load_settings(hostname="h", access_token="t", status_names=names)


def test_no_secret_in_the_frames_of_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Tools that print the locals of frames find no secret of the environment behind a complaint about another setting.
    """
    monkeypatch.setenv("KEYFACTOR_HOSTNAME", "h")
    monkeypatch.setenv("KEYFACTOR_USERNAME", "u")
    monkeypatch.setenv("KEYFACTOR_PASSWORD", "canary-5be1")
    monkeypatch.setenv("KEYFACTOR_GATES", "of")
    with pytest.raises(SettingsError) as caught:
        load_settings()

    error: BaseException | None = caught.value
    while error is not None:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        shown = [
            repr(value) for frame in frames if frame.f_code.co_filename != __file__ for value in frame.f_locals.values()
        ]
        assert not [text for text in shown if "canary" in text]
        error = error.__cause__ or error.__context__
