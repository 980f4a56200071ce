"""
Keyfactor Command workflow instances in Pulumi programs: read them, and hold resources back until they are approved.
"""

from .approval import WorkflowApproval
from .client import Client
from .errors import KeyfactorError
from .functions import (
    GetWorkflowInstanceResult,
    WorkflowInstanceSummary,
    get_workflow_instance,
    get_workflow_instance_output,
    get_workflow_instances,
    get_workflow_instances_output,
)
from .instance import WorkflowInstance
from .provider import Provider
from .settings import Settings, load_settings

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
