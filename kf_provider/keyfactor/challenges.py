"""
What a server says about the token that it refuses: the challenge in `WWW-Authenticate`.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN_ERROR: Final = re.compile(r'\b(error|error_description)\s*=\s*"((?:[^"\\]|\\.)*)"', re.ASCII | re.IGNORECASE)


def refused_token(header: str | None) -> str | None:
    """
    Why a bearer token is refused, in the server's words: `invalid_token: The token expired at ...`; None without any.

    Source: RFC 6750, section 3.
    """
    if header is None or "bearer" not in header.lower():
        return None
    said = {name.lower(): re.sub(r"\\(.)", r"\1", text) for name, text in _TOKEN_ERROR.findall(header)}
    return ": ".join(said[name] for name in ("error", "error_description") if said.get(name)) or None


def is_expired(refusal: str | None) -> bool:
    """
    Whether it is said to be too old: no code tells that, the description alone does. For advice, never a decision.
    """
    return refusal is not None and "expired" in refusal.lower()
