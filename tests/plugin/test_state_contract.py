"""
What outlives a release: the provider classes' places, and the keys in the state.
"""

from __future__ import annotations

import base64

import pytest
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

from kf_provider.approval import ApprovalRecordProvider
from kf_provider.gate import RECORD_TYPE, TYPE, ApprovalRecord
from kf_provider.instance import WorkflowInstance, WorkflowInstanceProvider

PICKLES = {
    "ApprovalRecordProvider": "gASVNgAAAAAAAACMFGtmX3Byb3ZpZGVyLmFwcHJvdmFslIwWQXBwcm92YWxSZWNv"
    "cmRQcm92aWRlcpSTlCmBlC4=",
    "WorkflowInstanceProvider": "gASVOAAAAAAAAACMFGtmX3Byb3ZpZGVyLmluc3RhbmNllIwYV29ya2Zsb3dJbnN0"
    "YW5jZVByb3ZpZGVylJOUKYGULg==",
}


@pytest.mark.parametrize("provider", [ApprovalRecordProvider(), WorkflowInstanceProvider()])
def test_pickle(provider: ResourceProvider) -> None:
    """
    The pickle is in every state file: it names the class's place, holds no code, and is the same for ever.
    """

    pickled = serialize_provider(provider)

    assert PICKLES[type(provider).__name__] == pickled
    assert f"kf_provider.{type(provider).__module__.rpartition('.')[2]}".encode() in base64.b64decode(pickled)


def test_types() -> None:
    """
    The type tokens are part of every URN.
    """

    assert TYPE == "keyfactor:index:WorkflowApproval"
    assert RECORD_TYPE == f"pulumi-python:{ApprovalRecord._resource_type_name}"
    assert WorkflowInstance._resource_type_name == "dynamic/keyfactor:WorkflowInstance"
