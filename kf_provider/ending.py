"""
The end of a Pulumi program, as seen from inside: a wait never outlives its program.

When a program raises, the SDK awaits every registration before it shows the error, and a gate that waits would hide the
error for hours. So its waits end with that error, as the SDK would have shown it: with the user's frames.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, TypeVar

import grpc
import pulumi
import pulumi.runtime
from grpc import StatusCode

from .sdk import before_shutdown, unhandled_exception

CHECK_SECONDS: Final = 1.0

_INTERRUPTED: Final = "interrupted while an approval was waited for; nothing was lost: run it again to go on waiting"

_RUNTIME: Final = {*sys.stdlib_module_names, "grpc", "pulumi", __package__}

Result = TypeVar("Result")


class Ending:
    """
    What ends the waits of one program: an error of its body, or of one of its registrations.
    """

    def __init__(self, stack: pulumi.Resource) -> None:
        self._error: asyncio.Future[pulumi.RunError] = asyncio.get_running_loop().create_future()
        register_outputs = stack.register_outputs  # type: ignore[attr-defined]  # the root is a Stack, a component

        def notice(outputs: Any) -> None:
            # The SDK registers the stack's outputs in a `finally`, also when the body has raised.
            error = sys.exc_info()[1]
            if error is not None and not self._error.done():
                self._error.set_result(_as_shown(error))
            register_outputs(outputs)

        stack.register_outputs = notice  # type: ignore[attr-defined]  # the same
        self._last_acts: list[Callable[[], None]] = []
        self._waits = 0
        if threading.current_thread() is threading.main_thread():  # else: the Automation API's, in a process of others
            if sys.excepthook is sys.__excepthook__:
                sys.excepthook = _show_unless_ended
            self._end_waits_on_interrupt(asyncio.get_running_loop())

    def when_all_is_registered(self, act: Callable[[], None]) -> None:
        """
        Call `act` at the end, in another thread, when everything is registered and nothing has failed.
        """
        if not self._last_acts:
            before_shutdown(lambda: [last() for last in self._last_acts])
        self._last_acts.append(act)

    async def unless_ended(self, waiting: Coroutine[Any, Any, Result]) -> Result:
        """
        The result of `waiting`; raises the program's error instead, at most a second after there is one.
        """
        task = asyncio.ensure_future(waiting)
        self._waits += 1
        try:
            while not task.done():
                if (error := self._what_ended()) is not None:
                    raise error
                ends: set[asyncio.Future[Any]] = {task, self._error}
                await asyncio.wait(ends, timeout=CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return task.result()
        finally:
            self._waits -= 1
            task.cancel()

    def _end_waits_on_interrupt(self, loop: asyncio.AbstractEventLoop) -> None:
        """
        Let an interrupt end the waits with one line instead of a traceback.

        A terminal's Ctrl-C comes to this process too, and the engine sends one to the program of a run that it has
        refused, and has told why. A second one is Python's own, for a program that is busy with something else.
        """
        usual = signal.getsignal(signal.SIGINT)
        if not callable(usual):
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, usual)
            if not self._waits:
                usual(number, frame)
            elif not self._error.done():
                loop.call_soon_threadsafe(self._error.set_result, pulumi.RunError(_INTERRUPTED))

        signal.signal(signal.SIGINT, interrupt)

    def _what_ended(self) -> Exception | None:
        if self._error.done():
            return self._error.result()
        # For example a guard's error in another gate: shown when every registration has ended, so this one must.
        return unhandled_exception()


def _show_unless_ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """
    Show what the SDK leaves to Python, but for interrupts that no code of the program was running at, and for what it
    could not tell an engine that is gone.
    """
    is_gone = isinstance(error, grpc.RpcError) and error.code() in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
    is_idle = isinstance(error, KeyboardInterrupt) and not any(_is_own(frame) for frame, _ in traceback.walk_tb(trace))
    if not is_gone and not is_idle:
        sys.__excepthook__(kind, error, trace)


def _is_own(frame: FrameType) -> bool:
    package, *_ = str(frame.f_globals.get("__name__")).split(".")
    return package not in _RUNTIME and not _is_runtime(frame.f_code.co_filename)


def _as_shown(error: BaseException) -> pulumi.RunError:
    """
    The error with the user's frames in its text: those of an exception that several tasks raise are lost on the way.
    """
    if isinstance(error, pulumi.RunError):
        return error
    if not isinstance(error, Exception):
        # SystemExit would leave the loop at once, with registrations under way and what they would have kept deleted.
        return pulumi.RunError(f"the program ended with {error!r} while an approval was waited for")
    shown = traceback.TracebackException.from_exception(error)
    frames = itertools.dropwhile(lambda frame: _is_runtime(frame.filename), shown.stack)
    shown.stack = traceback.StackSummary.from_list(list(frames))
    return pulumi.RunError(f"Program failed with an unhandled exception:\n{''.join(shown.format())}")


def _is_runtime(filename: str) -> bool:
    path = Path(filename)
    return (
        Path(pulumi.__file__).parent in path.parents or "runpy" in path.name or path.name.startswith("pulumi-language")
    )


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
