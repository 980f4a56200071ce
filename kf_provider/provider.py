"""
The explicit provider, and where a resource or a function finds its settings.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, Unpack

import pulumi
import pulumi.dynamic
import pulumi.runtime
from pulumi.runtime.mocks import MockMonitor

from .errors import InstanceIdError, SettingsError, only_ours
from .keyfactor.kinds import KINDS
from .keyfactor.settings import CONFIG_KEYS, SECRET_FIELDS, SETTINGS, Settings, SettingsInputs, load_settings
from .keyfactor.sources import config_key, merge_sources, names_server, server_address
from .sdk import config_keys
from .words import safe_line

PACKAGE: Final = "pulumi-python"  # the plugin that runs every dynamic provider in Python
NAMESPACE: Final = "keyfactor"
_OF_A_PROGRAM: Final = "program:"


def _parameters() -> str:
    """
    What each parameter of `Provider` is, for `help()`.
    """
    secret = dict.fromkeys(SECRET_FIELDS, "; a secret")
    lines = [f":param {field}: {setting.about}{secret.get(field, '')}" for field, setting in SETTINGS.items()]
    return "\n".join([":param name: the name of this provider in the stack", ":param opts: its options", *lines])


def _refuse_unknown(names: Iterable[str]) -> None:
    if unknown := next((name for name in names if name not in SETTINGS), None):
        nearest = difflib.get_close_matches(unknown, SETTINGS, n=1)
        raise TypeError(
            f"Provider.__init__() got an unexpected keyword argument {unknown!r}"
            + "".join(f". Did you mean {name!r}?" for name in nearest)
        )


class InvalidArgumentError(pulumi.RunError, ValueError):
    """
    An argument of a resource or a function makes no sense. The CLI shows it as one line, which names where it stands.
    """


class InvalidIdError(InvalidArgumentError, InstanceIdError):
    """
    The same for what is not the id of a workflow instance.
    """


def invalid(where: str, error: ValueError) -> InvalidArgumentError:
    """
    The error as the CLI shows it: `raise invalid("WorkflowApproval 'web'", error) from error`.
    """
    kind = InvalidIdError if isinstance(error, InstanceIdError) else InvalidArgumentError
    return kind(f"{where}: {error}")


class Provider(pulumi.ProviderResource):
    """
    A Keyfactor Command server, for the resources and functions that are given this provider.

    A stack that uses one server needs none: its settings come from the stack's configuration (`keyfactor:hostname`,
    ...), the environment (`KEYFACTOR_HOSTNAME`, ...) or the profile file of Keyfactor's own tools. What is not given
    here comes from there too; but credentials of another kind than the ones given are left out.

    Pass it as `opts=pulumi.ResourceOptions(provider=...)`, `providers=[...]` on a component, or
    `opts=pulumi.InvokeOptions(provider=...)`.
    """

    def __init__(
        self, name: str, *, opts: pulumi.ResourceOptions | None = None, **settings: Unpack[SettingsInputs]
    ) -> None:
        _refuse_unknown(settings)
        explicit = {field: value for field, value in settings.items() if value is not None}
        from_stack = {CONFIG_KEYS[key]: value for key, value in _stack_config().items()}
        merged: dict[str, Any] = merge_sources(explicit, from_stack, kinds=KINDS)
        self._inputs: dict[str, pulumi.Output[str]] = {}
        for field, value in merged.items():
            text = pulumi.Output.from_input(_with_text_keys(value)).apply(partial(_as_text, field))
            self._inputs[_input_key(field)] = pulumi.Output.secret(text) if field in SECRET_FIELDS else text
        super().__init__(PACKAGE, name, {f"{NAMESPACE}:{key}": value for key, value in self._inputs.items()}, opts)

    __init__.__doc__ = _parameters()

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
    config = None
    if provider is not None and (config := await provider.config()) is None:
        return None
    # A program's gates all ask in one turn of the event loop, while no file and no variable changes.
    loop = asyncio.get_running_loop()
    if (loop, provider) not in _loaded_this_turn:
        _loaded_this_turn[loop, provider] = load_settings(_stack_config()) if config is None else _loaded(config)
        loop.call_soon(_loaded_this_turn.pop, (loop, provider), None)
    return _loaded_this_turn[loop, provider]


_loaded_this_turn: Final[dict[tuple[asyncio.AbstractEventLoop, Provider | None], Settings]] = {}


async def resolve_server(provider: Provider | None) -> str | None:
    """
    The server's address, whatever other settings are missing; None where no server is named. Raises SettingsError for
    one that makes no sense.
    """
    config = _stack_config() if provider is None else await provider.config()
    if config is not None:
        config = {key: value for key, value in config.items() if key in CONFIG_KEYS}
    return server_address(config) if names_server(config) else None


def plugin_settings(config: pulumi.dynamic.Config) -> Settings:
    """
    The settings in the plugin's process, by what it was configured with. Raises SettingsError.
    """
    keys = map(_input_key, SETTINGS)
    return _loaded({key: value for key in keys if (value := config.get(f"{NAMESPACE}:{key}")) is not None})


def _input_key(field: str) -> str:
    """
    The key of a setting among a provider's inputs. What the stack's configuration must not give has one that no
    configuration can have, with a second colon: the plugin gets the stack's whole configuration in the same way.
    """
    return config_key(field) if SETTINGS[field].in_stack_config else f"{_OF_A_PROGRAM}{config_key(field)}"


def _loaded(inputs: Mapping[str, object]) -> Settings:
    given = {field: inputs.get(_input_key(field)) for field in SETTINGS}
    explicit = {field: value for field, value in given.items() if not SETTINGS[field].in_stack_config}
    return load_settings({key: value for key, value in inputs.items() if key in CONFIG_KEYS}, **explicit)


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
    _warn_of_unknown_keys()
    config = pulumi.Config(NAMESPACE)
    return {key: value for key in CONFIG_KEYS if (value := config.get(key)) is not None}


_warned_of: Final[set[str]] = set()


def _warn_of_unknown_keys() -> None:
    """
    Warn of each key under `keyfactor:` that is no setting, once a process. No error: another provider may read it.
    """
    given = {key.removeprefix(f"{NAMESPACE}:") for key in config_keys() if key.startswith(f"{NAMESPACE}:")}
    for key in sorted(given - CONFIG_KEYS.keys() - _warned_of):
        _warned_of.add(key)
        if (field := _field_of(key)) is not None:
            pulumi.log.warn(
                f"{NAMESPACE}:{key} is not taken from the stack's configuration, where any pull request could name a"
                f" program to run: give it as {SETTINGS[field].variable}, in the profile file, or to a kf.Provider"
            )
            continue
        known = {_plain(setting): setting for setting in CONFIG_KEYS}
        nearest = difflib.get_close_matches(_plain(key), known, n=1)
        pulumi.log.warn(
            f"{NAMESPACE}:{safe_line(key, longest=60)} in the stack's configuration is no setting of kf_provider; "
            + (f"did you mean {NAMESPACE}:{known[nearest[0]]}?" if nearest else f"it knows {', '.join(CONFIG_KEYS)}")
        )


def _field_of(key: str) -> str | None:
    return next((field for field in SETTINGS if key == config_key(field)), None)


def _plain(key: str) -> str:
    # `api_path`, `API-PATH` and `Hostname` are as near as `hostnme`.
    return re.sub(r"[\W_]", "", key).lower()


def _with_text_keys(value: Any) -> Any:
    # Output.from_input makes keywords of a mapping's keys.
    return {str(key): part for key, part in value.items()} if isinstance(value, Mapping) else value


@only_ours(SettingsError)
def _as_text(field: str, value: object) -> str:
    """
    A setting as a configuration value: the engine's provider inputs are text, as `pulumi config` has them.
    """
    if field == "credential_command" and not isinstance(value, str) and isinstance(value, Sequence):
        return json.dumps(list(value))  # its words may have commas and blanks in them
    if isinstance(value, str):
        return value
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return json.dumps({str(key): name for key, name in value.items()})
    if isinstance(value, Sequence):
        return ",".join(str(part) for part in value)
    raise SettingsError(f"a setting of kf_provider.Provider is a {type(value).__name__}; give text, a number or a list")
