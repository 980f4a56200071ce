"""
What `kf doctor` looks at: each check stands alone, says what it found, and what to do.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from ..durations import spoken
from ..errors import ForbiddenError, KeyfactorError, NotFoundError, SettingsError, UnauthorizedError, unforeseen
from ..keyfactor.addresses import is_loopback
from ..keyfactor.answers import Answer, Request, json_of
from ..keyfactor.auth import authenticated
from ..keyfactor.kinds import KINDS
from ..keyfactor.refusals import Asked, refusal
from ..keyfactor.settings import SECRET_FIELDS, SETTINGS, Settings, load_settings
from ..keyfactor.sources import config_key, kind_named, merge_sources, origins, type_in
from ..keyfactor.tls import tls_context
from ..keyfactor.transport import Transport
from ..words import safe_line
from .exits import FORBIDDEN, UNREACHABLE, code_of
from .exits import SETTINGS as NO_SETTINGS

LARGEST_SKEW_SECONDS: Final = 300.0
_TIMEOUT_SECONDS: Final = 10.0
_SOON_SECONDS: Final = 14 * 86_400.0  # a certificate that ends within these is worth a word


class Grade(StrEnum):
    """
    How good it is; warnings leave the exit code alone.
    """

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    What one check has found. `remedy` is what to do, empty where nothing is; `code` is the exit code of an error.
    """

    check: str
    grade: Grade
    text: str
    remedy: str = ""
    code: int = 0


@dataclass
class Patient:
    """
    What the checks know of each other's results.
    """

    settings: Settings | None = None
    sender: Callable[[str, Mapping[str, str]], Answer] | None = None
    statuses: list[object] = field(default_factory=list)


def examine() -> Iterator[Finding]:
    """
    Every finding, in the order in which one follows from another; a check that fails ends no other.
    """
    patient = Patient()
    for name, check in _CHECKS.items():
        try:
            yield from check(patient)
        except KeyfactorError as error:
            yield _error(name, error)
        except Exception as fault:
            yield Finding(check=name, grade=Grade.ERROR, text=unforeseen(fault), remedy="report it", code=1)


def settings_told() -> list[dict[str, str]]:
    """
    Every setting that is used, where it comes from, and its value; secrets are masked.
    """
    try:
        used = merge_sources(*origins(SETTINGS), kinds=KINDS)
    except SettingsError:  # the first finding says it
        return []
    return [
        {
            "setting": f"keyfactor:{config_key(name)}" if SETTINGS[name].in_stack_config else name,
            "source": origin.source,
            "value": "[secret]" if name in _MASKED else safe_line(origin),
        }
        for name, origin in used.items()
    ]


# A command's arguments may hold secrets, too.
_MASKED: Final = SECRET_FIELDS | {"credential_command"}


def _settings(patient: Patient) -> Iterator[Finding]:
    try:
        patient.settings = load_settings()
    except SettingsError as error:
        remedy = "see docs/settings.md for each way to give them"
        yield Finding(check="settings", grade=Grade.ERROR, text=str(error), remedy=remedy, code=NO_SETTINGS)
        return
    settings = patient.settings
    yield _ok("settings", f"{settings.server} as {settings.identity}")
    if settings.skip_verify:
        yield _warning("settings", "skipVerify is on: any certificate is trusted", "give the CA as keyfactor:caCert")


def _sources(_patient: Patient) -> Iterator[Finding]:
    environment, profile = origins(SETTINGS)
    used = merge_sources(environment, profile, kinds=KINDS)
    named = [
        (kind, next(place[field].source for place in (environment, profile) for field in kind.fields if field in place))
        for kind in KINDS
        if any(fields <= {*environment, *profile} for fields in kind.identified_by)
    ]
    if len(named) > 1:
        kind = kind_named(used.keys(), KINDS, type_in(used))
        told = ", ".join(f"{kind.name} ({source})" for kind, source in named)
        yield _warning(
            "credentials",
            f"credentials of {len(named)} kinds are given: {told}; used is {kind.name if kind else 'none'}",
            "take away the others, or set authType",
        )
    if profile and not any(used.get(field) is origin for field, origin in profile.items()):
        yield _warning(
            "profile",
            f"the {next(iter(profile.values())).source} is not used: the environment comes before it",
            "take away the variables, or the profile",
        )


