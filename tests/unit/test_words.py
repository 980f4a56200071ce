"""
The words of others in our texts, and our own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kf_provider.words import LONGEST, printable, safe_line

ROOT = Path(__file__).parents[2]

# What readers whose English is second look up, or read wrongly; and the one spelling that Keyfactor has.
NOT_PLAIN = re.compile(
    r"enrolment|rid(den|es|ing) out|get(s|ting)? rid|sees? an approval last|first looks|los(es?|ing) sight|in vain"
    r"|hand(s|ed)? (it |them |the \w+ )?over|out of the box|under the hood|rule of thumb|goes stale|lags? behind"
    r"|in several legs|reader that went away"
    r"|leads? nowhere|made-up|let in as|what became of|cannot be told|wants? to be told|gets? round|keeps no gate shut",
    re.IGNORECASE,
)

# What CI systems, terminals and Pulumi's CLI take for an order, wherever it stands; Buildkite's only begins a line.
ORDERS = re.compile(r"::|##|<\{%|section_(start|end):|\A(---|\+\+\+|~~~|\^\^\^)")
PIECES = st.sampled_from(
    [
        *":#[<{%}>-+~^ \n\r\x1b\x07\x9b",
        *("\u2028", "\u202e", "\u200b", "\ufe0f", "\ud800", "ü", "error", "vso", "section_", "start:", "x" * 90),
    ]
)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("User 7 doesn't have it", "User 7 doesn't have it"),
        ("two\r\n  lines\tand more\u2028still", "two lines and more still"),
        ("::error file=x::stop", "error file=x: :stop"),
        ("no\n::add-mask::web", "no : :add-mask: :web"),
        ("a:\u200b:error", "a: :error"),
        ("##vso[task.setvariable variable=x]y", "# #vso[task.setvariable variable=x]y"),
        ("a ##[error] b", "a # #[error] b"),
        ("##teamcity[x]", "# #teamcity[x]"),
        ("\x1b[31mred\x07", "[31mred"),
        ("<{%fg 1%}>red", "< {%fg 1%}>red"),
        ("section_start:1:x", "section_ start:1:x"),
        ("--- group", "- -- group"),
        (": --- group", "- -- group"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\ufe0fb\u3164c", "a b c"),
        ("\udce9", ""),
        ("it is:", "it is"),
        ("Zürich, 東京 🙂", "Zürich, 東京 🙂"),
    ],
)
def test_told(said: str, shown: str) -> None:
    """
    What others say is one line in which nobody finds an order, and stays readable.
    """
    assert shown == safe_line(said)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text())
def test_told_anything(said: str) -> None:
    """
    Whatever is said, what is shown is one printable line of at most 200 characters without an order.
    """
    shown = safe_line(said)

    assert shown.isprintable()
    assert len(shown) <= LONGEST
    assert not ORDERS.search(shown)
    assert shown == shown.strip(":")


def test_told_is_cut() -> None:
    """
    A long text is cut, and shows that it was, however long it is.
    """
    assert "x" * 9 + "…" == safe_line("x" * 10_000_000, longest=10)


def test_printable() -> None:
    """
    Our own texts keep their orders, which are addresses, and the lines that they are meant to have.
    """
    assert "https://[::1]/ a b" == printable("https://[::1]/ a\x1bb")
    assert "a\nb" == printable("a\nb", keep="\n")


@pytest.mark.parametrize(
    "file",
    [
        path
        for folder in ("*.md", "docs/*.md", "examples/**/*.*", "kf_provider/**/*.*")
        for path in sorted(ROOT.glob(folder))
        if path.suffix in {".md", ".py", ".html", ".js", ".yml", ".yaml", ".sh", ".ps1"}
    ],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_plain_words(file: Path) -> None:
    """
    Pages, messages, docstrings and examples have no idioms, and one spelling of *enrollment*.
    """
    text = " ".join(file.read_text().split())  # a phrase may stand on two lines

    assert [] == [found[0] for found in NOT_PLAIN.finditer(text)]


SENTENCE_ENDS = re.compile(r"(?<=[a-z0-9)`*\]])[.!?]\s+[A-Z`*\[]")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/*.md"))], ids=lambda page: page.name
)
def test_one_sentence_a_line(page: Path) -> None:
    """
    A source line of a page holds one sentence, in paragraphs and in lists: so a change shows as what it is.
    """
    prose = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "#"))]

    assert [] == [line for line in lines if SENTENCE_ENDS.search(re.sub(r"^\s*(-|\d+\.) ", "", line))]
