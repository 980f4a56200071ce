"""
The rules as policies of a pulumi-policy pack.

A stack policy has one level, so what a preview cannot know is told by a twin, at level ADVISORY.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import cryptography  # noqa: F401 - names.py reads signing requests by it: lacking, it is an error here, no verdict later
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from ..durations import duration_seconds
from . import rules
from .certificates import CERTIFICATES, matcher
from .graph import RECORD_TYPE, UNKNOWN, Graph, Node, read, readable
from .rules import SUBJECT, By, Finding, Ledger


def recommended(*, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = ()) -> list[Policy]:
    """
    The policies for a `PolicyPack` that bind each certificate to an approval of its own.

    `types` are the type tokens of what counts as a certificate, and `also` some more; `*` stands for any text.
    """
    return [
        certificates_need_approval(types=types, also=also),
        records_are_genuine(),
        approvals_are_complete(),
        approvals_are_recorded(),
        one_approval_one_certificate(types=types, also=also),
        no_insecure_settings(),
    ]


def certificates_need_approval(
    *, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = (), through_certificates: bool = False
) -> StackValidationPolicy:
    """
    Refuse a certificate that waits for no approval: in preview, and at the end of an update.

    `through_certificates`: what a certificate waits for counts for those that depend on it, too.
    """
    return _stack_policy(
        "certificates-need-approval",
        "Each certificate waits for an approved workflow instance.",
        lambda graph: rules.certificates_need_approval(
            graph, types=types, also=also, through_certificates=through_certificates
        ),
    )


def certificates_wait_for_approval(
    *, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = (), by: By = "expect", subject: str = SUBJECT
) -> ResourceValidationPolicy:
    """
    Refuse a certificate before it is made, also where there is no preview.

    An engine shows no dependencies then. So the pack remembers each genuine record that comes earlier in this run, and
    a certificate passes if the `expect` of one has its subject, at the path `subject`. By `"parent"` it passes if it is
    a child of a gate whose record came before.
    """
    is_certificate = matcher((*types, *also))
    ledger = Ledger()
    genuine: dict[str, bool] = {}

    def look(args: ResourceValidationArgs) -> None:
        if args.resource_type == RECORD_TYPE:
            genuine[args.urn] = rules.forgery(_readable(args.props)) is None

    def tell(args: ResourceValidationArgs, report: ReportViolation) -> None:
        node = Node(
            urn=args.urn,
            type=args.resource_type,
            parent=args.opts.parent,
            properties=read(args.resource_type, args.props, _member),
        )
        ledger.note(node, is_genuine=genuine.get(args.urn, False))
        if is_certificate(node.type):
            finding = ledger.judge(node, by=by, subject=subject)
            if finding is not None and finding.verdict == "violated":
                report(finding.message, args.urn)

    return ResourceValidationPolicy(
        name="certificates-wait-for-approval",
        description="Each certificate is made after its approval is recorded.",
        validate=tell,
        remediate=look,
        enforcement_level=EnforcementLevel.REMEDIATE,
    )


def one_approval_one_certificate(
    *, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = (), allow_shared: bool = False
) -> StackValidationPolicy:
    """
    Refuse certificates that cannot each have an approval of their own. With `allow_shared` it only warns.
    """
    return _stack_policy(
        "one-approval-one-certificate",
        "Each certificate has an approved workflow instance of its own.",
        lambda graph: rules.one_approval_one_certificate(graph, types=types, also=also),
        level=EnforcementLevel.ADVISORY if allow_shared else EnforcementLevel.MANDATORY,
    )


def approvals_are_complete(
    *,
    servers: Sequence[str] | None = None,
    definitions: Sequence[str] | None = None,
    workflow_types: Sequence[str] | None = None,
    minimum_version: int | None = None,
    max_age: str | float | timedelta | None = None,
) -> StackValidationPolicy:
    """
    Refuse a recorded approval that is not Complete, or not of these servers, definitions, types and versions, or old.

    `servers` are addresses as the record's `server` has them, `definitions` ids or display names, `max_age` a duration
    such as `"30d"`, counted until now.
    """
    seconds = None if max_age is None else duration_seconds(max_age)
    return _stack_policy(
        "approvals-are-complete",
        "Each recorded approval is Complete, and what this house allows.",
        lambda graph: rules.approvals_are_complete(
            graph,
            servers=servers,
            definitions=definitions,
            workflow_types=workflow_types,
            minimum_version=minimum_version,
            max_age=seconds,
        ),
    )


def approvals_are_recorded() -> StackValidationPolicy:
    """
    Tell, and refuse nothing: which approvals are not recorded yet, so that only the update can judge them.
    """
    return _stack_policy(
        "approvals-are-recorded",
        "Approvals that a preview cannot judge.",
        rules.approvals_are_recorded,
        level=EnforcementLevel.ADVISORY,
    )


def no_insecure_settings() -> StackValidationPolicy:
    """
    Refuse skipVerify and gates=off, in a provider, the stack's configuration and the environment, and ignore_changes on
    a record.
    """
    return _stack_policy(
        "no-insecure-settings",
        "Approvals are asked of a server that is verified, and no gate is off.",
        lambda graph: rules.no_insecure_settings(graph, environment=os.environ),
    )


def records_are_genuine() -> ResourceValidationPolicy:
    """
    Refuse a record that is not kf_provider's, before it is made, and one that this run left out.

    Its level is REMEDIATE, because only then an engine shows a record's provider: that looks and changes nothing, and
    the engine enforces what is found as it does at level MANDATORY.
    """
    problems: dict[str, str | None] = {}

    def look(args: ResourceValidationArgs) -> None:
        if args.resource_type == RECORD_TYPE:
            problems[args.urn] = rules.forgery(_readable(args.props))

    def tell(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type == RECORD_TYPE:
            problem = problems.get(args.urn, "was not looked at: leave this policy at the level remediate")
            if problem is not None:
                report(f"the record {problem}", args.urn)

    return ResourceValidationPolicy(
        name="records-are-genuine",
        description="Each record of an approval is one of kf_provider.",
        validate=tell,
        remediate=look,
        enforcement_level=EnforcementLevel.REMEDIATE,
    )


def _stack_policy(
    name: str,
    description: str,
    rule: Callable[[Graph], Iterable[Finding]],
    *,
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for finding in rule(_graph(args.resources)):
            if finding.verdict != "unknown":
                report(finding.message, finding.urn or None)

    return StackValidationPolicy(name=name, description=description, validate=validate, enforcement_level=level)


def _graph(resources: Iterable[PolicyResource]) -> Graph:
    return Graph(map(_node, resources), is_deployed=False)


def _node(resource: PolicyResource) -> Node:
    by_property = (each for needed in resource.property_dependencies.values() for each in needed)
    return Node(
        urn=resource.urn,
        type=resource.resource_type,
        parent=resource.parent.urn if resource.parent else None,
        dependencies=tuple(dict.fromkeys(each.urn for each in (*resource.dependencies, *by_property))),
        provider=resource.provider.urn if resource.provider else None,
        properties=read(resource.resource_type, resource.props, _member),
        ignore_changes=tuple(resource.opts.ignore_changes),
        is_component=resource.provider is None,
    )


def _readable(value: Any) -> Any:
    """
    The values behind the SDK's proxies, which raise where one is unknown.
    """
    if isinstance(value, Mapping):
        return {key: _member(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_member(value, index) for index in range(len(value))]
    return readable(value)


def _member(of: Any, key: Any) -> Any:
    try:
        return _readable(of[key])
    except UnknownValueError:
        return UNKNOWN