def _proxy(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    if settings is None:
        return
    parts = urlsplit(settings.base_url)
    proxy = getproxies().get(parts.scheme)
    if proxy is None or is_loopback(parts.hostname or ""):
        yield _ok("proxy", "none")
    elif proxy_bypass(parts.hostname or ""):
        yield _ok("proxy", "one is set, and NO_PROXY leaves this host out")
    else:
        shown = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        yield _warning(
            "proxy",
            f"requests go through {safe_line(f'{shown.hostname}:{shown.port}' if shown.port else str(shown.hostname))}",
            "if the server is reached without it, put its host in NO_PROXY",
        )


def _name(patient: Patient) -> Iterator[Finding]:
    if (settings := _direct(patient)) is None:
        return
    host = urlsplit(settings.base_url).hostname or ""
    try:
        addresses = sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except OSError as broken:
        text = f"{safe_line(host)} has no address ({broken.strerror})"
        yield Finding(check="name", grade=Grade.ERROR, text=text, remedy="check keyfactor:hostname", code=UNREACHABLE)
        return
    yield _ok("name", f"{safe_line(host)} is {', '.join(addresses[:4])}")


def _connection(patient: Patient) -> Iterator[Finding]:
    if (settings := _direct(patient)) is None:
        return
    host, port = _place(settings)
    began = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS):
            yield _ok("connection", f"port {port} answers in {(time.monotonic() - began) * 1000:.0f} ms")
    except OSError as broken:
        text = f"no connection to {safe_line(host)}:{port} ({broken.strerror or type(broken).__name__})"
        remedy = "check the host name, the port and the firewall"
        yield Finding(check="connection", grade=Grade.ERROR, text=text, remedy=remedy, code=UNREACHABLE)


def _certificate(patient: Patient) -> Iterator[Finding]:
    settings = _direct(patient)
    if settings is None or urlsplit(settings.base_url).scheme != "https":
        return
    host, port = _place(settings)
    context = tls_context(settings)
    context.sslsocket_class = ssl.SSLSocket
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            told: Any = secure.getpeercert() or {}
    except ssl.SSLError:
        return  # the request below says it in our words, with what to do
    except OSError:
        return
    names = {part[0][0]: part[0][1] for part in told.get("subject", ())}
    issuers = {part[0][0]: part[0][1] for part in told.get("issuer", ())}
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(told["notAfter"]), UTC) if "notAfter" in told else None
    by = (
        "keyfactor:caCert"
        if settings.ca_cert
        else next(
            (name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)), "the system's CAs"
        )
    )
    text = f"{safe_line(names.get('commonName', '?'))}, issued by {safe_line(issuers.get('commonName', '?'))}"
    text += f", until {ends:%Y-%m-%d}, trusted by {by}" if ends else f", trusted by {by}"
    if ends and (ends - datetime.now(UTC)).total_seconds() < _SOON_SECONDS:
        yield _warning("certificate", text, "it ends soon: have it renewed")
    else:
        yield _ok("certificate", text)


def _api(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    if settings is None:
        return
    transport = Transport(settings)
    credentials = settings.credential_kind.credentials(settings)

    def send(path: str, parameters: Mapping[str, str]) -> Answer:
        query = urlencode(parameters, quote_via=quote)
        url = f"{settings.base_url}{path}{f'?{query}' if query else ''}"
        headers = {"x-keyfactor-requested-with": "APIClient", "x-keyfactor-api-version": "1"}
        with transport.within(settings.request_timeout):
            answer = authenticated(Request("GET", url, headers), credentials, transport)
        if answer.status_code != 200:
            raise refusal(answer, Asked(path, "", has_id=False, query=query), settings, credentials)
        return answer

    began = time.monotonic()
    try:
        answer = send("/Status/Endpoints", {})
        json_of(answer, settings.server)
    except (UnauthorizedError, ForbiddenError) as error:
        yield _error("login", error)
        return
    except NotFoundError:
        yield Finding(
            check="api",
            grade=Grade.ERROR,
            text=f"{settings.server} has no API (404)",
            remedy="check keyfactor:apiPath: KeyfactorAPI unless it was changed at installation",
            code=UNREACHABLE,
        )
        return
    except KeyfactorError as error:
        yield _error("api", error)
        return
    took = time.monotonic() - began
    patient.sender = send
    version = safe_line(answer.headers.get("X-Keyfactor-Product-Version") or "an unknown version", longest=40)
    yield _ok("api", f"Keyfactor Command {version}, answers in {took * 1000:.0f} ms")
    yield _ok("login", f"logged in as {settings.identity}")
    yield from _clock(answer)
    yield from _token(settings)


def _clock(answer: Answer) -> Iterator[Finding]:
    with contextlib.suppress(TypeError, ValueError):
        there = parsedate_to_datetime(answer.headers.get("Date") or "")
        skew = (datetime.now(UTC) - there.astimezone(UTC)).total_seconds()
        if abs(skew) > LARGEST_SKEW_SECONDS:
            way = "ahead of" if skew > 0 else "behind"
            yield _warning(
                "clock",
                f"this machine's clock is {spoken(abs(skew))} {way} the server's",
                "set it (NTP): max_age, tokens and Kerberos go by it",
            )
        else:
            yield _ok("clock", f"within {max(abs(skew), 1):.0f} s of the server's")


def _token(settings: Settings) -> Iterator[Finding]:
    token = settings.access_token.get_secret_value() if settings.access_token else ""
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        body = token.split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]
        left = float(ends) - time.time()
        if left < 3600:
            remedy = "give a new one, or clientId and clientSecret, which renew it"
            yield _warning("token", f"the access token ends in {spoken(max(left, 0))}", remedy)
        else:
            yield _ok("token", f"the access token is good for {spoken(left)}")


