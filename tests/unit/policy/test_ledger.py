"""
What a run remembers before a certificate is made: by the rule of a graph, which has the resources in their order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kf_provider.policy import rules
from kf_provider.policy.graph import SECRET, UNKNOWN, Node
from tests.unit.policy.stacks import certificate, component, record, stack

SUBJECT = "current_state_data.Subject"
GATE = "urn:pulumi:prod::shop::keyfactor:index:WorkflowApproval::web"


def genuine(name: str = "r", parent: str | None = None, **properties: Any) -> Node:
    return record(name, parent, __provider=rules.GENUINE, **properties)


def asks(**how: Any) -> Node:
    return certificate(properties={"subject": {"commonName": "www.example.com", "organization": "Example"}}, **how)


@pytest.mark.parametrize(
    ("nodes", "verdicts"),
    [
        ([genuine(expect={SUBJECT: "CN=www.example.com,O=Example"}), asks()], []),
        ([genuine(expect={SUBJECT: 'O = "Example", CN=WWW.example.com'}), asks()], []),
        ([genuine(expect={"current_state_data": {"Subject": "CN=www.example.com,O=Example"}}), asks()], []),
        ([genuine(expect={SUBJECT: "CN=www.example.com"}), asks()], ["violated"]),  # the organization is nobody's
        ([genuine(expect={SUBJECT: "CN=other.example.com,O=Example"}), asks()], ["violated"]),
        ([genuine(expect={"title": "CN=www.example.com,O=Example"}), asks()], ["violated"]),
        ([genuine(), asks()], ["violated"]),
        ([asks(), genuine(expect={SUBJECT: "CN=www.example.com,O=Example"})], ["violated"]),  # too late
        ([record("r", expect={SUBJECT: "CN=www.example.com,O=Example"}), asks()], ["violated"]),  # forged
        ([replace(genuine(expect={SUBJECT: "CN=www.example.com,O=Example"}), is_read=True), asks()], ["violated"]),
        ([genuine(expect={SUBJECT: UNKNOWN}), asks()], ["unknown"]),
        ([genuine(expect=SECRET), asks()], ["unknown"]),
        ([genuine(expect={SUBJECT: "CN=x"}), certificate(properties={"certRequestPem": UNKNOWN})], ["unknown"]),
        ([genuine(expect={SUBJECT: ""}), certificate()], ["violated"]),
    ],
)
def test_waits_by_expect(nodes: list[Node], verdicts: list[str]) -> None:
    """
    A certificate comes after a genuine record that expects its subject, all of it.
    """
    graph = stack(*nodes)

    findings = list(rules.certificates_wait_for_approval(graph))

    assert verdicts == [finding.verdict for finding in findings]
    assert not any("example" in finding.message for finding in findings)


@pytest.mark.parametrize(
    ("nodes", "refused"),
    [
        ([genuine(parent=GATE), certificate(parent=GATE)], 0),
        ([genuine(parent=GATE), component("house", parent=GATE), certificate(parent="house")], 0),
        ([certificate(parent=GATE), genuine(parent=GATE)], 1),  # too late
        ([record("r", GATE), certificate(parent=GATE)], 1),  # forged
        ([component(GATE), certificate(parent=GATE)], 1),  # a component of the gate's type, and no record
        ([genuine(parent="house"), component("house"), certificate(parent="house")], 1),
        ([genuine(parent=GATE), certificate()], 1),
        ([component("a", parent="b"), component("b", parent="a"), certificate(parent="a")], 1),
    ],
)
def test_waits_by_parent(nodes: list[Node], refused: int) -> None:
    """
    A certificate is a child of a gate whose genuine record came before it.
    """
    findings = list(rules.certificates_wait_for_approval(stack(*nodes), by="parent"))

    assert ["violated"] * refused == [finding.verdict for finding in findings]
    assert all("parent=approval" in finding.message for finding in findings)
