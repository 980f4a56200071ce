"""
What a server says about the credentials that it refuses: the challenges in `WWW-Authenticate`.
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST_HEADER: Final = 2048  # characters
_TOKEN_ERROR: Final = re.compile(r'\b(error|error_description)\s*=\s*"((?:[^"\\]|\\.)*)"', re.ASCII | re.IGNORECASE)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
# A scheme begins a challenge, and no `=` follows it as it follows a parameter.
_SCHEME: Final = re.compile(r"(?:^|,)\s*([a-z][a-z0-9-]{0,30})(?=\s+[^\s,=]|\s*,|\s*$)", re.ASCII | re.IGNORECASE)


def _cut(header: str | None) -> str:
    return (header or "")[:_LONGEST_HEADER]  # patterns with quoted texts take the square of its length


def refused_token(header: str | None) -> str | None:
    """
    Why a bearer token is refused, in the server's words: `invalid_token: The token expired at ...`; None without any.

    Source: RFC 6750, section 3.
    """
    header = _cut(header)
    if "bearer" not in header.lower():
        return None
    said = {name.lower(): re.sub(r"\\(.)", r"\1", text) for name, text in _TOKEN_ERROR.findall(header)}
    return ": ".join(said[name] for name in ("error", "error_description") if said.get(name)) or None


def is_expired(refusal: str | None) -> bool:
    """
    Whether it is said to be too old: no code tells that, the description alone does. For advice, never a decision.
    """
    return refusal is not None and "expired" in refusal.lower()


def offered_schemes(header: str | None) -> tuple[str, ...]:
    """
    The schemes by which the server lets somebody in: `Negotiate`, `NTLM`, `Basic`, `Bearer`; each once.

    Source: RFC 9110, section 11.6.1.
    """
    return tuple(dict.fromkeys(_SCHEME.findall(_QUOTED.sub('""', _cut(header)))))
