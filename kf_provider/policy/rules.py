"""
The rules: plain functions of a graph that yield findings. They never raise, and never say a value of the stack.

A finding names the resource, what is wrong and what to write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import contains
from typing import Any, Final

from ..keyfactor.addresses import is_same_server
from ..waiting.verdict import expiry
from .certificates import CERTIFICATES, REQUESTS, matcher
from .findings import Finding, finding, spoken
from .graph import PROVIDER_TYPE, RECORD_TYPE, UNKNOWN, Graph, Node, at_path, is_unknown, type_in
from .ledger import NAMELESS, By, Ledger
from .names import Names, approved, lacking, requested

# Where an instance of an enrollment has what was asked for.
SUBJECT: Final = "current_state_data.Subject"
SANS: Final = "current_state_data.SANs.dns"

_DEFINITION: Final = ("definition.id", "definition.display_name")  # what it may be called in a record

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
            yield finding(
                "certificates-need-approval",
                certificate,
                "waits for no approval: give it `opts=pulumi.ResourceOptions(depends_on=[approval])`, where `approval` "
                "is a kf_provider.WorkflowApproval of its enrollment",
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
        ledger.note(node, is_genuine=not node.is_read and forgery(node) is None, subject=subject)
        if is_certificate(node.type) and (found := ledger.judge(node, by=by, subject=subject)) is not None:
            yield found


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
            yield finding(
                "one-approval-one-certificate",
                certificate,
                f"has no approval of its own: {spoken(graph.nodes[others[0]])} waits for the same one; pass the id of "
                "another workflow instance to a WorkflowApproval of its own, and let it depend on that",
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
            yield finding(rule, certificate, text, "unknown")
        elif not asked.subject:
            yield finding(rule, certificate, NAMELESS)
        else:
            what, path = ("a subject", subject) if "names" not in missing else ("other names", sans)
            yield finding(
                rule,
                certificate,
                f"asks for {what} that its approval does not expect: start a request for this certificate, and give "
                f"its gate `expect={{{path!r}: ...}}`",
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
        held = partial(_held, record)
        text = "is not Complete in the state" if graph.is_deployed else "is not Complete"
        yield from held("status", text, ["status"], lambda status: status == "Complete")
        if servers is not None:
            text = "was given on a server that is not allowed here"
            yield from held("server", text, ["server"], lambda one: any(is_same_server(one, each) for each in servers))
        if definitions is not None:
            text = "is of a workflow definition that is not allowed here"
            yield from held("definition", text, _DEFINITION, partial(contains, definitions))
        if workflow_types is not None:
            text = "is of a type of workflow that is not allowed here"
            yield from held("type of workflow", text, ["definition.workflow_type"], partial(contains, workflow_types))
        if minimum_version is not None:
            text = f"is of a version of its workflow definition before {minimum_version}"
            yield from held("version", text, ["definition.version"], partial(_is_at_least, minimum_version))
        if max_age is not None:
            was_old = "was older than max_age when its certificate was created"
            text = was_old if record.urn in created else "is older than max_age now"
            is_young = partial(_is_young, max_age=max_age, now=created.get(record.urn, now))
            yield from held("date", text, ["last_modified"], is_young)


def _held(
    record: Node, what: str, text: str, paths: Sequence[str], is_allowed: Callable[[Any], bool]
) -> Iterator[Finding]:
    """
    One of what a record has at these paths is allowed.
    """
    rule = "approvals-are-complete"
    values = [at_path(record.properties, path) for path in paths]
    if any(is_allowed(value) for value in values if not is_unknown(value)):
        return
    if any(map(is_unknown, values)):
        why = f"has a {what} that is not known yet, or is encrypted: it cannot be judged here"
        yield finding(rule, record, why, "unknown")
    else:
        yield finding(rule, record, f"{text}: start a new request and pass its id to this gate")


def approvals_are_recorded(graph: Graph) -> Iterator[Finding]:
    """
    Tell which approvals a preview cannot know: the update waits for them.
    """
    for record in graph.records:
        if _waits_for_the_update(graph, record):
            yield finding("approvals-are-recorded", record, "is not recorded yet; the update will tell", "not_recorded")


def records_are_genuine(graph: Graph) -> Iterator[Finding]:
    """
    Each record is of this package's provider. A policy for a whole stack cannot see that, a state and a preview can.
    """
    for record in graph.records:
        problem = forgery(record)
        if record.is_read:
            problem = "was read by an id, so no server was asked for it: only a WorkflowApproval may make one"
        if problem is not None:
            yield finding("records-are-genuine", record, problem)


def forgery(record: Node) -> str | None:
    """
    Why a record is not a genuine one of this run; None where it is.
    """
    if not record.properties:
        return "was left out of this run: run it without --target and --exclude, or add the record to them"
    # A component is made by nobody, and another plugin may take the same text for its own.
    is_dynamic = not record.is_component and type_in(record.provider) == PROVIDER_TYPE
    if not is_dynamic or record.properties.get("__provider") != GENUINE:
        return "is no record of kf_provider: only a WorkflowApproval may register this type"
    return None


def no_insecure_settings(graph: Graph, *, environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """
    No provider trusts any certificate or has its gates off, nor does the environment; no record ignores changes.
    """
    rule = "no-insecure-settings"
    for node in graph.nodes.values():
        if node.type == RECORD_TYPE and node.ignore_changes:
            yield finding(rule, node, "has ignore_changes, which keeps an old approval: remove it")
        if node.type == PROVIDER_TYPE:
            for key, is_insecure in _INSECURE:
                setting = f"keyfactor:{key}"
                value = node.properties.get(setting)
                if is_unknown(value):
                    yield finding(rule, node, f"has {setting}, which cannot be read here", "unknown")
                elif is_insecure(value):
                    text = f"has an insecure {setting}: remove it there, or from the stack's configuration"
                    yield finding(rule, node, text)
    for variable, is_insecure in (("KEYFACTOR_SKIP_VERIFY", _is_true), ("KEYFACTOR_GATES", _is_off)):
        if is_insecure((environment or {}).get(variable)):
            yield Finding(rule, "", f"{variable} is set in the environment: unset it")


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "on"))


def _is_off(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == "off"


_INSECURE: Final[Sequence[tuple[str, Callable[[object], bool]]]] = (("skipVerify", _is_true), ("gates", _is_off))


def _waits_for_the_update(graph: Graph, record: Node) -> bool:
    return not graph.is_deployed and record.properties.get("status") in (None, UNKNOWN)


def _is_young(date: object, *, max_age: float, now: datetime | None) -> bool:
    return not expiry(date if isinstance(date, str) else None, max_age, now=now)


def _is_at_least(least: float, number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and number >= least


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
    taken: dict[str, str] = {}  # the same by certificate
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
                free: str | None = choice
                while free is not None:  # each hands its own on, back to where it began
                    taker = owners[free] = came_from[free]
                    taken[taker], free = free, taken.get(taker)
                queue.clear()
                break
    return owners


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
