"""
The identity provider's token endpoint: client credentials, as Keycloak answers.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from .accounts import Accounts, ClientProof

TOKEN_PATH: Final = "/realms/Keyfactor/protocol/openid-connect/token"  # noqa: S105 - an address


def answer_token_request(accounts: Accounts, authorization: str, body: bytes, proof: ClientProof) -> Response:
    """
    A new token for the client in the Authorization header, in the form or of an assertion, as `proof` allows it, or an
    error of RFC 6749, section 5.2.
    """
    form = parse_qs(body.decode("utf-8", "replace"))
    if form.get("grant_type") != ["client_credentials"]:
        return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
    given = ClientProof.BASIC if authorization else ClientProof.FORM
    if "client_assertion" in form:
        given = ClientProof.ASSERTION
    account = None
    if proof in (ClientProof.ANY, given):
        if given is ClientProof.ASSERTION:
            account = accounts.asserted(form["client_assertion"][0])
        else:
            client_id, client_secret = client_credentials(authorization, body)
            account = accounts.client(client_id or "", client_secret or "")
    if account is None:
        return JSONResponse(
            {"error": "invalid_client", "error_description": "Invalid client or Invalid client credentials"},
            status_code=401,
        )
    token = accounts.issue_token(account)
    return JSONResponse(
        {
            "access_token": token.text,
            "expires_in": int(accounts.token_lifetime_seconds),
            "token_type": "Bearer",
            "scope": " ".join(form.get("scope", [])),
        },
        headers={"Cache-Control": "no-store"},
    )


def client_credentials(authorization: str, body: bytes) -> tuple[str | None, str | None]:
    """
    The OAuth client's id and secret.
    """
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, client_secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None, None
        return client_id, client_secret
    form = parse_qs(body.decode("utf-8", "replace"))
    return form.get("client_id", [None])[0], form.get("client_secret", [None])[0]
