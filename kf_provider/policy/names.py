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
from .graph import at_path, is_list, is_unknown

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
    subjects, names, requests = (_at_any(properties, paths) for paths in (SUBJECTS, OTHER_NAMES, SIGNING_REQUESTS))
    subject, others = set(_subject(subjects)), _leaves(names)
    is_whole = not _has_unknown([subjects, names, requests])
    for found in map(_signing_request, _leaves(requests)):
        subject |= found.subject
        others += sorted(found.others)
        is_whole = is_whole and found.is_whole
    if not any(part == "CN" for part, _ in subject) and others:
        subject.add(("CN", others[0].lower()))
    return Names(frozenset(subject), frozenset(name.lower() for name in others), is_whole)


def approved(expect: object, *, subject: str, sans: str) -> Names:
    """
    What an approval's `expect` names, at these paths.
    """
    if is_unknown(expect):
        return Names(is_whole=False)
    subjects, others = [*_expected(expect, subject)], [*_expected(expect, sans)]
    names = frozenset(name.lower() for name in _leaves(others))
    return Names(frozenset(_subject(subjects)), names, not _has_unknown([subjects, others]))


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
    for each in _items(value):
        if isinstance(each, str):
            if "=" not in each:
                yield "CN", each.strip().lower()
            for part, text in _PART.findall(each):
                bare = text[1:-1] if text[:1] == '"' else text.strip()
                yield _part(part), _ESCAPED.sub(r"\1", bare).lower()
        elif isinstance(each, Mapping):
            for key, inner in each.items():
                for text in _leaves(inner):
                    yield _part(str(key)), text.lower()


def _part(name: str) -> str:
    return _PARTS.get(normal(name), name.upper())


def _leaves(value: object) -> list[str]:
    return [each for each in _items(value, with_members=True) if isinstance(each, str) and each]


def _has_unknown(value: object) -> bool:
    return any(map(is_unknown, _items(value, with_members=True)))


def _items(value: object, *, with_members: bool = False) -> Iterator[object]:
    """
    A value, or what is in it, at any depth, if it is a list; `with_members` also if it is an object.
    """
    todo = [value]
    while todo:
        value = todo.pop()
        if is_list(value):
            todo += reversed(value)
        elif with_members and isinstance(value, Mapping):
            todo += reversed(list(value.values()))
        else:
            yield value


def _at_any(properties: Mapping[str, Any], paths: Sequence[str]) -> list[object]:
    return [value for path in paths for value in _at(properties, path.split("."))]


def _at(value: object, path: Sequence[str]) -> Iterator[object]:
    """
    What is at a path, in one object or in each of a list.
    """
    for each in _items(value):
        if is_unknown(each) or not path:
            yield each
        elif isinstance(each, Mapping):
            for key, inner in each.items():
                if isinstance(key, str) and normal(key) == path[0]:
                    yield from _at(inner, path[1:])


def _expected(expect: object, path: str) -> Iterator[object]:
    """
    What is expected at a path, above it, or below it.
    """
    for key, value in expect.items() if isinstance(expect, Mapping) else ():
        if key == path or str(key).startswith(f"{path}."):
            yield value
        elif path.startswith(f"{key}."):
            yield at_path(value, path.removeprefix(f"{key}."))


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
