"""
The rules as plain functions of a graph.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.dynamic.dynamic import serialize_provider

from kf_provider.approval import ApprovalRecordProvider
from kf_provider.policy import Finding, rules
from kf_provider.policy.graph import PROVIDER_TYPE, RECORD_TYPE, SECRET, UNKNOWN, Graph, Node
from tests.unit.policy.stacks import (
    CANARY,
    CERTIFICATE,
    DATES,
    KEYS,
    certificate,
    component,
    every_finding,
    record,
    stack,
)

NOW = datetime(2026, 11, 26, tzinfo=UTC)
COMPLETE: dict[str, Any] = {
    "status": "Complete",
    "server": "https://keyfactor.example.com/KeyfactorAPI",
    "definition": {"id": "d", "display_name": "Web servers", "version": 3.0, "workflow_type": "Enrollment"},
    "last_modified": "2026-11-25T00:00:00Z",
}


def test_need() -> None:
    """
    A certificate without an approval is named, with what to write; one that waits is not.
    """
    graph = stack(record("r"), certificate("urn:x::bare"), certificate("bound", dependencies=("r",)))

    (finding,) = rules.certificates_need_approval(graph)

    assert ("certificates-need-approval", "urn:x::bare", "violated") == (finding.rule, finding.urn, finding.verdict)
    assert f"{CERTIFICATE} 'bare'" in finding.message
    assert "depends_on=[approval]" in finding.message


SUBJECT = "current_state_data.Subject"
GATE = "urn:pulumi:prod::shop::keyfactor:index:WorkflowApproval::web"

SANS = "current_state_data.SANs.dns"


@pytest.mark.parametrize(
    ("expect", "properties", "verdicts"),
    [
        ({SUBJECT: "CN=a.b", SANS: ["c.b"]}, {"commonName": "a.b", "dnsNames": ["a.b", "c.b"]}, []),
        ({SUBJECT: "CN=a.b"}, {"commonName": "a.b"}, []),
        ({SUBJECT: "CN=a.b"}, {"commonName": "a.b", "dnsNames": ["c.b"]}, ["violated"]),
        ({SUBJECT: "CN=a.b"}, {"commonName": "a.b", "ipAddresses": ["10.0.0.1"]}, ["violated"]),
        ({SUBJECT: "CN=z.b"}, {"commonName": "a.b"}, ["violated"]),
        ({}, {"commonName": "a.b"}, ["violated"]),
        ({SUBJECT: "CN=a.b"}, {}, ["violated"]),
        ({SUBJECT: "CN=a.b"}, {"commonName": UNKNOWN}, ["unknown"]),
        ({SUBJECT: UNKNOWN}, {"commonName": "a.b"}, ["unknown"]),
    ],
)
def test_matches(expect: dict[str, Any], properties: dict[str, Any], verdicts: list[str]) -> None:
    """
    A certificate asks for the subject that its approval expects, and for no other name.
    """
    needed = certificate(properties=properties, dependencies=("r",))
    graph = stack(record("r", expect=expect), needed, certificate("bare"))

    findings = list(rules.approval_matches_certificate(graph))

    assert verdicts == [finding.verdict for finding in findings]
    assert not any("a.b" in finding.message or "c.b" in finding.message for finding in findings)


@pytest.mark.parametrize(("name", "refused"), [("a.b", 0), ("z.b", 1)])
def test_matches_by_the_request(name: str, refused: int) -> None:
    """
    While a signing request is not known, the resource that makes it tells what it asks for.
    """
    signed = certificate(properties={"certRequestPem": UNKNOWN}, dependencies=("r", "request"))
    request = Node("request", "tls:index/certRequest:CertRequest", properties={"subject": {"commonName": name}})
    graph = stack(record("r", expect={SUBJECT: "CN=a.b"}), request, signed)

    assert refused == len(list(rules.approval_matches_certificate(graph)))


@pytest.mark.parametrize("hidden", [UNKNOWN, SECRET])
@pytest.mark.parametrize("key", ["server", "definition", "last_modified"])
def test_not_known(key: str, hidden: object) -> None:
    """
    What cannot be read is neither allowed nor refused.
    """
    graph = stack(record("r", **{**COMPLETE, key: hidden}), is_deployed=True)
    how: dict[str, Any] = {"servers": [COMPLETE["server"]], "definitions": ["d"], "minimum_version": 1, "max_age": 1e9}

    verdicts = {finding.verdict for finding in rules.approvals_are_complete(graph, now=NOW, **how)}

    assert {"unknown"} == verdicts


def shared(waiting: dict[str, list[str]]) -> list[str]:
    """
    The certificates without an approval of their own, where each waits for some.
    """
    names = {name for needed in waiting.values() for name in needed}
    nodes = [record(name, approved_instance_id=name.rstrip("'")) for name in sorted(names)]
    graph = stack(*nodes, *(certificate(name, dependencies=tuple(needed)) for name, needed in waiting.items()))
    return [finding.urn for finding in rules.one_approval_one_certificate(graph)]


@pytest.mark.parametrize(
    ("waiting", "refused"),
    [
        ({"one": ["a"]}, 0),
        ({"one": ["a"], "two": ["b"]}, 0),
        ({"one": ["a"], "two": ["a"]}, 1),
        ({"one": ["a", "b"], "two": ["a"]}, 0),  # the first can take b
        ({"one": ["a", "b"], "two": ["a", "b"], "three": ["a", "b"]}, 1),
        ({"one": ["a"], "two": ["a'"]}, 1),  # two gates, one instance
        ({"one": ["a", "b"], "two": ["b", "c"], "three": ["a"], "four": ["b"]}, 1),
        ({"one": ["a", "b"], "two": ["b", "c"], "three": ["a"]}, 0),
        ({"one": []}, 0),  # another rule's
    ],
)
def test_own(waiting: dict[str, list[str]], refused: int) -> None:
    """
    Each certificate can have an approval of its own, however the choices are given away; one instance is one approval.
    """

    assert refused == len(shared(waiting))


@given(st.lists(st.sets(st.sampled_from("abcde"), min_size=1, max_size=3), max_size=6))
def test_own_at_most(choices: list[set[str]]) -> None:
    """
    No more are refused than must be: as many as a search of every way to give the approvals away leaves over.
    """
    waiting = {str(index): sorted(names) for index, names in enumerate(choices)}

    def best(index: int, taken: frozenset[str]) -> int:
        if index == len(choices):
            return 0
        with_one = [1 + best(index + 1, taken | {name}) for name in choices[index] - taken]
        return max([best(index + 1, taken), *with_one])

    assert len(choices) - best(0, frozenset()) == len(shared(waiting))


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({}, None),
        ({"servers": ["https://KEYFACTOR.example.com/KeyfactorAPI"]}, None),
        ({"servers": ["https://other.example.com/KeyfactorAPI"]}, "server"),
        ({"definitions": ["Web servers"]}, None),
        ({"definitions": ["Mail"]}, "definition"),
        ({"workflow_types": ["Enrollment"]}, None),
        ({"workflow_types": ["Revocation"]}, "type"),
        ({"minimum_version": 3}, None),
        ({"minimum_version": 4}, "version"),
        ({"max_age": 2 * 86_400}, None),
        ({"max_age": 3600}, "older"),
    ],
)
def test_complete(how: dict[str, Any], word: str | None) -> None:
    """
    A recorded approval is held to what a house allows.
    """
    graph = stack(record("r", **COMPLETE))

    messages = [finding.message for finding in rules.approvals_are_complete(graph, now=NOW, **how)]

    assert bool(word) == bool(messages)
    assert word is None or word in messages[0]


def test_not_recorded() -> None:
    """
    What a preview cannot know is told and refused by nobody; in a state it is a violation.
    """
    preview, state = stack(record("r", instance_id=UNKNOWN)), stack(record("r"), is_deployed=True)

    assert not list(rules.approvals_are_complete(preview))
    assert ["not_recorded"] == [finding.verdict for finding in rules.approvals_are_recorded(preview)]
    assert ["violated"] == [finding.verdict for finding in rules.approvals_are_complete(state)]
    assert not list(rules.approvals_are_recorded(state))


@pytest.mark.parametrize(("after", "word"), [(timedelta(minutes=30), None), (timedelta(hours=2), "was created")])
def test_age_in_a_state(after: timedelta, word: str | None) -> None:
    """
    In a state an approval is as old as it was when its certificate was created, however long ago that is.
    """
    created = datetime(2026, 11, 25, tzinfo=UTC) + after
    graph = stack(record("r", **COMPLETE), certificate(dependencies=("r",), created=created), is_deployed=True)
    later = NOW + timedelta(days=400)

    messages = [each.message for each in rules.approvals_are_complete(graph, max_age=3600, now=later)]

    assert bool(word) == bool(messages)
    assert word is None or word in messages[0]


def test_genuine() -> None:
    """
    A record is known by the provider that a state has for it; one that a run left out has a message of its own.
    """
    provider = serialize_provider(ApprovalRecordProvider())

    assert provider == rules.GENUINE
    genuine = record("r", __provider=provider, instance_id="x")
    assert rules.forgery(genuine) is None
    assert "--target" in (rules.forgery(replace(genuine, properties={})) or "")


@pytest.mark.parametrize(
    "other",
    [
        {"properties": {"__provider": "other"}},
        {"provider": "urn:pulumi:prod::shop::pulumi:providers:tls::pulumi-python"},
        {"provider": "urn:pulumi:prod::shop::keyfactor:index:WorkflowApproval$pulumi:providers:tls::pulumi-python"},
        {"provider": None},
        {"is_component": True},
    ],
)
def test_forged(other: dict[str, Any]) -> None:
    """
    The text alone makes no record: what another plugin keeps, or nobody, is none of kf_provider.
    """
    forged = replace(record("r", __provider=rules.GENUINE, instance_id="x"), **other)

    assert "kf_provider" in (rules.forgery(forged) or "")
    assert [finding.rule for finding in rules.records_are_genuine(stack(forged))] == ["records-are-genuine"]


@pytest.mark.parametrize(
    ("node", "verdicts"),
    [
        (Node("p", PROVIDER_TYPE, properties={"keyfactor:hostname": "kf.example.com"}), []),
        (Node("p", PROVIDER_TYPE, properties={"keyfactor:skipVerify": "false", "keyfactor:gates": "check"}), []),
        (Node("p", PROVIDER_TYPE, properties={"keyfactor:skipVerify": "True"}), ["violated"]),
        (Node("p", PROVIDER_TYPE, properties={"keyfactor:gates": "off", "keyfactor:skipVerify": 1}), ["violated"]),
        (Node("p", PROVIDER_TYPE, properties={"keyfactor:gates": SECRET}), ["unknown"]),
        (Node("r", RECORD_TYPE, ignore_changes=("instance_id",)), ["violated"]),
    ],
)
def test_insecure(node: Node, verdicts: list[str]) -> None:
    """
    What lets a gate open without a look at a verified server is named.
    """

    assert verdicts == [finding.verdict for finding in rules.no_insecure_settings(stack(node))]


@pytest.mark.parametrize("environment", [{"KEYFACTOR_SKIP_VERIFY": "1"}, {"KEYFACTOR_GATES": "OFF "}])
def test_insecure_environment(environment: dict[str, str]) -> None:
    """
    The environment is no better.
    """

    (finding,) = rules.no_insecure_settings(stack(), environment=environment)

    assert next(iter(environment)) in finding.message


def steps(rule: Callable[..., Iterator[Finding]], certificates: int) -> int:
    """
    The steps of the interpreter for certificates that each have a gate and its record.
    """
    nodes: list[Node] = []
    for number in range(certificates):
        expect, gate = {SUBJECT: f"CN=www{number}.example.com"}, GATE + str(number)
        properties = {**COMPLETE, "__provider": rules.GENUINE, "instance_id": str(number), "expect": expect}
        nodes += [component(gate), record(f"r{number}", gate, **properties)]
        asked = {"commonName": f"www{number}.example.com"}
        nodes.append(certificate(f"c{number}", parent=gate, dependencies=(f"r{number}",), properties=asked))
    graph = stack(*nodes, is_deployed=True)
    count = 0

    def step(frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        nonlocal count
        count += event == "opcode"
        frame.f_trace_opcodes = True
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        found = list(rule(graph))
    finally:
        sys.settrace(before)
    assert not found
    return count


@pytest.mark.parametrize("name", [*rules.RULES, *rules.OPT_IN])
def test_steps(name: str) -> None:
    """
    Twice as many certificates, each with an approval of its own, are twice the work, and not four times.
    """
    rule = getattr(rules, name.replace("-", "_"))
    steps(rule, 1)  # what is remembered of types and names

    assert 2.2 > steps(rule, 600) / steps(rule, 300)


ODD = [UNKNOWN, SECRET, [], {}, [None], {"id": []}, {SUBJECT: UNKNOWN}, {"commonName": 1}, "-BEGIN ", "CN=\\"]
VALUES = st.none() | st.integers() | st.text(max_size=3) | st.sampled_from([*ODD, *DATES, CANARY])


@given(st.dictionaries(st.sampled_from([*KEYS, "keyfactor:gates", "keyfactor:skipVerify"]), VALUES), st.booleans())
def test_never_raise(properties: dict[str, Any], is_deployed: bool) -> None:
    """
    A rule never raises, whatever a resource holds: an engine shows a green check beside it.
    """
    nodes = [
        Node("r", RECORD_TYPE, properties=properties),
        Node("p", PROVIDER_TYPE, properties=properties, provider="p", parent="p", dependencies=("p", "r")),
        component("house", parent="house"),
        certificate(provider="p", parent="house", created=NOW, properties=properties),
    ]
    graph = Graph(nodes, is_deployed=is_deployed)

    assert not [finding for finding in every_finding(graph) if CANARY in finding.message]
