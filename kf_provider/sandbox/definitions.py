"""
What an enrollment and a revocation run, and start with: workflow definitions, titles, initial data.

Source: keyfactor-api.md, sections 2 and 8. Every exported definition starts with StartNOOP and ends with EndNOOP.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from .workflow import DefinitionVersion, StateData, Step

PKI_ADMINISTRATORS: Final = 2
ROLE_NAMES: Final[Mapping[int, str]] = {PKI_ADMINISTRATORS: "PKI Administrators"}

CERTIFICATE_AUTHORITY: Final = "corpca01.keyexample.com\\CorpIssuingCA1"

# One request for every enrollment: its subject is not the instance's. Nothing reads more of it than its text.
CERTIFICATE_SIGNING_REQUEST: Final = """\
-----BEGIN CERTIFICATE REQUEST-----
MIHdMIGDAgEAMCExHzAdBgNVBAMMFnNhbmRib3gua2V5ZXhhbXBsZS5jb20wWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAAR2ahSLJ0yv+aULw3XhEbjU9MTObykiVc9F
WD0YuZsAkvQDkpB7JIQttZb/TRLJKLcAnWHnLdq19sJxoXb7++f1oAAwCgYIKoZI
zj0EAwIDSQAwRgIhANr8MCKMJTRinktOTXmKbwT9UF0FfLXXX8pNEaslU0klAiEA
pwQ2aFay6vvGroKN5Z4CI4LcpwC6557tgrBqr3Z/SKk=
-----END CERTIFICATE REQUEST-----
"""


@dataclass(frozen=True)
class ApprovalStep:
    """
    A RequireApproval step: how many people must approve, and of which security roles they are.
    """

    display_name: str = "Manager approval"
    approvals: int = 1
    role_ids: frozenset[int] = frozenset({PKI_ADMINISTRATORS})

    def __post_init__(self) -> None:
        if self.approvals < 1:
            raise ValueError(f"an approval step needs at least one approval: {self.approvals}")


def workflow_definition(
    display_name: str,
    *,
    workflow_type: str,
    approval_steps: Sequence[ApprovalStep],
    new_id: Callable[[], UUID],
    key: str | None = None,
    definition_id: UUID | None = None,
    version: int = 1,
) -> DefinitionVersion:
    """
    A definition that asks for these approvals, one step after the other, and then enrolls or revokes.
    """
    steps = [Step(new_id(), "Start", "StartNOOP", "NOOPStep")]
    steps += [
        Step(new_id(), step.display_name, f"RequireApproval{n}", "RequireApproval", step.approvals, step.role_ids)
        for n, step in enumerate(approval_steps, start=1)
    ]
    match workflow_type:
        case "Enrollment":
            steps.append(Step(new_id(), "Enroll", "EnrollStep1", "EnrollStep"))
        case "Revocation":
            steps.append(Step(new_id(), "Revoke", "RevokeStep1", "RevokeStep"))
    steps.append(Step(new_id(), "End", "EndNOOP", "NOOPStep"))
    return DefinitionVersion(
        id=definition_id or new_id(),
        display_name=display_name,
        workflow_type=workflow_type,
        version=version,
        steps=tuple(steps),
        key=key,
        key_display_name=key,
    )


def enrollment_data(
    subject: str,
    *,
    template: str,
    dns_names: Sequence[str] | None = None,
    csr: str | None = CERTIFICATE_SIGNING_REQUEST,
) -> StateData:
    """
    The initial data of an enrollment. Without `dns_names` the subject's common name is the only one; without `csr`
    Keyfactor makes the key, and there is none.
    """
    if dns_names is None:
        common_name = re.search(r"(?:^|,)\s*CN=([^,]+)", subject, re.IGNORECASE)
        dns_names = [common_name[1].strip()] if common_name else []
    initial_data: StateData = {
        "Subject": subject,
        "Template": template,
        "CertificateAuthority": CERTIFICATE_AUTHORITY,
        "SANs": {"dns": list(dns_names)},
        "IncludeChain": True,
        "AdditionalAttributes": {},
    }
    return initial_data if csr is None else initial_data | {"CSR": csr}


def revocation_data(certificate_id: int, *, reason: int, comment: str, effective_date: datetime) -> StateData:
    """
    The initial data of a revocation; `reason` is a RevokeCode, from -1 to 7.
    """
    return {
        "CertificateAuthority": CERTIFICATE_AUTHORITY,
        "CertificateId": certificate_id,
        "SerialNumberString": f"{certificate_id:016X}",
        "Thumbprint": hashlib.sha1(str(certificate_id).encode(), usedforsecurity=False).hexdigest().upper(),
        "RevokeCode": reason,
        "EffectiveDate": effective_date.isoformat(),
        "Comment": comment,
        "Delegate": False,
    }


def enrollment_title(initiated_by: str, subject: str) -> str:
    """
    The title of an enrollment, as in table 659 of the Web API reference 10.3.
    """
    return f"{initiated_by} is enrolling for a certificate with {subject}."


def revocation_title(initiated_by: str, certificate_id: int) -> str:
    """
    The title of a revocation. The sandbox has no certificates: the subject is made from the id.
    """
    return f"{initiated_by} is revoking certificate with CN=certificate{certificate_id}.keyexample.com."
