"""
What a program gives for a setting: a value, or one that comes later.

By their form, because this package knows nothing of Pulumi: `Input[str]` takes what `pulumi.Input[str]` takes.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Later(Protocol[T_co]):
    """
    A value that is known later: a `pulumi.Output`.
    """

    def future(self, with_unknowns: bool | None = None) -> Awaitable[T_co | None]: ...


Input: TypeAlias = T | Awaitable[T] | Later[T]
