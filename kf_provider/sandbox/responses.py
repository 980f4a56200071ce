"""
The bodies of Keyfactor's answers: JSON as .NET writes it, and errors with their codes.
"""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import JSONResponse

# Only 0xA0140002 is Keyfactor's; no source gives the codes for the other errors.
CODE_FORBIDDEN: Final = "0xA0140002"
CODE_NOT_FOUND: Final = "0xA0110001"
CODE_BAD_REQUEST: Final = "0xA0110002"

# What .NET's JSON writer escapes although JSON does not ask for it.
_ESCAPED: Final = str.maketrans({character: f"\\u{ord(character):04X}" for character in "'&<>`"})


class ApiError(Exception):
    """
    Keyfactor says no: a status with an ErrorCode and a Message.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class KeyfactorJsonResponse(JSONResponse):
    """
    JSON as .NET writes it.
    """

    def render(self, content: Any) -> bytes:
        """
        The bytes of the body.
        """
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED).encode()


def error_response(status: int, code: str, message: str) -> KeyfactorJsonResponse:
    """
    The body that Keyfactor's clients know: two keys, no more.
    """
    return KeyfactorJsonResponse({"ErrorCode": code, "Message": message}, status_code=status)


def bad_request(message: str) -> ApiError:
    """
    A refusal of something that the client got wrong.
    """
    return ApiError(400, CODE_BAD_REQUEST, message)
