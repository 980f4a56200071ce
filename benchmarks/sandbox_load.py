"""
How much polling the sandbox bears: many clients, many instances, minutes long; errors and memory are counted.

The sandbox runs in a process of its own, as `python -m kf_provider sandbox`; its memory is read from /proc.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from .machine import table

SECONDS = 300.0
CLIENTS = 200
INSTANCES = 1000
INTERVAL = 1.0  # seconds between two polls of one client
HEADERS = {"x-keyfactor-requested-with": "APIClient"}


@dataclass
class Tally:
    """
    What all clients have seen.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)


async def poll(connection: dict[str, str], paths: list[str], *, until: float, tally: Tally) -> None:
    """
    One client, with a connection of its own: read an instance, pause, read another; until the end.
    """
    choose = random.Random()
    # One pool for all clients would measure httpx: it looks at every idle connection for every request.
    async with new_client(connection) as client:
        await asyncio.sleep(choose.random() * INTERVAL)
        while time.monotonic() < until:
            before = time.monotonic()
            try:
                response = await client.get(choose.choice(paths))
                tally.outcomes[str(response.status_code)] += 1
            except httpx.HTTPError as exc:
                tally.outcomes[type(exc).__name__] += 1
            took = time.monotonic() - before
            tally.latencies.append(took)
            await asyncio.sleep(max(0.0, INTERVAL - took))


def new_client(connection: dict[str, str]) -> httpx.AsyncClient:
    """
    A client of the sandbox; it speaks plain http, so it loads no certificate authorities.
    """
    return httpx.AsyncClient(
        base_url=connection["url"],
        auth=(connection["username"], connection["password"]),
        headers=HEADERS,
        timeout=30,
        trust_env=False,
        verify=False,
    )


async def watch_memory(process_id: int, *, until: float) -> list[float]:
    """
    The sandbox's resident memory in MiB, every ten seconds.
    """
    samples = []
    while time.monotonic() < until:
        samples.append(resident_mib(process_id))
        await asyncio.sleep(10)
    return samples


def resident_mib(process_id: int) -> float:
    """
    VmRSS of a process.
    """
    status = Path(f"/proc/{process_id}/status").read_text()
    kibibytes = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    return int(kibibytes) / 1024


async def load(connection: dict[str, str], process_id: int) -> dict[str, Any]:
    """
    Start the instances, let the clients loose, and tell what came of it.
    """
    tally = Tally()
    paths = []
    async with new_client(connection) as client:
        for n in range(INSTANCES):
            body = {"subject": f"CN=host{n}.keyexample.com", "approvals": 1}
            started = await client.post("/sandbox/enrollments", json=body)
            paths.append(f"/{connection['api_path']}/Workflow/Instances/{started.json()['instance_id']}")
    until = time.monotonic() + SECONDS
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(watch_memory(process_id, until=until))
        for _ in range(CLIENTS):
            group.create_task(poll(connection, paths, until=until, tally=tally))
    memory = watch.result()
    latencies = sorted(tally.latencies)
    # The journal keeps the latest 20,000 requests: memory is level from the time when it is full.
    level = memory[len(memory) // 3 :]
    assert set(tally.outcomes) == {"200"}, tally.outcomes
    return {
        "clients": CLIENTS,
        "instances": INSTANCES,
        "seconds": SECONDS,
        "requests": len(latencies),
        "requests_per_second": round(len(latencies) / SECONDS, 1),
        "latency_ms": {
            "median": round(1000 * statistics.median(latencies), 1),
            "p99": round(1000 * latencies[int(len(latencies) * 0.99)], 1),
            "longest": round(1000 * latencies[-1], 1),
        },
        "memory_mib": {
            "first": round(memory[0], 1),
            "after_a_third": round(level[0], 1),
            "last": round(level[-1], 1),
            "highest": round(max(memory), 1),
        },
    }


def measure(report: Callable[[str], None]) -> dict[str, object]:
    """
    Five minutes of it.
    """
    command = [sys.executable, "-m", "kf_provider", "sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            figures = asyncio.run(load(json.loads(sandbox.stdout.readline()), sandbox.pid))
        finally:
            sandbox.terminate()
    title = f"The sandbox under {CLIENTS} clients that read one of {INSTANCES:,} instances each second"
    latency, memory = figures["latency_ms"], figures["memory_mib"]
    heads = ["requests", *(f"{name}, ms" for name in latency), *(f"MiB, {name}" for name in memory)]
    report(f"{title}\n\n{table(heads, [[figures['requests'], *latency.values(), *memory.values()]])}")
    return figures
