"""
The policies, called as pulumi-policy calls them: with its own resources and proxies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pulumi_policy import (
    EnforcementLevel,
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from kf_provider import policy
from kf_provider.policy.graph import PROVIDER_TYPE, RECORD_TYPE
from kf_provider.policy.parameters import PARAMETERS
from tests.unit.policy.stacks import CERTIFICATE

PROVIDER = PolicyProviderResource(PROVIDER_TYPE, {}, f"urn:pulumi:prod::shop::{PROVIDER_TYPE}::default", "default")


def options(*ignored: str) -> PolicyResourceOptions:
    """
    A resource's options.
    """
    return PolicyResourceOptions(False, list(ignored), None, [], PolicyCustomTimeouts(0, 0, 0), [])


def resource(
    name: str,
    token: str,
    properties: Mapping[str, Any],
    *needed: PolicyResource,
    parent: PolicyResource | None = None,
    ignored: tuple[str, ...] = (),
) -> PolicyResource:
    """
    A resource as a pack sees it.
    """
    proxy = unknown_checking_proxy(dict(properties))
    provider = PROVIDER if ":" in token else None
    return PolicyResource(token, proxy, name, name, options(*ignored), provider, parent, list(needed), {})


def violations(rule: StackValidationPolicy, *resources: PolicyResource) -> list[str | None]:
    """
    The URNs that a stack policy reports.
    """
    found: list[str | None] = []

    def report(_message: str, urn: str | None = None) -> None:
        found.append(urn)

    rule.validate(StackValidationArgs(list(resources), {}, {}), report)
    return found


def told(rule: ResourceValidationPolicy, args: ResourceValidationArgs) -> list[str]:
    """
    What a resource policy reports.
    """
    messages: list[str] = []

    def report(message: str, _urn: str | None = None) -> None:
        messages.append(message)

    rule.validate(args, report)
    return messages


def test_need() -> None:
    """
    A certificate is refused unless it waits for an approval, also one that is not recorded and whose id is unknown.
    """
    record = resource("record", RECORD_TYPE, {"instance_id": UNKNOWN_STRING_VALUE, "expect": {"a": [None]}})
    bare = resource("bare", CERTIFICATE, {"subject": UNKNOWN_STRING_VALUE})
    bound = resource("bound", CERTIFICATE, {}, record)

    assert ["bare"] == violations(policy.certificates_need_approval(), record, bare, bound)
    assert ["record"] == violations(policy.approvals_are_recorded(), record)
    assert not violations(policy.approvals_are_complete(definitions=["d"]), record)


def test_own() -> None:
    """
    Two certificates on one approval: one of them is refused, and where that is allowed it is a warning.
    """
    record = resource("record", RECORD_TYPE, {"instance_id": "i"})
    both = [resource(name, CERTIFICATE, {}, record) for name in ("one", "two")]

    assert ["two"] == violations(policy.one_approval_one_certificate(), record, *both)
    assert EnforcementLevel.ADVISORY == policy.one_approval_one_certificate(allow_shared=True).enforcement_level


def test_insecure(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A provider without verification, a record that ignores changes and the environment of the pack are named.
    """
    monkeypatch.setenv("KEYFACTOR_GATES", "off")
    provider = resource("provider", PROVIDER_TYPE, {"keyfactor:skipVerify": "true"})
    record = resource("record", RECORD_TYPE, {}, ignored=("instance_id",))

    assert ["provider", "record", None] == violations(policy.no_insecure_settings(), provider, record)


@pytest.mark.parametrize(
    ("properties", "word"),
    [
        ({"__provider": policy.rules.GENUINE, "instance_id": "i"}, None),
        ({"__provider": UNKNOWN_STRING_VALUE}, "no record of kf_provider"),
        ({"__provider": "code of one's own"}, "no record of kf_provider"),
        ({}, "left out"),
    ],
)
def test_genuine(properties: dict[str, Any], word: str | None) -> None:
    """
    What the engine shows of a record's provider decides, and nothing is changed.
    """
    rule = policy.records_are_genuine()
    seen = ResourceValidationArgs(RECORD_TYPE, unknown_checking_proxy(properties), "urn", "name", options(), PROVIDER)

    assert rule.remediate(seen) is None
    messages = told(rule, seen)

    assert EnforcementLevel.REMEDIATE == rule.enforcement_level
    assert bool(word) == bool(messages)
    assert word is None or (word in messages[0] and "'name'" in messages[0])


