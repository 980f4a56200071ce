"""
The versions of Keyfactor Command that the sandbox plays.
"""

from __future__ import annotations

from enum import StrEnum


class Dialect(StrEnum):
    """
    The version of Keyfactor Command, as far as it shows on the wire.

    Command 10: PascalCase, fractions of a second without zeros at the end, SANs as a list of pairs, no nulls.
    Command 11: camelCase, the zero GUID for the step of a finished instance, permissions by path, nulls.
    Command 25 (and 24.4): PascalCase, nulls.

    Source: keyfactor-api.md, sections 2, 5 and 7.
    """

    COMMAND_10 = "10"
    COMMAND_11 = "11"
    COMMAND_25 = "25"

    @property
    def product_version(self) -> str:
        """
        The response header X-Keyfactor-Product-Version.
        """
        return {"10": "10.5.0.0", "11": "11.5.0.0", "25": "25.1.1.0"}[self]
