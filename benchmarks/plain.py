"""
What a gate is compared with: a component with one dynamic resource that asks nobody. Runs in Pulumi programs.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class PlainProvider(ResourceProvider):
    """
    Creates what it is given.
    """

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(props["instance_id"], {**props, "status": "Complete"})


class PlainRecord(Resource, module="benchmark", name="PlainRecord"):
    """
    As an ApprovalRecord, with one output.
    """

    status: pulumi.Output[str]

    def __init__(self, name: str, instance_id: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__(PlainProvider(), name, {"instance_id": instance_id, "status": None}, opts)


class Plain(pulumi.ComponentResource):
    """
    As a WorkflowApproval, without the approval.
    """

    def __init__(self, name: str, instance_id: str) -> None:
        super().__init__("benchmark:index:Plain", name, {})
        PlainRecord(name, instance_id, pulumi.ResourceOptions(parent=self))
        self.register_outputs({})
