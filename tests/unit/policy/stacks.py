"""
Stacks for the tests of the policies, by short names instead of URNs.
"""

from __future__ import annotations

from typing import Any, Final

from kf_provider.policy.graph import RECORD_TYPE, Graph, Node

CERTIFICATE: Final = "tls:index/selfSignedCert:SelfSignedCert"


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
    return Node(name, RECORD_TYPE, parent=parent, properties=properties)


def stack(*nodes: Node, is_deployed: bool = False) -> Graph:
    """
    A stack of these.
    """
    return Graph(nodes, is_deployed=is_deployed)
