"""
`kf policy check`: the rules of kf_provider.policy on a stack's state or preview, without an engine.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn
from urllib.parse import quote

import click
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..policy import Finding, Graph, StackFileError, rules
from ..policy.graph import TOO_DEEP
from ..policy.parameters import ABOUT, NAMES, PARAMETERS, checked, configured, known, own
from ..words import safe_line
from .exits import BROKEN_INPUT, USAGE, VIOLATED
from .options import as_json, tell

# What a code scanning page takes for low, high and critical: GitHub's bounds are 4, 7 and 9.
_SECURITY_SEVERITY: Final = {"low": "2.0", "high": "8.0", "critical": "9.5"}
_LONGEST: Final = 4000  # characters of a name or a message
_BOTH_FORMS: Final = '{"version": 2, "policies": {rule: level}}, or {rule: level} alone'
_REASON: Final = "violated when exceptions were written: say why it may stay"


def _named(policies: list[str]) -> list[str]:
    known(policies, NAMES, "rule")
    return policies


def _urn(target: str) -> str:
    if not target.startswith("urn:pulumi:") or target.count("::") < 3:
        raise ValueError(f"{safe_line(target, longest=60)!r} is no URN: an exception names each resource in full")
    return target


def _configured(policies: dict[str, Any]) -> dict[str, Any]:
    configured(policies)
    return policies


def _reasoned(reason: str) -> str:
    if not reason.strip():
        raise ValueError("say why the exception may stay")
    return reason


class _Strict(BaseModel):
    """
    What is in a file and not known here is refused, for it would do nothing.
    """

    model_config = ConfigDict(extra="forbid")


class Match(_Strict):
    """
    What an exception is for: these rules, on these resources.
    """

    policies: Annotated[list[str], Field(min_length=1), AfterValidator(_named)]
    targets: Annotated[list[Annotated[str, AfterValidator(_urn)]], Field(min_length=1)]


class PolicyException(_Strict):
    """
    An exception of a policy configuration.
    """

    reason: Annotated[str, AfterValidator(_reasoned)]
    match: Annotated[list[Match], Field(min_length=1)]


class PolicyConfig(_Strict):
    """
    Pulumi's policy configuration, of one pack.
    """

    version: Literal[2] = 2
    environments: list[str] = []  # an engine's alone
    policies: Annotated[dict[str, Any], AfterValidator(_configured)] = {}
    exceptions: dict[str, PolicyException] = {}

    @classmethod
    def read(cls, document: object) -> PolicyConfig:
        """
        Either form: version 2, or the older one without a version, which has the rules at the top.

        Raises ValueError, in one line.
        """
        if not isinstance(document, dict):
            raise ValueError(f"write {_BOTH_FORMS}")  # noqa: TRY004 - of a file
        if document.get("version", 2) != 2:
            raise ValueError(f'"version" is 2, or left out: {_BOTH_FORMS}')
        if "version" in document:
            known(document, tuple(cls.model_fields), "key")
        elif "policies" in document or "exceptions" in document:
            raise ValueError('"policies" and "exceptions" need a "version": 2 beside them')
        else:
            outside = {key: value for key, value in document.items() if key == "environments"}
            document = {**outside, "policies": {key: document[key] for key in document if key not in outside}}
        try:
            return cls.model_validate(document)
        except ValidationError as invalid:
            first = invalid.errors(include_url=False, include_input=False)[0]
            place = safe_line(".".join(map(str, first["loc"])))
            raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None

    @cached_property
    def excepted(self) -> Mapping[str, set[str]]:
        """
        The URNs of the resources that each rule has exceptions for: looked up for each finding.
        """
        urns: dict[str, set[str]] = {rule: set() for rule in NAMES}
        for exception in self.exceptions.values():
            for match in exception.match:
                for rule in match.policies:
                    urns[rule].update(match.targets)
        return urns

    def excepts(self, finding: Finding) -> bool:
        """
        Whether an exception is for this finding.
        """
        return finding.urn in self.excepted[finding.rule]

    def parameters(self, rule: str) -> dict[str, Any]:
        """
        What is configured of a rule beside its level, as the rule takes it.
        """
        return checked(rule, own(self.policies.get(rule)))

    def is_run(self, rule: str) -> bool:
        """
        Whether a rule is run: one that is not recommended has to be configured.
        """
        return self.level(rule) != "disabled" and (rule in rules.RULES or rule in self.policies)

    def level(self, rule: str) -> str:
        """
        A rule's level, else that of "all"; mandatory unless configured.
        """
        for name in (rule, "all"):
            configured = self.policies.get(name)
            level = configured.get("enforcementLevel") if isinstance(configured, Mapping) else configured
            if isinstance(level, str):
                return level
        return "mandatory"

    def refuses(self, finding: Finding) -> bool:
        """
        Whether a finding is a violation that is not only told.
        """
        return finding.verdict == "violated" and self.level(finding.rule) != "advisory"


@click.group(name="policy")
def policy_command() -> None:
    """
    Check a stack's certificates for approvals.
    """


@policy_command.command(name="check")
@click.option("--state", metavar="FILE", help="What `pulumi stack export` writes; - is standard input.")
@click.option("--preview", metavar="FILE", help="What `pulumi preview --json --show-sames` writes; - as above.")
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="A type of certificate, instead of the known ones."
)
@click.option("--also", multiple=True, metavar="TYPE", help="A type of certificate, besides them.")
@click.option("--config", metavar="FILE", help="Pulumi's policy configuration: levels, parameters, exceptions.")
@click.option("--write-exceptions", metavar="FILE", help="Write what is violated today as exceptions, and end with 0.")
@click.option(
    "--output",
    type=click.Choice(["text", "json", "sarif", "junit"]),
    default="text",
    show_default=True,
    help="How to print.",
)
def check_command(
    state: str | None,
    preview: str | None,
    types: tuple[str, ...],
    also: tuple[str, ...],
    config: str | None,
    write_exceptions: str | None,
    output: str,
) -> int:
    """
    Refuse certificates that wait for no approved workflow instance.

    Nothing is asked and no secret is needed. Ends with 0; 2 for a call that makes no sense, 20 when a rule is violated,
    65 when a file cannot be read as one.

    \b
    Examples:
      pulumi stack export | kf policy check --state -
      pulumi preview --json --show-sames | kf policy check --preview -
      kf policy check --state state.json --write-exceptions policy.json
      kf policy check --state state.json --config policy.json --output sarif
    """
    if (state is None) == (preview is None):
        raise click.UsageError("give --state FILE or --preview FILE")
    configuration = _configuration(config)
    kept = state if state is not None else preview or ""
    try:
        document = _document(kept)
        graph = Graph.from_state(document) if state is not None else Graph.from_preview(document)
    except StackFileError as error:
        _end(f"{_spoken(kept)} {error}", BROKEN_INPUT)
    stars = {urn for urns in configuration.excepted.values() for urn in urns if "*" in urn}
    if star := min(stars - graph.nodes.keys(), default=None):
        tell(f"{config}: no resource is named {_one_line(star)}: a * in an exception stands for itself alone")
    found = [finding for finding in _findings(graph, configuration, types, also) if not configuration.excepts(finding)]
    violated = [finding for finding in found if configuration.refuses(finding)]
    if write_exceptions is not None:
        _write(Path(write_exceptions), configuration, violated, is_replaced=write_exceptions == config)
        return 0
    click.echo(_PRINTED[output](found, configuration))
    return VIOLATED if violated else 0


def _findings(
    graph: Graph, configuration: PolicyConfig, types: Sequence[str], also: Sequence[str]
) -> Iterator[Finding]:
    for name in (*rules.RULES, *rules.OPT_IN):
        if configuration.is_run(name):
            how = configuration.parameters(name)
            if "types" in PARAMETERS.get(name, {}):
                how |= {key: given for key, given in (("types", types), ("also", also)) if given}
            yield from getattr(rules, name.replace("-", "_"))(graph, **how)


def _document(file: str) -> object:
    try:
        with click.open_file(file, encoding="utf-8-sig") as text:
            return json.load(text)
    except OSError as error:
        _end(f"{_spoken(file)} cannot be read: {error.strerror}", BROKEN_INPUT)
    except RecursionError:
        _end(f"{_spoken(file)} {TOO_DEEP}", BROKEN_INPUT)
    except ValueError:
        _end(f"{_spoken(file)} is not JSON", BROKEN_INPUT)


def _configuration(file: str | None) -> PolicyConfig:
    if file is None:
        return PolicyConfig()
    try:
        return PolicyConfig.read(_document(file))
    except ValueError as error:
        _end(f"{file} is not a policy configuration: {error}", BROKEN_INPUT)


def _spoken(file: str) -> str:
    return "standard input" if file == "-" else file


def _end(text: str, code: int) -> NoReturn:
    tell(text)
    raise click.exceptions.Exit(code)


def _write(file: Path, configuration: PolicyConfig, violated: Sequence[Finding], *, is_replaced: bool) -> None:
    """
    The configuration, and an exception for each resource and rule that is violated.
    """
    written = {"version": 2, "policies": {}, "exceptions": {}, **configuration.model_dump(exclude_unset=True)}
    taken = set(written["exceptions"])
    numbers = (number for number in range(1, len(taken) + len(violated) + 1) if f"existing-{number}" not in taken)
    for number, finding in zip(numbers, violated, strict=False):
        written["exceptions"][f"existing-{number}"] = {
            "reason": _REASON,
            "match": [{"policies": [finding.rule], "targets": [finding.urn]}],
        }
    try:
        with file.open("w" if is_replaced else "x", encoding="utf-8") as out:
            out.write(as_json(written) + "\n")
    except FileExistsError:
        _end(f"{file} is there already: name another file, or give it as --config too to add to it", USAGE)
    except OSError as error:
        _end(f"{file} cannot be written: {error.strerror}", USAGE)
    tell(f"{file}: {len(violated)} exceptions; write the reason into each")


def _one_line(urn: str) -> str:
    """
    A URN for people and logs: what stands in it is a program's, and neither a line of the report nor an order.
    """
    return "::".join(safe_line(part, longest=_LONGEST) for part in urn.split("::")).lstrip(": ")


def _as_text(found: Sequence[Finding], configuration: PolicyConfig) -> str:
    if not found:
        return "no rule is violated"
    return "\n".join(
        f"{_verdict(finding, configuration)}: {finding.rule}: {safe_line(finding.message, longest=_LONGEST)}\n"
        f"  {_one_line(finding.urn)}{f'  ({safe_line(finding.source)})' if finding.source else ''}\n"
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
            case = TestCase(_one_line(finding.urn), classname=rule)
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


_PRINTED: Final = {"text": _as_text, "json": _as_json, "sarif": _as_sarif, "junit": _as_junit}
