"""
The fault matrix: seeds 0 to 999, every fault of the sandbox, the real client over loopback, waits in virtual time.

A request takes a few real milliseconds, the pauses between them none: the event loop's clock moves the sandbox's. Each
seed plays one plan of faults against one to three gates, and each verdict is held against what was true and what the
journal says that the gate's requests have met.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import requests

from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import Settings
from kf_provider.sandbox import Endpoint, RequestRecord, Sandbox, Status
from kf_provider.sandbox.wire import INVENTED_NUMBERS
from kf_provider.waiting.verdict import Conditions, Verdict
from tests.virtual import VirtualLoop, new_watcher

SEEDS: Final = 1000
SEEDS_IN_A_TEST: Final = 50
REQUEST_TIMEOUT: Final = 0.4  # real seconds, of the plans whose answers come late or never
CANARY: Final = "canary in state data"

Rule = dict[str, Any]

READS: Final = ["get", "list"]
STATUS_FORMS: Final = [
    (429, "seconds"),
    (429, "date"),
    (429, "garbage"),
    (429, "negative"),
    (503, None),
    (503, "date"),
    (503, "seconds"),
    (500, None),
    (502, None),
    (504, "garbage"),
]


@dataclass
class Plan:
    """
    What goes wrong: rules for the sandbox, and an outage of the whole server from one second to another.
    """

    rules: list[Rule] = field(default_factory=list)
    outage: tuple[float, float] | None = None
    unkind: float | None = None
    advance_at: float | None = None  # a day passes: the daily job


def passing(kind: str, rate: float = 0.4, /, **more: Any) -> Callable[[random.Random], Plan]:
    return lambda _: Plan([{"kind": kind, "rate": rate, **more}])


def sometimes(kind: str, /, **more: Any) -> Callable[[random.Random], Plan]:
    """
    What is final, seldom enough that many waits end before they meet it.
    """
    return lambda rng: Plan([{"kind": kind, "rate": rng.choice([0.02, 0.08]), "endpoints": ["get"], **more}])


PLANS: Final[Mapping[str, Callable[[random.Random], Plan]]] = {
    **{
        f"{status} {form}": passing("status", status=status, **({"retry_after": form} if form else {}))
        for status, form in STATUS_FORMS
    },
    "far": lambda _: Plan([{"kind": "status", "status": 503, "retry_after": "far", "times": 1, "phases": ["during"]}]),
    "close": passing("close"),
    "reset": passing("reset"),
    "slow body": passing("slow_body", 0.3, delay_seconds=0.01),
    "too slow a body": lambda _: Plan([{"kind": "slow_body", "times": 1, "delay_seconds": REQUEST_TIMEOUT + 0.3}]),
    "hang": lambda _: Plan([{"kind": "hang", "times": 1}]),
    "truncated": passing("truncated", endpoints=READS),
    "empty": passing("empty", endpoints=READS),
    "stale": passing("stale"),
    "token expiry": passing("token_expiry", 0.3),
    "lock stall": lambda rng: Plan([{"kind": "lock_stall", "times": 3}], advance_at=rng.choice([None, 400.0])),
    "html": sometimes("html"),
    "redirect": sometimes("redirect"),
    "unknown status": sometimes("unknown_status"),
    "forbidden": sometimes("forbidden"),
    "no list: forbidden": lambda _: Plan([{"kind": "forbidden", "endpoints": ["list"]}]),
    "no list: html": lambda _: Plan([{"kind": "html", "endpoints": ["list"]}]),
    "no list: 400": lambda _: Plan([{"kind": "status", "status": 400, "endpoints": ["list"]}]),
    "no list: 503": lambda _: Plan([{"kind": "status", "status": 503, "endpoints": ["list"]}]),
    "no token: 500": lambda _: Plan([{"kind": "status", "status": 500, "endpoints": ["token"], "rate": 0.5}]),
    "no token: html": lambda _: Plan([{"kind": "html", "endpoints": ["token"], "rate": 0.1}]),
    "down at first": lambda rng: Plan(outage=(0.0, rng.choice([15.0, 25.0, 300.0]))),
    "down later": lambda rng: Plan(outage=(rng.uniform(5, 60), rng.choice([90.0, 300.0, 1500.0]))),
    "unkind": lambda rng: Plan(unkind=rng.choice([0.2, 0.5])),
    "unkind and final": lambda rng: Plan(
        [
            {"kind": "status", "status": 503, "retry_after": "seconds", "rate": 0.1},
            {"kind": "truncated", "rate": 0.1},
            {"kind": "stale", "rate": 0.2},
            {"kind": "reset", "rate": 0.1},
            {"kind": rng.choice(["html", "redirect", "forbidden", "unknown_status"]), "rate": 0.02},
        ]
    ),
}

LATE: Final = {"too slow a body", "hang", "unkind"}
FINAL_FAULTS: Final = {"html", "redirect", "unknown_status", "forbidden"}


class SharedTimeLoop(VirtualLoop):
    """
    An event loop whose sleep is the sandbox's time too.
    """

    def __init__(self, server: Sandbox) -> None:
        super().__init__()
        select = self._selector.select  # type: ignore[attr-defined]  # as in VirtualLoop

        def pass_time(timeout: float | None) -> Any:
            if timeout:
                server.advance(timeout)
            return select(timeout)

        self._selector.select = pass_time  # type: ignore[attr-defined]  # as above


@dataclass
class Gate:
    """
    One gate: what people do to its instance and when, what became true, and what the wait said.
    """

    instance_id: str
    story: str
    at: float
    timeout: float
    follows: bool
    lineage: list[str]
    truth: str = "pending"
    true_since: float = math.inf
    ended: float = -1.0
    journal_size: int = 0  # when it ended
    verdict: Verdict | None = None
    heard: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = self.verdict and (self.verdict.problem or ("pending" if self.verdict.is_pending else "approved"))
        return (
            f"gate {self.instance_id} ({self.story} at {self.at:.1f}, timeout {self.timeout}, follows {self.follows}): "
            f"{self.truth} since {self.true_since:.1f}, ended at {self.ended:.1f}: {said}"
        )


STORIES: Final = {
    "approve": "Complete",
    "approve twice": "Complete",
    "deny": "Rejected",
    "stop": "Rejected",
    "fail": "Failed",
    "purge": "purged",
    "restart": "restarted",
    "restart and approve": "Complete",
    "nothing": "pending",
}


async def act(server: Sandbox, gate: Gate) -> None:
    """
    What people do to the gate's instance.
    """
    await asyncio.sleep(gate.at)
    id_ = gate.instance_id
    match gate.story:
        case "approve":
            server.approve(id_)
        case "approve twice":
            server.approve(id_)
            await asyncio.sleep(7)
            server.approve(id_)
        case "deny":
            server.deny(id_)
        case "stop":
            server.stop(id_)
        case "fail":
            server.fail(id_, "no connection to the CA")
        case "purge":
            server.purge(id_)
        case "restart":
            gate.lineage.append(server.restart(id_))
        case "restart and approve":
            gate.lineage.append(server.restart(id_))
            await asyncio.sleep(11)
            server.approve(gate.lineage[-1])
        case "nothing":
            return
    gate.truth, gate.true_since = STORIES[gate.story], asyncio.get_running_loop().time()


def truth_of(server: Sandbox, gate: Gate) -> None:
    """
    A stalled approval is none before the daily job.
    """
    if gate.truth == "Complete" and server.instance(gate.lineage[-1]).status is not Status.COMPLETE:
        gate.truth, gate.true_since = "pending", math.inf


def settings_for(server: Sandbox, seed: int, kind: str, *, has_numbers: bool) -> Settings:
    options: dict[str, Any] = {
        "basic": {"username": server.username, "password": server.password},
        "access_token": {"access_token": server.access_token},
        "oauth": {
            "client_id": server.client_id,
            "client_secret": server.client_secret,
            "token_url": server.token_url,
        },
    }["oauth" if "token" in kind else ["basic", "access_token", "oauth"][seed // len(PLANS) % 3]]
    if has_numbers:
        options["status_names"] = {number: str(status) for status, number in INVENTED_NUMBERS.items()}
    return Settings(hostname=server.url, request_timeout=REQUEST_TIMEOUT if kind in LATE else 60, **options)


def play(server: Sandbox, seed: int, *, has_numbers: bool) -> tuple[Plan, list[Gate]]:
    """
    One seed, from its instances to its verdicts.
    """
    rng = random.Random(seed)
    kind = list(PLANS)[seed % len(PLANS)]
    plan = PLANS[kind](rng)
    server.reset()
    faults: dict[str, Any] = {"seed": seed, "rules": plan.rules}
    if plan.unkind:
        faults = {"seed": seed, "unkind": plan.unkind}
    requests.post(f"{server.url}/sandbox/faults", json=faults, timeout=60).raise_for_status()
    gates = []
    count = 3 if "list" in kind or seed % 5 == 0 else 1
    for number in range(count):
        story = rng.choice(["approve", *STORIES])
        id_ = server.start_enrollment(
            subject=f"CN=web{number}.example.com",
            approvals=2 if story == "approve twice" else 1,
            state_data={"RestAnswer": {"password": CANARY}},
        )
        follows = story == "restart and approve" or rng.random() < 0.2
        at = math.exp(rng.uniform(0, math.log(150)))
        timeout = 1200.0 if plan.advance_at or (plan.outage and plan.outage[1] > 500) else rng.choice([200.0, 300.0])
        gates.append(Gate(id_, story, at, timeout, follows, [id_]))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        with Client(settings_for(server, seed, kind, has_numbers=has_numbers)) as client:
            watcher = new_watcher(client, random=rng.random)

            async def wait(gate: Gate) -> None:
                gate.verdict = await watcher.wait(
                    gate.instance_id,
                    Conditions(follow_restarts=gate.follows),
                    timeout=gate.timeout,
                    report=gate.heard.append,
                )
                gate.ended, gate.journal_size = loop.time(), len(server.journal())
                truth_of(server, gate)

            people = [asyncio.ensure_future(act(server, gate)) for gate in gates]
            if plan.outage:
                people.append(asyncio.ensure_future(switched(server, *plan.outage)))
            if plan.advance_at:
                people.append(asyncio.ensure_future(later(plan.advance_at, lambda: server.advance(86_400))))
            await asyncio.gather(*(wait(gate) for gate in gates))
            for person in people:
                if not person.done():
                    person.cancel()
                elif not person.cancelled():
                    person.result()
        assert not complaints, complaints

    with asyncio.Runner(loop_factory=lambda: SharedTimeLoop(server)) as runner:
        runner.run(run())
    return plan, gates


async def switched(server: Sandbox, begin: float, end: float) -> None:
    await asyncio.sleep(begin)
    server.outage = True
    await asyncio.sleep(end - begin)
    server.outage = False


async def later(seconds: float, action: Callable[[], None]) -> None:
    await asyncio.sleep(seconds)
    action()


def judged(gate: Gate, plan: Plan, journal: list[RequestRecord]) -> str:
    """
    The reason that the gate's verdict has; an AssertionError when there is none.
    """
    verdict = gate.verdict
    assert verdict is not None
    about = [
        record
        for record in journal
        if record.endpoint is Endpoint.TOKEN
        or str(record.instance_id) in gate.lineage
        or (record.endpoint is Endpoint.LIST and any(part in record.query for part in ["DefinitionId", *gate.lineage]))
    ]
    is_final = any(is_final_fault(record, follows=gate.follows) for record in about)
    trail = failing_trail(about)
    lasted = (journal[-1].time - trail[0].time).total_seconds() if trail else 0.0
    has_answered = any(record.status == 200 and not record.fault for record in journal)
    is_over = gate.ended >= gate.timeout - 0.01
    assert gate.ended <= gate.timeout + 0.2, gate

    if verdict.is_approved:
        assert gate.truth == "Complete", gate
        assert verdict.instance is not None
        assert verdict.instance.instance_id == gate.lineage[-1], gate
        return "approved"
    problem = verdict.problem or ""
    if verdict.is_pending:
        assert is_over, gate
        assert gate.truth in {"pending", "restarted"} or gate.true_since > gate.timeout - 0.1 or trail or stale(about)
        return "pending"
    word = {"restarted": "restarted", "purged": "not found"}.get(gate.truth, gate.truth)
    if gate.truth in {"Rejected", "Failed", "restarted", "purged"} and word in problem:
        return gate.truth
    if is_final:
        return "final fault"
    assert trail, f"no reason for the {gate}"
    assert is_over or lasted >= (600 - 70 if has_answered else 30), f"{lasted} s: {gate}"
    return "outage"


def is_final_fault(record: RequestRecord, *, follows: bool) -> bool:
    if record.fault not in FINAL_FAULTS:
        return record.fault == "status" and record.status == 400 and follows and "DefinitionId" in record.query
    if record.endpoint is Endpoint.LIST:
        return follows and "DefinitionId" in record.query
    return True


def failing_trail(about: list[RequestRecord]) -> list[RequestRecord]:
    """
    The requests since the last good answer, all of which have failed.
    """
    trail: list[RequestRecord] = []
    for record in reversed(about):
        is_good = record.status == 200 and record.fault in {None, "stale"}
        if is_good and record.endpoint is not Endpoint.TOKEN:
            break
        trail.insert(0, record)
    return trail


def stale(about: list[RequestRecord]) -> bool:
    return bool(about) and about[-1].fault == "stale"


def liveness(gate: Gate, plan: Plan, reason: str, journal: list[RequestRecord]) -> None:
    """
    What is decided well before the deadline is told, unless something final or an outage came between.
    """
    if reason in {"final fault", "outage"} or gate.truth == "pending" or plan.outage:
        return
    if any(record.retry_after_seconds == 86_400 for record in journal):
        return
    expected = "approved" if gate.truth == "Complete" else gate.truth
    if gate.truth == "restarted" and gate.follows:
        expected = "pending"
    # Three of each operation's requests may fail in a row, and an instance that is gone has its minute.
    assert gate.true_since > gate.timeout - 100 or reason == expected, f"{reason}, not {expected}: {gate}"


def requests_are_few(gate: Gate, journal: list[RequestRecord]) -> None:
    """
    A gate alone asks for its instance as the schedule says, anew after each change, and again only for a fresh token.
    """
    changes = {"nothing": 0, "approve twice": 2, "restart and approve": 2}.get(gate.story, 1)
    # Whenever they are seen: the polls are most when the parts between them are of one length.
    polls, waited, part = 1, 0.0, gate.ended / (changes + 1)
    while waited < part:
        waited += max(2.0, waited * 0.05)
        polls += 1
    polls = 1 + polls * (changes + 1)
    gets = [record for record in journal if record.endpoint is Endpoint.GET]
    renewed = [record for record in gets if record.status == 401]
    assert len(gets) - len(renewed) <= polls + len(gate.lineage), f"{len(gets)} requests: {gate}"


class Memory(logging.Handler):
    """
    Every log line of the process.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[Memory]:
    memory = Memory()
    root = logging.getLogger()
    level = root.level
    root.addHandler(memory)
    root.setLevel(logging.DEBUG)
    yield memory
    root.removeHandler(memory)
    root.setLevel(level)


