"""
What a rule found, in words that name the resource and never say a value of the stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .graph import RECORD_TYPE, Node

Verdict = Literal["violated", "unknown", "not_recorded"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What a rule found: `violated`; or `unknown` or `not_recorded`, which an update will tell.
    """

    rule: str
    urn: str
    message: str
    verdict: Verdict = "violated"
    source: str | None = None  # where the program registers the resource, where that is known: `__main__.py:13`


def finding(rule: str, node: Node, text: str, verdict: Verdict = "violated") -> Finding:
    """
    What a rule found of a resource; its name comes before the text.
    """
    return Finding(rule, node.urn, f"{spoken(node)} {text}", verdict, node.source)


def spoken(node: Node) -> str:
    """
    A resource as messages name it.
    """
    name = node.urn.rpartition("::")[2]
    return f"approval {name!r}" if node.type == RECORD_TYPE else f"{node.type} {name!r}"
