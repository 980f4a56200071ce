"""
The fields of an instance are the same everywhere that a program sees them.
"""

from __future__ import annotations

import asyncio

from kf_provider.instance import WorkflowInstance
from kf_provider.keyfactor.models import (
    AlternativeName,
    Certificate,
    Instance,
    InstanceDefinition,
    InstanceSignal,
    InstanceSummary,
)
from kf_provider.results import (
    Definition,
    Evidence,
    GetCertificateResult,
    GetWorkflowInstanceResult,
    Signal,
    SubjectAlternativeName,
    WorkflowInstanceSummary,
    certificate_result,
)


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
    assert list(Certificate.model_validate({"Id": 7}).outputs()) == fields_of(GetCertificateResult)
    assert list(AlternativeName.model_fields) == fields_of(SubjectAlternativeName)


def test_certificate_from_the_wire() -> None:
    """
    Numbers that have been through the engine are whole again, and what people put beside a certificate is secret.
    """
    names = [{"type": 2, "value": "web.example.com"}]
    fields = {"certificate_id": 7.0, "request_id": 70.0, "sans": names, "metadata": {"Owner": "x"}}

    async def convert() -> tuple[str, str, str | None, bool]:
        result = certificate_result(fields)
        return (
            str(result.certificate_id),
            str(result.request_id),
            result.sans[0].value,
            await result.metadata.is_secret(),
        )

    assert ("7", "70", "web.example.com", True) == asyncio.run(convert())


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
