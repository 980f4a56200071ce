"""
Pulumi's policy configuration as `kf policy check` honours it: levels and parameters of rules, and exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..words import safe_line
from . import rules
from .findings import Finding
from .parameters import NAMES, checked, configured, known, own

_BOTH_FORMS: Final = '{"version": 2, "policies": {rule: level}}, or {rule: level} alone'


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
