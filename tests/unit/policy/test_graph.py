"""
Which approvals a resource waits for, read from a state, a preview and a pack's resources.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kf_provider.policy import rules
from kf_provider.policy.graph import RECORD_TYPE, Graph, Node, StackFileError
from tests.unit.policy.stacks import (
    CANARY,
    CERTIFICATE,
    JSON,
    RESOURCES,
    certificate,
    component,
    every_finding,
    record,
    stack,
)


def waits_for(graph: Graph, urn: str, **how: Any) -> list[str]:
    """
    The URNs of the records that a resource waits for, where it is the only certificate.
    """
    certificates = graph.of_types(lambda token: token == CERTIFICATE)
    return [each.urn for each in graph.approvals(certificates, **how)[urn]]


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param([certificate(dependencies=("record",))], id="depends_on"),
        pytest.param([component("house", dependencies=("record",)), certificate(parent="house")], id="parent"),
        pytest.param([Node("p", "pulumi:providers:tls", dependencies=("record",)), certificate(provider="p")], id="p"),
        pytest.param(
            [component("remote"), record("inner", parent="remote"), certificate(dependencies=("remote",))], id="r"
        ),
    ],
)
def test_waits(nodes: list[Node]) -> None:
    """
    A resource waits through its dependencies, parents and provider, and for the children of what it depends on.
    """

    assert waits_for(stack(record("record"), *nodes), "certificate")


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param([certificate()], id="nothing"),
        pytest.param([certificate(parent="stack")], id="a sibling's"),
        pytest.param([component("house"), record("r", parent="house"), certificate(parent="house")], id="its house's"),
        pytest.param([certificate("x", dependencies=("record",)), certificate(dependencies=("x",))], id="another's"),
        pytest.param([certificate(dependencies=("gone",))], id="one that is not there"),
    ],
)
def test_does_not_wait(nodes: list[Node]) -> None:
    """
    A record somewhere in the stack, in the same component or behind another certificate is none that is waited for.
    """

    graph = stack(record("record", parent="stack"), component("stack"), *nodes)

    assert not waits_for(graph, "certificate")


def test_through() -> None:
    """
    What another certificate waits for counts where that is wanted.
    """

    graph = stack(record("r"), Node("x", CERTIFICATE, dependencies=("r",)), certificate(dependencies=("x",)))

    assert ["r"] == waits_for(graph, "certificate", through=True)


def test_size() -> None:
    """
    Fifty thousand resources, in one long chain with circles, are read without recursion and without their square.
    """

    chain = [
        Node(str(index), "pulumi:index:Stash", parent="house", dependencies=(str(index + 1),))
        for index in range(45_000)
    ]
    certificates = [Node(f"c{index}", CERTIFICATE, dependencies=(str(index * 9),)) for index in range(5000)]
    graph = stack(component("house"), *chain, record("45000"), *certificates)

    found = graph.approvals(certificates)

    assert all([record.urn for record in records] == ["45000"] for records in found.values())


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from([CERTIFICATE, RECORD_TYPE, "x:index:House"]),
            st.sampled_from([None, *"abcdef"]),
            st.lists(st.sampled_from("abcdefg"), max_size=4),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_like_a_search(drawn: list[tuple[str, str, str | None, list[str], bool]]) -> None:
    """
    Whatever the circles, the answer is that of a plain search from each certificate.
    """
    nodes = [
        Node(urn, token, parent=parent, dependencies=tuple(needed), is_component=is_component)
        for urn, token, parent, needed, is_component in drawn
    ]
    graph = stack(*nodes)
    certificates = graph.of_types(lambda token: token == CERTIFICATE)

    found = graph.approvals(certificates)

    assert {node.urn: search(graph, node) for node in certificates} == {
        urn: {each.urn for each in records} for urn, records in found.items()
    }


def search(graph: Graph, start: Node) -> set[str]:
    """
    The records that a plain search finds.
    """
    found: set[str] = set()
    seen: set[tuple[str, bool]] = set()
    todo = [(start.urn, False)]
    is_first = True
    while todo:
        urn, is_needed = todo.pop()
        node = graph.nodes.get(urn)
        if node is None or ((urn, is_needed) in seen and not is_first):
            continue
        if not is_first:
            seen.add((urn, is_needed))
        if node.type == RECORD_TYPE:
            found.add(urn)
            continue
        if node.type == CERTIFICATE and not is_first:
            continue
        is_first = False
        todo += [(each, False) for each in (node.parent, node.provider) if each]
        todo += [(each, True) for each in node.dependencies]
        if is_needed and node.is_component:
            todo += [(each, True) for each in graph.children.get(urn, ())]
    return found


def test_state() -> None:
    """
    A state that the engine wrote is read whole, secrets as they are.
    """
    state = json.loads((Path(__file__).parents[2] / "engine/recorded/state-0.1.0.json").read_text())

    graph = Graph.from_state(state)

    assert 3 == len(graph.records)
    assert {"Complete"} == {record.properties["status"] for record in graph.records}
    dependent = next(node for node in graph.nodes.values() if node.urn.endswith("::dependent"))
    assert 3 == len(graph.approvals([dependent])[dependent.urn])


@pytest.mark.parametrize(
    ("kind", "token", "verdicts"),
    [("creating", CERTIFICATE, ["violated"]), ("deleting", CERTIFICATE, []), ("creating", RECORD_TYPE, [])],
)
def test_pending(kind: str, token: str, verdicts: list[str]) -> None:
    """
    A certificate that an interrupted run was making may be there; a record that it was making is no evidence.
    """
    operation = {"type": kind, "resource": {"urn": "urn:pulumi:a::b::c::web", "type": token, "inputs": {}}}

    graph = Graph.from_state({"deployment": {"resources": [], "pending_operations": [operation, None, {"type": kind}]}})

    assert verdicts == [finding.verdict for finding in rules.certificates_need_approval(graph)]
    assert not graph.records


@pytest.mark.parametrize(("there", "verdicts"), [([], ["violated"]), (["record"], [])])
@pytest.mark.parametrize("pending", [[], ["record"]])
def test_pending_beside_another(there: list[str], pending: list[str], verdicts: list[str]) -> None:
    """
    Pulumi keeps what was pending through later updates: the certificate that is there is the one that is judged.
    """
    web = {"urn": "urn:pulumi:a::b::c::web", "type": CERTIFICATE}
    resources = [{"urn": "record", "type": RECORD_TYPE, "inputs": {}}, web | {"dependencies": there}]
    operations = [{"type": "creating", "resource": web | {"dependencies": pending}}]

    graph = Graph.from_state({"deployment": {"resources": resources, "pending_operations": operations}})

    assert verdicts == [finding.verdict for finding in rules.certificates_need_approval(graph)]


@pytest.mark.parametrize("document", [None, [], "text", {}, {"deployment": 1}, {"deployment": {"resources": {}}}])
def test_no_state(document: object) -> None:
    """
    What is no state is refused by what to give.
    """

    with pytest.raises(StackFileError, match="state"):
        Graph.from_state(document)


def test_preview_without_sames() -> None:
    """
    A preview that leaves out what stays the same is refused: the approvals are among it.
    """

    with pytest.raises(StackFileError, match="--show-sames"):
        Graph.from_preview({"steps": [], "changeSummary": {"same": 4}})


LIBRARIES = (
    "../../../../work/kf_provider/gate.py#64",
    "../src/checkout/kf_provider/policy/rules.py#1",
    "venv/lib/python3.11/site-packages/pulumi/runtime/stack.py#133",
    "../../usr/lib/python3.12/asyncio/base_events.py#640",
    "../../opt/pulumi/pulumi-language-python-exec#188",
)


@pytest.mark.parametrize(
    ("places", "source"),
    [
        ([*LIBRARIES, "__main__.py#12,5", "other.py#1"], "__main__.py:12"),
        ([*LIBRARIES, "../shared/certs.py#3"], "../shared/certs.py:3"),
        (["../../kf_provider/examples/stack/certs.py#3"], "../../kf_provider/examples/stack/certs.py:3"),
        (["my_kf_provider/gate.py#3"], "my_kf_provider/gate.py:3"),
        (["gate.py#3"], "gate.py:3"),
        ([*LIBRARIES], None),
        ([f"__main__.py#{'9' * 5000}"], None),
    ],
    ids=["after libraries", "outside", "a checkout's name", "a similar name", "a module's name", "none", "no line"],
)
def test_source(places: list[str], source: str | None) -> None:
    """
    The first line that is the program's: frames of libraries are none, and kf_provider is one wherever it is.
    """
    first, *frames = [{"sourcePosition": f"project:///{place}"} for place in places]
    resource = {"urn": "urn:x::web", "type": CERTIFICATE, **first, "stackTrace": frames}

    graph = Graph.from_state({"deployment": {"resources": [resource]}})

    assert [source] == [node.source for node in graph.nodes.values()]


@pytest.mark.parametrize("depth", [100, 101, 900, 100_000])
@pytest.mark.parametrize("is_list", [True, False])
def test_depth(depth: int, is_list: bool) -> None:
    """
    What is nested deeper than any provider's values is one error of ours, whatever the interpreter can bear.
    """
    subject: Any = "x"
    for _ in range(depth):
        subject = [subject] if is_list else {"a": subject}
    resource = {"urn": "urn:x::web", "type": CERTIFICATE, "inputs": {"subject": subject}}
    readers = (
        partial(Graph.from_state, {"deployment": {"resources": [resource]}}),
        partial(Graph.from_preview, {"steps": [{"op": "create", "newState": resource}]}),
    )

    for read in readers:
        if depth <= 100:
            assert list(rules.certificates_wait_for_approval(read()))
        else:
            with pytest.raises(StackFileError, match="nested too deeply"):
                read()


def test_depth_elsewhere() -> None:
    """
    A value that no rule reads may be as deep as it is.
    """
    policy: Any = "x"
    for _ in range(100_000):
        policy = [policy]
    resource = {"urn": "urn:x::bucket", "type": "aws:s3/bucket:Bucket", "inputs": {"policy": policy}}

    assert Graph.from_state({"deployment": {"resources": [resource]}}).nodes


@given(RESOURCES | st.lists(JSON, max_size=4))
def test_odd_resources(resources: list[Any]) -> None:
    """
    Whatever stands where a resource should: reading a file never raises, nor does a rule, and none says a value.
    """
    state = Graph.from_state({"deployment": {"resources": resources}})
    preview = Graph.from_preview({"steps": [{"op": "create", "newState": each} for each in resources]})
    same = [{"op": "same", "newState": each, "oldState": each} for each in resources]

    for graph in (state, preview, Graph.from_preview({"steps": same})):
        assert not [finding for finding in every_finding(graph) if CANARY in finding.message]
