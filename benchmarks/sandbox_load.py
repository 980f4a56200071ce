"""
How much polling the sandbox bears: many clients, many instances, minutes long; errors and memory are counted.

    python benchmarks/sandbox_load.py [--seconds 300] [--clients 200] [--instances 1000] [--interval 1.0]

The sandbox runs in a process of its own, as `python -m kf_provider sandbox`; its memory is read from /proc. The figures
in kf_provider/sandbox/README.md were made with the defaults on 2 cores, which the clients shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

HEADERS = {"x-keyfactor-requested-with": "APIClient"}


@dataclass
class Tally:
    """
    What all clients have seen.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)


async def poll(connection: dict[str, str], paths: list[str], *, until: float, interval: float, tally: Tally) -> None:
    """
    One client, with a connection of its own: read an instance, pause, read another; until the end.
    """
    choose = random.Random()
    # One pool for all clients would measure httpx: it looks at every idle connection for every request.
    async with new_client(connection) as client:
        await asyncio.sleep(choose.random() * interval)
        while time.monotonic() < until:
            before = time.monotonic()
            try:
                response = await client.get(choose.choice(paths))
                tally.outcomes[str(response.status_code)] += 1
            except httpx.HTTPError as exc:
                tally.outcomes[type(exc).__name__] += 1
            took = time.monotonic() - before
            tally.latencies.append(took)
            await asyncio.sleep(max(0.0, interval - took))


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
        print(f"  {samples[-1]:.1f} MiB", file=sys.stderr)
        await asyncio.sleep(10)
    return samples


def resident_mib(process_id: int) -> float:
    """
    VmRSS of a process.
    """
    status = Path(f"/proc/{process_id}/status").read_text()
    kibibytes = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    return int(kibibytes) / 1024


async def load(connection: dict[str, str], process_id: int, options: argparse.Namespace) -> int:
    """
    Start the instances, let the clients loose, and print what came of it; 1 when there was an error.
    """
    tally = Tally()
    paths = []
    async with new_client(connection) as client:
        for n in range(options.instances):
            body = {"subject": f"CN=host{n}.keyexample.com", "approvals": 1}
            started = await client.post("/sandbox/enrollments", json=body)
            paths.append(f"/{connection['api_path']}/Workflow/Instances/{started.json()['instance_id']}")
    until = time.monotonic() + options.seconds
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(watch_memory(process_id, until=until))
        for _ in range(options.clients):
            group.create_task(poll(connection, paths, until=until, interval=options.interval, tally=tally))
    memory = watch.result()
    latencies = sorted(tally.latencies)
    # The journal keeps the latest 20,000 requests: memory is level from the time when it is full.
    level = memory[len(memory) // 3 :]
    figures = {
        "clients": options.clients,
        "instances": options.instances,
        "seconds": options.seconds,
        "requests": len(latencies),
        "requests_per_second": round(len(latencies) / options.seconds, 1),
        "outcomes": dict(tally.outcomes),
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
    print(json.dumps(figures, indent=2))
    return 0 if set(tally.outcomes) == {"200"} else 1


def main() -> int:
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two polls of one client")
    options = parser.parse_args()
    command = [sys.executable, "-m", "kf_provider", "sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            connection = json.loads(sandbox.stdout.readline())
            return asyncio.run(load(connection, sandbox.pid, options))
        finally:
            sandbox.terminate()


if __name__ == "__main__":
    sys.exit(main())
