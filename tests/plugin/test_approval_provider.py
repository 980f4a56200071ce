"""
What the provider of ApprovalRecord answers to the engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2_grpc

from kf_provider.approval import ApprovalRecordProvider
from kf_provider.sandbox import FaultKind, FaultRule, Sandbox

from .conftest import UNKNOWN, Plugin, config_of

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"
OTHER_ID = "11111111-9d1b-4b7e-8a60-3f5e2d7c1b94"


@pytest.fixture
def plugin(process: provider_pb2_grpc.ResourceProviderStub) -> Plugin:
    plugin = Plugin(process, ApprovalRecordProvider())
    plugin.configure()
    return plugin


@pytest.fixture
def connected(process: provider_pb2_grpc.ResourceProviderStub, server: Sandbox) -> Plugin:
    plugin = Plugin(process, ApprovalRecordProvider())
    plugin.configure(**config_of(server))
    return plugin


def test_check_problem(plugin: Plugin) -> None:
    """
    A problem is one failure that names no property, whose value the engine would print.
    """

    inputs, failures = plugin.check({}, {"instance_id": ID, "problem": "is Rejected"})

    assert ({"instance_id": ID}, ["is Rejected"]) == (inputs, failures)


def test_check_recorded(plugin: Plugin) -> None:
    """
    What was recorded as approved stays so, whatever became of the instance.
    """
    olds = {"instance_id": ID, "expect": {"title": "t"}}

    assert ({**olds}, []) == plugin.check(olds, {**olds, "problem": "not found"})


@pytest.mark.parametrize(
    "news",
    [
        {"instance_id": OTHER_ID, "expect": {"title": "t"}},
        {"instance_id": ID, "expect": {"title": "another"}},
        {"instance_id": ID},
        {"expect": {"title": "t"}},
    ],
)
def test_check_recorded_for_another(plugin: Plugin, news: dict[str, Any]) -> None:
    """
    A record for another instance or another expectation excuses nothing.
    """
    olds = {"instance_id": ID, "expect": {"title": "t"}}

    assert ["no"] == plugin.check(olds, {**news, "problem": "no"})[1]


def test_check_without_ids_on_both_sides(plugin: Plugin) -> None:
    """
    Two absent ids are not the same approval.
    """

    assert ["no"] == plugin.check({"expect": {}}, {"problem": "no"})[1]


def test_check_unknown(plugin: Plugin) -> None:
    """
    An unknown problem, as in a preview with an unknown id, is no problem.
    """

    inputs, failures = plugin.check({}, {"instance_id": UNKNOWN, "expect": UNKNOWN, "problem": UNKNOWN})

    assert ({"instance_id": UNKNOWN, "expect": UNKNOWN}, []) == (inputs, failures)


@pytest.mark.parametrize(
    ("news", "replaces"),
    [
        ({"instance_id": ID}, []),
        ({"instance_id": ID, "expect": {}}, []),
        ({"instance_id": ID, "follow_restarts": True}, []),
        ({"instance_id": OTHER_ID}, ["instance_id"]),
        ({"instance_id": ID, "expect": {"title": "t"}}, ["expect"]),
        ({"instance_id": UNKNOWN}, ["instance_id"]),
    ],
)
def test_diff(plugin: Plugin, news: dict[str, Any], replaces: list[str]) -> None:
    """
    Another instance or expectation replaces the record, and nothing else changes it.
    """
    outputs = {"instance_id": ID, "expect": {}, "status": "Complete", "title": "t"}

    assert (bool(replaces), replaces) == plugin.diff(outputs, news)


def test_create_records_evidence(connected: Plugin, server: Sandbox) -> None:
    """
    The record holds who, what and when, and a digest of the data, never the data.
    """
    id_ = server.start_enrollment(subject="CN=canary.example.com")
    server.approve(id_)

    record_id, record = connected.create({"instance_id": id_, "expect": {"status": "Complete"}})

    assert record_id == id_
    assert {
        "approved_instance_id",
        "definition",
        "expect",
        "instance_id",
        "last_modified",
        "lineage",
        "reference_id",
        "server",
        "start_date",
        "state_digest",
        "status",
        "title",
    } == set(record)
    assert ("Complete", id_, id_) == (record["status"], record["instance_id"], record["approved_instance_id"])
    assert len(record["state_digest"]) == 64
    assert set(record["definition"]) <= {"id", "display_name", "version", "workflow_type"}
    del record["title"]  # it names the subject: Keyfactor's own text
    assert "canary" not in json.dumps(record)


@pytest.mark.parametrize("act", ["nothing", "deny", "stop", "fail"])
def test_create_refuses(connected: Plugin, server: Sandbox, act: str) -> None:
    """
    The program's word is not taken: what the server does not call Complete is not recorded.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    if act != "nothing":
        getattr(server, act)(id_)

    with pytest.raises(grpc.RpcError, match=f"NotApprovedError: workflow instance {id_} is "):
        connected.create({"instance_id": id_})


