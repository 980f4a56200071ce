"""
A Keyfactor Command to try things on: its workflow API in memory, on a loopback port. Needs the extra `sandbox`.

It imports nothing from the rest of the package, so that it can disagree with it.
"""

from .accounts import Account, CredentialKind, Permission
from .certificates import ServerCertificate
from .dialect import Dialect
from .faults import FaultKind, FaultRule, Phase, RetryAfter
from .journal import Endpoint, RequestRecord
from .report import Polls, Report
from .sandbox import Sandbox
from .workflow import (
    DefinitionNotFoundError,
    Instance,
    InstanceNotFoundError,
    NotAllowedError,
    NotAwaitedError,
    Status,
    WorkflowError,
    WrongStatusError,
)

__all__ = [
    "Account",
    "CredentialKind",
    "DefinitionNotFoundError",
    "Dialect",
    "Endpoint",
    "FaultKind",
    "FaultRule",
    "Instance",
    "InstanceNotFoundError",
    "NotAllowedError",
    "NotAwaitedError",
    "Permission",
    "Phase",
    "Polls",
    "Report",
    "RequestRecord",
    "RetryAfter",
    "Sandbox",
    "ServerCertificate",
    "Status",
    "WorkflowError",
    "WrongStatusError",
]
