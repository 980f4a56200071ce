"""
Keeps the waits of one watcher from locking an account: while its credentials are refused, one request asks for all.

It knows nothing of HTTP. All times are in seconds, on the event loop's clock.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from ..errors import UnauthorizedError
from .threads import RequestThreads, loop_time

FIRST_TRY_SECONDS: Final = 30.0
REFUSAL_SECONDS: Final = 120.0  # a domain controller that is away refuses as well, and a proxy in Keyfactor's place
_HAIR: Final = 0.01  # a timer may fire a little early

Result = TypeVar("Result")


class Login:
    """
    How a watcher sends its requests.

    A refusal (401) is remembered. From then on nothing is sent but one request after 30 seconds and one at the end of
    two minutes: each that is refused counts towards a lock-out, and there may be hundreds of waits. All others get the
    refusal that is known, with `retry_after`: when it is asked again, or None when patience is over.
    """

    def __init__(self, threads: RequestThreads) -> None:
        self._threads = threads
        self._refusal: UnauthorizedError | None = None
        self._refused_since = 0.0
        self._next_try = 0.0
        self._trial: asyncio.Future[None] | None = None

    @property
    def is_refused(self) -> bool:
        return self._refusal is not None

    async def call(self, function: Callable[[], Result]) -> Result:
        """
        What the blocking function returns or raises, when its turn has come; nothing is sent while a refusal lasts.
        """
        while self._trial is not None or self._refusal is None:
            if self._trial is not None:
                await asyncio.wait({self._trial})
                continue
            with suppress(_HeldBackError):
                return await self._sent(function)
        if loop_time() < self._next_try - _HAIR:
            raise self._known_refusal(self._refusal)
        self._trial = asyncio.get_running_loop().create_future()
        try:
            return await self._tried(function)
        finally:
            self._trial.set_result(None)
            self._trial = None

    async def _sent(self, function: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()

        def send() -> Result:
            # In its thread, when its turn has come: what is refused there holds back the next at once.
            if self._refusal is not None:
                raise _HeldBackError
            try:
                return function()
            except UnauthorizedError as refusal:
                if self._refusal is None:
                    self._refused_since = loop.time()
                    self._next_try = self._refused_since + FIRST_TRY_SECONDS
                    self._refusal = refusal
                raise

        try:
            result = await self._threads.call(send)
        except UnauthorizedError as refusal:
            raise self._known_refusal(refusal) from None
        self._refusal = None
        return result

    async def _tried(self, function: Callable[[], Result]) -> Result:
        try:
            result = await self._threads.call(function)
        except UnauthorizedError as refusal:
            end = self._refused_since + REFUSAL_SECONDS
            self._refusal, self._next_try = refusal, end if loop_time() < end - _HAIR else loop_time() + REFUSAL_SECONDS
            raise self._known_refusal(refusal) from None
        except Exception:
            self._refusal = None  # whatever it is, the credentials are no longer refused
            raise
        self._refusal = None
        return result

    def _known_refusal(self, refusal: UnauthorizedError) -> UnauthorizedError:
        known = copy.copy(refusal)  # raised by many waits
        is_over = self._next_try > self._refused_since + REFUSAL_SECONDS
        known.retry_after = None if is_over else max(self._next_try - loop_time(), 0.0)
        return known


class _HeldBackError(Exception):
    """
    A request was not sent.
    """
