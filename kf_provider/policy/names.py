"""
What a certificate is asked for and what was approved: a subject and other names, and whether they fit.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .certificates import OTHER_NAMES, SIGNING_REQUESTS, SUBJECTS, normal
from .graph import is_unknown

_PART: Final = re.compile(r'\s*([A-Za-z0-9.]+)\s*=\s*("(?:[^"\\]|\\.)*"|(?:[^,+\\]|\\.)*)\s*(?:[,+]|\Z)')
_ESCAPED: Final = re.compile(r"\\(.)")

# The parts of a subject by the names that providers, certificate authorities and cryptography give them.
_PARTS: Final[Mapping[str, str]] = {
    "commonname": "CN",
    "organization": "O",
    "organizations": "O",
    "organizationalunit": "OU",
    "organizationalunits": "OU",
    "country": "C",
    "countries": "C",
    "countrycode": "C",
    "locality": "L",
    "localities": "L",
    "province": "ST",
    "provinces": "ST",
    "state": "ST",
    "s": "ST",
    "sp": "ST",
    "streetaddress": "STREET",
    "streetaddresses": "STREET",
    "2.5.4.9": "STREET",
    "postalcode": "POSTALCODE",
    "postalcodes": "POSTALCODE",
    "2.5.4.17": "POSTALCODE",
    "2.5.4.5": "SERIALNUMBER",
    "emailaddress": "E",
    "1.2.840.113549.1.9.1": "E",
}


@dataclass(frozen=True, slots=True)
class Names:
    """
    The parts of a subject (`("CN", "www.example.com")`) and other names, in lower case.
    """

    subject: frozenset[tuple[str, str]] = frozenset()
    others: frozenset[str] = frozenset()
    is_whole: bool = True  # False: there are some that are not known in this preview, or encrypted in the file


def requested(properties: Mapping[str, Any]) -> Names:
    """
    What a certificate, or a request for one, asks for: in its properties and in a signing request among them.

    Without a subject, the first of the other names stands for its common name.
    """
    subject: set[tuple[str, str]] = set()
    others: list[str] = []
    is_whole = True
    for value in _at_any(properties, SUBJECTS):
        is_whole = is_whole and not _has_unknown(value)
        subject |= set(_subject(value))
    for value in _at_any(properties, OTHER_NAMES):
        is_whole = is_whole and not _has_unknown(value)
        others += _leaves(value)
    for value in _at_any(properties, SIGNING_REQUESTS):
        if isinstance(value, str):
            found = _signing_request(value)
            subject |= found.subject
            others += sorted(found.others)
            is_whole = is_whole and found.is_whole
        else:
            is_whole = is_whole and not _has_unknown(value)
    if not any(part == "CN" for part, _ in subject) and others:
        subject.add(("CN", others[0].lower()))
    return Names(frozenset(subject), frozenset(name.lower() for name in others), is_whole)


def approved(expect: object, *, subject: str, sans: str) -> Names:
    """
    What an approval's `expect` names, at these paths.
    """
    if is_unknown(expect):
        return Names(is_whole=False)
    subjects = [*_expected(expect, subject)]
    others = [*_expected(expect, sans)]
    return Names(
        frozenset(part for value in subjects for part in _subject(value)),
        frozenset(name.lower() for value in others for name in _leaves(value)),
        not any(_has_unknown(value) for value in (*subjects, *others)),
    )


def lacking(asked: Names, given: Names, *, with_others: bool) -> str | None:
    """
    Which names of a certificate an approval does not have: its `subject`, its `names`, or None where it has all.

    A certificate without any name has a subject that nobody approved.
    """
    if not asked.subject or not asked.subject <= given.subject:
        return "subject"
    common = {value for part, value in given.subject if part == "CN"}
    return "names" if with_others and not asked.others <= given.others | common else None


def _subject(value: object) -> Iterator[tuple[str, str]]:
    """
    The parts of a subject, which is a distinguished name, a common name, or a mapping of parts.
    """
    if isinstance(value, str):
        if "=" not in value:
            yield "CN", value.strip().lower()
        for part, text in _PART.findall(value):
            bare = text[1:-1] if text[:1] == '"' else text.strip()
            yield _part(part), _ESCAPED.sub(r"\1", bare).lower()
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            for text in _leaves(inner):
                yield _part(str(key)), text.lower()
    elif isinstance(value, Sequence):
        for each in value:
            yield from _subject(each)


def _part(name: str) -> str:
    return _PARTS.get(normal(name), name.upper())


def _leaves(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _leaves(each)]
    return [text for each in value for text in _leaves(each)] if isinstance(value, Sequence) else []


def _has_unknown(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_unknown, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(_has_unknown, value))
    return is_unknown(value)


def _at_any(properties: Mapping[str, Any], paths: Sequence[str]) -> Iterator[object]:
    for path in paths:
        yield from _at(properties, path.split("."))


def _at(value: object, path: Sequence[str]) -> Iterator[object]:
    """
    What is at a path, in one object or in each of a list.
    """
    if is_unknown(value) or not path:
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str) and normal(key) == path[0]:
                yield from _at(inner, path[1:])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _at(each, path)


def _expected(expect: object, path: str) -> Iterator[object]:
    """
    What is expected at a path, above it, or below it.
    """
    for key, value in expect.items() if isinstance(expect, Mapping) else ():
        if key == path or str(key).startswith(f"{path}."):
            yield value
        elif path.startswith(f"{key}."):
            inner = value
            for part in path.removeprefix(f"{key}.").split("."):
                inner = inner.get(part) if isinstance(inner, Mapping) else inner if _has_unknown(inner) else None
            yield inner


def _signing_request(text: str) -> Names:
    try:
        from cryptography import x509
    except ModuleNotFoundError:
        return Names(is_whole=False)
    try:
        content = text.encode() if "-BEGIN " in text else base64.b64decode(text)
        is_pem = b"-BEGIN " in content  # Kubernetes has a PEM in base64
        found = x509.load_pem_x509_csr(content) if is_pem else x509.load_der_x509_csr(content)
        subject = frozenset((_part(each.rfc4514_attribute_name), str(each.value).lower()) for each in found.subject)
        try:
            extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return Names(subject)
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return Names()  # of a request that nobody can read, no name was approved
    return Names(subject, frozenset(str(each.value).lower() for each in extension.value))
