"""
Which certificate an approved instance has issued: what its state data names.

Source: Keyfactor Command Web API reference 25.1, GET Workflow Instances Instance ID: "CA Certificate", filled after
issuance, is the only certificate that the documentation names for an enrollment; scripts add keys of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..errors import NotIssuedError, RequestError, SearchError
from .models import LARGEST_INT, Certificate, Instance, Status, certificate_der, is_whole, thumbprint_of
from .search import shown

_ENROLLMENT: Final = "enrollment"
_IDS: Final = ("certificateid", "keyfactorid")
_REQUESTS: Final = ("keyfactorrequestid", "certrequestid")
_IN_WORDS: Final = (
    "thumbprint, certificate (also in CA Certificate), certificate id, keyfactor id, keyfactor request id, cert "
    "request id"
)


class Name(NamedTuple):
    """
    One of the ways to name a certificate: `certificate_id`, `thumbprint` or `request_id`, and its value.
    """

    kind: str
    value: int | str

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"

    def names(self, certificate: Certificate) -> bool | None:
        """
        Whether it names this certificate; None where the certificate does not tell.
        """
        known = getattr(certificate, self.kind)
        return None if known is None else known == self.value


def asked_name(certificate_id: object, thumbprint: object, request_id: object) -> Name | None:
    """
    What a caller names the certificate by; None without any. Raises SearchError for what cannot be, and for two.
    """
    given = {"certificate_id": certificate_id, "thumbprint": thumbprint, "request_id": request_id}
    names = [_checked(kind, value) for kind, value in given.items() if value is not None]
    return names[0] if names else None


def _checked(kind: str, value: object) -> Name:
    read = _thumbprint(value) if kind == "thumbprint" else _number(value)
    if read is None:
        wanted = "40 hexadecimal digits" if kind == "thumbprint" else "a whole number above zero"
        raise SearchError(f"{kind}: {shown(value)} is not {wanted}")
    return Name(kind, read)


def issued_names(instance: Instance, server: str) -> list[Name]:
    """
    How the state data of an instance names its certificate, the surest name first; of each kind at most one.

    Raises NotIssuedError while the instance is pending, RequestError when it is none that issues a certificate, when
    nothing names one, and when two names of one kind differ.
    """
    what = f"workflow instance {instance.instance_id}"
    kind = (instance.definition.workflow_type or "").strip()
    if kind.lower() != _ENROLLMENT:
        raise RequestError(
            f"{what} is of type {shown(kind) if kind else 'unknown'}, and only an Enrollment issues a certificate (a "
            f"revocation names the one that it revokes); pass the instance of the enrollment, or the certificate's id"
        )
    if instance.status in (Status.RUNNING, Status.SUSPENDED):
        raise NotIssuedError(
            f"{what} is {instance.status}, so its certificate is not issued yet; wait until it is Complete"
        )
    if instance.status != Status.COMPLETE:
        raise RequestError(
            f"{what} is {shown(instance.status)}, not Complete: it has issued no certificate; start a new request"
        )
    found: dict[str, set[int | str]] = {}
    for name in _named_in(instance.current_state_data):
        found.setdefault(name.kind, set()).add(name.value)
    if several := [kind for kind, values in found.items() if len(values) > 1]:
        raise RequestError(
            f"the state data of {what} names two certificates (by {several[0]}); pass the certificate_id, thumbprint "
            f"or request_id of the right one"
        )
    if not found:
        raise RequestError(
            f"the state data of {what} on {server} names no certificate; looked for the keys {_IN_WORDS}: pass "
            f"request_id, which the answer to the enrollment has as KeyfactorRequestId"
        )
    return [Name(kind, *found[kind]) for kind in ("certificate_id", "thumbprint", "request_id") if kind in found]


def _named_in(data: Mapping[str, Any]) -> Iterator[Name]:
    for key, value in data.items():
        plain = _plain(key)
        if plain == "cacertificate" and isinstance(value, Mapping):
            # Its ids are those of the certificate authority, not Keyfactor's.
            for inner, part in value.items():
                yield from _from_certificate(_plain(inner), part)
        elif plain in _IDS and (number := _number(value)) is not None:
            yield Name("certificate_id", number)
        elif plain in _REQUESTS and (number := _number(value)) is not None:
            yield Name("request_id", number)
        else:
            yield from _from_certificate(plain, value)


def _from_certificate(plain: str, value: object) -> Iterator[Name]:
    if plain == "thumbprint" and (thumbprint := _thumbprint(value)) is not None:
        yield Name("thumbprint", thumbprint)
    if plain == "certificate" and isinstance(value, str):
        try:
            yield Name("thumbprint", thumbprint_of(certificate_der(value)))
        except ValueError:
            return  # text of another kind: a script's own


def _plain(key: str) -> str:
    return re.sub(r"[\s_]", "", key).lower()


def _number(value: object) -> int | None:
    # Every number is a float once it has been through the engine, and a script may write text.
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        value = int(value)
    if is_whole(value) and 0 < value <= LARGEST_INT:
        return int(value)
    return None


def _thumbprint(value: object) -> str | None:
    text = re.sub(r"[\s:\u200e]", "", value) if isinstance(value, str) else ""  # Windows copies a mark in front
    return text.upper() if re.fullmatch(r"[0-9A-Fa-f]{40}", text) else None
