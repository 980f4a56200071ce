"""
The explicit provider, and where a resource or a function finds its settings.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pulumi
import pulumi.dynamic
import pulumi.runtime
from pulumi.runtime.mocks import MockMonitor

from .client import Client
from .errors import SettingsError
from .keyfactor.kinds import KINDS
from .keyfactor.settings import CONFIG_KEYS, SECRET_FIELDS, Settings, load_settings
from .keyfactor.sources import merge_sources

PACKAGE: Final = "pulumi-python"  # the plugin that runs every dynamic provider in Python
NAMESPACE: Final = "keyfactor"

_KEY_OF_FIELD: Final = {field: key for key, field in CONFIG_KEYS.items()}


class Provider(pulumi.ProviderResource):
    """
    A Keyfactor Command server, for the resources and functions that are given this provider.

    A stack that uses one server needs none: its settings come from the stack's configuration (`keyfactor:hostname`,
    ...), the environment (`KEYFACTOR_HOSTNAME`, ...) or the profile file of Keyfactor's own tools. What is not given
    here comes from there too; but credentials of another kind than the ones given are left out.

    Hand it over as `opts=pulumi.ResourceOptions(provider=...)`, `providers=[...]` on a component, or
    `opts=pulumi.InvokeOptions(provider=...)`.
    """

    def __init__(
        self,
        name: str,
        *,
        hostname: pulumi.Input[str] | None = None,
        api_path: pulumi.Input[str] | None = None,
        username: pulumi.Input[str] | None = None,
        password: pulumi.Input[str] | None = None,
        domain: pulumi.Input[str] | None = None,
        client_id: pulumi.Input[str] | None = None,
        client_secret: pulumi.Input[str] | None = None,
        token_url: pulumi.Input[str] | None = None,
        scopes: pulumi.Input[Sequence[str]] | None = None,
        audience: pulumi.Input[str] | None = None,
        access_token: pulumi.Input[str] | None = None,
        ca_cert: pulumi.Input[str] | None = None,
        skip_verify: pulumi.Input[bool] | None = None,
        request_timeout: pulumi.Input[float] | None = None,
        gates: pulumi.Input[str] | None = None,
        outage_seconds: pulumi.Input[float] | None = None,
        status_names: pulumi.Input[Mapping[int, str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        :param name: the name of this provider in the stack
        :param hostname: the server, with scheme and port where they are not https and 443
        :param api_path: the path of the API on the server; `KeyfactorAPI` unless it was changed at its installation
        :param username: for Basic authentication, also as `DOMAIN\\user` or `user@domain`
        :param password: for Basic authentication; a secret
        :param domain: the Active Directory domain of `username`
        :param client_id: for OAuth client credentials
        :param client_secret: for OAuth client credentials; a secret
        :param token_url: where the identity provider issues tokens
        :param scopes: what the token is asked for
        :param audience: whom the token is for, where the identity provider wants to be told
        :param access_token: a bearer token that is used as it is; a secret
        :param ca_cert: the server's certificate authorities, PEM text or the path of a PEM file
        :param skip_verify: True trusts any certificate
        :param request_timeout: seconds for one request
        :param gates: `wait`, `check` or `off`, see `WorkflowApproval`
        :param outage_seconds: how long a waiting gate rides out a server that does not answer
        :param status_names: what the status numbers of this server mean, as {3: "Complete", ...}
        """
        given = {
            "hostname": hostname,
            "api_path": api_path,
            "username": username,
            "password": password,
            "domain": domain,
            "client_id": client_id,
            "client_secret": client_secret,
            "token_url": token_url,
            "scopes": scopes,
            "audience": audience,
            "access_token": access_token,
            "ca_cert": ca_cert,
            "skip_verify": skip_verify,
            "request_timeout": request_timeout,
            "gates": gates,
            "outage_seconds": outage_seconds,
            "status_names": status_names,
        }
        explicit = {field: value for field, value in given.items() if value is not None}
        from_stack = {CONFIG_KEYS[key]: value for key, value in _stack_config().items()}
        merged: dict[str, Any] = merge_sources(explicit, from_stack, kinds=KINDS)
        self._inputs: dict[str, pulumi.Output[str]] = {}
        for field, value in merged.items():
            text = pulumi.Output.from_input(value).apply(_as_text)
            self._inputs[_KEY_OF_FIELD[field]] = pulumi.Output.secret(text) if field in SECRET_FIELDS else text
        super().__init__(PACKAGE, name, {f"{NAMESPACE}:{key}": value for key, value in self._inputs.items()}, opts)

    async def config(self) -> dict[str, str] | None:
        """
        What the provider plugin is configured with, by camelCase key; None while a part of it is unknown in preview.
        """
        config = {}
        for key, value in self._inputs.items():
            if not await value.is_known():
                return None
            config[key] = await value.future() or ""
        return config


def provider_of(opts: pulumi.ResourceOptions | pulumi.InvokeOptions | None) -> Provider | None:
    """
    The explicit provider among the options, else the one of their parent.
    """
    if opts is None:
        return None
    provider = opts.provider
    if provider is None and opts.parent is not None:
        provider = opts.parent.get_provider(f"{PACKAGE}:dynamic:Resource")
    return own_provider(provider)


def own_provider(provider: pulumi.ProviderResource | None) -> Provider | None:
    """
    The provider, when it is one of ours or none; raises TypeError for another package's.
    """
    if provider is None or isinstance(provider, Provider):
        return provider
    raise TypeError(f"the provider for Keyfactor's resources is a kf_provider.Provider, not {type(provider).__name__}")


async def resolve_settings(provider: Provider | None) -> Settings | None:
    """
    The settings of a resource or function; None while a part of them is unknown in preview. Raises SettingsError.
    """
    if provider is None:
        return load_settings(_stack_config())
    config = await provider.config()
    return None if config is None else load_settings(config)


def plugin_settings(config: pulumi.dynamic.Config) -> Settings:
    """
    The settings in the plugin's process, by what it was configured with. Raises SettingsError.
    """
    return load_settings({key: value for key in CONFIG_KEYS if (value := config.get(f"{NAMESPACE}:{key}")) is not None})


_clients: list[tuple[Settings, Client]] = []
_clients_lock = threading.Lock()


def client_for(settings: Settings) -> Client:
    """
    This process's client for these settings: its connections and its token are shared by all who ask for it.
    """
    with _clients_lock:
        for known, client in _clients:
            if known == settings:
                return client
        client = Client(settings)
        _clients.append((settings, client))
        return client


def is_mocked() -> bool:
    """
    Whether the program runs under `pulumi.runtime.set_mocks`, where nothing is asked and nothing waits.
    """
    monitor = pulumi.runtime.settings.get_monitor()
    return monitor is None or isinstance(monitor, MockMonitor)


def one_line(error: Exception) -> pulumi.RunError:
    """
    The error as the CLI shows it without a traceback: `raise one_line(error) from error`.
    """
    return pulumi.RunError(str(error))


def _stack_config() -> dict[str, str]:
    config = pulumi.Config(NAMESPACE)
    return {key: value for key in CONFIG_KEYS if (value := config.get(key)) is not None}


def _as_text(value: object) -> str:
    """
    A setting as a configuration value: the engine's provider inputs are text, as `pulumi config` has them.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return json.dumps({str(key): name for key, name in value.items()})
    if isinstance(value, Sequence):
        return ",".join(str(part) for part in value)
    raise SettingsError(f"a setting of kf_provider.Provider is a {type(value).__name__}; give text, a number or a list")
