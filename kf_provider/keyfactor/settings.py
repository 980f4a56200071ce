"""
The settings: which there are, of which types, and whether they are complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NoReturn, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator

from ..durations import seconds_in
from ..errors import SettingsError, only_ours
from ..words import safe_line
from .addresses import base_url, checked_api_path, checked_hostname, pinned_address
from .inputs import Input
from .kinds import KINDS, CredentialInputs, CredentialSettings
from .kinds.kind import Fields, Kind, settings_in
from .models import Status, canonical_status
from .sources import (
    API_PATH,
    AUTH_TYPE,
    DEFAULT_API_PATH,
    FORMER_SERVERS,
    HOSTNAME,
    PORT,
    Setting,
    checked_servers,
    config_key,
    find_settings,
    is_unset,
    json_setting,
    kind_named,
    merge_sources,
    type_in,
    with_profile_trouble,
)

Gates: TypeAlias = Literal["wait", "check", "off"]
AuthType: TypeAlias = Literal["basic", "oauth", "kerberos"]
AUTH_TYPES: Final = get_args(AuthType)


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


def _new_number(number: object, named: Mapping[int, str]) -> int:
    is_small = isinstance(number, int) and abs(number) < 10**9
    digits = number.strip() if isinstance(number, str) else str(number) if is_small else ""
    if not re.fullmatch("-?[0-9]{1,9}", digits):
        raise ValueError("has a key that is no number of a status")
    if int(digits) in named:
        raise ValueError(f"names the number {digits} twice")  # and would open a gate by the word that comes last
    return int(digits)


def _status_names(value: object) -> object:
    if isinstance(value, str) and value.strip().startswith("{"):
        pairs = json_setting(value, of_object=list)  # a dict would keep the last of two with one number
    elif isinstance(value, str):
        parts = [part.partition("=") for part in value.split(",") if part.strip()]
        pairs = [(number, word.strip()) for number, _, word in parts]
    elif isinstance(value, Mapping):
        pairs = [*value.items()]
    else:
        return value
    named: dict[int, str] = {}
    for number, word in pairs:
        if not isinstance(word, str) or not word.strip():
            raise ValueError("does not give a word for each number")
        named[_new_number(number, named)] = canonical_status(word)
    if odd := next((word for word in named.values() if word not in set(Status)), None):
        *words, last = Status
        raise ValueError(f"has the word {odd[:60]!r}, which is none of Keyfactor's: give {', '.join(words)} or {last}")
    return named


def _auth_type(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() not in AUTH_TYPES:
        raise ValueError(
            f"is {safe_line(value, longest=40)!r}, which is not supported: give {', '.join(AUTH_TYPES)}, or leave it"
            " out"
        )
    return value.strip().lower() if isinstance(value, str) else value


class ServerSettings(Fields):
    """
    Which server.
    """

    hostname: Annotated[str, AfterValidator(checked_hostname), HOSTNAME]
    api_path: Annotated[str, AfterValidator(checked_api_path), API_PATH] = DEFAULT_API_PATH

    @property
    def base_url(self) -> str:
        """
        `https://host[:port]/KeyfactorAPI`, without a slash at the end.
        """
        return base_url(self.hostname, self.api_path)

    @property
    def server(self) -> str:
        """
        The server as users are shown it, and as it is recorded: one address for every way to write it.
        """
        return pinned_address(self.hostname, self.api_path)


class Settings(CredentialSettings, ServerSettings):
    """
    Which server, who we are, and how to talk. Complete: the hostname and one kind of credentials are there.

    Times are in seconds. Secrets do not show, and settings cannot be pickled: they would take the secrets along.
    Hashable: equal settings may share what is made by them. Raises SettingsError, with all that is wrong in it.
    """

    auth_type: Annotated[AuthType | None, BeforeValidator(_auth_type), AUTH_TYPE] = None
    ca_cert: Annotated[
        str | None,
        Setting(
            "the server's certificate authorities, PEM text or the path of a PEM file",
            "KEYFACTOR_CA_CERT",
            "ca_cert_path",
        ),
    ] = None
    auth_ca_cert: Annotated[
        str | None,
        Setting(
            "the same for the identity provider; without it, `ca_cert` and the system's roots",
            "KEYFACTOR_AUTH_CA_CERT",
        ),
    ] = None
    skip_verify: Annotated[
        bool,
        BeforeValidator(_truth),
        Setting("True trusts any certificate", "KEYFACTOR_SKIP_VERIFY", "skip_tls_verify"),
    ] = False
    request_timeout: Annotated[
        float,
        BeforeValidator(_seconds),
        Field(gt=0, allow_inf_nan=False),
        Setting("seconds for one call, or a duration such as `90s`", "KEYFACTOR_CLIENT_TIMEOUT"),
    ] = 60.0
    gates: Annotated[
        Gates,
        Setting("`wait`, `check` or `off`, see `WorkflowApproval`", "KEYFACTOR_GATES"),
    ] = "wait"
    outage_seconds: Annotated[
        float,
        BeforeValidator(_seconds),
        Field(ge=0, allow_inf_nan=False),
        Setting("how long a server may be silent while a gate waits", "KEYFACTOR_OUTAGE_SECONDS"),
    ] = 600.0
    former_servers: Annotated[tuple[str, ...], BeforeValidator(checked_servers), FORMER_SERVERS] = ()
    status_names: Annotated[
        Mapping[int, str],
        BeforeValidator(_status_names),
        Setting(
            'what the status numbers of this server mean, as {3: "Complete", ...}',
            "KEYFACTOR_STATUS_NAMES",
        ),
    ] = {}

    @only_ours(SettingsError)
    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as invalid:
            raise SettingsError("; ".join(_complaints(invalid))) from None  # its own text is about this class

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        # Before the validators of the kinds, which so see one kind alone: pydantic calls the inherited ones last.
        if not isinstance(given, Mapping):
            return given
        named = {field: value for field, value in given.items() if not is_unset(value)}
        if missing := _missing(named):
            raise ValueError(missing)
        if odd := [field for field, value in named.items() if field not in _PATHS and not _is_text(value)]:
            raise ValueError("; ".join(f"{_ways(field)} is not text in UTF-8" for field in odd))
        return merge_sources(named, kinds=KINDS)  # of several kinds of credentials, one

    @property
    def credential_kind(self) -> Kind[CredentialSettings]:
        """
        The kind of credentials that are there.
        """
        given = {field for field in self.model_fields_set if getattr(self, field) is not None}
        kind = kind_named(given, KINDS, self.auth_type)
        assert kind is not None  # noqa: S101 - see _complete
        return kind

    @property
    def identity(self) -> str:
        """
        Who we are, without a secret: `basic:DOMAIN\\user`, `oauth:client@host` or `token:` and 8 digits of its hash.
        """
        return self.credential_kind.identity(self)

    def __hash__(self) -> int:
        return hash(tuple(frozenset(value.items()) if isinstance(value, Mapping) else value for _, value in self))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("settings hold credentials and are not pickled: load them where they are used")


class SettingsInputs(CredentialInputs, total=False):
    """
    The settings as a program gives them: text as in the stack's configuration, or values, now or later.
    """

    hostname: Input[str] | None
    api_path: Input[str] | None
    auth_type: Input[AuthType] | None
    ca_cert: Input[str] | None
    auth_ca_cert: Input[str] | None
    skip_verify: Input[bool | str] | None
    request_timeout: Input[float | str | timedelta] | None
    gates: Input[Gates] | None
    outage_seconds: Input[float | str | timedelta] | None
    former_servers: Input[str | Sequence[str]] | None
    status_names: Input[str | Mapping[int, str]] | None


SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(settings_in(Settings))
CONFIG_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {config_key(field): field for field, setting in SETTINGS.items() if setting.in_stack_config}
)
ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {setting.variable: field for field, setting in {**SETTINGS, "port": PORT}.items()}
)
_PATHS: Final = frozenset({"ca_cert", "auth_ca_cert"})  # a file's name may be in any encoding
SECRET_FIELDS: Final = frozenset(
    field for field, info in Settings.model_fields.items() if SecretStr in (info.annotation, *get_args(info.annotation))
)


@only_ours(SettingsError)
def load_settings(config: Mapping[str, object] | None = None, /, **explicit: object) -> Settings:
    """
    The settings out of explicit arguments, the stack's configuration, the environment, the profile file and defaults.

    `config` has the stack's configuration: camelCase keys without the `keyfactor:` prefix, values as the engine gives
    them (strings; JSON for lists and maps). Empty strings and None count as not set.
    Raises SettingsError: for unknown names, missing settings (all of them in one message), and values without sense.
    """
    if unknown := explicit.keys() - SETTINGS.keys():
        raise SettingsError(f"there is no setting {', '.join(sorted(unknown))}: {', '.join(sorted(SETTINGS))}")
    if config and (unknown := config.keys() - CONFIG_KEYS.keys()):
        raise SettingsError(
            f"there is no setting {', '.join(f'keyfactor:{key}' for key in sorted(unknown))}: {', '.join(CONFIG_KEYS)}"
        )
    found = find_settings(SETTINGS, KINDS, explicit, config or {})
    if missing := _missing(found):
        raise SettingsError(with_profile_trouble(missing))
    return Settings(**found)


def _complaints(invalid: ValidationError) -> Iterator[str]:
    for error in invalid.errors(include_input=False, include_url=False, include_context=False):
        message = error["msg"].removeprefix("Value error, ")
        if not error["loc"]:
            yield message
        elif error["loc"][0] not in SETTINGS:
            yield f"there is no setting {error['loc'][0]}"
        elif error["msg"] == message:
            yield f"{_ways(str(error['loc'][0]))}: {message[:1].lower()}{message[1:]}"
        else:
            yield f"{_ways(str(error['loc'][0]))} {message}"


def _missing(named: Mapping[str, object]) -> str | None:
    missing = [] if "hostname" in named else [_ways("hostname")]
    auth_type = type_in(named)
    if auth_type is None or auth_type in AUTH_TYPES:  # else that is what is wrong
        missing += _missing_credentials(named, auth_type)
    return f"missing settings: {'; '.join(missing)}" if missing else None


def _missing_credentials(named: Mapping[str, object], auth_type: str | None) -> Iterator[str]:
    kind = kind_named(named.keys(), KINDS, auth_type)
    if kind is None:
        kinds = [kind for kind in KINDS if auth_type in (None, kind.auth_type)]
        choices = (" and ".join(_ways_of(need) for need in kind.needs) or _AS_ONESELF for kind in kinds)
        yield "\n- ".join(["credentials, in one of these ways:", *choices])
        return
    for need in kind.needs:
        if not named.keys() & ({need} if isinstance(need, str) else set(need)):
            yield _ways_of(need)


_AS_ONESELF: Final = f"{AUTH_TYPE.ways('auth_type')} kerberos, with a ticket (kinit)"


def _ways_of(need: str | tuple[str, ...]) -> str:
    return _ways(need) if isinstance(need, str) else " or ".join(_ways(field) for field in need)


def _is_text(value: object) -> bool:
    # What is no UTF-8 in the environment comes as lone surrogates, which nothing can send.
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    parts = text if isinstance(text, list | tuple) else [text]
    return not any("\ud800" <= sign <= "\udfff" for part in parts if isinstance(part, str) for sign in part)


def _ways(field: str) -> str:
    return SETTINGS[field].ways(field)
