"""
What the server sends, as pydantic models.

A field is found by its name without case, spaces and underscores, so `CurrentStepId` (Command 10, 24 and 25),
`currentStepId` (the specification of Command 11) and `CurrentStepID` (the documentation) are one. Every field but the
id of an instance is optional, null is the same as absent, and unknown fields are ignored.

Source: Keyfactor Command Web API reference 10.3, GET Workflow Instances Instance ID, tables 658 and 659.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeGuard

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationInfo, model_validator

from ..errors import InstanceIdError, only_ours
from ..words import safe_line

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")
LARGEST_INT: Final = 2**63 - 1  # Keyfactor's largest whole number, that of a reference id (oas10)
_ZERO_GUID: Final = str(uuid.UUID(int=0))
_AN_ID_LOOKS_LIKE: Final = (
    "an id looks like 0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94; the answer to an enrollment has it as WorkflowInstanceId,"
    " and the list of workflow instances as Id"
)


class Status(StrEnum):
    """
    The words for an instance's status, as documented from Command 10.3 to 24.4.
    """

    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    REJECTED = "Rejected"
    FAILED = "Failed"
    CANCELED_FOR_RESTART = "CanceledForRestart"


StatusWord: TypeAlias = Literal["Running", "Suspended", "Complete", "Rejected", "Failed", "CanceledForRestart"]

# Source: Keyfactor Command documentation 12.0, Workflow Definitions; Expiration from exported definitions. Later
# versions have more of them.
WORKFLOW_TYPES: Final = (
    "Enrollment",
    "Revocation",
    "Expiration",
    "CertificateEnteredCollection",
    "CertificateLeftCollection",
)

_STATUS_WORDS: Final = {status.value.lower(): status.value for status in Status}


@only_ours(InstanceIdError)
def parse_instance_id(value: object) -> str:
    """
    The id of an instance in its one canonical form: lower case, with dashes, without braces.

    Takes a str (capitals, braces and surrounding spaces are fine, dashes may be missing) or a uuid.UUID.
    Raises InstanceIdError for anything else, with a sentence of its own for a whole number: that is a reference id.
    """
    text: object = str(value) if isinstance(value, uuid.UUID) else value
    if isinstance(text, str):
        guid = _guid(text)
        if guid == _ZERO_GUID:
            raise InstanceIdError(f"{guid} is the empty id, which no workflow instance has; {_AN_ID_LOOKS_LIKE}")
        if guid is not None:
            return guid
        if re.fullmatch(r"[0-9]+", text.strip()):
            raise _looked_up(safe_line(text, longest=60))
        what = repr(safe_line(text, longest=60)) if text.strip() else "an empty string"
    elif is_whole(text) and abs(text) <= LARGEST_INT:
        # Every number is a float once it has been through the engine.
        raise _looked_up(shown_number(text))
    elif is_whole(text):
        what = shown_number(text)
    else:
        what = "None" if text is None else f"an object of type {type(text).__name__}"
    raise InstanceIdError(f"{what} is not the id of a workflow instance: {_AN_ID_LOOKS_LIKE}")


def canonical_status(value: str) -> str:
    """
    Keyfactor's own spelling of a status word, whatever its case; an unknown word as it is.
    """
    return _STATUS_WORDS.get(value.strip().lower(), value.strip())


def moment(date: str | None) -> datetime | None:
    """
    A date of an instance as a time that can be compared.
    """
    return None if date is None else datetime.fromisoformat(date)


def utc_text(when: datetime) -> str:
    """
    A time as this package writes it: ISO 8601 in UTC, with `Z` at the end.
    """
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def state_digest(current_state_data: Mapping[str, Any]) -> str:
    """
    SHA-256, in hex, over `canonical_state` in UTF-8.
    """
    return hashlib.sha256(canonical_state(current_state_data).encode("utf-8", "surrogatepass")).hexdigest()


def canonical_state(current_state_data: Mapping[str, Any]) -> str:
    """
    Canonical JSON: keys sorted, no whitespace, every character as itself.
    """
    return json.dumps(current_state_data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _looked_up(number: str) -> InstanceIdError:
    error = InstanceIdError(
        f"{number} is a reference id: look it up with get_workflow_instance(reference_id={number}), and pass its"
        " instance_id"
    )
    error.reference_id = number
    return error


def is_whole(value: object) -> TypeGuard[int | float]:
    """
    Whether it is a number without a fraction, of whatever size.
    """
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def shown_number(number: float) -> str:
    """
    A whole number in a message: Python writes none of more than 4,300 digits, and nobody reads one of 40.
    """
    return str(int(number)) if abs(number) <= LARGEST_INT else "a number of more than 18 digits"


def _guid(text: str) -> str | None:
    bare = text.strip().lower()
    if bare.startswith("{") and bare.endswith("}"):
        bare = bare[1:-1].strip()
    return str(uuid.UUID(bare)) if _GUID.fullmatch(bare) else None


def _reference(value: object) -> object:
    # Ids of steps and definitions: shown, never sent, so an odd one is no reason to refuse the answer.
    if not isinstance(value, str):
        return value
    guid = _guid(value)
    return None if guid == _ZERO_GUID else guid or value.strip() or None


def _status(value: object, info: ValidationInfo) -> object:
    if isinstance(value, bool):
        raise ValueError("a status is a word or a number")  # noqa: TRY004 - pydantic collects ValueErrors
    if is_whole(value):
        value = (info.context or {}).get("status_names", {}).get(int(value), str(int(value)))
    return (canonical_status(value) or None) if isinstance(value, str) else value


def _timestamp(value: object) -> object:
    # .NET writes up to 7 fractional digits, and leaves the zone out when it does not know it: UTC then.
    # A date in no form of ISO 8601, or .NET's year 1 ("not set"), must not make the status unreadable.
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if not isinstance(moment, datetime) or moment.year == 1:
            return None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return utc_text(moment)


def _listed(value: object) -> object:
    # The documentation of 10.3 calls Signals "an object"; every specification says array.
    if isinstance(value, Mapping):
        return [value] if value else []
    return [entry for entry in value if entry is not None] if isinstance(value, list | tuple) else value


def _single(value: object) -> object:
    # The documentation of 10.3 calls Definition "an array"; every specification says object.
    return (value[0] if value else {}) if isinstance(value, list) and len(value) <= 1 else value


def _mapped(value: object) -> object:
    # The documentation of 10.3 calls both data maps "an array"; every specification says map.
    if isinstance(value, list):
        pairs = [{key.lower(): part for key, part in pair.items()} for pair in value if isinstance(pair, Mapping)]
        if len(pairs) == len(value) and all(set(pair) == {"key", "value"} for pair in pairs):
            return {pair["key"]: pair["value"] for pair in pairs}
    return value


_Guid = Annotated[str, BeforeValidator(parse_instance_id)]
_Reference = Annotated[str | None, BeforeValidator(_reference)]
_Timestamp = Annotated[str | None, BeforeValidator(_timestamp)]
_StateData = Annotated[dict[str, Any], BeforeValidator(_mapped), Field(repr=False)]  # scripts put secrets there


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True, hide_input_in_errors=True)

    wire_names: ClassVar[Mapping[str, str]] = {}  # where Keyfactor's name is not ours without underscores

    @model_validator(mode="before")
    @classmethod
    def _match_names(cls, received: object) -> object:
        if not isinstance(received, Mapping):
            return received
        fields = {cls.wire_names.get(field, field.replace("_", "")): field for field in cls.model_fields}
        found: dict[str, object] = {}
        for name, value in received.items():
            field = name if name in cls.model_fields else fields.get(re.sub(r"[ _]", "", str(name)).lower())
            # Of two spellings of one name, the documented one.
            if field is not None and value is not None and (field not in found or name[:1].isupper()):
                found[field] = value
        return found


class InstanceDefinition(_Answer):
    """
    The workflow that an instance is a run of.
    """

    id: _Reference = None
    display_name: str | None = None
    version: int | None = None
    workflow_type: str | None = None


class InstanceSignal(_Answer):
    """
    An input that the current step waits for, such as one approval.
    """

    signal_name: str | None = None
    step_signal_id: _Reference = None
    signal_received: bool = False


class InstanceSummary(_Answer):
    """
    A workflow instance as the list shows it: without its signals and data.

    `status` is one of `Status`, another word, or a number in text where the server sends numbers and nothing names it:
    validate with the context `{"status_names": {1: "Suspended"}}`. Dates are ISO 8601 in UTC, with `Z` at the end.
    `{"answered_at": ...}` in the context is when the server says that it has answered.
    """

    wire_names = {"instance_id": "id"}
    _answered_at: datetime | None = PrivateAttr(default=None)  # no field: it is no part of the instance

    instance_id: _Guid
    status: Annotated[str | None, BeforeValidator(_status)] = None
    status_message: str | None = None
    current_step_id: _Reference = None
    current_step_display_name: str | None = None
    current_step_unique_name: str | None = None
    title: str | None = None
    reference_id: int | None = None
    start_date: _Timestamp = None
    last_modified: _Timestamp = None
    definition: Annotated[InstanceDefinition, BeforeValidator(_single)] = InstanceDefinition()

    def model_post_init(self, context: Any, /) -> None:
        self._answered_at = (context or {}).get("answered_at")

    def __eq__(self, other: object) -> bool:
        # By the fields alone: the same instance is the same a minute later.
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # as a model with maps in it has none

    @property
    def answered_at(self) -> datetime | None:
        """
        When the answer was given, by the server's clock; None where it did not tell.
        """
        return self._answered_at

    def outputs(self) -> dict[str, Any]:
        """
        All fields as plain JSON values.
        """
        return self.model_dump(mode="json")


class Instance(InstanceSummary):
    """
    A workflow instance, whole. Both maps may hold secrets and are left out of `repr`.
    """

    signals: Annotated[tuple[InstanceSignal, ...], BeforeValidator(_listed)] = ()
    initial_data: _StateData = {}
    current_state_data: _StateData = {}


class SignalRole(_Answer):
    """
    A security role that may send a signal, as Command 25 tells it in version 2 of its API.
    """

    role_id: str | None = None
    role_name: str | None = None


class StepSignal(_Answer):
    """
    A signal of a definition's step, and the security roles that may send it; versions before tell their numbers alone.
    """

    signal_name: str | None = None
    roles: Annotated[tuple[SignalRole, ...], BeforeValidator(_listed)] = ()
    role_ids: Annotated[tuple[int, ...], BeforeValidator(_listed)] = ()


class DefinitionStep(_Answer):
    """
    A step of a workflow definition.
    """

    unique_name: str | None = None
    signals: Annotated[tuple[StepSignal, ...], BeforeValidator(_listed)] = ()


class WorkflowDefinition(_Answer):
    """
    A workflow definition with its steps, as far as they tell who may answer them.
    """

    id: _Reference = None
    display_name: str | None = None
    steps: Annotated[tuple[DefinitionStep, ...], BeforeValidator(_listed)] = ()

    def approvers(self, step_unique_name: str) -> tuple[str, ...]:
        """
        The security roles that may send a signal to this step, by name, else as `role 2`; each once, in their order.
        """
        signals = [signal for step in self.steps if step.unique_name == step_unique_name for signal in step.signals]
        named = [role.role_name or (role.role_id and f"role {role.role_id}") for s in signals for role in s.roles]
        numbered = [f"role {role_id}" for signal in signals for role_id in signal.role_ids]
        return tuple(dict.fromkeys(role for role in named or numbered if role))


def _hexadecimal(value: object) -> object:
    # Keyfactor's specification says base64 of the bytes, its documentation and answers hexadecimal digits.
    if not isinstance(value, str) or not (text := re.sub(r"[\s:]", "", value)):
        return None
    if re.fullmatch(r"[0-9A-Fa-f]+", text):
        return text.upper()
    try:
        return base64.b64decode(text, validate=True).hex().upper()
    except ValueError:
        return value.strip()


def certificate_der(text: str) -> bytes:
    """
    The bytes of a certificate, in DER: from PEM, where the first one counts, or from base64. Raises ValueError.
    """
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if begin in text:
        text = text.partition(begin)[2].partition(end)[0]
    der = base64.b64decode(re.sub(r"\s", "", text), validate=True)
    if begin.encode() in der:  # some send the base64 of PEM
        return certificate_der(der.decode("ascii"))
    if not der.startswith(b"\x30"):  # a SEQUENCE, as every certificate is
        raise ValueError("not a certificate")
    return der


def thumbprint_of(der: bytes) -> str:
    """
    The SHA-1 of a certificate's bytes, in capital hexadecimal digits: how Keyfactor and Windows name it.
    """
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def _pem(value: object) -> object:
    if not isinstance(value, str) or not value.strip():
        return None
    text = base64.b64encode(certificate_der(value)).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _positive(value: object) -> object:
    return None if value == 0 else value  # .NET's number for "none"


class AlternativeName(_Answer):
    """
    A subject alternative name; `type` is Keyfactor's number for its kind.
    """

    type: int | None = None
    value: str | None = None


class Certificate(_Answer):
    """
    A certificate that Keyfactor knows. Dates are ISO 8601 in UTC; `thumbprint` and `serial_number` are capital
    hexadecimal digits; `pem` is the certificate alone, without its chain. `metadata` is left out of `repr`.

    Source: Keyfactor's specification of Command 10, Models.CertificateRetrievalResponse.
    """

    wire_names = {
        "certificate_id": "id",
        "common_name": "issuedcn",
        "subject": "issueddn",
        "issuer": "issuerdn",
        "state": "certstatestring",
        "state_number": "certstate",
        "request_id": "certrequestid",
        "sans": "subjectaltnameelements",
        "pem": "contentbytes",
    }

    certificate_id: int
    thumbprint: Annotated[str | None, BeforeValidator(_hexadecimal)] = None
    serial_number: Annotated[str | None, BeforeValidator(_hexadecimal)] = None
    common_name: str | None = None
    subject: str | None = None
    issuer: str | None = None
    not_before: _Timestamp = None
    not_after: _Timestamp = None
    state: str | None = None
    state_number: int | None = Field(default=None, exclude=True)
    template_name: str | None = None
    request_id: Annotated[int | None, BeforeValidator(_positive)] = None
    sans: Annotated[tuple[AlternativeName, ...], BeforeValidator(_listed)] = ()
    metadata: Annotated[dict[str, Any], BeforeValidator(_mapped), Field(repr=False)] = {}
    pem: Annotated[str | None, BeforeValidator(_pem)] = None

    @model_validator(mode="after")
    def _complete(self) -> Certificate:
        # What the server leaves out and the rest tells.
        if self.thumbprint is None and self.pem is not None:
            object.__setattr__(self, "thumbprint", thumbprint_of(certificate_der(self.pem)))
        if self.state is None and self.state_number is not None:
            object.__setattr__(self, "state", str(self.state_number))
        return self

    def outputs(self) -> dict[str, Any]:
        """
        All fields as plain JSON values.
        """
        return self.model_dump(mode="json")


class ErrorBody(_Answer):
    """
    What Keyfactor says about a request that it refuses.
    """

    error_code: Annotated[str | None, BeforeValidator(str)] = None
    message: Annotated[str | None, BeforeValidator(str)] = None
