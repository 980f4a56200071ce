"""
One request for Keyfactor, understood; and how Keyfactor says no.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from starlette.responses import JSONResponse

from .accounts import Caller
from .wire import parse_id

# Only 0xA0140002 is Keyfactor's; no source gives the codes for the other errors.
CODE_FORBIDDEN: Final = "0xA0140002"
CODE_NOT_FOUND: Final = "0xA0110001"
CODE_BAD_REQUEST: Final = "0xA0110002"

# What .NET's JSON writer escapes although JSON does not ask for it.
_ESCAPED: Final = str.maketrans({character: f"\\u{ord(character):04X}" for character in "'&<>`"})


class RefusalError(Exception):
    """
    Keyfactor says no: a status with an ErrorCode and a Message.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Call:
    """
    Who asks, for what, in which version of the API, with which parameters and body. Names of parameters are in lower
    case.

    `stale`: a fault wants instances as they were before their last change.
    """

    caller: Caller
    spelled_id: str
    api_version: int
    parameters: Mapping[str, str]
    body: bytes
    stale: bool = False

    @property
    def id(self) -> UUID:
        """
        The GUID in the path; a reference id is refused like everything else that is none.
        """
        guid = parse_id(self.spelled_id)
        if guid is None:
            raise bad_request(f"The value '{self.spelled_id}' is not valid.")
        return guid

    def parameter(self, name: str) -> str | None:
        """
        A query parameter by its name of Command 11, also under the names of Command 10; in any case.
        """
        for prefix in ("", "pq.", "instancequery."):
            if (text := self.parameters.get(prefix + name.lower())) is not None:
                return text
        return None

    def whole_number(self, name: str, default: int, *, least: int, most: int | None = None) -> int:
        """
        A query parameter that is a whole number within bounds.
        """
        text = self.parameter(name)
        try:
            number = default if text is None else int(text)
        except ValueError:
            raise bad_request(f"The value '{text}' is not valid for {name}.") from None
        if number < least or (most is not None and number > most):
            raise bad_request(f"The value '{text}' is not valid for {name}.")
        return number

    def json_object(self) -> dict[str, Any]:
        """
        The body as a JSON object with lower-case names.
        """
        try:
            body = json.loads(self.body)
        except ValueError:
            raise bad_request("The request body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise bad_request("The request body must be a JSON object.")
        return {name.lower(): content for name, content in body.items()}


class KeyfactorJson(JSONResponse):
    """
    JSON as .NET writes it.
    """

    def render(self, content: Any) -> bytes:
        """
        The bytes of the body.
        """
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED).encode()


def error_response(status: int, code: str, message: str) -> KeyfactorJson:
    """
    The body that Keyfactor's clients know: two keys, no more.
    """
    return KeyfactorJson({"ErrorCode": code, "Message": message}, status_code=status)


def bad_request(message: str) -> RefusalError:
    """
    A refusal of something that the client got wrong.
    """
    return RefusalError(400, CODE_BAD_REQUEST, message)
