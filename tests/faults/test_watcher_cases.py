"""
What the model found, each as a story of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from kf_provider.waiting.verdict import Conditions, Verdict
from kf_provider.waiting.watcher import Watcher
from tests.virtual import VirtualLoop, new_watcher

from .keyfactor import Keyfactor

Story = Callable[[Keyfactor, Watcher], Awaitable[Any]]


def play(story: Story, **options: Any) -> tuple[Any, Keyfactor]:
    """Let a story run in virtual time, and return its result and its server."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        server = Keyfactor(runner.get_loop(), **options)
        watcher = new_watcher(server, start=server.start)
        return runner.run(_awaited(story(server, watcher))), server


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def restart(server: Keyfactor, instance_id: str) -> str:
    return str(server.machine.restart(UUID(instance_id), by="me").id)


@pytest.mark.parametrize("dialect", ["10", "11", "25"])
def test_what_has_not_changed_is_not_read(dialect: str) -> None:
    """
    Sixty waits that begin with their instances cost lists alone until something changes, in every dialect.
    """

    async def story(server: Keyfactor, watcher: Watcher) -> list[Verdict]:
        ids = [server.enroll() for _ in range(60)]
        waits = [asyncio.ensure_future(watcher.wait(id_, timeout=600.0)) for id_ in ids]
        await asyncio.sleep(300)
        server.answer(ids[0], approved=True)
        return await asyncio.gather(*waits)

    verdicts, server = play(story, dialect=dialect)

    assert [True, *[False] * 59] == [verdict.is_approved for verdict in verdicts]
    gets = [asked for asked in server.log if asked.kind == "get"]
    assert 60 == len([asked for asked in gets if asked.begun < 590])
    assert 60 + 59 == len(gets)  # the last polls


def test_restart_is_followed_where_statuses_are_numbers() -> None:
    """
    A named number is as good as its word, for a restart too.
    """

    async def story(server: Keyfactor, watcher: Watcher) -> Verdict:
        instance_id = server.enroll()
        wait = asyncio.ensure_future(watcher.wait(instance_id, Conditions(follow_restarts=True), timeout=600.0))
        await asyncio.sleep(10)
        successor = restart(server, instance_id)
        await asyncio.sleep(10)
        server.answer(successor, approved=True)
        return await wait

    verdict, _ = play(story, has_numbers=True)

    assert verdict.is_approved, verdict


def test_stale_answer_after_a_restart() -> None:
    """
    An answer from before a restart does not make the wait forget that it follows restarts.
    """

    async def story(server: Keyfactor, watcher: Watcher) -> Verdict:
        instance_id = server.enroll(2)
        await asyncio.sleep(1)
        server.answer(instance_id, approved=True)
        wait = asyncio.ensure_future(watcher.wait(instance_id, Conditions(follow_restarts=True), timeout=600.0))
        await asyncio.sleep(10)
        successor = restart(server, instance_id)
        server.hidden.add(successor)  # the list lags behind
        await asyncio.sleep(10)
        server.is_stale = True
        await asyncio.sleep(10)
        server.is_stale = False
        server.hidden.clear()
        for _ in range(2):
            server.answer(successor, approved=True)
        return await wait

    verdict, _ = play(story)

    assert verdict.is_approved, verdict


def test_not_found_after_an_outage() -> None:
    """
    A server that is back after two minutes, and does not know the instance for ten seconds, has its minute of grace.
    """

    async def story(server: Keyfactor, watcher: Watcher) -> Verdict:
        instance_id = server.enroll()
        wait = asyncio.ensure_future(watcher.wait(instance_id, timeout=600.0))
        await asyncio.sleep(10)
        server.outage = "closed"
        await asyncio.sleep(120)
        server.outage = None
        kept = server.machine._instances.pop(UUID(instance_id))
        await asyncio.sleep(20)
        server.machine._instances[kept.id] = kept
        server.answer(instance_id, approved=True)
        return await wait

    verdict, _ = play(story)

    assert verdict.is_approved, verdict


def test_outage_after_a_restart() -> None:
    """
    An outage in the moment of a restart is ridden out as any other: the server has answered before.
    """

    async def story(server: Keyfactor, watcher: Watcher) -> Verdict:
        instance_id = server.enroll()
        wait = asyncio.ensure_future(watcher.wait(instance_id, Conditions(follow_restarts=True), timeout=600.0))
        await asyncio.sleep(10)
        successor = restart(server, instance_id)
        while not any(asked.kind == "search" for asked in server.log):  # noqa: ASYNC110 - its time is virtual
            await asyncio.sleep(0.01)
        server.outage = "closed"
        await asyncio.sleep(100)
        server.outage = None
        server.answer(successor, approved=True)
        return await wait

    verdict, _ = play(story)

    assert verdict.is_approved, verdict


def test_outage_while_the_first_polls_are_on_their_way() -> None:
    """
    What is down was there a moment ago: a server that has answered any wait of this run has its ten minutes.
    """

    async def story(server: Keyfactor, watcher: Watcher) -> list[Verdict]:
        server.latency = 0.5
        ids = [server.enroll() for _ in range(40)]
        waits = [asyncio.ensure_future(watcher.wait(id_, timeout=600.0)) for id_ in ids]
        await asyncio.sleep(2.2)
        server.outage = "closed"
        await asyncio.sleep(100)
        server.outage = None
        for instance_id in ids:
            server.answer(instance_id, approved=True)
        return await asyncio.gather(*waits)

    verdicts, _ = play(story)

    assert all(verdict.is_approved for verdict in verdicts), verdicts
