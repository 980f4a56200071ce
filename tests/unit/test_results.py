"""
The fields of an instance are the same everywhere that a program sees them.
"""

from __future__ import annotations

from kf_provider.instance import WorkflowInstance
from kf_provider.keyfactor.models import Instance, InstanceDefinition, InstanceSignal, InstanceSummary
from kf_provider.results import Definition, Evidence, GetWorkflowInstanceResult, Signal, WorkflowInstanceSummary


def fields_of(kind: type) -> list[str]:
    return list(kind.__annotations__)


def test_output_types_have_the_fields_of_the_models() -> None:
    """
    Output types cannot inherit from each other, so their lists of fields are compared with the models'.
    """
    assert list(Instance.model_fields) == fields_of(GetWorkflowInstanceResult) == fields_of(WorkflowInstance)
    assert list(InstanceSummary.model_fields) == fields_of(WorkflowInstanceSummary)
    assert list(InstanceDefinition.model_fields) == fields_of(Definition)
    assert list(InstanceSignal.model_fields) == fields_of(Signal)


def test_shared_fields_have_one_type() -> None:
    """
    A field of a summary has the same type in the whole instance.
    """
    whole = GetWorkflowInstanceResult.__annotations__

    assert WorkflowInstanceSummary.__annotations__ == {name: whole[name] for name in fields_of(WorkflowInstanceSummary)}


def test_evidence_is_of_the_instance() -> None:
    """
    What a record keeps of the instance has the instance's names; the rest is what an approval adds.
    """
    added = {"approved_instance_id", "lineage", "expect", "server", "state_digest"}

    assert added == Evidence.__annotations__.keys() - InstanceSummary.model_fields.keys()
