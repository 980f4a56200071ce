"""
The kinds of credentials: the one list of them. A new kind is a file beside this one, and a name in each list here.
"""

from __future__ import annotations

from typing import Final

from . import access_token, basic, client_credentials
from .kind import Kind


class CredentialSettings(
    access_token.AccessTokenSettings,
    client_credentials.ClientCredentialsSettings,
    basic.BasicSettings,
):
    """
    The settings of all kinds.
    """


class CredentialInputs(
    access_token.AccessTokenInputs,
    client_credentials.ClientCredentialsInputs,
    basic.BasicInputs,
    total=False,
):
    """
    The same settings as a program gives them.
    """


# In the order in which Keyfactor's tools choose.
KINDS: Final[tuple[Kind[CredentialSettings], ...]] = (
    access_token.KIND,
    client_credentials.KIND,
    basic.KIND,
)
