"""
The watcher against a plain model, as hypothesis plays with both: what people do, what servers do, and many waits.

The model knows nothing of how the watcher works. It reads what the server was asked and what it answered, and says for
every verdict whether the design allows it (section 5).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kf_provider.errors import ForbiddenError, NotFoundError, RequestError, StatusError, UnauthorizedError
from kf_provider.sandbox.workflow import InstanceNotFoundError, WorkflowError
from kf_provider.waiting.changes import CHECK_SECONDS
from kf_provider.waiting.verdict import Conditions, Verdict
from tests.virtual import VirtualLoop, new_watcher

from .conftest import IS_FULL
from .keyfactor import Asked, Keyfactor

FIRST_ANSWER_SECONDS: Final = 30.0
OUTAGE_SECONDS: Final = 600.0
ONE_POLL_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 60.0
REFUSAL_SECONDS: Final = 120.0
LONGEST_LOCK: Final = 90.0 + 0.1  # from one try with refused credentials to the next
HAIR: Final = 0.01
GETS_IN_FLIGHT: Final = 4  # and a list
SHORTEST_GAP: Final = 1.85  # two seconds, less a hair: a poll may begin a little late, and the next be on its tick
REFUSED: Final = {"Rejected", "Failed"}


@dataclass
class Wait:
    """
    One wait: what was asked of it, and how it ended.
    """

    instance_id: str
    started: float
    timeout: float
    follows: bool
    may_be_new: bool
    ended: float | None = None
    verdict: Verdict | None = None
    task: asyncio.Task[None] | None = None
    heard: list[str] = field(default_factory=list)

    @property
    def deadline(self) -> float:
        return self.started + self.timeout

    def __str__(self) -> str:
        return (
            f"wait for {self.instance_id} from {self.started} to {self.ended} (deadline {self.deadline}, "
            f"follows {self.follows}, may be new {self.may_be_new}): {self.verdict!r}"
        )


class Story:
    """
    What one wait could know: the answers of its lifetime that are about its instance or a successor.
    """

    def __init__(self, wait: Wait, log: Sequence[Asked], now: float) -> None:
        self.wait = wait
        # Any instance's: the server is one that answers.
        self.has_answered = any(not asked.error and asked.ended <= now for asked in log)
        self.locked_since = self._locked_since(log, now)
        seen = {id_ for asked in log if asked.error is None and asked.ended <= now for id_ in asked.told}
        in_life = [asked for asked in log if wait.started <= asked.ended <= now]
        self.searches = [asked for asked in in_life if asked.kind == "search"] if wait.follows else []
        self.most_candidates = 0
        self.lineage = [wait.instance_id]
        for instance_id in self.lineage:  # grows
            self.lineage += [new for new in self._successors(instance_id, in_life) if new not in self.lineage]
        self.gets = [asked for asked in in_life if asked.kind == "get" and asked.ids[0] in self.lineage]
        lists = [
            asked
            for asked in in_life
            if asked.kind == "changes" or (asked.kind == "list" and not {*asked.ids}.isdisjoint(self.lineage))
        ]
        self.good_gets = [asked for asked in self.gets if asked.error is None]
        good_lists = [asked for asked in lists if not {*asked.told}.isdisjoint(self.lineage)]
        self.good = sorted([*self.good_gets, *good_lists], key=lambda asked: asked.ended)
        self.was_seen = not seen.isdisjoint(self.lineage)
        self.failed = [asked for asked in [*self.gets, *lists, *self.searches] if isinstance(asked.error, RequestError)]
        self.failed.sort(key=lambda asked: asked.ended)

    @staticmethod
    def _locked_since(log: Sequence[Asked], now: float) -> float | None:
        since = None
        for asked in sorted((asked for asked in log if asked.ended <= now), key=lambda asked: asked.ended):
            if asked.kind == "definition":
                continue
            if asked.error is None:
                since = None
            elif isinstance(asked.error, UnauthorizedError) and since is None:
                since = asked.ended
        return since

    def _successors(self, instance_id: str, in_life: Iterable[Asked]) -> list[str]:
        olds = [row for asked in in_life if asked.kind == "get" for row in asked.rows if row.instance_id == instance_id]
        found = []
        for old, search in itertools.product(olds, self.searches):
            if old.last_modified is None:
                continue
            later = [
                row
                for row in search.rows
                if row.instance_id != instance_id
                and (row.title, row.definition.id) == (old.title, old.definition.id)
                and row.start_date is not None
                and row.start_date >= old.last_modified
            ]
            # What was restarted in its turn comes before what began after that.
            ends = [row.last_modified for row in later if search.told[row.instance_id] == "CanceledForRestart"]
            candidates = [
                row.instance_id
                for row in later
                if row.start_date is not None and not any(end is not None and row.start_date >= end for end in ends)
            ]
            self.most_candidates = max(self.most_candidates, len(candidates))
            found += candidates if len(candidates) == 1 else []
        return found

    def was_told(self, statuses: set[str]) -> bool:
        return any(status in statuses for asked in self.good_gets for status in asked.told.values())

    def failing_for(self, kind: type[RequestError] | None = None) -> float:
        """
        For how long there was nothing but failure (of a kind) when the wait ended; below 0 when the last was good.
        """
        last_good = self.good[-1].ended if self.good else -1.0
        since = [
            asked.ended
            for asked in self.failed
            if asked.ended >= last_good and (kind is None or isinstance(asked.error, kind))
        ]
        ended = self.wait.ended
        return -1.0 if not since or ended is None else ended - since[0]


def why_approved(story: Story) -> str | None:
    # No wait of these expects anything of its instance, so a row is enough.
    is_listed = any(asked.told.get(id_) == "Complete" for asked in story.good for id_ in story.lineage)
    return "told Complete" if is_listed or story.was_told({"Complete"}) else None


def why_pending(story: Story) -> str | None:
    wait = story.wait
    return "deadline" if wait.ended is not None and wait.ended >= wait.deadline else None


def why_refused(story: Story) -> str | None:
    """
    A reason that the design has for a problem, or None when there is none.
    """
    wait = story.wait
    if story.was_told(REFUSED):
        return "told a final status"
    if story.was_told({"CanceledForRestart"}) and (not wait.follows or story.most_candidates > 1):
        return "restarted"
    ends = [row for one in story.good_gets for row in one.rows if one.told[row.instance_id] == "CanceledForRestart"]
    if any(row.last_modified is None for row in ends):
        return "restarted, and without a date to know its successor by"
    asked = [*story.gets, *story.searches]
    if any(isinstance(one.error, ForbiddenError) and one.error.error_code for one in asked):
        return "forbidden"
    is_over = wait.ended is not None and wait.ended >= wait.deadline
    if story.locked_since is not None and wait.ended is not None:
        is_lasting = wait.ended - story.locked_since >= REFUSAL_SECONDS - HAIR
        return "refused credentials" if is_over or is_lasting or not story.was_seen else None
    refused = [one for one in [*asked, *story.failed] if is_refusal(one.error)]
    if refused and (is_over or not story.was_seen or story.failing_for(StatusError) >= REFUSAL_SECONDS - HAIR):
        return "refused by something else than Keyfactor"
    missing = [one for one in story.gets if isinstance(one.error, NotFoundError)]
    if missing:
        has_grace = wait.may_be_new or story.good
        if not has_grace or is_over or story.failing_for(NotFoundError) >= GRACE_SECONDS - HAIR:
            return "not found"
    if story.failed and (is_over or story.failing_for() >= OUTAGE_SECONDS - HAIR):
        return "outage"
    if not story.has_answered and wait.ended is not None:
        # Also without a failure: behind others in the queue, nothing may have been asked yet.
        patience = min(FIRST_ANSWER_SECONDS, max(wait.timeout, ONE_POLL_SECONDS))
        return "dead" if wait.ended - wait.started >= patience - HAIR else None
    return None


def is_refusal(error: Exception | None) -> bool:
    return isinstance(error, StatusError) and not error.is_transient and not isinstance(error, NotFoundError)


class Model(RuleBasedStateMachine):
    """
    Waits and instances side by side. After each step, all that has ended is judged, and all that goes on as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.loop = self.runner.get_loop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.waits: list[Wait] = []
        self.unjudged: list[Wait] = []
        self.ids: list[str] = []
        self.successors: set[str] = set()
        self.final_since: dict[str, float] = {}
        self.calm_since = 0.0
        self.slowest = 0.0
        self.checked = 0
        self.has_answered = False

    @initialize(
        dialect=st.sampled_from(["10", "11", "25"]),
        has_numbers=st.booleans(),
        jitter=st.sampled_from([0.0, 0.3, 0.999]),
    )
    def begin(self, dialect: str, has_numbers: bool, jitter: float) -> None:
        self.server = Keyfactor(self.loop, dialect=dialect, has_numbers=has_numbers)
        self.watcher = new_watcher(self.server, random=lambda: jitter, start=self.server.start)
        self.ids.append(self.server.enroll())
        self.pass_time(0.01)

    # What people do

    @rule(approvals=st.integers(0, 2))
    def start_instance(self, approvals: int) -> None:
        self.ids.append(self.server.enroll(approvals))
        self.pass_time(0.01)

    @rule(which=st.integers(0, 200), approved=st.sampled_from([True, True, True, False]))
    def answer(self, which: int, approved: bool) -> None:
        self.act(which, lambda id_: self.server.answer(str(id_), approved=approved))

    @rule(which=st.integers(0, 200), how=st.sampled_from(["stop", "fail", "purge", "complete"]))
    def end_instance(self, which: int, how: str) -> None:
        machine = self.server.machine
        ends: dict[str, Callable[[UUID], object]] = {
            "stop": lambda id_: machine.stop(id_, by="me"),
            "fail": lambda id_: machine.fail(id_, "broken"),
            "purge": machine.delete,
            "complete": machine.complete,
        }
        self.act(which, ends[how])

    @rule(which=st.integers(0, 200))
    def restart(self, which: int) -> None:
        def restart(id_: UUID) -> None:
            self.ids.append(str(self.server.machine.restart(id_, by="me").id))
            self.successors.add(self.ids[-1])

        self.act(which, restart)

    def act(self, which: int, action: Callable[[UUID], object]) -> None:
        try:
            action(UUID(self.ids[which % len(self.ids)]))
        except WorkflowError:
            return
        self.pass_time(0.01)

    # Waits

    @rule(
        which=st.integers(0, 200),
        timeout=st.sampled_from([0.0, 1.0, 5.0, 29.0, 100.0, 700.0, 3600.0]),
        follows=st.booleans(),
        may_be_new=st.booleans(),
    )
    def wait(self, which: int, timeout: float, follows: bool, may_be_new: bool) -> None:
        self.watch(self.ids[which % len(self.ids)], timeout, follows, may_be_new)

    @rule(timeout=st.sampled_from([100.0, 3600.0]), follows=st.booleans())
    def wait_for_an_unknown_one(self, timeout: float, follows: bool) -> None:
        self.watch("77777777-9d1b-4b7e-8a60-3f5e2d7c1b94", timeout, follows, may_be_new=follows)

    @precondition(lambda self: len(self.ids) < 100)
    @rule(timeout=st.sampled_from([100.0, 700.0, 3600.0]), count=st.sampled_from([2, 15, 60]))
    def wait_for_many(self, timeout: float, count: int) -> None:
        for _ in range(count):
            self.ids.append(self.server.enroll())
            self.watch(self.ids[-1], timeout, follows=False, may_be_new=False)

    def watch(self, instance_id: str, timeout: float, follows: bool, may_be_new: bool) -> None:
        wait = Wait(instance_id, self.loop.time(), timeout, follows, may_be_new)

        async def run() -> None:
            wait.verdict = await self.watcher.wait(
                instance_id,
                Conditions(follow_restarts=follows),
                timeout=timeout,
                may_be_new=may_be_new,
                report=wait.heard.append,
            )
            wait.ended = self.loop.time()

        wait.task = self.loop.create_task(run())
        self.waits.append(wait)
        self.unjudged.append(wait)

    # Time, and what servers do

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.0, 10.0, 45.0, 90.0, 400.0, 2000.0]))
    def pass_time(self, seconds: float) -> None:
        self.slowest = max(self.slowest, 10.0 if self.server.outage == "hangs" else self.server.latency)
        self.runner.run(asyncio.sleep(seconds))

    @rule(
        kind=st.sampled_from(["closed", "hangs", "unavailable", "busy", "filtered", "locked"]),
        retry_after=st.sampled_from([None, None, 0.0, 7.0, 40.0]),
        seconds=st.sampled_from([3.0, 20.0, 100.0, 500.0]),
    )
    def outage(self, kind: str, retry_after: float | None, seconds: float) -> None:
        self.server.outage, self.server.retry_after = kind, retry_after
        self.pass_time(seconds)

    @rule()
    def outage_ends(self) -> None:
        self.change(outage=None)

    @rule(is_stale=st.booleans())
    def stale(self, is_stale: bool) -> None:
        self.change(is_stale=is_stale)

    @rule(mode=st.sampled_from(["honest", "honest", "refused", "short", "forbidden", "ignored", "broken"]))
    def list_mode(self, mode: str) -> None:
        self.change(list_mode=mode)

    @rule(latency=st.sampled_from([0.0, 0.05, 1.0, 4.0]))
    def latency(self, latency: float) -> None:
        self.change(latency=latency)

    @rule(which=st.integers(0, 200), what=st.sampled_from(["hidden", "forbidden"]))
    def hide(self, which: int, what: str) -> None:
        set_: set[str] = getattr(self.server, what)
        set_.symmetric_difference_update({self.ids[which % len(self.ids)]})
        self.calm_since = self.loop.time()

    def change(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self.server, name, value)
        self.calm_since = self.loop.time()

    # What must hold

    @invariant()
    def judged(self) -> None:
        if not hasattr(self, "server"):
            return
        assert not self.complaints, self.complaints
        assert self.server.most_in_flight <= 5
        self.note_final()
        for wait in list(self.unjudged):
            if wait.task is not None and wait.task.done():
                wait.task.result()
                self.judge(wait)
                self.unjudged.remove(wait)
            else:
                self.goes_on(wait)
        self.requests_are_few()

    def judge(self, wait: Wait) -> None:
        assert wait.verdict is not None
        assert wait.ended is not None
        story = Story(wait, self.server.log, wait.ended)
        if wait.verdict.is_approved:
            reason = why_approved(story)
            assert wait.verdict.instance is not None
            assert wait.verdict.instance.instance_id in story.lineage, wait
        elif wait.verdict.is_pending:
            reason = why_pending(story)
        else:
            reason = why_refused(story)
        assert reason is not None, f"no reason for the {wait}\n{self.recent(story)}"
        assert wait.ended <= wait.deadline + self.slack, wait
        assert not (wait.verdict.problem or "").endswith("None"), wait

    def goes_on(self, wait: Wait) -> None:
        """
        A wait that goes on has time left, a server that may still answer, and nothing that it could know.
        """
        now = self.loop.time()
        assert now <= wait.deadline + self.slack, wait
        longest = min(max((now - wait.started) * 0.05, 2.0), 60.0) * 1.2 + 2.1 + self.slack
        if any(asked.kind == "changes" for asked in self.server.log):
            longest += CHECK_SECONDS + 72.1  # what a node that lags behind kept from a list of changes
        since = self.final_since.get(wait.instance_id)
        if self.has_answered and (since is None or now <= max(since, self.calm_since, wait.started) + longest):
            return
        story = Story(wait, self.server.log, now)
        if not story.has_answered:
            budget = GRACE_SECONDS if wait.may_be_new else FIRST_ANSWER_SECONDS
            assert now <= wait.started + budget + 6.1 + self.slack, f"{wait}\n{self.recent(story)}"
        waits_for_retry = any((asked.error and getattr(asked.error, "retry_after", 0)) for asked in story.failed)
        is_calm = self.server.outage is None and not self.server.is_stale and self.server.list_mode == "honest"
        if is_calm and since is not None and not self.server.hidden and not self.server.forbidden:
            was_locked = any(isinstance(asked.error, UnauthorizedError) for asked in self.server.log)
            retry = max(40.0 if waits_for_retry else 0.0, LONGEST_LOCK if was_locked else 0.0)
            latest = max(since, self.calm_since, wait.started) + longest + retry
            assert now <= latest, f"not noticed since {since}: {wait}\n{self.recent(story)}"

    @property
    def slack(self) -> float:
        """
        The requests that may follow a deadline: list, poll, poll and search, in a queue with those of other waits.
        """
        queue = 1 + len(self.waits) / GETS_IN_FLIGHT
        return 0.1 + 4 * queue * self.slowest

    def note_final(self) -> None:
        for id_ in self.ids:
            try:
                status = self.server.machine.instance(UUID(id_)).status
                is_final = status in {"Complete", "Rejected", "Failed"}
            except InstanceNotFoundError:
                self.final_since.pop(id_, None)
                continue
            if is_final:
                self.final_since.setdefault(id_, self.loop.time())
            else:
                self.final_since.pop(id_, None)

    def requests_are_few(self) -> None:
        """
        Lists name at most fifty ids, each once, of waits that go on; one wait leaves its instance alone for 2 s.
        """
        fresh, self.checked = self.server.log[self.checked :], len(self.server.log)
        self.has_answered = self.has_answered or any(not asked.error for asked in fresh)
        definitions = [asked.ids for asked in self.server.log if asked.kind == "definition"]
        assert len(definitions) == len(set(definitions))
        alone = self.waited_for_once()
        for asked in fresh:
            if asked.kind == "list":
                assert 1 <= len(asked.ids) <= 50
                assert len(set(asked.ids)) == len(asked.ids)
            if alone.isdisjoint(asked.ids):
                continue
            since, before = self.before(asked)
            asked_before = {id_ for one in before for id_ in one.ids}
            for instance_id in alone.intersection(asked.ids) & asked_before:
                self.leaves_alone(asked, instance_id, since, before)

    def before(self, asked: Asked) -> tuple[float, list[Asked]]:
        """
        From when on nothing like this should have been asked, and what was.
        """
        # Behind others in a queue, a request begins later than its wait has asked for it.
        queue = self.slowest * len(self.waits) / GETS_IN_FLIGHT
        since = asked.begun - max(SHORTEST_GAP - queue, 0.0)
        recent = itertools.takewhile(lambda one: one.ended > since - 0.1, reversed(self.server.log))
        return since, [
            one for one in recent if one is not asked and one.kind == asked.kind and since < one.begun <= asked.begun
        ]

    def leaves_alone(self, asked: Asked, instance_id: str, since: float, before: list[Asked]) -> None:
        before = [one for one in before if instance_id in one.ids]
        if asked.begun >= self.wait_for(instance_id).deadline - 0.1:
            return
        # What one list does not bring, a smaller one or the GET of each of its ids does.
        probes = [one for one in self.server.log if one.kind == "list" and one.error and instance_id in one.ids]
        is_probe = asked.kind == "get" and any(since - 1 - self.slack < one.ended <= asked.begun for one in probes)
        assert is_probe, f"{instance_id} asked at {before[0].begun} and {asked.begun} by one wait"

    def waited_for_once(self) -> set[str]:
        seen: dict[str, int] = {}
        for wait in self.waits:
            seen[wait.instance_id] = seen.get(wait.instance_id, 0) + (2 if wait.follows else 1)
        # A wait for what was restarted may have come to a successor as well.
        return {instance_id for instance_id, count in seen.items() if count == 1} - self.successors

    def wait_for(self, instance_id: str) -> Wait:
        return next(wait for wait in self.waits if wait.instance_id == instance_id)

    def recent(self, story: Story) -> str:
        told = [asked for asked in [*story.gets, *story.searches] if asked.ended >= self.loop.time() - 800]
        return "\n".join(map(repr, sorted({id(one): one for one in told}.values(), key=lambda one: one.ended)))

    def teardown(self) -> None:
        try:
            if hasattr(self, "server") and self.unjudged:
                self.change(outage=None, is_stale=False, list_mode="honest", latency=0.05)
                self.pass_time(3600.0 + 700.0)
                self.judged()
                assert not self.unjudged
        finally:
            self.runner.close()


TestModel = pytest.mark.timeout(1800)(Model.TestCase)  # minutes on a busy machine
TestModel.settings = settings(max_examples=1000 if IS_FULL else 120, stateful_step_count=40)