def test_genuine_at_another_level() -> None:
    """
    A level at which the engine shows no provider refuses every record: nothing was looked at.
    """
    args = ResourceValidationArgs(RECORD_TYPE, {}, "urn", "name", options(), None)

    (message,) = told(policy.records_are_genuine(), args)

    assert "remediate" in message


def test_unknown() -> None:
    """
    What cannot be judged is refused by nobody, and told by the twin, until it is known.
    """
    complete = policy.approvals_are_complete(definitions=["d"])
    twin = policy.verdicts_are_known([complete])
    hidden = resource("record", RECORD_TYPE, {"status": "Complete", "definition": {"id": UNKNOWN_STRING_VALUE}})
    shown = resource("record", RECORD_TYPE, {"status": "Complete", "definition": {"id": "d"}})

    assert not violations(complete, hidden)
    assert ["record"] == violations(twin, hidden)
    assert not violations(complete, shown)
    assert not violations(twin, shown)
    assert EnforcementLevel.ADVISORY == twin.enforcement_level


def test_configuration() -> None:
    """
    A policy configuration sets what the arguments set; what it cannot mean is a violation, in one line.
    """
    record = resource("record", RECORD_TYPE, {"status": "Complete", "definition": {"id": "d"}})
    found: list[str] = []

    def report(message: str, _urn: str | None = None) -> None:
        found.append(message)

    for definitions in (["d"], ["other"], "d"):
        args = StackValidationArgs([record], {"definitions": definitions}, {})
        policy.approvals_are_complete(definitions=["x"]).validate(args, report)

    assert 2 == len(found)
    assert "definition that is not allowed here" in found[0]
    assert "takes a list for definitions" in found[1]


def test_before() -> None:
    """
    The pack remembers the record that it has seen, if its provider is genuine.
    """
    expect = {"current_state_data.Subject": "CN=www.example.com"}
    for provider, refused in ((policy.rules.GENUINE, 0), ("another", 1)):
        rule = policy.certificates_wait_for_approval()
        seen = unknown_checking_proxy({"__provider": provider, "expect": expect})
        args = ResourceValidationArgs(RECORD_TYPE, seen, "record", "record", options(), PROVIDER)
        rule.remediate(args)
        assert not told(rule, args)
        asked = unknown_checking_proxy({"subject": {"commonName": "www.example.com"}, "dnsNames": ["x"]})

        messages = told(rule, ResourceValidationArgs(CERTIFICATE, asked, "certificate", "c", options(), None))

        assert refused == len(messages)


def test_before_at_another_level() -> None:
    """
    A level at which the engine shows no provider judges no certificate behind a record, and says so of each.
    """
    rule = policy.certificates_wait_for_approval()
    asked = {"subject": {"commonName": "www.example.com"}}
    certificate = ResourceValidationArgs(CERTIFICATE, asked, "certificate", "c", options(), None)
    expect = {"current_state_data.Subject": "CN=www.example.com"}
    record = ResourceValidationArgs(RECORD_TYPE, {"expect": expect}, "record", "record", options(), PROVIDER)

    (early,) = told(rule, certificate)
    assert not told(rule, record)
    (late,) = told(rule, certificate)

    assert "no approval before it" in early
    assert "leave this policy at the level remediate" in late


def test_what_a_policy_says_of_itself() -> None:
    """
    Each policy has a severity, what to do and a page, and its parameters are its schema.
    """
    policies = [*policy.recommended(), policy.certificates_wait_for_approval(), policy.approval_matches_certificate()]

    assert all(each.severity and each.url for each in policies)
    assert all(each.remediation_steps for each in policies if each.name != "verdicts-are-known")
    schemas = {each.name: sorted(each.config_schema.properties) for each in policies if each.config_schema}
    assert schemas == {rule: sorted(kinds) for rule, kinds in PARAMETERS.items()}


def test_recommended() -> None:
    """
    What a pack starts with, by the names that configuration and exceptions use.
    """

    assert [
        "certificates-need-approval",
        "records-are-genuine",
        "approvals-are-complete",
        "approvals-are-recorded",
        "one-approval-one-certificate",
        "no-insecure-settings",
        "verdicts-are-known",
    ] == [each.name for each in policy.recommended()]
