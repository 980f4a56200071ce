"""
Exit codes: which outcome and which error is which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import (
    ArgumentError,
    ForbiddenError,
    InstanceIdError,
    KeyfactorError,
    NotFoundError,
    NotIssuedError,
    SearchError,
    SettingsError,
    UnauthorizedError,
)
from ..waiting.verdict import Outcome

USAGE: Final = 2
NOT_THERE: Final = 66
BROKEN_INPUT: Final = 65
UNREACHABLE: Final = 69
PENDING: Final = 75
FORBIDDEN: Final = 77
SETTINGS: Final = 78
VIOLATED: Final = 20

# Above 64 they are those of sysexits.h, as far as it has one. 75 and 69 are never the same: an agent that takes an
# outage for a pending request files a second one.
OF_OUTCOME: Final[Mapping[Outcome, int]] = {
    Outcome.APPROVED: 0,
    Outcome.PENDING: PENDING,
    Outcome.REJECTED: 10,
    Outcome.FAILED: 11,
    Outcome.RESTARTED: 12,
    Outcome.MISMATCH: 13,
    Outcome.EXPIRED: 14,
    Outcome.UNKNOWN: 15,
    Outcome.NOT_FOUND: NOT_THERE,
    Outcome.UNREACHABLE: UNREACHABLE,
    Outcome.FORBIDDEN: FORBIDDEN,
    Outcome.SETTINGS: SETTINGS,
}


def code_of(error: KeyfactorError) -> int:
    """
    The exit code of a command that an error has ended.
    """
    match error:
        case InstanceIdError() | SearchError() | ArgumentError():
            return USAGE
        case SettingsError():
            return SETTINGS
        case NotFoundError() | NotIssuedError():
            return NOT_THERE
        case UnauthorizedError() | ForbiddenError():
            return FORBIDDEN
    return UNREACHABLE
