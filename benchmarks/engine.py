"""
What gates and reads cost on the real engine: time, memory and requests of whole runs of the CLI.

Runs of one kind are compared with runs of another, taken in turns; each has a stack of its own and new instances on one
sandbox. Times are ratios of medians; requests are counted.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from kf_provider.policy import Graph, Node, rules
from kf_provider.policy.graph import RECORD_TYPE
from kf_provider.sandbox import Sandbox
from tests.engine.stack import PROJECT, Stack, cli_environment

from .machine import ROOT, ratio, side_by_side, table
from .page import large_table, unchanged_table

GATES = 300
PENDING_SECONDS = 30.0
ROUNDS = 3
UNCHANGED = (1, 100, 300)
UNCHANGED_ROUNDS = 5
MANY_GATES = 1000
READS = 1000
IDS = 10
WALL_TARGET = 1.1
POLICED = 500
JUDGED = 50_000
LONGEST_RUN = 1200.0

# Two resources that have nothing to do with the gates: one declared before them, one after.
PROGRAM = """
import atexit, json
from pathlib import Path

def note_memory():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path("peak").write_text(line.split()[1])

atexit.register(note_memory)
ids = json.loads(Path("ids.json").read_text())
pulumi.Stash("before", input="x")
{body}
pulumi.Stash("after", input="x")
"""
WITH_GATES = """
for number, instance_id in enumerate(ids):
    kf.WorkflowApproval(f"gate{number}", instance_id)
"""
WITH_PLAIN = """
from benchmarks.plain import Plain
for number, instance_id in enumerate(ids):
    Plain(f"plain{number}", instance_id)
"""
WITH_READS = """
for number, instance_id in enumerate(ids):
    kf.WorkflowInstance(f"read{number}", instance_id)
