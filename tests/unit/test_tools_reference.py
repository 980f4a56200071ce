"""
docs/reference.md is made of the code as it is, and the figures are those of the last run of `make bench`.
"""

from __future__ import annotations

import re

import kf_provider as kf
from benchmarks import page
from tools import reference


def test_page_is_of_this_code() -> None:
    """
    `make pages` would change nothing.
    """
    assert reference.PAGE.read_text() == reference.page(), "run `make pages`"


def test_nothing_public_is_missing() -> None:
    """
    Each function, resource, result and error that is exported stands in the page.
    """
    text = reference.page()

    assert [] == [name for name in kf.__all__ if not name.endswith("_output") and name not in text and name not in DATA]


# Records of `Client`, which have the fields of the results, and types for annotations.
DATA = {"Filters", "InstanceDefinition", "InstanceSignal", "Settings"}


def test_figures_are_of_the_last_run() -> None:
    """
    `make pages` would change no figure, and each table has its place in one page.
    """
    texts = [path.read_text() for path in page.PAGES]
    figures = page.newest()

    assert [page.filled(text, figures) for text in texts] == texts, "run `make pages`"
    assert sorted(page.BLOCKS) == sorted(re.findall(r"<!-- figures: (\w+) -->", "".join(texts)))
