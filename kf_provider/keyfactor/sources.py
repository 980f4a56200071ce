"""
Where settings come from.

Explicit arguments win over the stack's configuration, that over the environment, that over the profile file, that over
the defaults. The names in the environment and the profile file are those of Keyfactor's own tools.

Imports neither pydantic nor requests: who only asks which server is meant need not wait for them.

Source: Keyfactor/keyfactor-auth-client-go, README and auth_providers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from ..errors import SettingsError, only_ours
from ..words import safe_line
from .addresses import checked_api_path, checked_hostname, pinned_address, pinned_url, with_port

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """
    What users are told of a setting, and what it is called in the environment and in the profile file.
    """

    about: str
    variable: str
    profile_key: str | None = None
    in_stack_config: bool = True  # what is there comes with any pull request

    def ways(self, field: str) -> str:
        """
        Every way to give the setting with this name, as messages tell them.
        """
        if not self.in_stack_config:
            return f"{field} ({self.variable})"
        return f"{field} (keyfactor:{config_key(field)} or {self.variable})"


class CredentialKind(Protocol):
    """
    A kind of credentials, as far as sources tell kinds apart: what says that one is meant (each set alone does), all
    that belongs to it, what must be there (of a tuple, one), and Keyfactor's word for it.
    """

    @property
    def identified_by(self) -> tuple[frozenset[str], ...]: ...

    @property
    def needs(self) -> tuple[str | tuple[str, ...], ...]: ...

    @property
    def auth_type(self) -> str: ...

    @property
    def fields(self) -> frozenset[str]: ...


K = TypeVar("K", bound=CredentialKind)

HOSTNAME: Final = Setting(
    "the server, with scheme and port where they are not https and 443", "KEYFACTOR_HOSTNAME", "host"
)
API_PATH: Final = Setting(
    "the path of the API on the server; `KeyfactorAPI` unless it was changed at its installation",
    "KEYFACTOR_API_PATH",
    "api_path",
)
FORMER_SERVERS: Final = Setting(
    "addresses that this server had before, so that what was recorded there counts: a list, or text with commas",
    "KEYFACTOR_FORMER_SERVERS",
)
AUTH_TYPE: Final = Setting(
    "`basic`, `oauth` or `kerberos`; without it, what is given tells", "KEYFACTOR_AUTH_TYPE", "auth_type"
)
DEFAULT_API_PATH: Final = "KeyfactorAPI"
PORT: Final = Setting("", "KEYFACTOR_PORT", "port")  # in sources alone: it becomes a part of the host name


def config_key(field: str) -> str:
    """
    A setting's key in the stack's configuration: camelCase.
    """
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def is_unset(value: object) -> bool:
    """
    None, and an empty text, as CI systems give for a missing variable.
    """
    return value is None or (isinstance(value, str) and not value.strip())


def find_settings(
    settings: Mapping[str, Setting],
    kinds: Sequence[CredentialKind],
    explicit: Mapping[str, object],
    config: Mapping[str, object],
) -> dict[str, object]:
    """
    The values of these settings, as they were given; `config` has the stack's configuration by its camelCase keys.

    Raises SettingsError when a profile file, or a profile in it, is named and cannot be read.
    """
    profile = _profile()
    known = {**settings, "port": PORT}
    sources = (
        {field: explicit.get(field) for field in settings},
        {field: config.get(config_key(field)) for field, setting in settings.items() if setting.in_stack_config},
        {field: os.environ.get(setting.variable) for field, setting in known.items()},
        {field: profile.get(setting.profile_key) for field, setting in known.items() if setting.profile_key},
    )
    merged = _with_port(merge_sources(*(_with_port(_set(source)) for source in sources), kinds=kinds))
    merged.pop("port", None)  # of no host
    return merged


class Origin(str):
    """
    The value of a setting as text, and where it was found.
    """

    source: str

    @classmethod
    def of(cls, value: object, source: str) -> Origin:
        """
        The value with its source.
        """
        found = cls(value if isinstance(value, str) else json.dumps(value, default=str))
        found.source = source
        return found


def origins(settings: Mapping[str, Setting]) -> tuple[dict[str, Origin], dict[str, Origin]]:
    """
    What the environment gives of these settings, and what the profile file does, each with the name of its place.

    Raises SettingsError when a profile file, or a profile in it, is named and cannot be read.
    """
    profile, (path, name) = _profile(), _profile_place()
    of_environment = {field: os.environ.get(setting.variable) for field, setting in settings.items()}
    of_profile = {field: profile.get(setting.profile_key) for field, setting in settings.items() if setting.profile_key}
    return (
        {field: Origin.of(value, settings[field].variable) for field, value in _set(of_environment).items()},
        {field: Origin.of(value, f"profile {name!r} in {path}") for field, value in _set(of_profile).items()},
    )


def merge_sources(*sources: Mapping[str, T], kinds: Sequence[CredentialKind]) -> dict[str, T]:
    """
    One mapping of field names to values out of several, the highest first.

    The highest source that names any credential, or `auth_type`, decides the *kind* of authentication; what lower
    sources say about other kinds is dropped, and what they say about this kind fills what is missing. So a user name in
    the stack's configuration is never beaten by a token that happens to be in the environment. Within a source,
    `auth_type` decides: a password beside `kerberos` is not one for Basic authentication.
    A value is only compared with None, which counts as absent, and of `auth_type` read: it may be an Output.
    """
    named = [
        _of_its_type({field: value for field, value in source.items() if value is not None}, kinds)
        for source in sources
    ]
    allowed = _allowed_kinds(named, kinds)
    kept = frozenset[str]().union(*(kind.fields for kind in allowed))
    dropped = frozenset[str]().union(*(kind.fields for kind in kinds)) - kept
    merged: dict[str, T] = {}
    for source in reversed(named):
        taken = {field: value for field, value in source.items() if field not in dropped}
        for kind in allowed:
            for one_of in kind.needs:
                if isinstance(one_of, tuple) and taken.keys() & set(one_of):
                    merged = {field: value for field, value in merged.items() if field not in one_of}
        merged |= taken
    if allowed and type_in(merged) not in (None, *(kind.auth_type for kind in allowed)):
        del merged["auth_type"]  # that of a lower source, which decides nothing
    return merged


def _of_its_type(source: Mapping[str, T], kinds: Sequence[CredentialKind]) -> dict[str, T]:
    auth_type = type_in(source)
    others = [kind for kind in kinds if auth_type is not None and kind.auth_type != auth_type]
    if len(others) == len(kinds):  # a type that nobody knows, which is refused when it decides
        others = []
    leftovers = frozenset[str]().union(*(kind.fields for kind in others))
    return {field: value for field, value in source.items() if field not in leftovers}


def _allowed_kinds(named: Sequence[Mapping[str, object]], kinds: Sequence[K]) -> Sequence[K]:
    """
    The kind that the highest source names, or those of its `auth_type`; all of them where none is named.
    """
    for number, source in enumerate(named):
        auth_type = type_in(source)
        if auth_type is None and (kind := kind_named(source.keys(), kinds)) is not None:
            return [kind]
        if auth_type is not None:
            of_type = [kind for kind in kinds if kind.auth_type == auth_type]
            found = (kind_named(lower.keys(), of_type) for lower in named[number:])
            chosen = next((kind for kind in found if kind is not None), None)
            return of_type if chosen is None else [chosen]
    return kinds


def type_in(source: Mapping[str, object]) -> str | None:
    """
    The `auth_type` of a source, in lower case; None without one, and while it is not known.
    """
    given = source.get("auth_type")
    return given.strip().lower() if isinstance(given, str) else None


def kind_named(fields: Set[str], kinds: Sequence[K], auth_type: str | None = None) -> K | None:
    """
    The kind of credentials that these fields mean: the first that they name as a whole, else the first they begin;
    with an `auth_type` one of that type, if need be the one that needs no field.
    """
    if auth_type is not None:
        kinds = [kind for kind in kinds if kind.auth_type == auth_type]
    for kind in kinds:
        if any(whole <= fields for whole in kind.identified_by):
            return kind
    for kind in kinds:
        if any(part & fields for part in kind.identified_by):
            return kind
    begun = next((kind for kind in kinds if kind.fields & fields), None)
    if begun is None and auth_type is not None:
        return next((kind for kind in kinds if not kind.needs), None)
    return begun


@only_ours(SettingsError)
def server_address(config: Mapping[str, object] | None = None, /, **explicit: object) -> str:
    """
    The server's address, as `Settings.server` has it, without looking at any other setting.

    Raises SettingsError when no server is named, or what is named makes no sense.
    """
    settings = {"hostname": HOSTNAME, "api_path": API_PATH}
    found = {"api_path": DEFAULT_API_PATH, **find_settings(settings, (), explicit, config or {})}
    if "hostname" not in found:
        raise SettingsError(with_profile_trouble(f"missing settings: {HOSTNAME.ways('hostname')}"))
    return pinned_address(
        _checked("hostname", HOSTNAME, checked_hostname, found["hostname"]),
        _checked("api_path", API_PATH, checked_api_path, found["api_path"]),
    )


def names_server(config: Mapping[str, object] | None = None, /) -> bool:
    """
    Whether any source names a server, also one that makes no sense. Raises SettingsError.
    """
    return "hostname" in find_settings({"hostname": HOSTNAME}, (), {}, config or {})


def former_servers(config: Mapping[str, object] | None = None, /) -> tuple[str, ...]:
    """
    The addresses that the server had before, in their pinned form. Raises SettingsError.
    """
    found = find_settings({"former_servers": FORMER_SERVERS}, (), {}, config or {})
    try:
        return checked_servers(found.get("former_servers", ()))
    except ValueError as odd:
        raise SettingsError(f"{FORMER_SERVERS.ways('former_servers')} {odd}") from None


def checked_servers(value: object) -> tuple[str, ...]:
    """
    A list of addresses, also as text with commas or JSON, in their pinned form. Raises ValueError.
    """
    return tuple(pinned_url(part, DEFAULT_API_PATH) for part in listed(value))


def listed(value: object) -> list[str]:
    """
    The parts of a list, or of a text with commas or spaces between them, or of JSON. Raises ValueError.
    """
    parts = parts_of(value) if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise ValueError("is not a list of texts")
    return list(parts)


def parts_of(text: str) -> Any:
    """
    What a text with commas or spaces between its parts holds, or one that is a JSON list. Raises ValueError.
    """
    return json_setting(text) if text.strip().startswith("[") else re.findall(r"[^,\s]+", text)


def json_setting(text: str, *, of_object: Callable[[list[tuple[str, Any]]], object] = dict) -> Any:
    """
    A setting that is written as JSON, each of its objects made by `of_object`. Raises ValueError, as validators do.
    """
    try:
        return json.loads(text, object_pairs_hook=of_object)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


def _checked(field: str, setting: Setting, check: Callable[[str], str], value: object) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{setting.ways(field)}: input should be a valid string")
    try:
        return check(value)
    except ValueError as odd:
        raise SettingsError(f"{setting.ways(field)} {odd}") from None


def _set(source: Mapping[str, object]) -> dict[str, object]:
    return {field: value for field, value in source.items() if not is_unset(value)}


def _with_port(source: Mapping[str, object]) -> dict[str, object]:
    # A port belongs to the host name beside it; alone, it completes the one from another source.
    joined = dict(source)
    hostname = joined.get("hostname")
    if isinstance(hostname, str) and (port := str(joined.pop("port", "") or "").strip()) not in ("", "0"):
        joined["hostname"] = with_port(hostname, port)
    return joined


def with_profile_trouble(missing: str) -> str:
    """
    The text about missing settings, with a line of its own when the profile file is there and gives nothing.
    """
    path, profile = _profile_place()
    try:
        provider = _read_profile(path, profile).get("auth_provider")
    except SettingsError as unusable:
        return f"{missing}\n{unusable}" if os.path.exists(os.path.expanduser(path)) else missing
    kind = provider.get("type") if isinstance(provider, dict) else provider
    if not kind:
        return missing
    return (
        f"{missing}\nthe profile {profile!r} in {path} leaves its credentials to its auth_provider"
        f" ({safe_line(str(kind), longest=40)}), which is not supported: give them as settings, or let a"
        f" credential_command fetch a token, for example `az account get-access-token`"
    )


def _profile_place() -> tuple[str, str]:
    path = os.environ.get("KEYFACTOR_AUTH_CONFIG_FILE", "").strip()
    profile = os.environ.get("KEYFACTOR_AUTH_CONFIG_PROFILE", "").strip()
    return path or "~/.keyfactor/command_config.json", profile or "default"


def _profile() -> Mapping[str, object]:
    is_named = any(not is_unset(os.environ.get(f"KEYFACTOR_AUTH_CONFIG_{part}")) for part in ("FILE", "PROFILE"))
    try:
        return _read_profile(*_profile_place())
    except SettingsError:
        if is_named:
            raise
        return {}  # named in the error about missing settings, when there is one


def _read_profile(path: str, profile: str) -> Mapping[str, object]:
    trouble, cause = "", None
    try:
        file = Path(path).expanduser()
        path = str(file)
        servers = json.loads(file.read_text(encoding="utf-8-sig"))["servers"]
        if profile in servers and isinstance(servers[profile], dict):
            return _with_kerberos_names(servers[profile])
        trouble = (
            f"the profile {profile!r} in {path} is not an object"
            if profile in servers
            else _without(profile, path, servers)
        )
    except json.JSONDecodeError as odd:
        trouble = f"the profile file {path} is not JSON (line {odd.lineno})"
    except RecursionError:
        trouble = f"the profile file {path} is JSON of too many levels"
    except UnicodeDecodeError:
        trouble = f"the profile file {path} is not UTF-8"
    except (OSError, RuntimeError, ValueError) as broken:  # RuntimeError: no home; ValueError: no path
        trouble, cause = f"the profile file {path} cannot be read", broken
    except (KeyError, TypeError, AttributeError):
        trouble = _without(profile, path, {})
    # Of an odd content without the cause: the text of the file, with its secrets, is in it.
    raise SettingsError(f"{trouble}; see KEYFACTOR_AUTH_CONFIG_FILE and KEYFACTOR_AUTH_CONFIG_PROFILE") from cause


def _with_kerberos_names(profile: Mapping[str, object]) -> dict[str, object]:
    """
    The profile with a user and a password for Kerberos under names of their own: Keyfactor's tools use those of Basic.
    """
    found = dict(profile)
    auth_type = type_in(found)
    has_own = any(key.startswith("kerberos_") and not is_unset(value) for key, value in found.items())
    if auth_type == "kerberos" or (auth_type is None and has_own):
        for key in ("username", "password"):
            found[f"kerberos_{key}"] = found.pop(key, None)
        # The domain of a user name belongs to Basic; a realm has a name of its own.
        found.pop("domain", None)
    return found


def _without(profile: str, path: str, servers: Mapping[str, object]) -> str:
    names = ", ".join(repr(safe_line(str(name), longest=40)) for name in list(servers)[:5])
    return f"the profile file {path} has no profile {profile!r}{f', but {names}' if names else ''}"