def needles(server: Sandbox) -> list[str]:
    basic = base64.b64encode(f"{server.username}:{server.password}".encode()).decode()
    return [CANARY, server.password, server.access_token, server.client_secret, basic]


# By what is wrong with lists, and how late an approval may be seen for it: five minutes and an interval. A list of
# three in ten is old by chance, and ten of them in a row, each an interval after the one before, are not met.
LISTS: Final[Mapping[str, float]] = {
    "none": 75,
    "whole_seconds": 75,
    "no_dates": 75,
    "other_zone": 75,
    "cached": 435,
    "no_zone": 75,
    "stale": 720,
}


@pytest.mark.parametrize("kind", LISTS)
def test_many_gates(kind: str) -> None:
    """
    Sixty gates share a list of changes where it proves itself, and lists by ids where it does not; either way each
    approval is seen, and each gate costs one GET, but for those that are read because a list told of a change in vain.
    """
    approved: dict[str, float] = {}
    seen: dict[str, float] = {}

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with Client(settings_for(server, 0, "", has_numbers=False)) as client:
            watcher = new_watcher(client)

            async def wait(id_: str) -> None:
                verdict = await watcher.wait(id_, timeout=3600.0)
                assert verdict.is_approved, verdict
                seen[id_] = loop.time()

            waits = [asyncio.ensure_future(wait(id_)) for id_ in ids]
            for number, id_ in enumerate(ids):
                await asyncio.sleep(5 + number)
                server.approve(id_)
                approved[id_] = loop.time()
            await asyncio.gather(*waits)

    with Sandbox() as server:
        ids = [server.start_enrollment() for _ in range(60)]
        if kind != "none":
            of = READS if kind in {"whole_seconds", "no_dates", "no_zone"} else ["list"]
            rule: Rule = {"kind": kind, "endpoints": of, "rate": 0.3 if kind == "stale" else 1}
            lasting = {"rules": [rule], "most_in_a_row": 10_000}
            requests.post(f"{server.url}/sandbox/faults", json=lasting, timeout=60).raise_for_status()
        with asyncio.Runner(loop_factory=lambda: SharedTimeLoop(server)) as runner:
            runner.run(run())
        journal = server.journal()

    assert max(seen[id_] - approved[id_] for id_ in ids) < LISTS[kind]
    gets = [record for record in journal if record.endpoint is Endpoint.GET]
    assert kind == "stale" or len(gets) == 60
    changes = [record for record in journal if record.endpoint is Endpoint.LIST and "LastModified" in record.query]
    assert {"no_dates": 0, "other_zone": 3}.get(kind, len(changes)) == len(changes)
    assert kind == "no_dates" or changes


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_IN_A_TEST))
def test_matrix(first: int, logged: Memory) -> None:
    """
    No wrong verdict, no other exception, no late end, no secret in a text, no request too many: whatever goes wrong.
    """
    dialect = ["10", "11", "25"][first // SEEDS_IN_A_TEST % 3]
    has_numbers = first // SEEDS_IN_A_TEST % 2 == 1
    reasons: Counter[str] = Counter()
    met: Counter[str] = Counter()
    with Sandbox(seed=first, dialect=dialect, statuses="numbers" if has_numbers else "words") as server:
        for seed in range(first, first + SEEDS_IN_A_TEST):
            try:
                plan, gates = play(server, seed, has_numbers=has_numbers)
                journal = server.journal()
                met.update(record.fault or "none" for record in journal)
                for gate in gates:
                    reason = judged(gate, plan, journal[: gate.journal_size])
                    liveness(gate, plan, reason, journal)
                    reasons[reason] += 1
                    texts = [*gate.heard, repr(gate.verdict), *logged.lines]
                    found = [needle for needle in needles(server) if any(needle in text for text in texts)]
                    assert not found
                if len(gates) == 1:
                    requests_are_few(gates[0], journal)
            except Exception as error:
                error.add_note(f"seed {seed}, {list(PLANS)[seed % len(PLANS)]}, dialect {dialect}, {has_numbers=}")
                raise
            logged.lines.clear()
    print(json.dumps({"seeds": first, "verdicts": reasons, "requests": met}))  # noqa: T201 - shown by pytest -rP
    assert sum(reasons.values()) >= SEEDS_IN_A_TEST
