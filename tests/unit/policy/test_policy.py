"""
The public names.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from kf_provider import policy


def test_names() -> None:
    """
    Each public name is there.
    """

    assert all(getattr(policy, name) for name in policy.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = policy.nothing  # type: ignore[attr-defined]


def test_without_the_extra() -> None:
    """
    The rules run where pulumi-policy is not installed; a policy names the extra that it needs.
    """
    program = (
        "import sys; sys.modules['pulumi_policy'] = None\n"
        "from kf_provider import policy\n"
        "assert not list(policy.rules.certificates_need_approval(policy.Graph([], is_deployed=True)))\n"
        "policy.recommended()"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert 1 == run.stderr.count("Traceback")
    assert 2 == run.stderr.count('  File "')  # the program's own line, and the one that says it
    assert run.stderr.endswith("recommended needs pulumi_policy: pip install 'kf-provider[policy]'\n")
