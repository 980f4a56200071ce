"""
How often a server is asked during a wait, and how late an approval is seen, beside what others do. Virtual time.

Our figures are those of the real Watcher on a virtual clock. Peers in Python run for real, on a clock of ours, in a
venv of their own; peers in Go are their loops, written down here.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from kf_provider.waiting.poller import BATCH_SIZE
from kf_provider.waiting.schedule import poll_interval
from tests.virtual import Fleet

from .machine import table

OURS = "kf_provider"
WAITS = {"5 min": 300.0, "1 h": 3600.0, "8 h": 28_800.0, "3 d": 259_200.0}
GATES = (1, 20, 300, 1000)
GATES_WAIT = 3600.0
SEEDS = range(5)  # both we and google-api-core draw lots
PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class PollTimes:
    """
    When somebody asks during one wait, in seconds from its beginning; once for each drawing of lots.
    """

    name: str
    source: str
    polls: Sequence[Sequence[float]]
    requests_per_poll: int = 1

    def requests(self, approved_at: float) -> float:
        """
        How many requests it takes to see an approval at that time.
        """
        return self.requests_per_poll * fmean(bisect_left(polls, approved_at) + 1 for polls in self.polls)

    def delays(self, until: float) -> tuple[float, float]:
        """
        How late an approval is seen, on the average over all times and at the worst.
        """
        means, worst = [], 0.0
        for polls in self.polls:
            gaps = [(min(later, until) - earlier, later - earlier) for earlier, later in pairwise(polls)]
            gaps = [(part, gap) for part, gap in gaps if part > 0]
            # An approval in a gap of g seconds waits for its end: g/2 on the average, over the part that counts.
            means.append(sum(part * (gap - part / 2) for part, gap in gaps) / until)
            worst = max(worst, *(gap for _, gap in gaps))
        return fmean(means), worst


def fleet_of(approved_at: Sequence[float]) -> Fleet:
    """
    A server with an instance for each time, approved then.
    """
    fleet = Fleet(len(approved_at))
    fleet.approved_at = dict(zip(fleet.ids, approved_at, strict=True))
    return fleet


def wait_for_all(fleet: Fleet, *, seed: int, start_within: float = 0.0) -> list[float]:
    """
    One gate for each instance, started in turn within some seconds; how late each approval is seen.
    """
    ends = fleet.wait_for_all(math.inf, random=random.Random(seed).random, start_within=start_within)
    assert all(is_approved for is_approved, _ in ends.values())
    return [seen_at - fleet.approved_at[instance_id] for instance_id, (_, seen_at) in ends.items()]


def our_polls(until: float) -> PollTimes:
    """
    When the watcher asks about one instance until it is approved at `until`.
    """
    runs = []
    for seed in SEEDS:
        fleet = fleet_of([until])
        wait_for_all(fleet, seed=seed)
        assert not fleet.listed  # a single wait reads its instance
        runs.append([at for at, _ in fleet.asked])
    return PollTimes(OURS, "the Watcher itself", runs)


def _loop(intervals: Iterator[float], until: float) -> list[float]:
    polls = [0.0]
    while polls[-1] < until:
        polls.append(polls[-1] + next(intervals))
    return polls


def _growing(first: float, factor: float, longest: float) -> Iterator[float]:
    while True:
        yield min(first, longest)
        first *= factor


def terraform_polls(until: float) -> PollTimes:
    """
    StateChangeConf.WaitForStateContext of terraform-plugin-sdk v2 with neither MinTimeout nor PollInterval.
    """

    def intervals() -> Iterator[float]:
        yield 0.0  # the second poll follows the first at once
        yield from _growing(0.2, 2, 10)

    return PollTimes("terraform-plugin-sdk helper/retry", "its loop in Go, written down", [_loop(intervals(), until)])


def keyfactor_polls(until: float) -> PollTimes:
    """
    The certificate resource of Keyfactor's Terraform provider v2.2.0: two lists a poll, for each certificate.
    """
    return PollTimes(
        "Keyfactor's Terraform provider", "its loop in Go, written down", [_loop(_growing(1, 2, 30), until)], 2
    )


def _documented(name: str, until: float) -> list[float]:
    if name == "google-api-core":
        rng = random.Random(1)
        return _loop((rng.uniform(0, longest) for longest in _growing(1, 1.5, 20)), until)
    seconds = {"azure-core": 30.0, "vcert": 2.0}[name]
    return _loop(_growing(seconds, 1, seconds), until)


def peers_python() -> Path | None:
    """
    The interpreter of the peers' venv, made once in the user's cache; None where they cannot be installed.
    """
    requirements = PEERS / "requirements.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kf-provider"
    key = sha256(f"{sys.version_info[:2]}{requirements.read_text()}".encode()).hexdigest()[:12]
    venv = cache / f"benchmark-peers-{key}"
    python = venv / "bin" / "python"
    if not (venv / "ready").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True, capture_output=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
            subprocess.run(install, check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as failed:
            print(f"the peers in Python cannot be installed: {failed}", file=sys.stderr)
            return None
        (venv / "ready").touch()
    return python


def python_polls(until: float, python: Path | None) -> list[PollTimes]:
    """
    When the peers in Python ask; by their documentation where they cannot be run.
    """
    if python is None:
        return [
            PollTimes(name, "its documentation; it could not be installed here", [_documented(name, until)])
            for name in ("google-api-core", "azure-core", "vcert")
        ]
    polls: dict[str, list[list[float]]] = {}
    for seed in SEEDS:
        # -P: the folder of the script holds nothing that a peer should import; elsewhere: nor does the checkout.
        command = [str(python), "-P", str(PEERS / "poll_times.py"), str(until), str(seed)]
        run = subprocess.run(command, cwd=tempfile.gettempdir(), check=True, stdout=subprocess.PIPE, text=True)
        for name, times in json.loads(run.stdout).items():
            polls.setdefault(name, []).append(times)
    return [PollTimes(name, "run on a clock of ours", runs) for name, runs in polls.items()]


def pollers(until: float, python: Path | None) -> list[PollTimes]:
    """
    All, ours first.
    """
    return [our_polls(until), terraform_polls(until), *python_polls(until, python), keyfactor_polls(until)]


def measure_waits(python: Path | None) -> list[dict[str, object]]:
    """
    Requests of one wait, and how late an approval is seen, for each length of wait.
    """
    figures: list[dict[str, object]] = []
    for wait, seconds in WAITS.items():
        for poller in pollers(seconds, python):
            mean, worst = poller.delays(seconds)
            figures.append(
                {
                    "wait": wait,
                    "poller": poller.name,
                    "source": poller.source,
                    "requests": round(poller.requests(seconds)),
                    "delay_mean_seconds": round(mean, 2),
                    "delay_worst_seconds": round(worst, 1),
                }
            )
    return figures


def measure_gates(python: Path | None) -> list[dict[str, object]]:
    """
    Requests of many waits that begin together, each approved at some time within the hour.
    """
    figures: list[dict[str, object]] = []
    single = pollers(GATES_WAIT, python)
    for count in GATES:
        approved_at = [random.Random(count + n).uniform(1, GATES_WAIT) for n in range(count)]
        fleet = fleet_of(approved_at)
        delays = wait_for_all(fleet, seed=1)
        lists, reads = _by_tick(at for at, _ in fleet.listed), _by_tick(at for at, _ in fleet.asked)
        first = reads.pop(min(reads))  # each is read once, for its signals
        if count > 1:
            _check(fleet, delays, lists, reads)
        by_ids = fleet_of(approved_at)
        by_ids.changes = "refused"
        wait_for_all(by_ids, seed=1)
        spread = fleet_of(approved_at)
        wait_for_all(spread, seed=1, start_within=count * SECONDS_BETWEEN_STARTS)
        figures.append(
            {
                "gates": count,
                "requests": len(fleet.listed) + len(fleet.asked),
                "requests_without_changes": len(by_ids.listed) + len(by_ids.asked),
                "requests_when_started_in_turn": len(spread.listed) + len(spread.asked),
                "first_polls": first,
                "lists": len(fleet.listed),
                "most_lists_in_a_tick": max(lists.values(), default=0),
                "most_in_a_tick": max((lists[tick] + reads[tick] for tick in {*lists, *reads}), default=0),
                "delay_mean_seconds": round(fmean(delays), 2),
                "delay_worst_seconds": round(max(delays), 1),
                "requests_of_others": {
                    poller.name: round(sum(poller.requests(at) for at in approved_at))
                    for poller in single
                    if poller.name != OURS
                },
            }
        )
    return figures


SECONDS_BETWEEN_STARTS = 0.02  # about what the SDK takes to register a gate


def measure_changes() -> list[dict[str, object]]:
    """
    How late the second of two approvals is seen, some time after the first: by intervals since that, and since the
    start of the wait as it was before.
    """
    figures: list[dict[str, object]] = []
    for after in (10.0, 60.0, 600.0):
        delays, delays_from_start, requests, requests_from_start = [], [], 0, 0
        for number in range(200):
            lots = random.Random(number)
            changed_at = lots.uniform(60, GATES_WAIT)
            approved_at = changed_at + after * lots.uniform(0.5, 1.5)
            fleet = fleet_of([approved_at])
            fleet.changed_at = {fleet.ids[0]: changed_at}
            delays += wait_for_all(fleet, seed=number)
            requests += len(fleet.asked)
            jitter = random.Random(number).random()
            polls = [0.0]
            while polls[-1] < approved_at:
                polls.append(polls[-1] + poll_interval(polls[-1], jitter=jitter))
            delays_from_start.append(polls[-1] - approved_at)
            requests_from_start += len(polls)
        figures.append(
            {
                "seconds_after_the_first": after,
                "delay_mean_seconds": round(fmean(delays), 2),
                "delay_mean_seconds_from_start": round(fmean(delays_from_start), 2),
                "requests_ratio": round(requests / requests_from_start, 2),
            }
        )
    return figures


def _changes_table(figures: Sequence[dict[str, object]]) -> str:
    head = "The second of two approvals: mean delay in seconds by the time after the first (virtual time)"
    heads = ["seconds after the first", "since the change", "since the start", "requests, ratio"]
    return f"{head}\n\n{table(heads, [[*row.values()] for row in figures])}"


def _by_tick(times: Iterable[float]) -> Counter[float]:
    return Counter(round(at, 1) for at in times)


def _check(fleet: Fleet, delays: Sequence[float], lists: Counter[float], reads: Counter[float]) -> None:
    """
    A tick costs a list request for each 50 that wait, and a read for each change: no clock is needed to hold that.
    """
    seen_at = [at + delay for at, delay in zip(fleet.approved_at.values(), delays, strict=True)]
    changes = _by_tick(seen_at)
    for tick in {*lists, *reads}:
        waiting = sum(seen > tick - 0.2 for seen in seen_at)
        # Of a page of one, the instance is read instead; a list of changes that is cut off is followed by those of ids.
        allowed = math.ceil(waiting / BATCH_SIZE) + changes[tick] + 1
        sent = lists[tick] + reads[tick]
        assert sent <= allowed, f"{sent} requests at {tick} s, when {waiting} wait and {changes[tick]} have changed"


def measure(report: Callable[[str], None]) -> dict[str, object]:
    """
    All three tables.
    """
    python = peers_python()
    waits, gates, changes = measure_waits(python), measure_gates(python), measure_changes()
    report(_waits_table(waits))
    report(_gates_table(gates))
    report(_changes_table(changes))
    return {"waits": waits, "gates": gates, "changes": changes}


def _waits_table(figures: Sequence[dict[str, object]]) -> str:
    names = list(dict.fromkeys((str(row["poller"]), str(row["source"])) for row in figures))
    cell = "{requests:,} · {delay_mean_seconds:.1f} · {delay_worst_seconds:.0f}"
    cells = {(row["wait"], row["poller"]): cell.format(**row) for row in figures}
    rows = [[name, *(cells[wait, name] for wait in WAITS), source] for name, source in names]
    head = "Requests of one wait · mean and · worst delay of an approval within it, in seconds (virtual time)"
    return f"{head}\n\n{table(['', *WAITS, 'how it was found'], rows)}"


def _gates_table(figures: Sequence[dict[str, object]]) -> str:
    rows: list[list[object]] = []
    for row in figures:
        others = row["requests_of_others"]
        assert isinstance(others, dict)
        columns = (
            "gates",
            "requests",
            "requests_without_changes",
            "requests_when_started_in_turn",
            "first_polls",
            "most_lists_in_a_tick",
            "most_in_a_tick",
            "delay_mean_seconds",
            "delay_worst_seconds",
        )
        rows.append([*(row[column] for column in columns), *others.values()])
        names = [name.partition(" ")[0] for name in others]
    heads = [
        "gates",
        "requests",
        "by ids alone",
        "started in turn",
        "first polls",
        "lists/tick",
        "most/tick",
        "mean s",
        "worst s",
    ]
    title = "Requests of many gates that begin together, each approved at some time within an hour (virtual time)"
    return f"{title}\n\n{table([*heads, *names], rows)}"
