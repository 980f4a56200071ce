"""
The sandbox's public names: a Keyfactor Command in memory, on a loopback port. Needs the extra `sandbox`.

It imports nothing from the rest of the package, so that it can disagree with it.

Names are imported when they are used: the pytest plugin in this package is loaded in every run of pytest where
kf-provider is installed, and must cost nothing there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .accounts import Account, CredentialKind, Permission
    from .dialect import Dialect
    from .faults import FaultKind, FaultRule, Phase, RetryAfter
    from .journal import Endpoint, RequestRecord
    from .report import Polls, Report
    from .sandbox import Sandbox
    from .tls import ServerCertificate
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

_MODULE_OF: Final = {
    "Account": "accounts",
    "CredentialKind": "accounts",
    "DefinitionNotFoundError": "workflow",
    "Dialect": "dialect",
    "Endpoint": "journal",
    "FaultKind": "faults",
    "FaultRule": "faults",
    "Instance": "workflow",
    "InstanceNotFoundError": "workflow",
    "NotAllowedError": "workflow",
    "NotAwaitedError": "workflow",
    "Permission": "accounts",
    "Phase": "faults",
    "Polls": "report",
    "Report": "report",
    "RequestRecord": "journal",
    "RetryAfter": "faults",
    "Sandbox": "sandbox",
    "ServerCertificate": "tls",
    "Status": "workflow",
    "WorkflowError": "workflow",
    "WrongStatusError": "workflow",
}

if not TYPE_CHECKING:

    def __getattr__(name):
        """
        Import one of the public names (PEP 562).
        """
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.startswith("kf_provider"):
                raise
            text = f"kf_provider.sandbox needs {missing.name}: pip install 'kf-provider[sandbox]'"
            raise ModuleNotFoundError(text, name=missing.name) from None
        globals()[name] = value
        return value
