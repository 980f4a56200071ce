"""
How long `kf` takes to start, beside `python -c pass`: ratios of medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from kf_provider.sandbox import Sandbox

from .machine import ratio, side_by_side, table

ROUNDS = 15


def measure(tell: Callable[[str], None]) -> dict[str, object]:
    """
    An empty program, `kf --version`, and a whole `kf wait` for an approved instance on loopback.
    """
    with Sandbox() as server:
        instance_id = server.start_enrollment()
        server.approve(instance_id)
        environment = server.environment()
        commands = {
            "python -c pass": ["-c", "pass"],
            "kf --version": ["-m", "kf_provider", "--version"],
            "kf wait --help": ["-m", "kf_provider", "wait", "--help"],
            "kf wait, approved": ["-m", "kf_provider", "wait", instance_id],
        }
        taken = side_by_side(
            {name: _timed(arguments, environment) for name, arguments in commands.items()}, rounds=ROUNDS
        )
    base = taken["python -c pass"]
    figures = {
        name: {"seconds": round(statistics.median(times), 3), "ratio": round(ratio(times, base), 1)}
        for name, times in taken.items()
    }
    tell(
        table(
            ["start of a command, medians", "seconds", "to python -c pass"],
            [[name, f"{figure['seconds']}", f"{figure['ratio']}"] for name, figure in figures.items()],
        )
    )
    return {"rounds": ROUNDS, "commands": figures}


def _timed(arguments: list[str], environment: dict[str, str]) -> Callable[[], float]:
    def run() -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
        return time.perf_counter() - begun

    return run
