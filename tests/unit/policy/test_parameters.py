"""
The parameters of rules, as arguments and in a configuration.
"""

from __future__ import annotations

from typing import Any

import pytest

from kf_provider import policy
from kf_provider.policy.parameters import checked


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"servers": "https://one.example.com/"}, "takes a list for servers, not a single text"),
        ({"definitions": "Web servers"}, "takes a list for definitions, not a single text"),
        ({"workflow_types": [1]}, "takes a list of texts"),
        ({"minimum_version": True}, "takes a number"),
        ({"max_age": "soon"}, "takes a duration"),
    ],
)
def test_refused(given: dict[str, Any], word: str) -> None:
    """
    What a rule cannot mean is refused where the pack is written, in one line that names the policy.
    """
    with pytest.raises(ValueError, match=rf"^policy.approvals_are_complete {word}.*$"):
        policy.approvals_are_complete(**given)


def test_checked() -> None:
    """
    What is given is taken as the rule takes it; None is not given, and what is no parameter is refused.
    """
    assert {"max_age": 86_400.0, "servers": ["a"]} == checked(
        "approvals-are-complete", {"max_age": "1d", "servers": ["a"], "definitions": None}
    )
    with pytest.raises(ValueError, match="no parameter 'server': there is servers, definitions"):
        checked("approvals-are-complete", {"server": ["a"]})
    with pytest.raises(ValueError, match="expect or parent"):
        checked("certificates-wait-for-approval", {"by": "faith"})
    with pytest.raises(ValueError, match="at least one type"):
        checked("certificates-need-approval", {"types": []})
    with pytest.raises(ValueError, match="true or false"):
        checked("certificates-need-approval", {"through_certificates": 1})
