"""
A Keyfactor Command to try things on: its workflow API in memory, on a loopback port. Needs the extra `sandbox`.

It imports nothing from the rest of the package, so that it can disagree with it.
"""

from .accounts import Account, CredentialKind, Permission
from .faults import FaultKind, FaultRule
from .journal import Endpoint, RequestRecord
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
    "Endpoint",
    "FaultKind",
    "FaultRule",
    "Instance",
    "InstanceNotFoundError",
    "NotAllowedError",
    "NotAwaitedError",
    "Permission",
    "RequestRecord",
    "Sandbox",
    "Status",
    "WorkflowError",
    "WrongStatusError",
]
