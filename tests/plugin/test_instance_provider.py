"""
What the provider of WorkflowInstance answers to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
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

    assert (id_, id_, "Suspended") == (read_id, fields["instance_id"], fields["status"])
    assert "problem" not in fields
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
    What is not there is an error in one line that names the id.
    """
    text = failure(plugin, {})

    assert f"workflow instance {ID} was not found" in text
    assert "refresh" not in text


def test_refresh_not_found(plugin: Plugin) -> None:
    """
    In a refresh too: it is not dropped, and the text says how to go on.
    """
    text = failure(plugin, {"instance_id": ID, "status": "Complete"})

    assert f"workflow instance {ID} was not found" in text
    assert "leave out --refresh" in text


def test_read_without_permission(plugin: Plugin, server: Sandbox) -> None:
    """
    Keyfactor's own words are in the error.
    """
    server.forbid(ID)

    assert "0xA0140002" in failure(plugin, {})


def test_read_without_settings(process: provider_pb2_grpc.ResourceProviderStub) -> None:
    """
    Missing settings are one line too.
    """
    plugin = Plugin(process, WorkflowInstanceProvider())
    plugin.configure()

    assert "KEYFACTOR_HOSTNAME" in failure(plugin, {})


@pytest.mark.parametrize(("recorded", "expected"), [("", ""), ("the server was down", None), (None, None)])
def test_refresh_of_a_problem_output(
    plugin: Plugin, server: Sandbox, recorded: str | None, expected: str | None
) -> None:
    """
    Of an earlier release's output `problem` only the empty one stays, in which nothing has changed.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")

    _, fields = plugin.read(id_, {"instance_id": id_, "problem": recorded})

    assert expected == fields.get("problem")


def failure(plugin: Plugin, props: Mapping[str, Any]) -> str:
    with pytest.raises(grpc.RpcError) as failed:
        plugin.read(ID, props)
    text = str(failed.value.details())
    assert text.isprintable()
    assert "Traceback" not in text
    return text
