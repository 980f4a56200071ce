"""
The rules as policies of a pulumi-policy pack.

A stack policy has one level, so what a preview cannot know is told by a twin, at level ADVISORY.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

import cryptography  # noqa: F401 - names.py reads signing requests by it: lacking, it is an error here, no verdict later
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from . import rules
from .certificates import CERTIFICATES, matcher
from .findings import Finding, spoken
from .graph import RECORD_TYPE, UNKNOWN, Graph, Node, read
from .ledger import By, Ledger
from .parameters import ABOUT, PARAMETERS, checked
from .rules import SANS, SUBJECT

_UNSEEN: Final = "was not looked at: leave this policy at the level remediate"


class _StackRule(StackValidationPolicy):
    """
    A policy that keeps what it could not judge, for its twin.
    """

    unknown: Sequence[Finding] = ()


class _ResourceRule(ResourceValidationPolicy):
    """
    As above, for each resource.
    """

    unknown: Sequence[Finding] = ()


def recommended(
    *,
    types: Sequence[str] = CERTIFICATES,
    also: Sequence[str] = (),
    servers: Sequence[str] | None = None,
    definitions: Sequence[str] | None = None,
    workflow_types: Sequence[str] | None = None,
    minimum_version: int | None = None,
    max_age: str | float | timedelta | None = None,
    allow_shared: bool = False,
) -> list[Policy]:
    """
    The policies for a `PolicyPack` that bind each certificate to an approval of its own.

    `types` are the type tokens of what counts as a certificate, and `also` some more; `*` stands for any text. The
    others are those of `approvals_are_complete` and `one_approval_one_certificate`.
    """
    policies: list[Policy] = [
        certificates_need_approval(types=types, also=also),
        records_are_genuine(),
        approvals_are_complete(
            servers=servers,
            definitions=definitions,
            workflow_types=workflow_types,
            minimum_version=minimum_version,
            max_age=max_age,
        ),
        approvals_are_recorded(),
        one_approval_one_certificate(types=types, also=also, allow_shared=allow_shared),
        no_insecure_settings(),
    ]
    return [*policies, verdicts_are_known(policies)]


def verdicts_are_known(policies: Iterable[Policy]) -> StackValidationPolicy:
    """
    Tell, and refuse nothing: what these policies could not judge, because a value is not known yet.

    It stands behind them in the pack.
    """
    rules_of = [policy for policy in policies if isinstance(policy, _StackRule | _ResourceRule)]

    def tell(_args: StackValidationArgs, report: ReportViolation) -> None:
        for rule in rules_of:
            for finding in rule.unknown:
                report(f"{finding.rule}: {finding.message}", finding.urn or None)

    return StackValidationPolicy(
        name="verdicts-are-known",
        description="What could not be judged, because a value is not known yet.",
        validate=tell,
        enforcement_level=EnforcementLevel.ADVISORY,
        severity=Severity.LOW,
        url=ABOUT["approvals-are-recorded"].url,
    )


def certificates_need_approval(
    *, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = (), through_certificates: bool = False
) -> StackValidationPolicy:
    """
    Refuse a certificate that waits for no approval: in preview, and at the end of an update.

    `through_certificates`: what a certificate waits for counts for those that depend on it, too.
    """
    return _stack_policy(
        "certificates-need-approval",
        rules.certificates_need_approval,
        {"types": types, "also": also, "through_certificates": through_certificates},
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
    name = "certificates-wait-for-approval"
    given = _given(name, {"types": types, "also": also, "by": by, "subject": subject})
    ledger = Ledger()
    problems: dict[str, str | None] = {}
    unseen: set[str] = set()  # records that came at another level than remediate
    unknown: dict[str, Finding] = {}

    def tell(args: ResourceValidationArgs, report: ReportViolation) -> None:
        node = _resource(args)
        try:
            how = {**given, **checked(name, args.get_config())}
        except ValueError as error:
            report(f"its configuration {error}", args.urn)
            return
        ledger.note(node, is_genuine=problems.get(args.urn, _UNSEEN) is None, subject=how["subject"])
        if node.type == RECORD_TYPE and args.urn not in problems:
            unseen.add(args.urn)
        if not matcher((*how["types"], *how["also"]))(node.type):
            return
        finding = ledger.judge(node, by=how["by"], subject=how["subject"])
        if finding is not None and unseen:
            finding = replace(finding, message=f"{spoken(node)} {_UNSEEN}", verdict="violated")
        unknown.pop(args.urn, None)
        if finding is not None and finding.verdict == "violated":
            report(finding.message, args.urn)
        elif finding is not None:
            unknown[args.urn] = finding
        policy.unknown = list(unknown.values())

    policy = _ResourceRule(
        name=name,
        validate=tell,
        remediate=partial(_look, problems),
        enforcement_level=EnforcementLevel.REMEDIATE,
        config_schema=_schema(name),
        **_about(name),
    )
    return policy


def one_approval_one_certificate(
    *, types: Sequence[str] = CERTIFICATES, also: Sequence[str] = (), allow_shared: bool = False
) -> StackValidationPolicy:
    """
    Refuse certificates that cannot each have an approval of their own. With `allow_shared` it only warns.
    """
    return _stack_policy(
        "one-approval-one-certificate",
        rules.one_approval_one_certificate,
        {"types": types, "also": also},
        level=EnforcementLevel.ADVISORY if allow_shared else EnforcementLevel.MANDATORY,
    )


def approval_matches_certificate(
    *,
    types: Sequence[str] = CERTIFICATES,
    also: Sequence[str] = (),
    subject: str = SUBJECT,
    sans: str = SANS,
) -> StackValidationPolicy:
    """
    Refuse a certificate that asks for another subject or other names than the `expect` of its approval has.

    `subject` and `sans` are paths of the instance. A certificate may ask for less than what was approved.
    """
    return _stack_policy(
        "approval-matches-certificate",
        rules.approval_matches_certificate,
        {"types": types, "also": also, "subject": subject, "sans": sans},
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
    return _stack_policy(
        "approvals-are-complete",
        rules.approvals_are_complete,
        {
            "servers": servers,
            "definitions": definitions,
            "workflow_types": workflow_types,
            "minimum_version": minimum_version,
            "max_age": max_age,
        },
    )


def approvals_are_recorded() -> StackValidationPolicy:
    """
    Tell, and refuse nothing: which approvals are not recorded yet, so that only the update can judge them.
    """
    return _stack_policy(
        "approvals-are-recorded",
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
        partial(rules.no_insecure_settings, environment=os.environ),
    )


def records_are_genuine() -> ResourceValidationPolicy:
    """
    Refuse a record that is not kf_provider's, before it is made, and one that this run left out.

    Its level is REMEDIATE, because only then an engine shows a record's provider: that looks and changes nothing, and
    the engine enforces what is found as it does at level MANDATORY.
    """
    problems: dict[str, str | None] = {}

    def tell(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type == RECORD_TYPE:
            problem = problems.get(args.urn, _UNSEEN)
            if problem is not None:
                report(f"the record {args.name!r} {problem}", args.urn)

    return ResourceValidationPolicy(
        name="records-are-genuine",
        validate=tell,
        remediate=partial(_look, problems),
        enforcement_level=EnforcementLevel.REMEDIATE,
        **_about("records-are-genuine"),
    )


def _look(problems: dict[str, str | None], args: ResourceValidationArgs) -> None:
    """
    Note why a record is not genuine: only here an engine shows its provider.
    """
    if args.resource_type == RECORD_TYPE:
        problems[args.urn] = rules.forgery(_resource(args))


def _stack_policy(
    name: str,
    rule: Callable[..., Iterable[Finding]],
    given: Mapping[str, Any] | None = None,
    *,
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
) -> StackValidationPolicy:
    own = _given(name, given or {})

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        try:
            how = {**own, **checked(name, args.get_config())}
        except ValueError as error:
            report(f"its configuration {error}", None)
            return
        found = list(rule(Graph(map(_node, args.resources), is_deployed=False), **how))
        for finding in found:
            if finding.verdict != "unknown":
                report(finding.message, finding.urn or None)
        policy.unknown = [finding for finding in found if finding.verdict == "unknown"]

    policy = _StackRule(
        name=name,
        validate=validate,
        enforcement_level=level,
        config_schema=_schema(name),
        **_about(name),
    )
    return policy


def _given(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return checked(name, given)
    except ValueError as error:
        raise ValueError(f"policy.{name.replace('-', '_')} {error}") from None


def _about(name: str) -> dict[str, Any]:
    """
    What a policy says of its rule, as pulumi-policy takes it.
    """
    about = ABOUT[name]
    return {
        "description": about.description,
        "severity": Severity[about.severity.upper()],
        "remediation_steps": about.remediation,
        "url": about.url,
    }


def _schema(name: str) -> PolicyConfigSchema | None:
    properties = PARAMETERS.get(name)
    return PolicyConfigSchema({key: dict(kind) for key, kind in properties.items()}) if properties else None


def _node(resource: PolicyResource) -> Node:
    by_property = (each for needed in resource.property_dependencies.values() for each in needed)
    return Node(
        urn=resource.urn,
        type=resource.resource_type,
        parent=resource.parent.urn if resource.parent else None,
        dependencies=tuple(dict.fromkeys(each.urn for each in (*resource.dependencies, *by_property))),
        provider=resource.provider.urn if resource.provider else None,
        properties=_properties(resource),
        ignore_changes=tuple(resource.opts.ignore_changes),
        is_component=resource.provider is None,
    )


def _resource(args: ResourceValidationArgs) -> Node:
    """
    A resource that is registered now: an engine shows no dependencies of it.
    """
    return Node(
        args.urn,
        args.resource_type,
        args.opts.parent,
        provider=args.provider.urn if args.provider else None,
        properties=_properties(args),
        is_component=args.provider is None,
    )


def _properties(of: PolicyResource | ResourceValidationArgs) -> Mapping[str, Any]:
    return read(of.resource_type, of.props, _member)


def _member(of: Any, key: Any) -> Any:
    """
    An item behind the SDK's proxies, which raise where it is unknown.
    """
    try:
        return of[key]
    except UnknownValueError:
        return UNKNOWN
