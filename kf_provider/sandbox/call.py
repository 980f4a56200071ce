"""
A request for Keyfactor's API once its headers are in order: its parameters, its body, and what its caller may do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .accounts import Caller, Permission
from .faults import FaultKind
from .responses import CODE_FORBIDDEN, ApiError, bad_request
from .state import SandboxState
from .wire import parse_id


@dataclass(frozen=True)
class Call:
    """
    Who asks, for what, in which version of the API, with which parameters and body. Names of parameters are in lower
    case.

    `fault` is what is to go wrong with the answer itself.
    """

    caller: Caller
    raw_id: str
    api_version: int
    parameters: Mapping[str, str]
    body: bytes
    fault: FaultKind | None = None

    @property
    def id(self) -> UUID:
        """
        The GUID in the path; a reference id is refused like everything else that is none.
        """
        guid = parse_id(self.raw_id)
        if guid is None:
            raise bad_request(f"The value '{self.raw_id}' is not valid.")
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
        except (ValueError, RecursionError):
            raise bad_request("The request body is not valid JSON, or has too many levels.") from None
        if not isinstance(body, dict):
            raise bad_request("The request body must be a JSON object.")
        return {name.lower(): content for name, content in body.items()}


def require_permission(state: SandboxState, call: Call, *permissions: Permission) -> None:
    """
    Refuse unless the caller holds at least one of `permissions`.
    """
    if not call.caller.account.may(*permissions):
        raise forbidden(state, call, *permissions)


def forbidden(state: SandboxState, call: Call, *permissions: Permission) -> ApiError:
    """
    The refusal of a caller who holds none of `permissions`.
    """
    return ApiError(403, CODE_FORBIDDEN, state.wire.permission_message(call.caller.account.username, permissions))
