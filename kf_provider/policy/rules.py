"""
The rules: plain functions of a graph that yield findings. They never raise, and never say a value of the stack.

A finding names the resource, what is wrong and what to write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

from ..keyfactor.addresses import is_same_server
from ..waiting.verdict import expiry
from .certificates import CERTIFICATES, REQUESTS, matcher
from .graph import GATE_TYPE, PROVIDER_TYPE, RECORD_TYPE, UNKNOWN, Graph, Node, is_unknown
from .names import Names, approved, lacking, requested

Verdict = Literal["violated", "unknown", "not_recorded"]
By = Literal["expect", "parent"]

# Where an instance of an enrollment has what was asked for.
SUBJECT: Final = "current_state_data.Subject"
SANS: Final = "current_state_data.SANs.dns"

_NAMELESS: Final = (
    'shows no subject that this rule can read: take `by="parent"` of certificates-wait-for-approval for its type'
)

# The provider of this package's records, as a state has it: pinned, and the same in every release.
GENUINE: Final = "gASVNgAAAAAAAACMFGtmX3Byb3ZpZGVyLmFwcHJvdmFslIwWQXBwcm92YWxSZWNvcmRQcm92aWRlcpSTlCmBlC4="

# The rules' ids, in packs, configurations, exceptions and reports. They never change.
RULES: Final = (
    "certificates-need-approval",
    "one-approval-one-certificate",
    "approvals-are-complete",
    "records-are-genuine",
    "no-insecure-settings",
    "approvals-are-recorded",
)
# Those that need an `expect` of the certificate's subject, or a gate for its parent.
OPT_IN: Final = ("certificates-wait-for-approval", "approval-matches-certificate")


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


def certificates_need_approval(
    graph: Graph, *, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = (), through_certificates: bool = False
) -> Iterator[Finding]:
    """
    Each certificate waits for an approval.
    """
    certificates = graph.of_types(matcher((*types, *also)))
    approvals = graph.approvals(certificates, through=through_certificates)
    for certificate in certificates:
        if not approvals[certificate.urn]:
            yield _finding(
                "certificates-need-approval",
                certificate,
                f"{_name(certificate)} waits for no approval: give it "
                f"`opts=pulumi.ResourceOptions(depends_on=[approval])`, where `approval` is a kf_provider."
                f"WorkflowApproval of its enrollment",
            )


def certificates_wait_for_approval(
    graph: Graph,
    *,
    types: Sequence[str] = CERTIFICATES,
    also: Sequence[str] = (),
    by: By = "expect",
    subject: str = SUBJECT,
) -> Iterator[Finding]:
    """
    Each certificate comes after a genuine record that names its subject, or that is of the gate above it.

    A file has the resources in the order in which they were registered.
    """
    ledger = Ledger()
    is_certificate = matcher((*types, *also))
    for node in graph.nodes.values():
        ledger.note(node, is_genuine=not node.is_read and forgery(node.properties) is None)
        if is_certificate(node.type) and (finding := ledger.judge(node, by=by, subject=subject)) is not None:
            yield finding


class Ledger:
    """
    What was registered earlier in this run. A policy for one resource sees no dependencies, so it remembers.
    """

    def __init__(self) -> None:
        self._expected: dict[str, object] = {}
        self._gates: set[str] = set()
        self._parents: dict[str, str | None] = {}

    def note(self, node: Node, *, is_genuine: bool) -> None:
        """
        Remember a resource.
        """
        self._parents[node.urn] = node.parent
        if node.type != RECORD_TYPE:
            return
        if not is_genuine:
            self._expected.pop(node.urn, None)
            return
        self._expected[node.urn] = node.properties.get("expect")
        if node.parent is not None and _type_in(node.parent) == GATE_TYPE:
            self._gates.add(node.parent)

    def judge(self, certificate: Node, *, by: By, subject: str) -> Finding | None:
        """
        Why a certificate may not be made now; None where it may.
        """
        rule = "certificates-wait-for-approval"
        if by == "parent":
            if any(urn in self._gates for urn in self._above(certificate)):
                return None
            return _finding(
                rule,
                certificate,
                f"{_name(certificate)} is no child of a gate that is recorded before it: give it "
                f"`opts=pulumi.ResourceOptions(parent=approval)`, where `approval` is a kf_provider."
                f"WorkflowApproval of its enrollment",
            )
        asked = requested(certificate.properties)
        given = [approved(expect, subject=subject, sans="") for expect in self._expected.values()]
        if any(lacking(asked, each, with_others=False) is None for each in given) and asked.is_whole:
            return None
        if not asked.is_whole or any(not each.is_whole for each in given):
            text = "and the subject of an approval cannot be compared yet; the update will tell"
            return _finding(rule, certificate, f"{_name(certificate)} {text}", "unknown")
        if not asked.subject:
            return _finding(rule, certificate, f"{_name(certificate)} {_NAMELESS}")
        return _finding(
            rule,
            certificate,
            f"{_name(certificate)} has a subject that no approval before it in this run expects: let it depend on a "
            f"kf_provider.WorkflowApproval with `expect={{{subject!r}: ...}}`",
        )

    def _above(self, node: Node) -> Iterator[str]:
        seen: set[str] = set()
        urn = node.parent
        while urn is not None and urn not in seen:
            seen.add(urn)
            yield urn
            urn = self._parents.get(urn)


def one_approval_one_certificate(
    graph: Graph, *, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = ()
) -> Iterator[Finding]:
    """
    Each certificate that waits for approvals can have one of them for itself.

    An approval is what was approved, whatever its gate or server is called. Certificates that wait for none are another
    rule's.
    """
    certificates = graph.of_types(matcher((*types, *also)))
    approvals = graph.approvals(certificates)
    choices = {urn: list(dict.fromkeys(map(_identity, records))) for urn, records in approvals.items() if records}
    owners = _matching(choices)
    matched = set(owners.values())
    for certificate in certificates:
        if certificate.urn in choices and certificate.urn not in matched:
            others = sorted({owners[choice] for choice in choices[certificate.urn]})
            yield _finding(
                "one-approval-one-certificate",
                certificate,
                f"{_name(certificate)} has no approval of its own: "
                f"{_name(graph.nodes[others[0]])} waits for the same one; pass the id of another workflow instance to "
                f"a WorkflowApproval of its own, and let it depend on that",
            )


def approval_matches_certificate(
    graph: Graph,
    *,
    types: Sequence[str] = CERTIFICATES,
    also: Sequence[str] = (),
    subject: str = SUBJECT,
    sans: str = SANS,
) -> Iterator[Finding]:
    """
    Each certificate that waits for approvals asks for what one of them expects: its subject, and no other names.

    `subject` and `sans` are the paths in `expect`. Certificates that wait for none are another rule's.
    """
    rule = "approval-matches-certificate"
    certificates = graph.of_types(matcher((*types, *also)))
    for urn, records in graph.approvals(certificates).items():
        certificate = graph.nodes[urn]
        asked = _asked(graph, certificate)
        given = [approved(record.properties.get("expect"), subject=subject, sans=sans) for record in records]
        missing = [lacking(asked, each, with_others=True) for each in given]
        if not records or (asked.is_whole and None in missing):
            continue
        if not asked.is_whole or any(not each.is_whole for each in given):
            text = "cannot be compared with its approval: a name is not known yet, or is encrypted"
            yield _finding(rule, certificate, f"{_name(certificate)} {text}", "unknown")
        elif not asked.subject:
            yield _finding(rule, certificate, f"{_name(certificate)} {_NAMELESS}")
        else:
            what, path = ("subject", subject) if "names" not in missing else ("other names", sans)
            yield _finding(
                rule,
                certificate,
                f"{_name(certificate)} asks for {what} that its approval does not expect: start a request for this "
                f"certificate, and give its gate `expect={{{path!r}: ...}}`",
            )


def _asked(graph: Graph, certificate: Node) -> Names:
    """
    What a certificate asks for; where its signing request is not known yet, what the one request behind it asks for.
    """
    asked = requested(certificate.properties)
    if asked.is_whole or asked.subject:
        return asked
    is_request = matcher(REQUESTS)
    needed = [graph.nodes[urn] for urn in certificate.dependencies if urn in graph.nodes]
    found = [node for node in needed if is_request(node.type)]
    return requested(found[0].properties) if len(found) == 1 else asked


def approvals_are_complete(
    graph: Graph,
    *,
    servers: Sequence[str] | None = None,
    definitions: Sequence[str] | None = None,
    workflow_types: Sequence[str] | None = None,
    minimum_version: int | None = None,
    max_age: float | None = None,
    now: datetime | None = None,
    certificates: Sequence[str] = CERTIFICATES,
) -> Iterator[Finding]:
    """
    Each recorded approval is Complete, of an allowed server, definition, type and version, and not too old.

    `definitions` are ids or display names, `max_age` is in seconds. In a state an approval is as old as it was when the
    first of the certificates behind it was created; where none is deployed, and in a preview or an update, as it is
    now.
    """
    created = _first_created(graph, certificates) if max_age is not None and graph.is_deployed else {}
    for record in graph.records:
        if _waits_for_the_update(graph, record):
            continue  # approvals-are-recorded tells it
        definition = record.properties.get("definition")
        if not is_unknown(definition):
            definition = _mapping(definition)
        server, date = record.properties.get("server"), record.properties.get("last_modified")
        held: list[tuple[str, str, Sequence[object], Callable[[Any], bool]]] = [
            (
                "status",
                "is not Complete in the state" if graph.is_deployed else "is not Complete",
                [record.properties.get("status")],
                lambda one: one == "Complete",
            )
        ]
        if servers is not None:
            text = "was given on a server that is not allowed here"
            held.append(("server", text, [server], lambda one: any(is_same_server(one, each) for each in servers)))
        if definitions is not None:
            names = [_within(definition, key) for key in ("id", "display_name")]
            text = "is of a workflow definition that is not allowed here"
            held.append(("definition", text, names, lambda name: name in definitions))
        if workflow_types is not None:
            text, types = "is of a type of workflow that is not allowed here", [_within(definition, "workflow_type")]
            held.append(("type of workflow", text, types, lambda one: one in workflow_types))
        if minimum_version is not None:
            text, versions = (
                f"is of a version of its workflow definition before {minimum_version}",
                [_within(definition, "version")],
            )
            held.append(("version", text, versions, lambda one: _is_number(one) and one >= minimum_version))
        if max_age is not None:
            was_old = "was older than max_age when its certificate was created"
            text = was_old if record.urn in created else "is older than max_age now"
            is_young = partial(_is_young, max_age=max_age, now=created.get(record.urn, now))
            held.append(("date", text, [date], is_young))
        for what, text, values, is_allowed in held:
            if any(is_allowed(value) for value in values if not is_unknown(value)):
                continue
            if any(map(is_unknown, values)):
                why = f"has a {what} that is not known yet, or is encrypted: it cannot be judged here"
                yield _finding("approvals-are-complete", record, f"{_name(record)} {why}", "unknown")
            else:
                advice = "start a new request and pass its id to this gate"
                yield _finding("approvals-are-complete", record, f"{_name(record)} {text}: {advice}")


def approvals_are_recorded(graph: Graph) -> Iterator[Finding]:
    """
    Tell which approvals a preview cannot know: the update waits for them.
    """
    for record in graph.records:
        if _waits_for_the_update(graph, record):
            yield _finding(
                "approvals-are-recorded",
                record,
                f"{_name(record)} is not recorded yet; the update will tell",
                "not_recorded",
            )


def records_are_genuine(graph: Graph) -> Iterator[Finding]:
    """
    Each record is of this package's provider. A policy for a whole stack cannot see that, a state and a preview can.
    """
    for record in graph.records:
        problem = forgery(record.properties)
        if record.is_read:
            problem = "was read by an id, so no server was asked for it: only a WorkflowApproval may make one"
        if problem is not None:
            yield _finding("records-are-genuine", record, f"{_name(record)} {problem}")


def forgery(properties: Mapping[str, Any]) -> str | None:
    """
    Why these are not the properties of a genuine record of this run; None where they are.
    """
    if not properties:
        return "was left out of this run: run it without --target and --exclude, or add the record to them"
    if properties.get("__provider") != GENUINE:
        return "is no record of kf_provider: only a WorkflowApproval may register this type"
    return None


def no_insecure_settings(graph: Graph, *, environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """
    No provider trusts any certificate or has its gates off, nor does the environment; no record ignores changes.
    """
    for node in graph.nodes.values():
        if node.type == RECORD_TYPE and node.ignore_changes:
            yield _insecure(node, f"{_name(node)} has ignore_changes, which keeps an old approval: remove it")
        if node.type == PROVIDER_TYPE:
            for key, is_insecure in _INSECURE:
                setting = f"keyfactor:{key}"
                value = node.properties.get(setting)
                if is_unknown(value):
                    yield _insecure(node, f"{_name(node)} has {setting}, which cannot be read here", "unknown")
                elif is_insecure(value):
                    text = f"has an insecure {setting}: remove it there, or from the stack's configuration"
                    yield _insecure(node, f"{_name(node)} {text}")
    for variable, is_insecure in (("KEYFACTOR_SKIP_VERIFY", _is_true), ("KEYFACTOR_GATES", _is_off)):
        if is_insecure((environment or {}).get(variable)):
            yield Finding("no-insecure-settings", "", f"{variable} is set in the environment: unset it")


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "on"))


def _is_off(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == "off"


_INSECURE: Final[Sequence[tuple[str, Callable[[object], bool]]]] = (("skipVerify", _is_true), ("gates", _is_off))


def _finding(rule: str, node: Node, message: str, verdict: Verdict = "violated") -> Finding:
    return Finding(rule, node.urn, message, verdict, node.source)


def _insecure(node: Node, message: str, verdict: Verdict = "violated") -> Finding:
    return _finding("no-insecure-settings", node, message, verdict)


def _name(node: Node) -> str:
    name = node.urn.rpartition("::")[2]
    return f"approval {name!r}" if node.type == RECORD_TYPE else f"{node.type} {name!r}"


def _type_in(urn: str) -> str:
    """
    The type of a resource, in its URN.
    """
    parts = urn.split("::")
    return parts[2].rpartition("$")[2] if len(parts) > 3 else ""


def _waits_for_the_update(graph: Graph, record: Node) -> bool:
    return not graph.is_deployed and record.properties.get("status") in (None, UNKNOWN)


def _is_young(date: object, *, max_age: float, now: datetime | None) -> bool:
    return not expiry(date if isinstance(date, str) else None, max_age, now=now)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within(definition: Any, key: str) -> object:
    return definition if is_unknown(definition) else definition.get(key)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _identity(record: Node) -> str:
    """
    What an approval is: the instance that was approved; before that, the one that is asked for, else its record.
    """
    for key in ("approved_instance_id", "instance_id"):
        if isinstance(value := record.properties.get(key), str):
            return value.lower()
    return record.urn


def _matching(choices: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """
    As many certificates as possible with an approval of their own: who has which (augmenting paths, breadth first).
    """
    owners: dict[str, str] = {}
    for start in choices:
        came_from: dict[str, str] = {}  # an approval, and the certificate that would take it
        queue = deque([start])
        while queue:
            certificate = queue.popleft()
            for choice in choices[certificate]:
                if choice in came_from:
                    continue
                came_from[choice] = certificate
                if choice in owners:
                    queue.append(owners[choice])
                    continue
                _give(choice, start, came_from, owners)
                queue.clear()
                break
    return owners


def _give(choice: str, start: str, came_from: Mapping[str, str], owners: dict[str, str]) -> None:
    """
    Hand each approval of the path on, from the free one back to where it began.
    """
    owned: Mapping[str, str] = {}
    while (taker := came_from[choice]) != start:
        owned = owned or {owner: approval for approval, owner in owners.items() if approval in came_from}
        owners[choice] = taker
        choice = owned[taker]
    owners[choice] = start


def _first_created(graph: Graph, types: Sequence[str]) -> Mapping[str, datetime]:
    """
    When the first certificate behind each record was created, by the record's URN.
    """
    certificates = graph.of_types(matcher(types))
    first: dict[str, datetime] = {}
    for urn, records in graph.approvals(certificates).items():
        if (created := graph.nodes[urn].created) is not None:
            for record in records:
                first[record.urn] = min(first.get(record.urn, created), created)
    return first
