"""
What the provider of ApprovalRecord answers to the engine.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2_grpc

from kf_provider.approval import EXCUSED, ApprovalRecordProvider
from kf_provider.sandbox import FaultKind, FaultRule, Sandbox
from kf_provider.waiting.verdict import Outcome

from .process import UNKNOWN, Plugin, config_of, started_process

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


RECORDED = {"instance_id": ID, "expect": {"title": "t"}, "server": "https://kf.example.com/KeyfactorAPI"}


@pytest.mark.parametrize("outcome", sorted(EXCUSED))
def test_check_recorded(plugin: Plugin, outcome: str) -> None:
    """
    What only says that the instance cannot be seen, or is pending in an old answer, leaves a recorded approval.
    """
    assert ({**RECORDED}, []) == plugin.check(RECORDED, {**RECORDED, "problem": "not found", "outcome": outcome})


@pytest.mark.parametrize("outcome", [*sorted({*Outcome} - {"approved"} - EXCUSED), None, "anything else"])
def test_check_recorded_and_refused(plugin: Plugin, outcome: str | None) -> None:
    """
    What the server says of the instance is never dropped: a recorded Complete cannot become these.
    """
    assert ["is Rejected"] == plugin.check(RECORDED, {**RECORDED, "problem": "is Rejected", "outcome": outcome})[1]


@pytest.mark.parametrize(
    "changed",
    [
        {"instance_id": OTHER_ID},
        {"instance_id": None},
        {"expect": {"title": "another"}},
        {"expect": None},
    ],
)
def test_check_recorded_for_another(plugin: Plugin, changed: dict[str, Any]) -> None:
    """
    A record for another instance or another expectation excuses nothing.
    """
    news = {name: value for name, value in (RECORDED | changed).items() if value is not None}

    assert ["no"] == plugin.check(RECORDED, {**news, "problem": "no", "outcome": "not_found"})[1]


def test_check_recorded_on_another_server(plugin: Plugin) -> None:
    """
    Nor does one of another server; the refusal says what to do when it is the same under a new name.
    """
    news = {
        **RECORDED,
        "server": "https://new.example.com/KeyfactorAPI",
        "problem": "not found",
        "outcome": "not_found",
    }

    (text,) = plugin.check(RECORDED, news)[1]

    assert text == (
        "not found; the approval was recorded on https://kf.example.com/KeyfactorAPI, and this run asks "
        "https://new.example.com/KeyfactorAPI: if that is the same server under a new name, add the old one to "
        "keyfactor:formerServers or KEYFACTOR_FORMER_SERVERS"
    )


@pytest.mark.parametrize(
    ("hostname", "is_refused"),
    [("KF.example.com.", False), ("https://kf.example.com:443", False), ("new.example.com", True), ("", True)],
)
def test_check_the_server_of_the_plugin(plugin: Plugin, hostname: str, is_refused: bool) -> None:
    """
    The plugin must find the server that the program asks, in any spelling; no request is sent to see it.
    """
    plugin.configure(hostname=hostname)

    assert is_refused == bool(plugin.check({}, RECORDED)[1])


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
    ("changed", "is_another"),
    [
        ({}, False),
        ({"follow_restarts": True}, False),
        ({"server": None}, False),
        ({"server": "https://kf.example.com/keyfactorapi"}, False),
        ({"server": "https://former.example.com/KeyfactorAPI"}, True),
        ({"instance_id": OTHER_ID}, True),
        ({"expect": {"title": "another"}}, True),
        ({"instance_id": UNKNOWN}, True),
    ],
)
def test_diff(plugin: Plugin, changed: dict[str, Any], is_another: bool) -> None:
    """
    Another instance, expectation or server is recorded in the same record, and nothing else changes it.
    """
    outputs = {**RECORDED, "status": "Complete", "title": "t"}
    news = {name: value for name, value in (RECORDED | changed).items() if value is not None}

    assert (is_another, []) == plugin.diff(outputs, news)


def test_diff_of_a_former_server(plugin: Plugin) -> None:
    """
    A record of a former address of the server is a record of the server.
    """
    plugin.configure(formerServers="https://kf.example.com/KeyfactorAPI, https://older.example.com")

    assert (False, []) == plugin.diff(RECORDED, {**RECORDED, "server": "https://new.example.com/KeyfactorAPI"})


def test_diff_of_a_record_without_a_server(plugin: Plugin) -> None:
    """
    A record from before servers were compared is judged by its evidence alone.
    """
    outputs = {name: value for name, value in RECORDED.items() if name != "server"}

    assert (False, []) == plugin.diff(outputs, RECORDED)


def test_create_records_evidence(connected: Plugin, server: Sandbox) -> None:
    """
    The record holds who, what and when, and a digest of the data, never the data.
    """
    id_ = server.start_enrollment(subject="CN=canary.example.com")
    server.approve(id_)

    record_id, record = connected.create({"instance_id": id_, "expect": {"status": "Complete"}})

    assert id_ not in record_id  # which Pulumi never hides
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


@pytest.mark.parametrize("act", ["deny", "stop", "fail"])
def test_create_refuses(connected: Plugin, server: Sandbox, act: str) -> None:
    """
    The program's word is not taken: what the server does not call Complete is not recorded.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    getattr(server, act)(id_)

    with pytest.raises(grpc.RpcError, match=f"workflow instance {id_} is "):
        connected.create({"instance_id": id_})


