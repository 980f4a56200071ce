"""
The explicit provider: what it takes, and what it tells of that.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import pydoc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pulumi
import pytest
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks, set_mocks

import kf_provider as kf
import kf_provider.provider
from kf_provider.keyfactor.settings import SECRET_FIELDS, SETTINGS, Settings, load_settings
from kf_provider.provider import plugin_settings, resolve_settings
from kf_provider.sdk import config_keys


class NoEngine(Mocks):
    """Takes every resource as it is."""

    def call(self, args: MockCallArgs) -> Any:
        raise AssertionError("nothing is called in these tests")

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return args.name, args.inputs


@pytest.fixture
def engine() -> Iterator[None]:
    monitor = pulumi.runtime.settings.SETTINGS.monitor
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    set_mocks(NoEngine())
    yield
    loop.close()
    asyncio.set_event_loop(None)
    pulumi.runtime.settings.SETTINGS.monitor = monitor


def config_of(provider: kf.Provider) -> dict[str, str] | None:
    async def ask() -> dict[str, str] | None:
        return await provider.config()

    return asyncio.get_event_loop().run_until_complete(ask())


def test_inputs(engine: None) -> None:
    """
    Whatever a program gives, now or later, the plugin gets as the text of the stack's configuration.
    """
    provider = kf.Provider(
        "second",
        hostname=pulumi.Output.from_input("kf.example.com"),
        client_id="gate",
        client_secret=pulumi.Output.secret("canary-5be1"),
        token_url="https://idp.example.com/token",
        scopes=["read", "write"],
        audience=None,
        skip_verify=False,
        request_timeout=timedelta(minutes=2),
        outage_seconds="1d",
        status_names={3: "Complete"},
    )
    expected = {
        "hostname": "kf.example.com",
        "clientId": "gate",
        "clientSecret": "canary-5be1",
        "tokenUrl": "https://idp.example.com/token",
        "scopes": "read,write",
        "skipVerify": "false",
        "requestTimeout": "120.0",
        "outageSeconds": "1d",
        "statusNames": '{"3": "Complete"}',
    }
    config = config_of(provider)

    assert expected == config
    assert 120.0 == load_settings(config).request_timeout


@pytest.mark.parametrize(
    ("name", "advice"),
    [("hostnme", ". Did you mean 'hostname'?"), ("clientId", ". Did you mean 'client_id'?"), ("x", "")],
)
def test_unknown_name(name: str, advice: str) -> None:
    """
    A name that is no setting is Python's own error, with the nearest one that is.
    """
    unknown: Any = {name: "x"}
    with pytest.raises(TypeError) as caught:
        kf.Provider("second", **unknown)

    assert f"Provider.__init__() got an unexpected keyword argument {name!r}{advice}" == str(caught.value)


def test_help() -> None:
    """
    `help(kf.Provider)` tells what each parameter is, and which are secret.
    """
    text = pydoc.plain(pydoc.render_doc(kf.Provider))

    for field, setting in SETTINGS.items():
        assert f":param {field}: {setting.about}{'; a secret' if field in SECRET_FIELDS else ''}\n" in text
    assert ":param name: " in text


def is_checked(text: pulumi.Output[str], number: pulumi.Output[float], maybe: str | None) -> None:
    """Never called: mypy reads that values and Outputs are taken, and what makes no sense is not."""
    kf.Provider("a", hostname=text, password=text, request_timeout=number, domain=maybe, scopes=["a"])
    kf.Provider("b", hostnme="x")  # type: ignore[call-arg]  # no such setting
    kf.Provider("c", hostname=3)  # type: ignore[arg-type]  # not text
    kf.Provider("d", password=number)  # type: ignore[arg-type]  # not text later either


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("hostnme", "did you mean keyfactor:hostname?"),
        ("api_path", "did you mean keyfactor:apiPath?"),
        ("APIPath", "did you mean keyfactor:apiPath?"),
        ("client-secret", "did you mean keyfactor:clientSecret?"),
        ("skipTlsVerify", "did you mean keyfactor:skipVerify?"),
        ("x", "it knows hostname, apiPath, "),
        ("::error::\x1b[31mx", "it knows hostname, apiPath, "),
    ],
)
def test_unknown_key_of_the_stack(monkeypatch: pytest.MonkeyPatch, engine: None, key: str, advice: str) -> None:
    """
    A key of the stack's configuration that is no setting is warned of once a process, with the nearest that is.
    """
    given = {
        f"keyfactor:{key}": "canary-5be1",
        "keyfactor:hostname": "kf.example.com",
        "aws:hostnme": "x",
        "hostnme": "y",
    }
    warnings: list[str] = []
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(given))
    monkeypatch.setattr(kf_provider.provider, "_warned_of", set())
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    for name in ("first", "second"):
        config_of(kf.Provider(name, username="u", password="p"))
    (warning,) = warnings

    assert f"in the stack's configuration is no setting of kf_provider; {advice}" in warning
    assert warning.startswith("keyfactor:")
    assert warning.isprintable()
    assert not [part for part in ("canary-5be1", "::", "aws") if part in warning]


def test_keys_of_the_automation_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The keys of a program that runs in its caller's process are found where the SDK keeps them.
    """
    monkeypatch.setenv("PULUMI_CONFIG", '{"keyfactor:a": "x"}')

    def found() -> set[str]:
        pulumi.runtime.set_all_config({"keyfactor:b": "y"})
        return config_keys()

    assert {"keyfactor:a", "keyfactor:b"} == contextvars.copy_context().run(found)