# What is asked, what it is for, and whether a gate can do without.
_PROBES: Final[tuple[tuple[str, str, Mapping[str, str], str, bool], ...]] = (
    ("get", f"/Workflow/Instances/{uuid.UUID(int=1)}", {}, "/workflows/instances/read/ (Command 10: ReadAll)", True),
    ("list", "/Workflow/Instances", {"ReturnLimit": "1"}, "/workflows/instances/read/ (Command 10: ReadAll)", True),
    ("mine", "/Workflow/Instances/My", {"ReturnLimit": "1"}, "/workflows/instances/read/mine/", False),
    ("assigned", "/Workflow/Instances/AssignedToMe", {"ReturnLimit": "1"}, "/workflows/instances/read/pending/", False),
    ("definitions", "/Workflow/Definitions", {"ReturnLimit": "1"}, "/workflows/definitions/read/", False),
    ("certificates", "/Certificates", {"ReturnLimit": "1"}, "/certificates/collections/read/", False),
)


def _permissions(patient: Patient) -> Iterator[Finding]:
    if patient.sender is None:
        return
    for what, path, parameters, permission, is_needed in _PROBES:
        name = f"permission {what}"
        try:
            answer = patient.sender(path, parameters)
        except NotFoundError:
            yield _ok(name, "may ask" if what == "get" else "not on this server")
        except ForbiddenError as error:
            remedy = f"grant {permission}"
            if is_needed:
                yield Finding(check=name, grade=Grade.ERROR, text=str(error), remedy=remedy, code=FORBIDDEN)
            else:
                yield _warning(name, f"not allowed ({error.status_code})", remedy)
        except KeyfactorError as error:
            yield _error(name, error)
        else:
            yield _ok(name, "may ask")
            if what == "list" and isinstance(rows := json_of(answer, ""), list):
                patient.statuses = [row.get("Status", row.get("status")) for row in rows if isinstance(row, dict)]


def _statuses(patient: Patient) -> Iterator[Finding]:
    if patient.settings is None or not patient.statuses:
        return
    numbers = [status for status in patient.statuses if isinstance(status, int)]
    unnamed = [number for number in numbers if number not in patient.settings.status_names]
    if unnamed:
        yield _warning(
            "statuses",
            f"the server sends numbers, and nothing names {unnamed[0]}: a gate would refuse it",
            "look at an instance in Keyfactor, and set keyfactor:statusNames",
        )
    else:
        yield _ok("statuses", "numbers, all named" if numbers else "words")


_CHECKS: Final[Mapping[str, Callable[[Patient], Iterator[Finding]]]] = {
    "settings": _settings,
    "credentials": _sources,
    "proxy": _proxy,
    "name": _name,
    "connection": _connection,
    "certificate": _certificate,
    "api": _api,
    "permissions": _permissions,
    "statuses": _statuses,
}


def _direct(patient: Patient) -> Settings | None:
    """
    The settings, where no proxy is in between: it would look up the name, and connect.
    """
    if patient.settings is None:
        return None
    parts = urlsplit(patient.settings.base_url)
    host = parts.hostname or ""
    is_proxied = getproxies().get(parts.scheme) and not proxy_bypass(host) and not is_loopback(host)
    return None if is_proxied else patient.settings


def _place(settings: Settings) -> tuple[str, int]:
    parts = urlsplit(settings.base_url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _ok(check: str, text: str) -> Finding:
    return Finding(check=check, grade=Grade.OK, text=text)


def _warning(check: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, grade=Grade.WARNING, text=text, remedy=remedy)


def _error(check: str, error: KeyfactorError) -> Finding:
    text, _, remedy = str(error).partition("; ")
    return Finding(check=check, grade=Grade.ERROR, text=text, remedy=remedy, code=code_of(error))
