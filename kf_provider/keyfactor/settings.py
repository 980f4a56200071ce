"""
Where settings come from.

Explicit arguments win over the stack's configuration, that over the environment, that over the profile file, that over
the defaults. The names in the environment and the profile file are those of Keyfactor's own tools.

Source: Keyfactor/keyfactor-auth-client-go, README and auth_providers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from ..durations import seconds_in
from ..errors import SettingsError
from ..models import Status, canonical_status

T = TypeVar("T")
AuthKind = Literal["access_token", "client_credentials", "basic"]

ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "KEYFACTOR_HOSTNAME": "hostname",
        "KEYFACTOR_PORT": "port",
        "KEYFACTOR_API_PATH": "api_path",
        "KEYFACTOR_USERNAME": "username",
        "KEYFACTOR_PASSWORD": "password",
        "KEYFACTOR_DOMAIN": "domain",
        "KEYFACTOR_AUTH_CLIENT_ID": "client_id",
        "KEYFACTOR_AUTH_CLIENT_SECRET": "client_secret",
        "KEYFACTOR_AUTH_TOKEN_URL": "token_url",
        "KEYFACTOR_AUTH_SCOPES": "scopes",
        "KEYFACTOR_AUTH_AUDIENCE": "audience",
        "KEYFACTOR_AUTH_ACCESS_TOKEN": "access_token",
        "KEYFACTOR_CA_CERT": "ca_cert",
        "KEYFACTOR_SKIP_VERIFY": "skip_verify",
        "KEYFACTOR_CLIENT_TIMEOUT": "request_timeout",
        "KEYFACTOR_GATES": "gates",
        "KEYFACTOR_OUTAGE_SECONDS": "outage_seconds",
        "KEYFACTOR_STATUS_NAMES": "status_names",
    }
)
SECRET_FIELDS: Final = frozenset({"password", "client_secret", "access_token"})

# The kinds of authentication, in the order in which Keyfactor's tools choose: what says that one is meant, what it
# needs, and all that belongs to it.
_IDENTIFYING: Final[Mapping[AuthKind, frozenset[str]]] = {
    "access_token": frozenset({"access_token"}),
    "client_credentials": frozenset({"client_id", "client_secret"}),
    "basic": frozenset({"username", "password"}),
}
_NEEDED: Final[Mapping[AuthKind, tuple[str, ...]]] = {
    "access_token": ("access_token",),
    "client_credentials": ("client_id", "client_secret", "token_url"),
    "basic": ("username", "password"),
}
_CREDENTIALS: Final[Mapping[AuthKind, frozenset[str]]] = {
    "access_token": frozenset({"access_token"}),
    "client_credentials": frozenset({"client_id", "client_secret", "token_url", "scopes", "audience"}),
    "basic": frozenset({"username", "password", "domain"}),
}
_ALL_CREDENTIALS: Final = frozenset[str]().union(*_CREDENTIALS.values())
_PROFILE_KEYS: Final = {"host": "hostname", "ca_cert_path": "ca_cert", "skip_tls_verify": "skip_verify"} | {
    field: field for field in ("port", "api_path", *_ALL_CREDENTIALS)
}


def merge_sources(*sources: Mapping[str, T]) -> dict[str, T]:
    """
    One mapping of field names to values out of several, the highest first.

    The highest source that names any credential decides the *kind* of authentication; what lower sources say about
    other kinds is dropped, and what they say about this kind fills what is missing. So a user name in the stack's
    configuration is never beaten by a token that happens to be in the environment.
    A value is only compared with None, which counts as absent: it may be an Output.
    """
    named = [{field: value for field, value in source.items() if value is not None} for source in sources]
    kind = next((kind for source in named if (kind := _kind(source)) is not None), None)
    dropped = _ALL_CREDENTIALS - _CREDENTIALS[kind] if kind else frozenset()
    merged: dict[str, T] = {}
    for source in reversed(named):
        merged |= {field: value for field, value in source.items() if field not in dropped}
    return merged


def _kind(source: Mapping[str, object]) -> AuthKind | None:
    for kind, fields in _IDENTIFYING.items():
        if fields <= source.keys():
            return kind
    for groups in (_IDENTIFYING, _CREDENTIALS):
        for kind, fields in groups.items():
            if fields & source.keys():
                return kind
    return None


def is_loopback(host: str) -> bool:
    """
    Whether this host can only be the machine itself.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _origin(address: str) -> str:
    # scheme://host[:port]; a path is dropped, as Keyfactor's tools do.
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a host name, a host and a port, or a URL") from None
    if parts.scheme not in ("https", "http"):
        raise ValueError("has a scheme other than https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has credentials in it: give them as settings of their own")
    is_v6 = ":" in host
    if parts.query or parts.fragment or (not is_v6 and re.fullmatch(r"[\w.-]+", host) is None):
        raise ValueError("is not a host name, a host and a port, or a URL")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("is plain http, which would show the credentials to the network: use https")
    is_usual = port in (None, 443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{f'[{host}]' if is_v6 else host}{'' if is_usual else f':{port}'}"


def _hostname(value: str) -> str:
    value = value.strip()
    _origin(value)
    return value


def _token_url(value: str) -> str:
    value = value.strip()
    if "://" not in value:
        raise ValueError("is not a URL")
    _origin(value)
    return value


def _api_path(value: str) -> str:
    value = value.strip().strip("/")
    if any(part in ("", ".", "..") for part in value.split("/")) or re.search(r"[?#\\\s]", value):
        raise ValueError('is not a path such as "KeyfactorAPI"')
    return value


def _username(value: str) -> str:
    if ":" in value:  # RFC 7617, section 2: everything after it would be the password
        raise ValueError("has a colon in it, which Basic authentication cannot carry")
    return value


def _truth(value: object) -> object:
    # Keyfactor's tools take "true" and "1" alone for yes; "yes" must not switch verification off here and on there.
    if isinstance(value, str):
        word = value.strip().lower()
        if word not in ("true", "1", "false", "0"):
            raise ValueError('is neither "true" nor "false"')
        return word in ("true", "1")
    return value


def _seconds(value: object) -> float:
    seconds = seconds_in(value)
    if seconds is None:
        raise ValueError('is not a number of seconds, nor a duration such as "60s"')
    return seconds


def _scopes(value: object) -> object:
    if isinstance(value, str):
        return _json(value) if value.strip().startswith("[") else re.findall(r"[^,\s]+", value)
    return value


def _status_names(value: object) -> object:
    if isinstance(value, str):
        if value.strip().startswith("{"):
            value = _json(value)
        else:
            pairs = [part.partition("=") for part in value.split(",") if part.strip()]
            value = {number.strip(): word.strip() for number, _, word in pairs}
    if isinstance(value, Mapping):
        if not all(isinstance(word, str) and word.strip() for word in value.values()):
            raise ValueError("does not give a word for each number")
        named = {number: canonical_status(word) for number, word in value.items()}
        if odd := next((word for word in named.values() if word not in set(Status)), None):
            *words, last = Status
            raise ValueError(
                f"has the word {odd[:60]!r}, which is none of Keyfactor's: give {', '.join(words)} or {last}"
            )
        return named
    return value


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("is not JSON") from None


class Settings(BaseModel):
    """
    Which server, who we are, and how to talk. Complete: the hostname and one kind of credentials are there.

    Times are in seconds. Secrets do not show, and settings cannot be pickled: they would take the secrets along.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    hostname: Annotated[str, AfterValidator(_hostname)]
    api_path: Annotated[str, AfterValidator(_api_path)] = "KeyfactorAPI"
    username: Annotated[str, AfterValidator(_username)] | None = None
    password: SecretStr | None = None
    domain: Annotated[str, AfterValidator(_username)] | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    token_url: Annotated[str, AfterValidator(_token_url)] | None = None
    scopes: Annotated[tuple[str, ...], BeforeValidator(_scopes)] = ()
    audience: str | None = None
    access_token: SecretStr | None = None
    ca_cert: str | None = None
    skip_verify: Annotated[bool, BeforeValidator(_truth)] = False
    request_timeout: Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)] = 60.0
    gates: Literal["wait", "check", "off"] = "wait"
    outage_seconds: Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)] = 600.0
    status_names: Annotated[Mapping[int, str], BeforeValidator(_status_names)] = {}

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        named = {field: value for field, value in given.items() if not _is_unset(value)}
        if missing := _missing(named):
            raise ValueError(missing)
        return _with_domain(merge_sources(named))  # of several kinds of credentials, one

    @property
    def auth_kind(self) -> AuthKind:
        """
        The kind of authentication: a token as it is, OAuth client credentials, or Basic.
        """
        if self.access_token is not None:
            return "access_token"
        return "client_credentials" if self.client_id is not None else "basic"

    @property
    def base_url(self) -> str:
        """
        `https://host[:port]/KeyfactorAPI`, without a slash at the end.
        """
        return f"{_origin(self.hostname)}/{quote(self.api_path)}"

    @property
    def server(self) -> str:
        """
        The server as users are shown it.
        """
        return self.base_url

    @property
    def identity(self) -> str:
        """
        Who we are, without a secret: `basic:DOMAIN\\user`, `oauth:client@host` or `token:` and 8 digits of its hash.
        """
        if self.access_token is not None:
            # The one look at a secret outside auth.py: two tokens are two identities.
            return f"token:{hashlib.sha256(self.access_token.get_secret_value().encode()).hexdigest()[:8]}"
        if self.client_id is not None:
            return f"oauth:{self.client_id}@{urlsplit(self.token_url or '').netloc}"
        return f"basic:{self.qualified_username}"

    @property
    def qualified_username(self) -> str:
        """
        `DOMAIN\\user`, or the user name alone when no domain is known.
        """
        return f"{self.domain}\\{self.username}" if self.domain else self.username or ""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("settings hold credentials and are not pickled: load them where they are used")


CONFIG_KEYS: Final[Mapping[str, str]] = MappingProxyType({to_camel(field): field for field in Settings.model_fields})


def load_settings(config: Mapping[str, object] | None = None, /, **explicit: object) -> Settings:
    """
    The settings out of explicit arguments, the stack's configuration, the environment, the profile file and defaults.

    `config` has the stack's configuration: camelCase keys without the `keyfactor:` prefix, values as the engine gives
    them (strings; JSON for lists and maps). Empty strings and None count as not set.
    Raises SettingsError: for unknown names, missing settings (all of them in one message), and values without sense.
    """
    if unknown := explicit.keys() - Settings.model_fields.keys():
        raise SettingsError(
            f"there is no setting {', '.join(sorted(unknown))}: {', '.join(sorted(Settings.model_fields))}"
        )
    if config and (unknown := config.keys() - CONFIG_KEYS.keys()):
        raise SettingsError(
            f"there is no setting {', '.join(f'keyfactor:{key}' for key in sorted(unknown))}: {', '.join(CONFIG_KEYS)}"
        )
    sources: list[Mapping[str, object]] = [
        explicit,
        {CONFIG_KEYS[key]: value for key, value in (config or {}).items()},
        {field: os.environ.get(name) for name, field in ENVIRONMENT.items()},
        _profile(),
    ]
    merged = merge_sources(
        *(_with_port({field: value for field, value in source.items() if not _is_unset(value)}) for source in sources)
    )
    merged = _with_port(merged)
    merged.pop("port", None)  # of no host
    try:
        return Settings.model_validate(merged)
    except ValidationError as invalid:
        raise SettingsError("; ".join(_complaints(invalid))) from None  # its own text is about this class


def _complaints(invalid: ValidationError) -> Iterator[str]:
    for error in invalid.errors(include_input=False, include_url=False, include_context=False):
        message = error["msg"].removeprefix("Value error, ")
        if not error["loc"]:
            yield message
        elif error["msg"] == message:
            yield f"{_ways(str(error['loc'][0]))}: {message[:1].lower()}{message[1:]}"
        else:
            yield f"{_ways(str(error['loc'][0]))} {message}"


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _with_port(source: Mapping[str, object]) -> dict[str, object]:
    # A port belongs to the host name beside it; alone, it completes the one from another source.
    joined = dict(source)
    hostname = joined.get("hostname")
    if isinstance(hostname, str) and (port := str(joined.pop("port", "") or "").strip()) not in ("", "0"):
        address = hostname.strip().rstrip("/")
        try:
            parts = urlsplit(address if "://" in address else f"https://{address}")
            if parts.port is None:
                joined["hostname"] = parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
        except ValueError:
            pass  # an odd host name gets its own complaint, from Settings
    return joined


def _with_domain(named: dict[str, object]) -> dict[str, object]:
    # As Keyfactor's tools: `user@domain` and `DOMAIN\user` win over a domain of its own.
    username = named.get("username")
    if not isinstance(username, str):
        return named
    domain, found, user = username.strip().partition("\\")
    if not found:
        user, found, domain = username.strip().partition("@")
    if not found:
        return named
    if not domain or not user or found in domain + user:
        raise ValueError(f"{_ways('username')} is not of the form DOMAIN\\user or user@domain")
    return named | {"domain": domain, "username": user}


def _missing(named: Mapping[str, object]) -> str | None:
    missing = [] if "hostname" in named else [_ways("hostname")]
    kind = _kind(named)
    if kind is None:
        choices = (" and ".join(_ways(field) for field in fields) for fields in _NEEDED.values())
        missing.append(f"credentials: {', or '.join(choices)}")
    else:
        missing += [_ways(field) for field in _NEEDED[kind] if field not in named]
    return f"missing settings: {'; '.join(missing)}" if missing else None


def _ways(field: str) -> str:
    key = next((key for key, name in CONFIG_KEYS.items() if name == field), field)
    variable = next((variable for variable, name in ENVIRONMENT.items() if name == field), None)
    return f"{field} (keyfactor:{key} or {variable})" if variable else field


def _profile() -> dict[str, object]:
    path = os.environ.get("KEYFACTOR_AUTH_CONFIG_FILE", "").strip()
    profile = os.environ.get("KEYFACTOR_AUTH_CONFIG_PROFILE", "").strip()
    try:
        return _read_profile(Path(path or "~/.keyfactor/command_config.json").expanduser(), profile or "default")
    except SettingsError:
        if path or profile:
            raise
        return {}


def _read_profile(path: Path, profile: str) -> dict[str, object]:
    advice = "see KEYFACTOR_AUTH_CONFIG_FILE and KEYFACTOR_AUTH_CONFIG_PROFILE"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        server = content["servers"][profile]
    except (OSError, RuntimeError) as broken:  # RuntimeError: no home
        raise SettingsError(f"the profile file {path} cannot be read; {advice}") from broken
    except ValueError:
        # Without the cause: the text of the file, with its secrets, is in it.
        raise SettingsError(f"the profile file {path} is not JSON; {advice}") from None
    except (KeyError, TypeError):
        raise SettingsError(f"the profile file {path} has no profile {profile!r}; {advice}") from None
    if not isinstance(server, dict):
        raise SettingsError(f"the profile {profile!r} in {path} is not an object; {advice}")
    return {field: server[key] for key, field in _PROFILE_KEYS.items() if key in server}