@pytest.mark.parametrize(
    ("given", "identity"),
    [
        ({"username": "u", "password": "p"}, "basic:u"),
        ({"access_token": "t"}, "token:e3b98a4d"),
        ({"client_id": "c", "client_secret": "s", "token_url": "https://i/t"}, "oauth:c@i"),
        ({"client_id": "c", "client_assertion_file": "/f", "token_url": "https://i/t"}, "oauth:c@i"),
        ({"credential_command": ["/opt/tool", "a, b"]}, "command:tool"),
        ({"credential_command": "/opt/tool 'a, b'"}, "command:tool"),
        ({"kerberos_username": "k", "kerberos_password": "p"}, "kerberos:k"),
        ({"auth_type": "kerberos"}, "kerberos:the ticket of this user"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind(engine: None, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], identity: str) -> None:
    """
    Each kind of credentials reaches the program's requests and the plugin by a provider, whatever the environment has.
    """
    monkeypatch.setenv("KEYFACTOR_USERNAME", "lower")
    monkeypatch.setenv("KEYFACTOR_PASSWORD", "canary-5be1")
    if identity == "basic:u":
        monkeypatch.setenv("KEYFACTOR_AUTH_ACCESS_TOKEN", "canary-5be1")
    provider = kf.Provider("second", hostname="h", **given)

    async def settings() -> Settings | None:
        return await resolve_settings(provider)

    found = asyncio.get_event_loop().run_until_complete(settings())
    configured = {f"keyfactor:{key}": value for key, value in (config_of(provider) or {}).items()}

    assert found is not None
    assert identity == found.identity
    assert found == plugin_settings(pulumi.dynamic.Config(configured, "project"))
    assert ("/opt/tool", "a, b") == found.credential_command or "credential_command" not in given


def test_settings_of_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who asks in one turn of the event loop gets the same settings, read once; who asks later, what there is then.
    """
    monkeypatch.setenv("KEYFACTOR_HOSTNAME", "one.example.com")
    monkeypatch.setenv("KEYFACTOR_AUTH_ACCESS_TOKEN", "t")

    async def asked() -> list[Settings | None]:
        together = await asyncio.gather(resolve_settings(None), resolve_settings(None))
        monkeypatch.setenv("KEYFACTOR_HOSTNAME", "two.example.com")
        return [*together, await resolve_settings(None)]

    one, same, later = asyncio.run(asked())

    assert one is same
    assert ["one.example.com", "two.example.com"] == [found.hostname for found in (one, later) if found]
