"""
A bearer token that is used as it is.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, TypedDict

from pydantic import SecretStr

from ...errors import SettingsError
from ..credentials import BEARER_TOKEN, FixedHeader
from ..inputs import Input
from ..sources import Setting
from .kind import Fields, Kind, unwrapped, ways


class AccessTokenSettings(Fields):
    """
    The token.
    """

    access_token: Annotated[
        SecretStr | None,
        Setting("a bearer token that is used as it is", "KEYFACTOR_AUTH_ACCESS_TOKEN", "access_token"),
    ] = None


class AccessTokenInputs(TypedDict, total=False):
    """
    The same settings as a program gives them.
    """

    access_token: Input[str] | None


def _identity(given: AccessTokenSettings) -> str:
    # Two tokens are two identities.
    return f"token:{hashlib.sha256(unwrapped(given.access_token).encode()).hexdigest()[:8]}"


def _credentials(given: AccessTokenSettings) -> FixedHeader:
    if not BEARER_TOKEN.fullmatch(_token(given)):  # no local holds it when this raises
        raise SettingsError(f"{ways(AccessTokenSettings, 'access_token')} is not a token")
    return FixedHeader(f"Bearer {_token(given)}", _token(given))


def _token(given: AccessTokenSettings) -> str:
    return unwrapped(given.access_token).strip()  # files and shells add a newline


KIND: Final = Kind[AccessTokenSettings](
    name="access_token",
    model=AccessTokenSettings,
    auth_type="oauth",
    identified_by=(frozenset({"access_token"}),),
    needs=("access_token",),
    identity=_identity,
    credentials=_credentials,
)
