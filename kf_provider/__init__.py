"""
Keyfactor Command workflow instances in Pulumi programs: read them, and hold resources back until they are approved.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        ArgumentError,
        ForbiddenError,
        InstanceIdError,
        KeyfactorError,
        NoAnswerError,
        NotApprovedError,
        NotFoundError,
        NotIssuedError,
        RedirectError,
        RequestError,
        RestartError,
        SearchError,
        SettingsError,
        StatusError,
        UnauthorizedError,
        UnavailableError,
        UnusableAnswerError,
    )
    from .functions import (
        find_workflow_instance,
        find_workflow_instance_output,
        get_certificate,
        get_certificate_output,
        get_workflow_instance,
        get_workflow_instance_output,
        get_workflow_instances,
        get_workflow_instances_output,
    )
    from .gate import WorkflowApproval
    from .instance import WorkflowInstance
    from .keyfactor.client import Client
    from .keyfactor.models import (
        AlternativeName,
        Certificate,
        Instance,
        InstanceDefinition,
        InstanceSignal,
        InstanceSummary,
        Status,
        WorkflowDefinition,
    )
    from .keyfactor.search import Filters
    from .keyfactor.settings import Settings, load_settings
    from .provider import InvalidArgumentError, InvalidIdError, Provider
    from .results import (
        Definition,
        Evidence,
        GetCertificateResult,
        GetWorkflowInstanceResult,
        Signal,
        SubjectAlternativeName,
        WorkflowInstanceSummary,
    )

    __version__: str

__all__ = [
    "AlternativeName",
    "ArgumentError",
    "Certificate",
    "Client",
    "Definition",
    "Evidence",
    "Filters",
    "ForbiddenError",
    "GetCertificateResult",
    "GetWorkflowInstanceResult",
    "Instance",
    "InstanceDefinition",
    "InstanceIdError",
    "InstanceSignal",
    "InstanceSummary",
    "InvalidArgumentError",
    "InvalidIdError",
    "KeyfactorError",
    "NoAnswerError",
    "NotApprovedError",
    "NotFoundError",
    "NotIssuedError",
    "Provider",
    "RedirectError",
    "RequestError",
    "RestartError",
    "SearchError",
    "Settings",
    "SettingsError",
    "Signal",
    "Status",
    "StatusError",
    "SubjectAlternativeName",
    "UnauthorizedError",
    "UnavailableError",
    "UnusableAnswerError",
    "WorkflowApproval",
    "WorkflowDefinition",
    "WorkflowInstance",
    "WorkflowInstanceSummary",
    "find_workflow_instance",
    "find_workflow_instance_output",
    "get_certificate",
    "get_certificate_output",
    "get_workflow_instance",
    "get_workflow_instance_output",
    "get_workflow_instances",
    "get_workflow_instances_output",
    "load_settings",
]

_MODULE_OF = {
    "AlternativeName": "keyfactor.models",
    "Certificate": "keyfactor.models",
    "ArgumentError": "errors",
    "InvalidArgumentError": "provider",
    "InvalidIdError": "provider",
    "Client": "keyfactor.client",
    "Definition": "results",
    "Evidence": "results",
    "Filters": "keyfactor.search",
    "ForbiddenError": "errors",
    "GetCertificateResult": "results",
    "GetWorkflowInstanceResult": "results",
    "SubjectAlternativeName": "results",
    "Instance": "keyfactor.models",
    "InstanceDefinition": "keyfactor.models",
    "InstanceIdError": "errors",
    "InstanceSignal": "keyfactor.models",
    "InstanceSummary": "keyfactor.models",
    "KeyfactorError": "errors",
    "NoAnswerError": "errors",
    "NotApprovedError": "errors",
    "NotFoundError": "errors",
    "NotIssuedError": "errors",
    "Provider": "provider",
    "RedirectError": "errors",
    "RequestError": "errors",
    "RestartError": "errors",
    "SearchError": "errors",
    "Settings": "keyfactor.settings",
    "SettingsError": "errors",
    "Signal": "results",
    "Status": "keyfactor.models",
    "StatusError": "errors",
    "UnauthorizedError": "errors",
    "UnavailableError": "errors",
    "UnusableAnswerError": "errors",
    "WorkflowApproval": "gate",
    "WorkflowDefinition": "keyfactor.models",
    "WorkflowInstance": "instance",
    "WorkflowInstanceSummary": "results",
    "find_workflow_instance": "functions",
    "find_workflow_instance_output": "functions",
    "get_certificate": "functions",
    "get_certificate_output": "functions",
    "get_workflow_instance": "functions",
    "get_workflow_instance_output": "functions",
    "get_workflow_instances": "functions",
    "get_workflow_instances_output": "functions",
    "load_settings": "keyfactor.settings",
}

# A language host that cannot run a folder as a policy pack runs `python "" ENGINE` in the stack's folder, and so the
# stack's program, without an engine: the program's first resource would end with a traceback about that.
if sys.argv[:1] == [""] and len(sys.argv) == 2 and sys.argv[1].startswith("127.0.0.1:"):
    sys.exit(
        "this is the stack's program, started as its policy pack: this Pulumi's language host for Python cannot run a "
        "folder as one; give the pack's executable, as --policy-pack FOLDER/run"
    )

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name

    def __getattr__(name: str) -> Any:
        # At first use: the sandbox, its pytest plugin and the command line must not wait half a second for pulumi.
        if name in _MODULE_OF:
            return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
        if name == "__version__":
            return import_module("importlib.metadata").version("kf-provider")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
