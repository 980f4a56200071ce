"""
Stacks for the tests of the policies, by short names instead of URNs.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from kf_provider.policy import Finding, rules
from kf_provider.policy.graph import GATE_TYPE, PROVIDER_TYPE, RECORD_TYPE, Graph, Node

PROVIDER: Final = f"urn:pulumi:prod::shop::{PROVIDER_TYPE}::default"
CERTIFICATE: Final = "tls:index/selfSignedCert:SelfSignedCert"

# For drawn files: a value that no message may say, and what stands where a resource's members should.
CANARY: Final = "canary.example.com"
DATES: Final = ("2026-11-25T00:00:00Z", "2026-11-25T00:00:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00")
_SECRET: Final = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": CANARY}
_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([CANARY, *DATES, _SECRET, _UNKNOWN]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=3),
    max_leaves=8,
)
_RECORDED: Final = ("status", "server", "definition", "last_modified", "instance_id", "approved_instance_id", "expect")
KEYS: Final = (*_RECORDED, "__provider", "subject", "commonName", "certRequestPem", "csr", "dnsNames", "spec")
_GATE: Final = f"urn:pulumi:prod::shop::{GATE_TYPE}::web"
_URNS: Final = st.sampled_from([_GATE, f"{_GATE}::2", *"abc"])
_PROPERTIES: Final = st.dictionaries(
    st.sampled_from([*KEYS, "keyfactor:gates", "keyfactor:skipVerify"]),
    JSON | st.just(rules.GENUINE) | st.just("Complete"),
)
_ODD: Final = {
    "parent": _URNS | JSON,
    "provider": _URNS.map(lambda urn: f"{urn}::id") | JSON,
    "dependencies": st.lists(_URNS | JSON, max_size=3) | JSON,
    "propertyDependencies": st.dictionaries(st.text(max_size=2), st.lists(_URNS, max_size=2) | JSON) | JSON,
    "inputs": _PROPERTIES | JSON,
    "outputs": _PROPERTIES | JSON,
    **dict.fromkeys(("created", "custom", "external", "delete", "ignoreChanges", "sourcePosition", "stackTrace"), JSON),
}
_TYPES: Final = (CERTIFICATE, RECORD_TYPE, PROVIDER_TYPE, GATE_TYPE, "tls:index/certRequest:CertRequest")
RESOURCES: Final = st.lists(
    st.fixed_dictionaries({"urn": _URNS, "type": st.sampled_from(_TYPES)}, optional=_ODD), max_size=5
)


def every_finding(graph: Graph) -> list[Finding]:
    """
    What all rules find, held to everything.
    """
    complete: dict[str, Any] = {"servers": ["https://x/"], "definitions": ["d"], "workflow_types": ["e"]}
    limits = {"approvals-are-complete": {**complete, "minimum_version": 2, "max_age": 60}}
    found = [
        finding
        for name in (*rules.RULES, *rules.OPT_IN)
        for finding in getattr(rules, name.replace("-", "_"))(graph, **limits.get(name, {}))
    ]
    return [*found, *rules.certificates_wait_for_approval(graph, by="parent")]


def certificate(name: str = "certificate", **how: Any) -> Node:
    """
    A certificate.
    """
    return Node(name, CERTIFICATE, **how)


def component(name: str, **how: Any) -> Node:
    """
    A component.
    """
    return Node(name, "house:index:House", is_component=True, **how)


def record(name: str, parent: str | None = None, **properties: Any) -> Node:
    """
    The record of an approval.
    """
    return Node(name, RECORD_TYPE, parent=parent, provider=PROVIDER, properties=properties)


def stack(*nodes: Node, is_deployed: bool = False) -> Graph:
    """
    A stack of these.
    """
    return Graph(nodes, is_deployed=is_deployed)
