"""
What `kf policy check` prints: findings as text, JSON, SARIF or JUnit.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from ..policy import Finding, rules
from ..policy.configuration import PolicyConfig
from ..policy.parameters import ABOUT
from ..words import safe_line
from .options import as_json

# What a code scanning page takes for low, high and critical: GitHub's bounds are 4, 7 and 9.
_SECURITY_SEVERITY: Final = {"low": "2.0", "high": "8.0", "critical": "9.5"}
_LONGEST: Final = 4000  # characters of a name or a message


def one_line(urn: str) -> str:
    """
    A URN for people and logs: what stands in it is a program's, and neither a line of the report nor an order.
    """
    return "::".join(safe_line(part, longest=_LONGEST) for part in urn.split("::")).lstrip(": ")


def _as_text(found: Sequence[Finding], configuration: PolicyConfig) -> str:
    if not found:
        return "no rule is violated"
    return "\n".join(
        f"{_verdict(finding, configuration)}: {finding.rule}: {safe_line(finding.message, longest=_LONGEST)}\n"
        f"  {one_line(finding.urn)}{f'  ({safe_line(finding.source)})' if finding.source else ''}\n"
        f"  severity {ABOUT[finding.rule].severity}: {ABOUT[finding.rule].url}"
        for finding in found
    )


def _verdict(finding: Finding, configuration: PolicyConfig) -> str:
    is_told = finding.verdict == "violated" and not configuration.refuses(finding)
    return "violated (advisory)" if is_told else finding.verdict


def _as_json(found: Sequence[Finding], configuration: PolicyConfig) -> str:
    return as_json(
        {
            "findings": [
                {**asdict(finding), "level": configuration.level(finding.rule), **asdict(ABOUT[finding.rule])}
                for finding in found
            ]
        }
    )


def _as_sarif(found: Sequence[Finding], configuration: PolicyConfig) -> str:
    """
    SARIF 2.1.0. A viewer wants a file for each result: the project's, where the state has no line.
    """
    results = []
    for finding in found:
        file, _, line = (finding.source or "Pulumi.yaml:1").rpartition(":")
        results.append(
            {
                "ruleId": finding.rule,
                "level": _sarif_level(finding.rule, configuration) if finding.verdict == "violated" else "note",
                "message": {"text": finding.message},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": quote(file, safe="/%:@!$&'()*+,;=~", errors="replace")},
                            "region": {"startLine": max(1, int(line))},
                        },
                        "logicalLocations": [{"fullyQualifiedName": finding.urn, "kind": "resource"}],
                    }
                ],
                "partialFingerprints": {"ruleAndUrn/v1": f"{finding.rule} {finding.urn}"},
            }
        )
    driver = {
        "name": "kf policy check",
        "version": version("kf-provider"),
        "rules": [_sarif_rule(rule, configuration) for rule in (*rules.RULES, *rules.OPT_IN)],
    }
    return as_json(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": results}],
        }
    )


def _sarif_level(rule: str, configuration: PolicyConfig) -> str:
    if ABOUT[rule].severity == "low":
        return "note"
    return "warning" if configuration.level(rule) == "advisory" else "error"


def _sarif_rule(rule: str, configuration: PolicyConfig) -> dict[str, Any]:
    about = ABOUT[rule]
    return {
        "id": rule,
        "shortDescription": {"text": about.description},
        "help": {"text": about.remediation},
        "helpUri": about.url,
        "defaultConfiguration": {
            "enabled": configuration.is_run(rule),
            "level": _sarif_level(rule, configuration),
        },
        "properties": {"security-severity": _SECURITY_SEVERITY[about.severity], "tags": ["security"]},
    }


def _as_junit(found: Sequence[Finding], configuration: PolicyConfig) -> str:
    """
    A case for each rule and resource that is violated, and one for each rule that was run and that nothing violates.

    What is advisory is output of a case that has passed.
    """
    from junitparser import Failure, JUnitXml, TestCase, TestSuite

    suite = TestSuite("kf policy check")
    for rule in filter(configuration.is_run, (*rules.RULES, *rules.OPT_IN)):
        violated = [finding for finding in found if finding.rule == rule and finding.verdict == "violated"]
        if not violated:
            suite.add_testcase(TestCase("all resources", classname=rule))
        for finding in violated:
            case = TestCase(one_line(finding.urn), classname=rule)
            message = safe_line(finding.message, longest=_LONGEST)
            if configuration.refuses(finding):
                failure = Failure(message, type_=ABOUT[rule].severity)
                failure.text = f"{ABOUT[rule].remediation}\n{ABOUT[rule].url}"
                case.result = [failure]
            else:
                case.system_out = message
            suite.add_testcase(case)
    report = JUnitXml()
    report.add_testsuite(suite)
    text = io.BytesIO()
    report.write(text)
    return text.getvalue().decode().rstrip()


REPORTS: Final[Mapping[str, Callable[[Sequence[Finding], PolicyConfig], str]]] = {
    "text": _as_text,
    "json": _as_json,
    "sarif": _as_sarif,
    "junit": _as_junit,
}
