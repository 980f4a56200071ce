"""
What a server says about a token that it refuses.
"""

from __future__ import annotations

import pytest

from kf_provider.keyfactor.challenges import is_expired, refused_token


@pytest.mark.parametrize(
    ("header", "expected", "expired"),
    [
        (None, None, False),
        ("", None, False),
        ("Bearer", None, False),
        ("Negotiate, NTLM", None, False),
        ('Basic realm="expired", error_description="expired"', None, False),
        ('Bearer error="invalid_token"', "invalid_token", False),
        (
            'Bearer error="invalid_token", error_description="The token expired at \'11/24/2026 12:00:00\'"',
            "invalid_token: The token expired at '11/24/2026 12:00:00'",
            True,
        ),
        ('bearer realm="k",ERROR = "invalid_token",error_description="a \\"b\\""', 'invalid_token: a "b"', False),
        ('Bearer error_description="The access token is Expired"', "The access token is Expired", True),
        ('Bearer error="invalid_token', None, False),
    ],
)
def test_refused_token(header: str | None, expected: str | None, expired: bool) -> None:
    """
    The error and its description of RFC 6750, with what is quoted in them; anything else tells nothing.
    """
    found = refused_token(header)

    assert (expected, expired) == (found, is_expired(found))