"""
WITH_FUNCTIONS = f"""
statuses = [kf.get_workflow_instance_output(instance_id).status for instance_id in ids * {READS // IDS}]
pulumi.export("pending", pulumi.Output.all(*statuses).apply(lambda known: known.count("Suspended")))
"""

UP = ("up", "--yes", "--skip-preview", "--suppress-progress")

PACK = """
from pulumi_policy import PolicyPack, StackValidationPolicy
from kf_provider import policy

PolicyPack("{name}", policies={policies})
"""
EMPTY = '[StackValidationPolicy("empty", "Nothing.", lambda args, report: None)]'
WITH_RESOURCES = f"""
for number in range({POLICED}):
    pulumi.Stash(f"resource{{number}}", input="x")
"""


@dataclass(frozen=True)
class Measured:
    """
    One `pulumi up`.
    """

    seconds: float
    before_seconds: float  # from the start of the CLI until the resource that is declared before the gates was created
    after_seconds: float
    peak_mib: float  # of the process that runs the program
    requests: Counter[str]
    resources: Counter[str]
    outputs: dict[str, object]


class Bench:
    """
    Stacks in one temporary folder, with one sandbox.
    """

    def __init__(self, folder: Path, cli: Path, server: Sandbox) -> None:
        self._folder = folder
        self._cli = cli
        self._server = server
        self._template = folder / "template"
        (self._template / "backend").mkdir(parents=True)
        (self._template / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        subprocess.run(
            [cli / "pulumi", "stack", "init", "test", "--non-interactive"],
            cwd=self._template,
            env=cli_environment(cli, self._template),
            check=True,
            capture_output=True,
        )

    def up(
        self,
        body: str,
        *,
        instances: int,
        approved: bool = False,
        pending_seconds: float | None = None,
        flags: Sequence[str] = (),
    ) -> Measured:
        """
        Run a program once; its instances are approved before, each some time after its first poll, or never.
        """
        self._server.reset()
        ids = self._enroll(instances)
        if approved:
            self._approve(ids)
        stack = self._stack(body, ids)
        began = time.time()
        process = stack.start(*UP, *flags)
        if pending_seconds is not None:
            self._approve_after_first_poll(set(ids), pending_seconds, stack, process)
        run = stack.end(process, within=LONGEST_RUN)
        assert run.code == 0, run
        created = {name: _created(stack, name) - began for name in ("before", "after")}
        kinds = Counter(str(resource["type"]).rpartition(":")[2] for resource in stack.resources)
        measured = Measured(
            seconds=run.seconds,
            before_seconds=created["before"],
            after_seconds=created["after"],
            peak_mib=int((stack.folder / "peak").read_text()) / 1024,
            requests=Counter(str(record.endpoint) for record in self._server.journal()),
            resources=kinds,
            outputs=stack.outputs,
        )
        shutil.rmtree(stack.folder.parent)
        return measured

    def unchanged(self, bodies: Mapping[tuple[str, int], str], *, rounds: int) -> dict[tuple[str, int], list[float]]:
        """
        The seconds of updates that change nothing: programs by name and number of approved instances, taken in turns.
        """
        self._server.reset()
        stacks = {}
        for (name, count), body in bodies.items():
            ids = self._enroll(count)
            self._approve(ids)
            stacks[name, count] = self._stack(body, ids)

        def up(stack: Stack) -> float:
            run = stack.end(stack.start(*UP), within=LONGEST_RUN)
            assert run.code == 0, run
            return run.seconds

        for stack in stacks.values():
            up(stack)
        # The second one is not measured either: the first update left bytecode and caches cold.
        taken = side_by_side({key: partial(up, stack) for key, stack in stacks.items()}, rounds=rounds)
        for stack in stacks.values():
            assert "created" not in stack.runs[-1].text, stack.runs[-1]
            shutil.rmtree(stack.folder.parent)
        return taken

    def pack(self, name: str, policies: str) -> tuple[str, str]:
        """
        A policy pack, as the flags of the CLI.
        """
        folder = self._folder / name
        folder.mkdir()
        (folder / "PulumiPolicy.yaml").write_text("runtime: python\n")
        (folder / "__main__.py").write_text(PACK.format(name=name, policies=policies))
        run = f"#!/bin/sh\ncd '{folder}' && exec '{sys.executable}' -u -m pulumi.policy \"$1\" .\n"
        (folder / "run").write_text(run)
        (folder / "run").chmod(0o755)
        return "--policy-pack", str(folder / "run")

    def _enroll(self, instances: int) -> list[str]:
        return [self._server.start_enrollment(subject=f"CN=host{number}.example.com") for number in range(instances)]

    def _stack(self, body: str, ids: Sequence[str]) -> Stack:
        folder = Path(tempfile.mkdtemp(dir=self._folder)) / "stack"
        shutil.copytree(self._template, folder)
        environment = {**cli_environment(self._cli, folder), **self._server.environment(), "PYTHONPATH": str(ROOT)}
        del environment["PULUMI_DEBUG_GRPC"]  # writes every call of every plugin to a file
        stack = Stack(folder, str(self._cli / "pulumi"), environment)
        stack.write(PROGRAM.format(body=body))
        (folder / "ids.json").write_text(json.dumps(ids))
        return stack

    def _approve_after_first_poll(
        self, pending: set[str], seconds: float, stack: Stack, process: subprocess.Popen[str]
    ) -> None:
        seen: dict[str, float] = {}
        while pending:
            assert process.poll() is None, stack.output()
            now = time.monotonic()
            for record in self._server.journal():
                if record.instance_id is not None:
                    seen.setdefault(str(record.instance_id), now)
            due = {instance_id for instance_id in pending if now >= seen.get(instance_id, now) + seconds}
            self._approve(due)
            pending -= due
            time.sleep(0.1)

    def _approve(self, ids: Iterable[str]) -> None:
        for instance_id in ids:
            self._server.approve(instance_id)


def _created(stack: Stack, name: str) -> float:
    resource = stack.resource(name)
    assert resource is not None
    return datetime.fromisoformat(resource["created"]).timestamp()


def measure_gates(bench: Bench) -> dict[str, object]:
    """
    300 gates that pend for 30 s beside the same program with nothing to wait for, beside as many plain components with
    a dynamic resource each, and beside the program without them.
    """
    kinds: dict[str, Callable[[], Measured]] = {
        "nothing": lambda: bench.up("", instances=0),
        "plain components": lambda: bench.up(WITH_PLAIN, instances=GATES),
        "gates, approved before": lambda: bench.up(WITH_GATES, instances=GATES, approved=True),
        "gates, pending for 30 s": lambda: bench.up(WITH_GATES, instances=GATES, pending_seconds=PENDING_SECONDS),
    }
    runs: dict[str, list[Measured]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, run in kinds.items():
            runs[name].append(run())
    nothing, plain, approved, pending = runs.values()
    for measured in approved + pending:
        assert measured.resources["ApprovalRecord"] == GATES
    return {
        "gates": GATES,
        "pending_seconds": PENDING_SECONDS,
        "rounds": ROUNDS,
        "medians": {name: _medians(taken) for name, taken in runs.items()},
        # At most 30 s and 10 % more than the same program with nothing to wait for.
        "wall_of_allowed": ratio(
            [run.seconds for run in pending], [(run.seconds + PENDING_SECONDS) * WALL_TARGET for run in approved]
        ),
        "unrelated_pending_to_approved": ratio(
            [run.after_seconds for run in pending], [run.after_seconds for run in approved]
        ),
        "unrelated_pending_to_plain": ratio(
            [run.after_seconds for run in pending], [run.after_seconds for run in plain]
        ),
        "memory_to_plain": ratio([run.peak_mib for run in pending], [run.peak_mib for run in plain]),
        "memory_to_nothing": ratio([run.peak_mib for run in pending], [run.peak_mib for run in nothing]),
    }


def _medians(runs: Sequence[Measured]) -> dict[str, object]:
    return {
        "seconds": _median(run.seconds for run in runs),
        "unrelated_before_seconds": _median(run.before_seconds for run in runs),
        "unrelated_after_seconds": _median(run.after_seconds for run in runs),
        "peak_mib": _median(run.peak_mib for run in runs),
        "requests": dict(runs[-1].requests),
    }


def measure_unchanged(bench: Bench) -> dict[str, object]:
    """
    An `up` that changes nothing, with recorded gates and with as many plain components; its fixed part and what each
    gate adds are the line through the medians.
    """
    kinds = {"plain components": WITH_PLAIN, "gates": WITH_GATES}
    taken = bench.unchanged(
        {(name, count): body for count in UNCHANGED for name, body in kinds.items()}, rounds=UNCHANGED_ROUNDS
    )
    figures: dict[str, dict[str, Any]] = {}
    for name in kinds:
        medians = [statistics.median(taken[name, count]) for count in UNCHANGED]
        line = statistics.linear_regression(UNCHANGED, medians)
        figures[name] = {
            "seconds": {str(count): round(seconds, 2) for count, seconds in zip(UNCHANGED, medians, strict=True)},
            "fixed_seconds": round(line.intercept, 2),
            "each_ms": round(line.slope * 1000, 1),
        }
    plain, gates = figures.values()
    return {
        "rounds": UNCHANGED_ROUNDS,
        "medians": figures,
        "ratios": {str(count): ratio(taken["gates", count], taken["plain components", count]) for count in UNCHANGED},
        "fixed_ratio": round(gates["fixed_seconds"] / plain["fixed_seconds"], 2),
        "each_ratio": round(gates["each_ms"] / plain["each_ms"], 2),
    }


def measure_many(bench: Bench) -> dict[str, dict[str, object]]:
    """
    1,000 gates that pend for 30 s, and as many plain components.
    """
    plain = bench.up(WITH_PLAIN, instances=MANY_GATES)
    gates = bench.up(WITH_GATES, instances=MANY_GATES, pending_seconds=PENDING_SECONDS)
    assert gates.resources["ApprovalRecord"] == MANY_GATES
    return {"plain components": _large(MANY_GATES, plain), "gates, pending for 30 s": _large(MANY_GATES, gates)}


def measure_reads(bench: Bench) -> dict[str, dict[str, object]]:
    """
    1,000 resources that read 1,000 instances, and 1,000 functions for 10.
    """
    reads = bench.up(WITH_READS, instances=READS)
    assert reads.resources["WorkflowInstance"] == READS
    functions = bench.up(WITH_FUNCTIONS, instances=IDS)
    assert functions.outputs["pending"] == READS
    assert functions.requests.total() == IDS, functions.requests
    return {"reads": _large(READS, reads), f"functions for {IDS} ids": _large(READS, functions)}


def measure_policies(bench: Bench) -> dict[str, object]:
    """
    500 resources under the recommended policies beside an empty pack, and the rules alone on 50,000 resources.
    """
    flags = {"empty": bench.pack("empty", EMPTY), "recommended": bench.pack("recommended", "policy.recommended()")}
    runs: dict[str, list[float]] = {name: [] for name in flags}
    for _ in range(ROUNDS):
        for name, flag in flags.items():
            runs[name].append(bench.up(WITH_RESOURCES, instances=0, flags=flag).seconds)
    return {
        "resources": POLICED,
        "seconds": {name: _median(taken) for name, taken in runs.items()},
        "to_empty": ratio(runs["recommended"], runs["empty"]),
        "rules_resources": JUDGED,
        "rules_seconds": _rules_seconds(),
    }


def _rules_seconds() -> float:
    certificate = "tls:index/selfSignedCert:SelfSignedCert"
    gated = JUDGED // 10
    others = JUDGED - 2 * gated
    nodes = [Node(str(one), "x:index:X", parent="0", dependencies=(str(one + 1),)) for one in range(others)]
    nodes += [Node(f"r{one}", RECORD_TYPE, properties={"instance_id": str(one)}) for one in range(gated)]
    nodes += [Node(f"c{one}", certificate, dependencies=(f"r{one}", str(one))) for one in range(gated)]
    began = time.perf_counter()
    found = list(rules.certificates_need_approval(Graph(nodes, is_deployed=True)))
    assert not found
    return round(time.perf_counter() - began, 2)


def _large(count: int, run: Measured) -> dict[str, object]:
    return {
        "count": count,
        "seconds": round(run.seconds, 1),
        "peak_mib": round(run.peak_mib),
        "requests": dict(run.requests),
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 1)


def _cli_folder() -> Path:
    folder = os.environ.get("KF_PULUMI_BIN")
    if folder is None:
        finder = [sys.executable, str(ROOT / "tools" / "pulumi" / "find.py")]
        folder = subprocess.run(finder, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return Path(folder)


def measure(report: Callable[[str], None]) -> dict[str, object]:
    """
    All of it: twenty minutes.
    """
    with tempfile.TemporaryDirectory(prefix="kf-bench-") as folder, Sandbox() as server:
        bench = Bench(Path(folder), _cli_folder(), server)
        gates = measure_gates(bench)
        report(_gates_tables(gates))
        unchanged = measure_unchanged(bench)
        report(f"The same update again, medians of {UNCHANGED_ROUNDS} runs\n\n{unchanged_table(unchanged)}")
        large = {**measure_reads(bench), **measure_many(bench)}
        report(f"Large programs\n\n{large_table(large)}")
        policies = measure_policies(bench)
        report(_policies_table(policies))
    return {"gates": gates, "unchanged": unchanged, "large": large, "policies": policies}


def _gates_tables(figures: dict[str, Any]) -> str:
    heads = ["program", "seconds", "unrelated, before", "unrelated, after", "peak MiB", "requests"]
    rows = [[name, *list(run.values())[:-1], sum(run["requests"].values())] for name, run in figures["medians"].items()]
    ratios = [
        ["wall time, to that of the same gates approved before + 30 s + 10 %", figures["wall_of_allowed"]],
        ["unrelated resource, to that beside gates approved before", figures["unrelated_pending_to_approved"]],
        ["unrelated resource, to that beside plain components", figures["unrelated_pending_to_plain"]],
        ["memory of the program, to that with plain components", figures["memory_to_plain"]],
        ["memory of the program, to that of an empty one", figures["memory_to_nothing"]],
    ]
    title = (
        f"{figures['gates']} gates on the engine, medians of {figures['rounds']} runs (unrelated: seconds until a"
        " resource without a gate is created, declared before and after the gates)"
    )
    return f"{title}\n\n{table(heads, rows)}\n\n{table(['of 300 pending gates', 'ratio'], ratios)}"


def _policies_table(figures: dict[str, Any]) -> str:
    rows = [[f"{figures['resources']} resources, {name} pack, s", taken] for name, taken in figures["seconds"].items()]
    rows.append(["recommended to empty", figures["to_empty"]])
    rows.append(
        [f"certificates-need-approval on {figures['rules_resources']:,} resources, s", figures["rules_seconds"]]
    )
    return f"Policy packs, medians of {ROUNDS} runs\n\n" + table(["", "figure"], rows)
