"""
The end of a Pulumi program, as seen from inside: a wait never outlives its program.

When a program raises, the SDK awaits every registration before it shows the error, and a gate that waits would hide the
error for hours. So its waits end with the program's own error, which the SDK then shows, with the user's frames.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import pulumi
import pulumi.runtime
from pulumi.runtime.settings import _get_rpc_manager

CHECK_SECONDS: Final = 1.0

Result = TypeVar("Result")


class Ending:
    """
    What ends the waits of one program: an error of its body, or of one of its registrations.
    """

    def __init__(self, stack: pulumi.Resource) -> None:
        self._error: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        register_outputs = stack.register_outputs  # type: ignore[attr-defined]  # the root is a Stack, a component

        def notice(outputs: Any) -> None:
            # The SDK registers the stack's outputs in a `finally`, also when the body has raised.
            error = sys.exc_info()[1]
            if error is not None and not self._error.done():
                self._error.set_result(error)
            register_outputs(outputs)

        stack.register_outputs = notice  # type: ignore[attr-defined]  # the same

    async def unless_ended(self, waiting: Coroutine[Any, Any, Result]) -> Result:
        """
        The result of `waiting`; raises the program's error instead, at most a second after there is one.
        """
        task = asyncio.ensure_future(waiting)
        try:
            while not task.done():
                if (error := self._what_ended()) is not None:
                    raise error
                ends: set[asyncio.Future[Any]] = {task, self._error}
                await asyncio.wait(ends, timeout=CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return task.result()
        finally:
            task.cancel()

    def _what_ended(self) -> BaseException | None:
        if not self._error.done():
            # For example a guard's error in another gate: shown when every registration has ended, so this one must.
            return _get_rpc_manager().unhandled_exception
        error = self._error.result()
        if isinstance(error, Exception):
            return error
        # SystemExit would leave the loop at once, with registrations under way and what they would have kept deleted.
        return pulumi.RunError(f"the program ended with {error!r} while an approval was waited for")


_endings: weakref.WeakKeyDictionary[pulumi.Resource, Ending] = weakref.WeakKeyDictionary()


def ending() -> Ending:
    """
    The end of the program that runs in this context.
    """
    stack = pulumi.runtime.get_root_resource()
    if stack is None:
        raise pulumi.RunError("no Pulumi program is running")
    if stack not in _endings:
        _endings[stack] = Ending(stack)
    return _endings[stack]
