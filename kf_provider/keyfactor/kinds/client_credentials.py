"""
OAuth client credentials (RFC 6749, section 4.4).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Final, TypedDict
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from ..addresses import checked_url
from ..inputs import Input
from ..sources import Setting
from .kind import Fields, Kind


def _scopes(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.strip().startswith("["):
        return re.findall(r"[^,\s]+", value)
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("is not JSON") from None


class ClientCredentialsSettings(Fields):
    """
    The client, and how its tokens are asked for.
    """

    client_id: Annotated[
        str | None,
        Setting("for OAuth client credentials", "KEYFACTOR_AUTH_CLIENT_ID", "client_id"),
    ] = None
    client_secret: Annotated[
        SecretStr | None,
        Setting("for OAuth client credentials", "KEYFACTOR_AUTH_CLIENT_SECRET", "client_secret"),
    ] = None
    token_url: Annotated[
        Annotated[str, AfterValidator(checked_url)] | None,
        Setting("where the identity provider issues tokens", "KEYFACTOR_AUTH_TOKEN_URL", "token_url"),
    ] = None
    scopes: Annotated[
        tuple[str, ...],
        BeforeValidator(_scopes),
        Setting("what the token is asked for", "KEYFACTOR_AUTH_SCOPES", "scopes"),
    ] = ()
    audience: Annotated[
        str | None,
        Setting(
            "whom the token is for, where the identity provider wants to be told",
            "KEYFACTOR_AUTH_AUDIENCE",
            "audience",
        ),
    ] = None


class ClientCredentialsInputs(TypedDict, total=False):
    """
    The same settings as a program gives them.
    """

    client_id: Input[str] | None
    client_secret: Input[str] | None
    token_url: Input[str] | None
    scopes: Input[str | Sequence[str]] | None
    audience: Input[str] | None


def _identity(given: ClientCredentialsSettings) -> str:
    return f"oauth:{given.client_id}@{urlsplit(given.token_url or '').netloc}"


KIND: Final = Kind[ClientCredentialsSettings](
    name="client_credentials",
    model=ClientCredentialsSettings,
    identified_by=frozenset({"client_id", "client_secret"}),
    needs=("client_id", "client_secret", "token_url"),
    identity=_identity,
)
