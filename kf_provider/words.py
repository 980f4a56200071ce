"""
The words of others in our texts: what a server, a proxy or an identity provider sends, as one harmless line.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 200  # characters

# Printable to Python, and nothing to see: joiners, fillers, variation selectors, the blank of Braille.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# The first sign of what is an order to somebody who reads a log: `::error` to GitHub, `##vso[` and `##[` to Azure,
# GitHub and TeamCity, `<{%` to Pulumi's CLI, `section_start:` to GitLab, a line that begins with `---` to Buildkite.
# Each of them is broken by a blank after its first sign.
_ORDERS: Final = re.compile(r":(?=:)|#(?=#)|<(?=\{%)|(?<=section)_(?=start:|end:)|\A([-+~^])(?=\1\1)")

_HARMLESS: Final = re.compile("[A-Za-z0-9]+(?: [A-Za-z0-9]+)*")  # most of what waits read, again and again


def safe_line(text: str, *, longest: int = LONGEST) -> str:
    """
    What somebody else says, for our texts: one line of printable characters, at most `longest`, in which no CI system,
    no terminal and no command line finds an order. Outputs are data, and never pass here.
    """
    if len(text) <= longest and _HARMLESS.fullmatch(text):
        return text
    line = " ".join(_UNSEEN.sub(" ", printable(text[: 50 * longest])).split())
    line = line.strip(": ")  # a colon of ours may stand before it, or follow
    line = _ORDERS.sub(r"\g<0> ", line)  # after the colons, which may have stood before one
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def printable(text: str, *, keep: str = "") -> str:
    """
    The text without control characters, direction marks and the like: each becomes a blank, unless it is in `keep`.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in keep else " " for sign in text)
