"""
The only file with private names of the Pulumi SDK.

Each is imported when it is needed: an SDK without one breaks what uses it, and nothing else. `tests/unit/test_sdk.py`
says which it was.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import pulumi

Result = TypeVar("Result")


def wait_for(awaitable: Awaitable[Result]) -> Result:
    """
    The result, while the event loop that runs this program goes on: for functions that are not `async`.
    """
    from pulumi.runtime.sync_await import _sync_await

    return _sync_await(awaitable)


def dependencies(opts: pulumi.InvokeOptions | None) -> pulumi.Output[Any] | None:
    """
    An output that is known when what `depends_on` names exists, and depends on it.
    """
    if not isinstance(opts, pulumi.InvokeOutputOptions) or opts.depends_on is None:
        return None
    from pulumi.runtime._depends_on import _resolve_depends_on
    from pulumi.runtime.rpc import _expand_dependencies

    async def resolve() -> pulumi.Output[Any]:
        named = await _resolve_depends_on(opts._depends_on_list())
        expanded = await _expand_dependencies(named, None)
        return pulumi.Output.all(
            *(res.id if isinstance(res, pulumi.CustomResource) else res.urn for res in expanded.values())
        )

    return pulumi.Output.from_input(resolve())


def unhandled_exception() -> Exception | None:
    """
    The first error of a registration, which the SDK shows when all registrations have ended.
    """
    from pulumi.runtime.settings import _get_rpc_manager

    return _get_rpc_manager().unhandled_exception
