"""
Requests that calls of one function share, without an engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from kf_provider.errors import NotFoundError
from kf_provider.functions import _shared, _Which
from kf_provider.keyfactor.settings import Settings
from kf_provider.models import Instance, InstanceSummary, WorkflowDefinition
from kf_provider.watcher import Watcher

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"
OTHER_ID = "11111111-9d1b-4b7e-8a60-3f5e2d7c1b94"


class NoServer:
    """What a watcher needs of a server when the test brings the requests."""

    settings = Settings(hostname="keyfactor.example.com", username="u", password="p")

    def get_workflow_instance(self, instance_id: str, *, timeout: float | None = None) -> Instance:
        raise AssertionError("not asked in these tests")

    def list_workflow_instances(
        self, *, query: str | None = None, limit: int | None = None, timeout: float | None = None
    ) -> list[InstanceSummary]:
        raise AssertionError("not asked in these tests")

    def get_workflow_definition(
        self, definition_id: str, *, version: int | None = None, timeout: float | None = None
    ) -> WorkflowDefinition:
        raise AssertionError("not asked in these tests")


class Requests:
    """Counts the requests; each answers with its number, and is held until it may."""

    def __init__(self) -> None:
        self.sent = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> int:
        self.sent += 1
        number = self.sent
        assert self.may_answer.wait(10)
        return number


def ask(watcher: Watcher, instance_id: str, request: Callable[[], int]) -> asyncio.Task[int]:
    return asyncio.ensure_future(_shared(watcher, _Which(instance_id, None), request))


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.001)


def test_calls_that_come_together_share_a_request() -> None:
    """
    A hundred calls for two instances, made together, cost two requests.
    """
    requests = Requests()

    async def run() -> set[int]:
        watcher = Watcher(NoServer())
        return set(await asyncio.gather(*(ask(watcher, [ID, OTHER_ID][n % 2], requests) for n in range(100))))

    assert {1, 2} == asyncio.run(run())
    assert requests.sent == 2


def test_no_answer_is_older_than_its_call() -> None:
    """
    A call that comes while a request is under way asks anew: the answer may be from before the call.
    """
    requests = Requests()

    async def run() -> list[int]:
        watcher = Watcher(NoServer())
        requests.may_answer.clear()
        first = ask(watcher, ID, requests)
        await until(lambda: requests.sent == 1)
        second = ask(watcher, ID, requests)
        await until(lambda: requests.sent == 2)
        requests.may_answer.set()
        return [await first, await second]

    assert asyncio.run(run()) == [1, 2]


def test_calls_share_a_request_that_waits_for_its_turn() -> None:
    """
    While five requests are in flight, later calls join those that are still to be sent.
    """
    busy, requests = Requests(), Requests()

    async def run() -> list[int]:
        watcher = Watcher(NoServer())
        busy.may_answer.clear()
        in_flight = [ask(watcher, f"{n:08x}-9d1b-4b7e-8a60-3f5e2d7c1b94", busy) for n in range(5)]
        await until(lambda: busy.sent == 5)
        waiting = [ask(watcher, ID, requests)]
        await asyncio.sleep(0.02)
        waiting.append(ask(watcher, ID, requests))
        await asyncio.sleep(0.02)
        busy.may_answer.set()
        await asyncio.gather(*in_flight)
        return [await call for call in waiting]

    assert asyncio.run(run()) == [1, 1]


def test_a_failed_request_fails_for_all_who_share_it() -> None:
    """
    Each call gets the error, and the next call asks anew.
    """
    requests = Requests()

    def fail() -> int:
        raise NotFoundError("not found", status_code=404)

    async def run() -> int:
        watcher = Watcher(NoServer())
        answers = await asyncio.gather(*(ask(watcher, ID, fail) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [NotFoundError] * 3
        return await ask(watcher, ID, requests)

    assert asyncio.run(run()) == 1


def test_a_cancelled_call_leaves_the_others_their_answer() -> None:
    """
    The request goes on when the call that made it is cancelled.
    """
    requests = Requests()

    async def run() -> int:
        watcher = Watcher(NoServer())
        first, second = ask(watcher, ID, requests), ask(watcher, ID, requests)
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(run()) == 1
