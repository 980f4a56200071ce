"""
The threads for blocking requests.
"""

from __future__ import annotations

import asyncio
import threading

import pytest

from kf_provider.keyfactor.settings import Settings
from kf_provider.waiting.threads import REQUESTS_IN_FLIGHT, RequestThreads, threads_for


def settings_for(username: str) -> Settings:
    return Settings(hostname="keyfactor.example.com", username=username, password="p")


def test_five_at_a_time() -> None:
    """
    The sixth blocking call waits for one of the five to end.
    """
    running, most, lock = 0, 0, threading.Lock()
    five_run = threading.Event()

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if running == REQUESTS_IN_FLIGHT:
            five_run.set()
        assert five_run.wait(60)
        with lock:
            running -= 1

    async def run() -> None:
        threads = RequestThreads()
        await asyncio.gather(*(threads.call(call) for _ in range(20)))

    asyncio.run(run())

    assert REQUESTS_IN_FLIGHT == most


def test_a_call_raises_what_the_function_raises() -> None:
    """
    An exception comes back to the caller, and is no answer of the server.
    """

    async def run() -> bool:
        threads = RequestThreads()
        with pytest.raises(ZeroDivisionError):
            await threads.call(lambda: 1 // 0)
        return threads.has_answered

    assert asyncio.run(run()) is False


def test_a_thread_that_outlives_its_loop_is_silent() -> None:
    """
    An answer that comes when the program has ended goes nowhere: nothing is raised in the thread.
    """
    may_answer = threading.Event()
    threads: list[threading.Thread] = []

    def start(run: object) -> None:
        thread = threading.Thread(target=run)  # type: ignore[arg-type]  # a function without arguments
        threads.append(thread)
        thread.start()

    async def run() -> None:
        calling = asyncio.ensure_future(RequestThreads(start).call(lambda: may_answer.wait(60)))
        await asyncio.sleep(0)
        calling.cancel()

    asyncio.run(run())
    may_answer.set()
    threads[0].join()


def test_shared_by_equal_settings() -> None:
    """
    Functions and polls of one loop share the five threads of a server and identity; another identity has its own.
    """

    async def run() -> None:
        assert threads_for(settings_for("a")) is threads_for(settings_for("a"))
        assert threads_for(settings_for("a")) is not threads_for(settings_for("b"))

    asyncio.run(run())
