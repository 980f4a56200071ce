"""
What a figure belongs to, and how two things are measured beside each other.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[1]
Name = TypeVar("Name")


def description() -> dict[str, object]:
    """
    The machine, the versions and the day.
    """
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory) / 1024**2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("kf-provider", "pulumi", "requests", "pydantic")},
    }


def current_commit() -> str | None:
    """
    What is measured; None outside a git checkout.
    """
    ask_git = ["git", "rev-parse", "--short", "HEAD"]
    run = subprocess.run(ask_git, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return run.stdout.strip() or None


def side_by_side(contestants: Mapping[Name, Callable[[], float]], *, rounds: int) -> dict[Name, list[float]]:
    """
    What each measures, taken in turns, so that a slow moment of the machine meets all of them; once unmeasured first.
    """
    for measure in contestants.values():
        measure()
    taken: dict[Name, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 else reversed(names):
            taken[name].append(contestants[name]())
    return taken


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """
    The ratio of the medians.
    """
    return round(statistics.median(these) / statistics.median(those), 3)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """
    A table in Markdown.
    """
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(heads), *texts]) for column in range(len(heads))]
    lines = [list(heads), ["-" * width for width in widths], *texts]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _text(cell: object) -> str:
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.1f}" if cell >= 10 else f"{cell:,.2f}".rstrip("0").rstrip(".")
    return str(cell)
