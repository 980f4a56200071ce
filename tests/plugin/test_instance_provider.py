"""
What the provider of WorkflowInstance answers to the engine.
"""

from __future__ import annotations

import pytest
from pulumi.runtime.proto import provider_pb2_grpc

from kf_provider.instance import WorkflowInstanceProvider
from kf_provider.sandbox import Sandbox

from .process import Plugin, config_of

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"


@pytest.fixture
def plugin(process: provider_pb2_grpc.ResourceProviderStub, server: Sandbox) -> Plugin:
    plugin = Plugin(process, WorkflowInstanceProvider())
    plugin.configure(**config_of(server))
    return plugin


def test_read(plugin: Plugin, server: Sandbox) -> None:
    """
    All fields come by the names of the public API.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")

    read_id, fields = plugin.read(id_, {})

    assert (id_, id_, "Suspended", "") == (read_id, fields["instance_id"], fields["status"], fields["problem"])
    assert fields["current_state_data"]["Subject"] == "CN=web.example.com"
    assert fields["definition"]["workflow_type"] == "Enrollment"
    assert fields["signals"][0]["signal_received"] is False


def test_read_keeps_named_parts(plugin: Plugin, server: Sandbox) -> None:
    """
    Only the named parts of the data reach the state.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com", state_data={"Deep": {"a": 1, "b": {"c": 2}}, "x.y": 3})

    _, fields = plugin.read(id_, {"state_data_keys": ["Subject", "Deep.a", "Deep.b.c", "x.y", "Nothing.at.all"]})

    assert {"Subject": "CN=web.example.com", "Deep": {"a": 1.0, "b": {"c": 2.0}}, "x.y": 3.0} == fields[
        "current_state_data"
    ]
    assert "Template" not in fields["initial_data"]


def test_read_not_found(plugin: Plugin) -> None:
    """
    What is not there is a problem that names the id, not a traceback.
    """

    _, fields = plugin.read(ID, {})

    assert f"workflow instance {ID} was not found" in fields["problem"]


def test_refresh_not_found(plugin: Plugin) -> None:
    """
    A refresh drops what is gone.
    """

    assert ("", {}) == plugin.read(ID, {"instance_id": ID, "status": "Complete", "problem": ""})


def test_read_without_permission(plugin: Plugin, server: Sandbox) -> None:
    """
    Keyfactor's own words are in the problem.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.forbid(id_)

    _, fields = plugin.read(id_, {})

    assert "0xA0140002" in fields["problem"]
