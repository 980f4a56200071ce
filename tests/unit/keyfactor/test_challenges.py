"""
What a server says about the credentials that it refuses.
"""

from __future__ import annotations

import pytest

from kf_provider.keyfactor.challenges import is_expired, offered_schemes, refused_token

EXPIRED = 'Bearer realm="a, b", error="invalid_token", error_description="The token expired at \'10/24/2026 12:00:00\'"'


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        (None, ()),
        ("", ()),
        ("Negotiate", ("Negotiate",)),
        ("Negotiate, NTLM", ("Negotiate", "NTLM")),
        ("Negotiate oYG2MIGz==, NTLM", ("Negotiate", "NTLM")),
        ('Negotiate, Basic realm="x, Digest y", charset="UTF-8"', ("Negotiate", "Basic")),
        (EXPIRED, ("Bearer",)),
        ("NTLM, NTLM", ("NTLM",)),
        ('Basic realm = "x", charset = "y"', ("Basic",)),
        ("\x00,=,", ()),
    ],
)
def test_offered_schemes(header: str | None, schemes: tuple[str, ...]) -> None:
    """
    The schemes are told from their parameters.
    """
    assert schemes == offered_schemes(header)


@pytest.mark.parametrize(
    ("header", "refusal", "expired"),
    [
        (EXPIRED, "invalid_token: The token expired at '10/24/2026 12:00:00'", True),
        ('Bearer error="invalid_token"', "invalid_token", False),
        ('Basic error="invalid_token"', None, False),
        ("", None, False),
        ("Bearer", None, False),
        ("Negotiate, NTLM", None, False),
        ('Basic realm="expired", error_description="expired"', None, False),
        (
            'Bearer error="invalid_token", error_description="The token expired at \'11/24/2026 12:00:00\'"',
            "invalid_token: The token expired at '11/24/2026 12:00:00'",
            True,
        ),
        ('bearer realm="k",ERROR = "invalid_token",error_description="a \\"b\\""', 'invalid_token: a "b"', False),
        ('Bearer error_description="The access token is Expired"', "The access token is Expired", True),
        ('Bearer error="invalid_token', None, False),
        (None, None, False),
    ],
)
def test_refused_token(header: str | None, refusal: str | None, expired: bool) -> None:
    """
    Why a bearer token is refused is in the server's words, and so is that it is too old.
    """
    assert (refusal, expired) == (refused_token(header), is_expired(refusal))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ['\\"', 'a\\"', '"', ", a"])
def test_a_long_header(piece: str) -> None:
    """
    A header of any length is read in no time: patterns take the square of it.
    """
    header = 'Bearer error="' + piece * 500_000

    refused_token(header)
    offered_schemes(header)
