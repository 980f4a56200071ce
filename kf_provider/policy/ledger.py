"""
What a run has registered so far: before a creation an engine shows no dependencies, so a policy remembers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final, Literal

from .findings import Finding, finding
from .graph import GATE_TYPE, RECORD_TYPE, Node, type_in
from .names import approved, requested

By = Literal["expect", "parent"]

NAMELESS: Final = (
    'shows no subject that this rule can read: take `by="parent"` of certificates-wait-for-approval for its type'
)


class Ledger:
    """
    The genuine records of this run, and everything's parents.
    """

    def __init__(self) -> None:
        self._naming: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # the records that expect this part
        self._is_whole = True  # False: what some record expects is not known yet
        self._gates: set[str] = set()
        self._parents: dict[str, str | None] = {}

    def note(self, node: Node, *, is_genuine: bool, subject: str) -> None:
        """
        Remember a resource; of a record, what its `expect` has at the path `subject`.
        """
        self._parents[node.urn] = node.parent
        if node.type != RECORD_TYPE or not is_genuine:
            return
        given = approved(node.properties.get("expect"), subject=subject, sans="")
        self._is_whole = self._is_whole and given.is_whole
        for part in given.subject:
            self._naming[part].add(node.urn)
        if node.parent is not None and type_in(node.parent) == GATE_TYPE:
            self._gates.add(node.parent)

    def judge(self, certificate: Node, *, by: By, subject: str) -> Finding | None:
        """
        Why a certificate may not be made now; None where it may.
        """
        rule = "certificates-wait-for-approval"
        if by == "parent":
            if self._is_below_a_gate(certificate):
                return None
            return finding(
                rule,
                certificate,
                "is no child of a gate that is recorded before it: give it "
                "`opts=pulumi.ResourceOptions(parent=approval)`, where `approval` is a kf_provider.WorkflowApproval "
                "of its enrollment",
            )
        asked = requested(certificate.properties)
        naming = sorted((self._naming.get(part, set()) for part in asked.subject), key=len)
        if asked.is_whole and naming and set.intersection(*naming):
            return None
        if not asked.is_whole or not self._is_whole:
            text = "and the subject of an approval cannot be compared yet; the update will tell"
            return finding(rule, certificate, text, "unknown")
        if not asked.subject:
            return finding(rule, certificate, NAMELESS)
        return finding(
            rule,
            certificate,
            "has a subject that no approval before it in this run expects: let it depend on a "
            f"kf_provider.WorkflowApproval with `expect={{{subject!r}: ...}}`",
        )

    def _is_below_a_gate(self, node: Node) -> bool:
        seen: set[str | None] = {None}
        urn = node.parent
        while urn not in seen and urn not in self._gates:
            seen.add(urn)
            urn = self._parents.get(urn or "")
        return urn in self._gates
