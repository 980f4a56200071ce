"""
The gate's arguments: what makes no sense is refused where it is written. The rest of the gate runs in tests/engine.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from kf_provider.gate import WorkflowApproval
from kf_provider.provider import InvalidArgumentError

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"instance_id": None}, "None is not the id of a workflow instance"),
        ({"instance_id": ""}, "an empty string is not the id"),
        ({"instance_id": "  "}, "an empty string is not the id"),
        ({"instance_id": 42}, "42 is a reference id: look it up with get_workflow_instance(reference_id=42)"),
        ({"instance_id": 42.0}, "42 is a reference id: look it up with get_workflow_instance(reference_id=42)"),
        ({"instance_id": " 42 "}, "42 is a reference id: look it up with get_workflow_instance(reference_id=42)"),
        ({"instance_id": 10**5000}, "a number of more than 18 digits is not the id"),
        ({"instance_id": True}, "an object of type bool is not the id"),
        ({"instance_id": b"x"}, "an object of type bytes is not the id"),
        ({"instance_id": {"id": ID}}, "an object of type dict is not the id"),
        ({"timeout": "soon"}, "'soon' is not a duration"),
        ({"timeout": 0}, "0 is not a duration"),
        ({"timeout": -1}, "-1 is not a duration"),
        ({"timeout": float("nan")}, "nan is not a duration"),
        ({"timeout": []}, "[] is not a duration"),
        ({"timeout": True}, "True is not a duration"),
        ({"opts": pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="soon"))}, "'soon' is not a"),
        ({"max_age": "a month"}, "'a month' is not a duration"),
        ({"max_age": 0}, "0 is not a duration"),
        ({"expect": ["title"]}, "expect is a mapping of paths to values, not a list"),
        ({"expect": "title"}, "expect is a mapping of paths to values, not a str"),
        ({"expect": {"titel": "x"}}, "expects 'titel', which no instance has"),
        ({"expect": {5: "x"}}, "expects 5, which no instance has"),
        ({"expect": {"title": None}}, "expects None of 'title', which can never be"),
        ({"expect": {"current_state_data.a": {"b": [None]}}}, "expects None of 'current_state_data.a'"),
        ({"expect": {"reference_id": 2**53 + 1}}, "a number beyond 2^53, which is not kept exactly of 'reference_id'"),
        ({"expect": {"current_state_data.a": {"x"}}}, "a value of type set, which JSON does not have of"),
        ({"expect": {"current_state_data.\ud800": "x"}}, "half of a surrogate pair"),
        ({"expect": {"status": "Suspended"}}, "expects a status other than Complete"),
    ],
)
def test_refused_arguments(arguments: dict[str, Any], text: str) -> None:
    """
    Each is a ValueError of one line that names the gate, and that the CLI shows without a traceback.
    """
    with pytest.raises(InvalidArgumentError) as refused:
        WorkflowApproval("web", **{"instance_id": ID, **arguments})

    message = str(refused.value)
    assert message.startswith("WorkflowApproval 'web': ")
    assert text in message
    assert "\n" not in message
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, pulumi.RunError)


def test_no_expected_value_is_told() -> None:
    """
    A value may be secret: the text tells its type.
    """
    with pytest.raises(InvalidArgumentError) as refused:
        WorkflowApproval("web", ID, expect={"current_state_data.Password": {"canary"}})

    assert "canary" not in str(refused.value)