def test_create_refuses_an_unmet_expectation(connected: Plugin, server: Sandbox) -> None:
    """
    An approval given for one certificate opens no other gate, and its values are not told.
    """
    id_ = server.start_enrollment(subject="CN=canary.example.com")
    server.approve(id_)

    with pytest.raises(grpc.RpcError, match=r"its current_state_data\.Subject is not the expected one") as caught:
        connected.create({"instance_id": id_, "expect": {"current_state_data.Subject": "CN=web.example.com"}})

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("id_", ["../Instances/X", "", "42", f"{ID}/../{OTHER_ID}", f"{ID}?x=1"])
def test_create_refuses_an_odd_id(connected: Plugin, server: Sandbox, id_: str) -> None:
    """
    What is not a GUID is not sent.
    """

    with pytest.raises(grpc.RpcError, match="InstanceIdError"):
        connected.create({"instance_id": id_})

    assert [] == server.journal()


def test_create_rides_out_what_passes(connected: Plugin, server: Sandbox) -> None:
    """
    A 500, a 429 and an answer that breaks off do not end the run that has waited for hours.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    server.break_next(1, status=500)
    server.break_next(1, status=429, retry_after="1")

    assert id_ == connected.create({"instance_id": id_})[0]
    assert [500, 429, 200] == [record.status for record in server.journal()]


def test_create_rides_out_a_stale_answer(connected: Plugin, server: Sandbox) -> None:
    """
    An answer from before the approval, which the program has seen, does not end the run.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    server.add_fault(FaultRule(kind=FaultKind.STALE, times=1))

    _, record = connected.create({"instance_id": id_})

    assert "Complete" == record["status"]


def test_create_fails_with_one_traceback(connected: Plugin, server: Sandbox) -> None:
    """
    The SDK shows what create raises with its traceback: it is ours alone, without those of its causes.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.add_fault(FaultRule(kind=FaultKind.HTML))

    with pytest.raises(grpc.RpcError) as failed:
        connected.create({"instance_id": id_})

    text = failed.value.details()
    assert "NotApprovedError" in text
    assert 1 == text.count("Traceback")
    assert "urllib3" not in text


def test_create_follows_a_restart(connected: Plugin, server: Sandbox) -> None:
    """
    With follow_restarts the provider finds the successors itself, and records all ids.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    second = server.restart(id_)
    third = server.restart(second)
    server.approve(third)

    _, record = connected.create({"instance_id": id_, "follow_restarts": True})

    assert (id_, third) == (record["instance_id"], record["approved_instance_id"])
    assert [id_, second, third] == record["lineage"]


def test_create_without_settings(plugin: Plugin) -> None:
    """
    Missing settings are named.
    """

    with pytest.raises(grpc.RpcError, match="KEYFACTOR_HOSTNAME"):
        plugin.create({"instance_id": ID})


def test_read_keeps_the_record(plugin: Plugin) -> None:
    """
    A refresh asks nothing: an approval is a historical fact.
    """
    record = {"instance_id": ID, "status": "Complete", "reference_id": 7.0}

    assert (ID, record) == plugin.read(ID, record)


def test_delete_needs_nothing(plugin: Plugin) -> None:
    """
    Deleting the record sends nothing and needs no settings.
    """
    plugin.delete(ID, {"instance_id": ID})


def test_an_unchanged_stack_needs_no_http() -> None:
    """
    Until a server must be asked, the plugin imports neither requests nor pydantic.
    """
    program = """
import sys
from pulumi.dynamic import Config, ConfigureRequest
from kf_provider.approval import ApprovalRecordProvider

provider = ApprovalRecordProvider()
provider.configure(ConfigureRequest(Config({}, "project")))
inputs = {"instance_id": "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94", "expect": {"title": "t"}}
assert not provider.check(inputs, dict(inputs)).failures
assert not provider.diff("id", inputs, inputs).changes
provider.read("id", inputs)
provider.delete("id", inputs)
print(sorted({"requests", "urllib3", "pydantic"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)

    assert "[]" == done.stdout.strip()
