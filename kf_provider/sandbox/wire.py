"""
The wire format: instances, definitions and certificates as Keyfactor writes them, in each dialect.

Source: keyfactor-api.md, sections 2, 3, 5, 7 and 8.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from .accounts import Permission
from .definitions import CERTIFICATE_AUTHORITY, ROLE_NAMES
from .dialect import Dialect
from .issuance import IssuedCertificate
from .query import FieldTypes, Value
from .workflow import APPROVAL_SIGNAL, DefinitionVersion, Instance, InstanceSignal, StateData, Status, Step

Json = dict[str, Any]

ZERO_GUID: Final = UUID(int=0)

# Invented: every specification says that Status is a number from 0 to 6, and none says which is which.
INVENTED_NUMBERS: Final[Mapping[Status, int]] = {
    Status.RUNNING: 0,
    Status.SUSPENDED: 1,
    Status.COMPLETE: 2,
    Status.FAILED: 3,
    Status.REJECTED: 4,
    Status.CANCELED_FOR_RESTART: 5,
}

QUERY_FIELDS: Final[FieldTypes] = {
    "DefinitionId": str,
    "Id": str,
    "InitiatingUserName": str,
    "LastModified": datetime,
    "ReferenceId": int,
    "StartDate": datetime,
    "Status": str,
    "Title": str,
    "WorkflowType": str,
}

CERTIFICATE_FIELDS: Final[FieldTypes] = {
    "Id": int,
    "CertRequestId": int,
    "Thumbprint": str,
    "SerialNumber": str,
    "IssuedCN": str,
    "IssuedDN": str,
    "NotBefore": datetime,
    "NotAfter": datetime,
    "TemplateName": str,
}

_PERMISSION_PATHS: Final[Mapping[Permission, str]] = {
    Permission.READ_ALL: "/workflows/instances/read/",
    Permission.READ_ASSIGNED_TO_ME: "/workflows/instances/read/pending/",
    Permission.READ_MY: "/workflows/instances/read/mine/",
    Permission.MANAGE: "/workflows/instances/manage/",
    Permission.READ_CERTIFICATES: "/certificates/collections/read/",
}


@dataclass(frozen=True)
class Wire:
    """
    One way of writing: `status_numbers` maps statuses to what is written instead of the word.
    """

    dialect: Dialect
    status_numbers: Mapping[Status, int] | None = None

    def status(self, status: Status) -> str | int:
        """
        A status as word or number.
        """
        return str(status) if self.status_numbers is None else self.status_numbers[status]

    def row(self, instance: Instance) -> Json:
        """
        An instance in a list: without signals and data.
        """
        return self._with_key_case(self._common_fields(instance))

    def instance(self, instance: Instance) -> Json:
        """
        An instance with everything.
        """
        signals = [self._signal(signal) for signal in instance.signals]
        return self._with_key_case(
            self._common_fields(instance)
            | {
                "Signals": self._null_if_empty(signals),
                "InitialData": self._state_data(instance.initial_data),
                "CurrentStateData": self._state_data(instance.current_state_data),
            }
        )

    def definition_row(self, definition: DefinitionVersion) -> Json:
        """
        A workflow definition in a list.

        Source: the specification of Command 10, DefinitionQueryResponse, which has versions where later ones have a
        description.
        """
        row = self._definition(definition)
        if self.dialect is Dialect.COMMAND_10:
            del row["Description"], row["IsPublished"]
            row |= {"DraftVersion": definition.version, "PublishedVersion": definition.version}
        return row

    def _definition(self, definition: DefinitionVersion) -> Json:
        return self._with_key_case(
            {
                "Id": str(definition.id),
                "DisplayName": definition.display_name,
                "Description": self._null_if_empty(definition.description),
                "Key": definition.key,
                "KeyDisplayName": definition.key_display_name,
                "IsPublished": True,
                "WorkflowType": definition.workflow_type,
            }
        )

    def definition(self, definition: DefinitionVersion, api_version: int) -> Json:
        """
        A workflow definition with its steps. Version 2 of the API has a list of keys, and names roles.

        Source: keyfactor-go-client-sdk, v25/api/keyfactor/v2, WorkflowsDefinitionResponse and WorkflowsKeyResponse.
        """
        following = [*definition.steps[1:], None]
        steps = [self._step(step, after, api_version) for step, after in zip(definition.steps, following, strict=True)]
        row = self._definition(definition)
        if api_version == 2:
            key = {"DisplayName": row.pop("KeyDisplayName"), "Value": row.pop("Key")}
            row["Keys"] = [] if definition.key is None else [key]
        return row | self._with_key_case(
            {"Steps": steps, "DraftVersion": definition.version, "PublishedVersion": definition.version}
        )

    def certificate(self, certificate: IssuedCertificate, *, with_metadata: bool) -> Json:
        """
        A certificate, alone and in a list.

        Source: the specification of Command 10, Models.CertificateRetrievalResponse; thumbprint and serial number as
        in the documentation, in hexadecimal digits.
        """
        names = [
            self._with_key_case({"Id": number, "Value": value, "Type": kind})
            for number, (kind, value) in enumerate(certificate.sans, 1)
        ]
        revoked_at = certificate.revoked_at
        return self._with_key_case(
            {
                "Id": certificate.id,
                "Thumbprint": certificate.thumbprint,
                "SerialNumber": certificate.serial_number,
                "IssuedDN": certificate.subject,
                "IssuedCN": certificate.common_name,
                "ImportDate": self._timestamp(certificate.not_before),
                "NotBefore": self._timestamp(certificate.not_before),
                "NotAfter": self._timestamp(certificate.not_after),
                "IssuerDN": certificate.issuer,
                "CertState": 1 if revoked_at is None else 2,
                "CertStateString": "Active" if revoked_at is None else "Revoked",
                "RevocationEffDate": None if revoked_at is None else self._timestamp(revoked_at),
                "CertificateAuthorityName": CERTIFICATE_AUTHORITY,
                "TemplateName": certificate.template,
                "HasPrivateKey": False,
                "CertRequestId": certificate.request_id,
                "RequesterName": certificate.requester,
                "ContentBytes": base64.b64encode(certificate.der).decode(),
                "SubjectAltNameElements": self._null_if_empty(names),
                "Metadata": self._null_if_empty(dict(certificate.metadata)) if with_metadata else None,
            }
        )

    def permission_message(self, username: str, permissions: Sequence[Permission]) -> str:
        """
        What a caller without any of `permissions` is told.
        """
        if self.dialect is Dialect.COMMAND_11:
            return f"User {username} does not have the required permissions: {_PERMISSION_PATHS[permissions[0]]}."
        return f"User {username} doesn't have the required permission"

    def query_fields(self, instance: Instance) -> Mapping[str, Value]:
        """
        What a query string can ask of an instance; a status by the word or number that this server writes.
        """
        return {
            "DefinitionId": str(instance.definition.id),
            "Id": str(instance.id),
            "InitiatingUserName": instance.initiated_by,
            "LastModified": instance.last_modified,
            "ReferenceId": instance.reference_id,
            "StartDate": instance.start_date,
            "Status": str(self.status(instance.status)),
            "Title": instance.title,
            "WorkflowType": instance.definition.workflow_type,
        }

    @staticmethod
    def certificate_fields(certificate: IssuedCertificate) -> Mapping[str, Value]:
        """
        What a query string can ask of a certificate.
        """
        return {
            "Id": certificate.id,
            "CertRequestId": certificate.request_id,
            "Thumbprint": certificate.thumbprint,
            "SerialNumber": certificate.serial_number,
            "IssuedCN": certificate.common_name,
            "IssuedDN": certificate.subject,
            "NotBefore": certificate.not_before,
            "NotAfter": certificate.not_after,
            "TemplateName": certificate.template,
        }

    def _common_fields(self, instance: Instance) -> Json:
        step = instance.step
        nameless = self.dialect is Dialect.COMMAND_11 and instance.status is Status.COMPLETE
        unchanged = self.dialect is not Dialect.COMMAND_10 and instance.last_modified == instance.start_date
        return {
            "Id": str(instance.id),
            "Status": self.status(instance.status),
            "CurrentStepId": str(ZERO_GUID if nameless else step.id),
            "StatusMessage": self._null_if_empty(instance.status_message),
            "Definition": self._with_key_case(
                {
                    "Id": str(instance.definition.id),
                    "DisplayName": instance.definition.display_name,
                    "Version": instance.definition.version,
                    "WorkflowType": instance.definition.workflow_type,
                }
            ),
            "CurrentStepDisplayName": None if nameless else step.display_name,
            "CurrentStepUniqueName": None if nameless else step.unique_name,
            "Title": instance.title,
            "LastModified": None if unchanged else self._timestamp(instance.last_modified),
            "StartDate": self._timestamp(instance.start_date),
            "ReferenceId": instance.reference_id,
        }

    def _signal(self, signal: InstanceSignal) -> Json:
        return self._with_key_case(
            {
                "SignalName": signal.signal_name,
                "StepSignalId": str(signal.step_signal_id),
                "SignalReceived": signal.received,
            }
        )

    def _step(self, step: Step, following: Step | None, api_version: int) -> Json:
        return self._with_key_case(
            {
                "Id": str(step.id),
                "DisplayName": step.display_name,
                "UniqueName": step.unique_name,
                "ExtensionName": step.extension_name,
                "Enabled": True,
                "ConfigurationParameters": {"MinimumApprovals": step.approvals} if step.approvals else {},
                "Signals": [self._step_signal(step, api_version)] if step.approvals else [],
                "Conditions": [],
                "Outputs": {} if following is None else {"continue": following.unique_name},
            }
        )

    def _step_signal(self, step: Step, api_version: int) -> Json:
        ids = sorted(step.role_ids)
        if api_version == 1:
            return self._with_key_case({"SignalName": APPROVAL_SIGNAL, "RoleIds": ids})
        roles = [{"RoleId": str(role_id), "RoleName": ROLE_NAMES.get(role_id, f"Role {role_id}")} for role_id in ids]
        return {"SignalName": APPROVAL_SIGNAL, "Roles": roles, "RoleTokens": []}

    def _state_data(self, state_data: StateData) -> StateData:
        # The 10.2 documentation has SANs as pairs, that of 12.5 as an object. Keys of state data keep their case.
        sans = state_data.get("SANs")
        if self.dialect is not Dialect.COMMAND_10 or not isinstance(sans, dict):
            return state_data
        return state_data | {"SANs": [{"Key": kind, "Value": name} for kind, names in sans.items() for name in names]}

    def enrollment(self, information: Json) -> Json:
        """
        What the answer to an enrollment says of its certificate.
        """
        if self.dialect is Dialect.COMMAND_10:  # which has no nulls
            return {name: value for name, value in information.items() if value is not None}
        return information

    def _with_key_case(self, content: Json) -> Json:
        if self.dialect is Dialect.COMMAND_10:  # which has no nulls
            return {name: value for name, value in content.items() if value is not None}
        if self.dialect is not Dialect.COMMAND_11:
            return content
        return {name[0].lower() + name[1:]: value for name, value in content.items()}

    def _null_if_empty(self, content: Any) -> Any:
        return content if content or self.dialect is Dialect.COMMAND_10 else None

    def _timestamp(self, moment: datetime) -> str:
        text = timestamp(moment)
        if self.dialect is not Dialect.COMMAND_10:
            return text
        return text.removesuffix("Z").rstrip("0").rstrip(".") + "Z"


def timestamp(moment: datetime) -> str:
    """
    A moment as .NET writes it: seven digits of a second, and Z.
    """
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"


def parse_id(text: str) -> UUID | None:
    """
    The GUID that `text` is, with or without braces and hyphens, or None.
    """
    try:
        return UUID(text)
    except ValueError:
        return None
