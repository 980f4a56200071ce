"""
What is said of each rule, and what can be set of it: by the arguments of its policy, and in Pulumi's policy
configuration, by the same names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..durations import duration_seconds
from ..words import safe_line

_PAGE: Final = "https://github.com/kf-provider/kf_provider/blob/main/docs/policies.md"


@dataclass(frozen=True, slots=True)
class About:
    """
    What packs and reports say of a rule, beside its findings.
    """

    description: str
    severity: Literal["low", "high", "critical"]
    remediation: str
    url: str = f"{_PAGE}#the-rules"


ABOUT: Final[Mapping[str, About]] = {
    "certificates-need-approval": About(
        "Each certificate waits for an approved workflow instance.",
        "high",
        "Give the certificate `depends_on=[approval]`, where `approval` is a kf_provider.WorkflowApproval.",
    ),
    "one-approval-one-certificate": About(
        "Each certificate has an approved workflow instance of its own.",
        "high",
        "Start a request for each certificate, and give each a WorkflowApproval of its own.",
    ),
    "approvals-are-complete": About(
        "Each recorded approval is Complete, and what this house allows.",
        "high",
        "Start a new request and pass its id to the gate.",
    ),
    "records-are-genuine": About(
        "Each record of an approval is one of kf_provider.",
        "critical",
        "Make approvals by kf_provider.WorkflowApproval alone, and leave none out of a run.",
    ),
    "no-insecure-settings": About(
        "Approvals are asked of a server that is verified, and no gate is off.", "high", "Remove the setting."
    ),
    "approvals-are-recorded": About(
        "Approvals that a preview cannot judge.", "low", "Nothing is to be done: the update waits for them."
    ),
    "certificates-wait-for-approval": About(
        "Each certificate is made after its approval is recorded.",
        "critical",
        "Let a kf_provider.WorkflowApproval that expects this subject come before the certificate.",
        f"{_PAGE}#before-each-creation",
    ),
    "approval-matches-certificate": About(
        "Each certificate asks for what was approved.",
        "high",
        "Give the gate `expect` with the subject and the names of this certificate.",
    ),
}

# The kinds of values, as JSON schema has them.
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_DURATION: Final = {"type": ["string", "number"]}
_FLAG: Final = {"type": "boolean"}

_CERTIFICATES: Final[Mapping[str, Any]] = {"types": _TEXTS, "also": _TEXTS}

PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "certificates-need-approval": {**_CERTIFICATES, "through_certificates": _FLAG},
    "certificates-wait-for-approval": {
        **_CERTIFICATES,
        "by": {"type": "string", "enum": ["expect", "parent"]},
        "subject": _TEXT,
    },
    "one-approval-one-certificate": _CERTIFICATES,
    "approval-matches-certificate": {**_CERTIFICATES, "subject": _TEXT, "sans": _TEXT},
    "approvals-are-complete": {
        "servers": _TEXTS,
        "definitions": _TEXTS,
        "workflow_types": _TEXTS,
        "minimum_version": _NUMBER,
        "max_age": _DURATION,
    },
}

# What a policy configuration may name, and the levels that an engine has.
NAMES: Final = (*ABOUT, "verdicts-are-known")  # the last is a pack's alone
LEVELS: Final = ("advisory", "mandatory", "remediate", "disabled")


def known(words: Iterable[str], there: Sequence[str], kind: str) -> None:
    """
    Raises ValueError, in one line, for a word that is none of those that there are: a typo would do nothing.
    """
    if (word := next((word for word in words if word not in there), None)) is not None:
        nearest = difflib.get_close_matches(word[:100].lower(), there, n=1)
        raise ValueError(
            f"{safe_line(word, longest=60)!r} is no {kind}: "
            + "".join(f"did you mean {near!r}? " for near in nearest)
            + f"there is {', '.join(there)}"
        )


def configured(policies: Mapping[str, object]) -> None:
    """
    Raises ValueError, in one line, for rules, levels and parameters that a policy configuration cannot mean.
    """
    known(policies, (*NAMES, "all"), "rule")
    for rule, how in policies.items():
        match how:
            case str():
                level: object = how
            case Mapping():
                level = how.get("enforcementLevel", LEVELS[0])
            case _:
                raise ValueError(f"{rule} takes a level, or an object of enforcementLevel and parameters")
        known([str(level)], LEVELS, f"level of {rule}")
        try:
            checked(rule, own(how))
        except ValueError as error:
            raise ValueError(f"{rule} {error}") from None


def own(how: object) -> dict[str, Any]:
    """
    What is configured of a rule beside its level.
    """
    return (
        {name: value for name, value in how.items() if name != "enforcementLevel"} if isinstance(how, Mapping) else {}
    )


def checked(rule: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """
    The parameters of a rule as it takes them, without those that are None.

    Raises ValueError, in one line, for what is none of the rule's or has another kind.
    """
    kinds = PARAMETERS.get(rule, {})
    return {name: _checked(name, value, kinds) for name, value in given.items() if value is not None}


def _checked(name: str, value: Any, kinds: Mapping[str, Any]) -> Any:
    kind = kinds.get(name)
    if kind is None:
        raise ValueError(f"has no parameter {safe_line(name, longest=60)!r}: there is {', '.join(kinds) or 'none'}")
    if kind is _TEXTS:
        if isinstance(value, str):
            raise ValueError(f"takes a list for {name}, not a single text: write [...] around it")
        if not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
            raise ValueError(f"takes a list of texts for {name}")
        if name == "types" and not value:
            raise ValueError("takes at least one type: without any, nothing counts as a certificate")
    elif kind is _DURATION:
        try:
            return duration_seconds(value)
        except ValueError as error:
            raise ValueError(f"takes a duration for {name}: {error}") from None
    elif kind is _NUMBER:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"takes a number for {name}")
    elif kind is _FLAG:
        if not isinstance(value, bool):
            raise ValueError(f"takes true or false for {name}")
    elif not isinstance(value, str) or value not in kind.get("enum", [value]):
        raise ValueError(f"takes {' or '.join(kind.get('enum', ['a text']))} for {name}")
    return value
