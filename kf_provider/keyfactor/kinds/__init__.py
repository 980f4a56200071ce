"""
The kinds of credentials: the one list of them. A new kind is a file beside this one, and a name in each list here.
"""

from __future__ import annotations

from typing import Final

from . import access_token, basic, client_credentials, credential_command, negotiate
from .kind import Kind


class CredentialSettings(
    access_token.AccessTokenSettings,
    client_credentials.ClientCredentialsSettings,
    credential_command.CredentialCommandSettings,
    negotiate.NegotiateSettings,
    basic.BasicSettings,
):
    """
    The settings of all kinds.
    """


class CredentialInputs(
    access_token.AccessTokenInputs,
    client_credentials.ClientCredentialsInputs,
    credential_command.CredentialCommandInputs,
    negotiate.NegotiateInputs,
    basic.BasicInputs,
    total=False,
):
    """
    The same settings as a program gives them.
    """


# In the order in which Keyfactor's tools choose; a command is theirs not, and who names one means it.
KINDS: Final[tuple[Kind[CredentialSettings], ...]] = (
    credential_command.KIND,
    access_token.KIND,
    client_credentials.KIND,
    negotiate.KIND,
    basic.KIND,
)
