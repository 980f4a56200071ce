"""
Keyfactor Command workflow instances in Pulumi programs: read them, and hold resources back until they are approved.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import KeyfactorError
    from .functions import (
        get_workflow_instance,
        get_workflow_instance_output,
        get_workflow_instances,
        get_workflow_instances_output,
    )
    from .gate import WorkflowApproval
    from .instance import WorkflowInstance
    from .keyfactor.client import Client
    from .keyfactor.settings import Settings, load_settings
    from .provider import Provider
    from .results import GetWorkflowInstanceResult, WorkflowInstanceSummary

__all__ = [
    "Client",
    "GetWorkflowInstanceResult",
    "KeyfactorError",
    "Provider",
    "Settings",
    "WorkflowApproval",
    "WorkflowInstance",
    "WorkflowInstanceSummary",
    "get_workflow_instance",
    "get_workflow_instance_output",
    "get_workflow_instances",
    "get_workflow_instances_output",
    "load_settings",
]

_MODULE_OF = {
    "Client": "keyfactor.client",
    "GetWorkflowInstanceResult": "results",
    "KeyfactorError": "errors",
    "Provider": "provider",
    "Settings": "keyfactor.settings",
    "WorkflowApproval": "gate",
    "WorkflowInstance": "instance",
    "WorkflowInstanceSummary": "results",
    "get_workflow_instance": "functions",
    "get_workflow_instance_output": "functions",
    "get_workflow_instances": "functions",
    "get_workflow_instances_output": "functions",
    "load_settings": "keyfactor.settings",
}


if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name

    def __getattr__(name: str) -> Any:
        # At first use: the sandbox, its pytest plugin and the command line must not wait half a second for pulumi.
        if name in _MODULE_OF:
            return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