def test_create_refuses_an_old_approval(connected: Plugin, server: Sandbox) -> None:
    """
    An approval that is older than it may be is not recorded, by the clock of the server that answers.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    server.advance(40 * 86_400 + 60)

    with pytest.raises(grpc.RpcError, match="40 d ago, and may be no older than 30 d"):
        connected.create({"instance_id": id_, "max_age": 30 * 86_400.0})
    assert "Complete" == connected.create({"instance_id": id_, "max_age": 50 * 86_400.0})[1]["status"]


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

    with pytest.raises(grpc.RpcError, match=r"is not the id of a workflow instance|is a reference id"):
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

    assert id_ == connected.create({"instance_id": id_})[1]["approved_instance_id"]
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


def test_create_fails_in_one_line(connected: Plugin, server: Sandbox) -> None:
    """
    What create raises is one line, without a traceback.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.add_fault(FaultRule(kind=FaultKind.HTML))

    with pytest.raises(grpc.RpcError) as failed:
        connected.create({"instance_id": id_})

    text = failed.value.details()
    assert "instead of JSON" in text
    assert text.isprintable()
    assert "Traceback" not in text


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


def test_update_records_the_new_evidence(connected: Plugin, server: Sandbox) -> None:
    """
    Another approval is verified as the first was, and its evidence takes the old one's place.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)

    record = connected.update({**RECORDED, "status": "Complete"}, {"instance_id": id_})

    assert (id_, {}, "Complete") == (record["instance_id"], record.get("expect", {}), record["status"])
    assert "replaces" not in record  # nothing was recorded of when the old one was given


def test_update_keeps_the_date_of_the_old_approval(connected: Plugin, server: Sandbox) -> None:
    """
    Of the approval that is replaced, its date is kept, and when that was: the program tells it in that run.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    begun = datetime.now(UTC)

    record = connected.update({**RECORDED, "last_modified": "2026-10-28T12:00:00Z"}, {"instance_id": id_})

    assert {"last_modified", "recorded_at"} == set(record["replaces"])
    assert "2026-10-28T12:00:00Z" == record["replaces"]["last_modified"]
    assert begun <= datetime.fromisoformat(record["replaces"]["recorded_at"]) <= datetime.now(UTC)


def test_update_refuses(connected: Plugin, server: Sandbox) -> None:
    """
    What the server does not call Complete is not recorded by an update either.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.deny(id_)

    with pytest.raises(grpc.RpcError, match=f"workflow instance {id_} is Rejected"):
        connected.update(RECORDED, {"instance_id": id_})


def test_a_secret_id_in_an_error(connected: Plugin, server: Sandbox) -> None:
    """
    The text of a refusal does not have the id where the program says that it is secret.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.deny(id_)

    with pytest.raises(grpc.RpcError, match="the workflow instance of this gate is Rejected") as caught:
        connected.create({"instance_id": id_, "is_secret": True})

    assert id_ not in caught.value.details()


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


def test_an_unchanged_stack_needs_no_http(tmp_path: Path, server: Sandbox) -> None:
    """
    Until a server must be asked, the real plugin process imports neither requests nor pydantic; then it does.
    """
    instance_id = server.start_enrollment()
    server.approve(instance_id)
    config = config_of(server)
    inputs = {
        "instance_id": instance_id,
        "server": f"{config['hostname']}/KeyfactorAPI",
        "expect": {"status": "Complete"},
    }
    record = {**inputs, "status": "Complete", "last_modified": "2026-11-24T08:00:00Z"}
    log = tmp_path / "imports"

    with (
        log.open("w") as stderr,
        started_process(stderr=stderr, PYTHONPROFILEIMPORTTIME="1", **server.environment()) as stub,
    ):
        plugin = Plugin(stub, ApprovalRecordProvider())
        plugin.configure(**config)
        assert [] == plugin.check(inputs, inputs)[1]
        assert [] == plugin.check({}, inputs)[1]
        assert not plugin.diff(record, inputs)[0]
        assert record == plugin.read(ID, record)[1]
        plugin.delete(ID, record)
        unchanged = imported(log)
        plugin.create(inputs)
        asked = imported(log)

    assert "kf_provider.approval" in unchanged
    assert set() == {"requests", "urllib3", "pydantic", "kf_provider.keyfactor.settings"} & unchanged
    assert {"requests", "urllib3", "pydantic"} <= asked


def imported(log: Path) -> set[str]:
    """The modules that a process has imported, by what PYTHONPROFILEIMPORTTIME lets it write."""
    return {line.rpartition("|")[2].strip() for line in log.read_text().splitlines() if line.startswith("import time:")}
