"""
The threads that run blocking requests beside an event loop, at most five at a time, and the clock of that loop.

They know nothing of HTTP; polls and functions send through them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from ..keyfactor.settings import Settings

REQUESTS_IN_FLIGHT: Final = 5

Result = TypeVar("Result")


def loop_time() -> float:
    """
    Seconds on the running event loop's clock, which is monotonic.
    """
    return asyncio.get_running_loop().time()


def start_daemon(run: Callable[[], None]) -> None:
    """
    Run it in a thread of its own that nobody joins.

    The interpreter joins a ThreadPoolExecutor at exit: a server that never answers would hold the program that Ctrl-C
    ended.
    """
    threading.Thread(target=run, name="kf_provider", daemon=True).start()


class RequestThreads:
    """
    Those for the requests of one event loop to one server.
    """

    def __init__(self, start: Callable[[Callable[[], None]], None] = start_daemon) -> None:
        self.has_answered = False  # anything: what is down then will come back
        self._start = start
        self._in_flight = asyncio.Semaphore(REQUESTS_IN_FLIGHT)

    async def call(self, function: Callable[[], Result]) -> Result:
        """
        What the blocking function returns or raises, when its turn has come.
        """
        async with self._in_flight:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Result] = loop.create_future()

            def settle(result: Result | None, error: BaseException | None) -> None:
                if future.done():
                    return
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(result)  # type: ignore[arg-type]  # None only where Result is

            def run() -> None:
                result, error = None, None
                try:
                    result = function()
                except Exception as raised:
                    # A future refuses StopIteration, and would then never be done.
                    error = RuntimeError("StopIteration") if isinstance(raised, StopIteration) else raised
                except BaseException as raised:  # ends this thread, and not the loop that waits for it
                    error = RuntimeError(type(raised).__name__)
                try:
                    loop.call_soon_threadsafe(settle, result, error)
                except RuntimeError:
                    return  # the loop is closed: the program has ended, and nobody waits for the answer

            self._start(run)
            result = await future
            self.has_answered = True
            return result


_threads: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, RequestThreads]] = WeakKeyDictionary()


def threads_for(settings: Settings) -> RequestThreads:
    """
    The running event loop's threads for these settings: five at a time, whoever sends a request.
    """
    return _threads.setdefault(asyncio.get_running_loop(), {}).setdefault(settings, RequestThreads())
