"""
Requests that calls of one function share, without an engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

import kf_provider as kf
from kf_provider.errors import InstanceIdError, NotFoundError
from kf_provider.functions import _InstanceKey, _shared
from kf_provider.waiting.threads import RequestThreads

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"
OTHER_ID = "11111111-9d1b-4b7e-8a60-3f5e2d7c1b94"


class Requests:
    """Counts the requests; each answers with its number, and is held until it may."""

    def __init__(self) -> None:
        self.sent = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> int:
        self.sent += 1
        number = self.sent
        assert self.may_answer.wait(60)
        return number


def ask(threads: RequestThreads, instance_id: str, request: Callable[[], int]) -> asyncio.Task[int]:
    return asyncio.ensure_future(_shared(threads, _InstanceKey(instance_id, None), request))


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("call", "argument", "twin"),
    [
        (kf.get_workflow_instance, "instance_id", "get_workflow_instance_output"),
        (
            lambda known_later: kf.get_workflow_instance(reference_id=known_later),
            "reference_id",
            "get_workflow_instance_output",
        ),
        (lambda known_later: kf.get_workflow_instances(status=known_later), "status", "get_workflow_instances_output"),
        (lambda known_later: kf.get_workflow_instances(limit=known_later), "limit", "get_workflow_instances_output"),
        (lambda known_later: kf.get_workflow_instances(ids=[known_later]), "ids", "get_workflow_instances_output"),
        (
            lambda known_later: kf.find_workflow_instance(match={"title": known_later}),
            "match",
            "find_workflow_instance_output",
        ),
        (lambda known_later: kf.get_certificate(request_id=known_later), "request_id", "get_certificate_output"),
    ],
    ids=["instance_id", "reference_id", "filter", "limit", "part of a list", "part of a match", "certificate"],
)
def test_output_for_a_plain_function(call: Callable[[Any], object], argument: str, twin: str) -> None:
    """
    An Output is refused in one line that names the argument and the twin that takes it.
    """

    async def run() -> str:
        with pytest.raises(pulumi.RunError) as caught:
            call(pulumi.Output.from_input("42"))
        return str(caught.value)

    expected = f"{argument} is an Output, whose value is not known yet; use {twin}, which takes it"
    assert expected in asyncio.run(run())


def test_calls_that_come_together_share_a_request() -> None:
    """
    A hundred calls for two instances, made together, cost two requests.
    """
    requests = Requests()

    async def run() -> set[int]:
        threads = RequestThreads()
        return set(await asyncio.gather(*(ask(threads, [ID, OTHER_ID][n % 2], requests) for n in range(100))))

    assert {1, 2} == asyncio.run(run())
    assert requests.sent == 2


def test_no_answer_is_older_than_its_call() -> None:
    """
    A call that comes while a request is under way asks anew: the answer may be from before the call.
    """
    requests = Requests()

    async def run() -> list[int]:
        threads = RequestThreads()
        requests.may_answer.clear()
        first = ask(threads, ID, requests)
        await until(lambda: requests.sent == 1)
        second = ask(threads, ID, requests)
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
        threads = RequestThreads()
        busy.may_answer.clear()
        in_flight = [ask(threads, f"{n:08x}-9d1b-4b7e-8a60-3f5e2d7c1b94", busy) for n in range(5)]
        await until(lambda: busy.sent == 5)
        waiting = [ask(threads, ID, requests)]
        await asyncio.sleep(0.02)
        waiting.append(ask(threads, ID, requests))
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
        threads = RequestThreads()
        answers = await asyncio.gather(*(ask(threads, ID, fail) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [NotFoundError] * 3
        return await ask(threads, ID, requests)

    assert asyncio.run(run()) == 1


def test_a_cancelled_call_leaves_the_others_their_answer() -> None:
    """
    The request goes on when the call that made it is cancelled.
    """
    requests = Requests()

    async def run() -> int:
        threads = RequestThreads()
        first, second = ask(threads, ID, requests), ask(threads, ID, requests)
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("reference_id", ["42", 4.2, True, float("nan"), float("inf"), object(), "\x1b[31m", [[]]])
def test_reference_id_that_is_none(reference_id: object) -> None:
    """
    What is no whole number is refused at once, by one of our errors in one line.
    """
    with pytest.raises(InstanceIdError, match=r"^reference_id is a whole number, not ") as caught:
        _InstanceKey.of(None, reference_id)

    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("instance_id", "reference_id"),
    [(None, None), (ID, 42), (10**400, None), (10**5000, None), ("9" * 5000, None), (1e300, None), ("\udce9", None)],
    ids=["neither", "both", "401 digits", "5001 digits", "text", "float", "surrogate"],
)
def test_id_that_is_none(instance_id: object, reference_id: object) -> None:
    """
    So is what is no id, of whatever size.
    """
    with pytest.raises(InstanceIdError) as caught:
        _InstanceKey.of(instance_id, reference_id)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("instance_id", [12, "webcert", None, ""])
def test_argument_that_makes_no_sense(instance_id: Any) -> None:
    """
    What is no id is one line on the CLI, which names the function; it is an InstanceIdError as well.
    """
    with pytest.raises(InstanceIdError, match=r"^get_workflow_instance: ") as caught:
        kf.get_workflow_instance(instance_id)

    assert isinstance(caught.value, pulumi.RunError)
