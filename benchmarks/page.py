"""
Write the figures of the newest whole run into docs/figures.md and README.md, between their markers.

`python -m benchmarks.page` measures nothing: `make pages` runs it, and `make bench` at its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from .machine import ROOT, table

PAGES: Final = (ROOT / "docs" / "figures.md", ROOT / "README.md")
RESULTS: Final = ROOT / "benchmarks" / "results"
WHOLE: Final = {"schedules", "client", "commands", "engine", "sandbox"}
TERRAFORM: Final = "terraform-plugin-sdk helper/retry"

Figures = Mapping[str, Any]


def newest() -> Figures:
    """
    What the last run measured of which no part is missing.
    """
    for path in sorted(RESULTS.glob("*.json"), reverse=True):
        figures: dict[str, Any] = json.loads(path.read_text())
        if figures.keys() >= WHOLE:
            return figures
    raise SystemExit(f"no file in {RESULTS} has all of {', '.join(sorted(WHOLE))}: run `make bench`")


def filled(text: str, figures: Figures) -> str:
    """
    A page with these figures between its markers.
    """

    def block(found: re.Match[str]) -> str:
        return f"<!-- figures: {found[1]} -->\n\n{BLOCKS[found[1]](figures)}\n\n<!-- end -->"

    return re.sub(r"<!-- figures: (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def write() -> None:
    """
    Both pages.
    """
    figures = newest()
    for page in PAGES:
        page.write_text(filled(page.read_text(), figures))


def _machine(figures: Figures) -> str:
    machine = figures["engine"]["machine"]
    return (
        f"These are of {machine['date']}, {machine['cores']} cores of an {machine['cpu']}, Python {machine['python']}"
        f" and the SDK pulumi {machine['pulumi']}."
    )


def _waits(figures: Figures) -> str:
    rows = figures["schedules"]["waits"]
    waits = list(dict.fromkeys(row["wait"] for row in rows))
    cell = "{requests:,} · {delay_mean_seconds:.1f} · {delay_worst_seconds:.0f}"
    cells = {(row["poller"], row["wait"]): cell.format(**row) for row in rows}
    return table(
        ["", *waits],
        [[name, *(cells[name, wait] for wait in waits)] for name in dict.fromkeys(one for one, _ in cells)],
    )


def _gates(figures: Figures) -> str:
    rows = figures["schedules"]["gates"]
    lines = {
        "requests": [row["requests"] for row in rows],
        "of them one for each instance, at the start": [row["first_polls"] for row in rows],
        "requests where no list of changes is believed": [row["requests_without_changes"] for row in rows],
        **{name: [row["requests_of_others"][name] for row in rows] for name in rows[0]["requests_of_others"]},
    }
    heads = ["gates, each approved within an hour", *(f"{row['gates']:,}" for row in rows)]
    return table(heads, [[name, *line] for name, line in lines.items()])


def _changes(figures: Figures) -> str:
    rows = figures["schedules"]["changes"]
    lines = {
        "its mean delay, in seconds": "delay_mean_seconds",
        "the same with intervals since the start of the wait": "delay_mean_seconds_from_start",
        "requests, times as many as with those": "requests_ratio",
    }
    heads = [
        "the second of two approvals, after the first",
        *(f"{row['seconds_after_the_first']:.0f} s" for row in rows),
    ]
    return table(heads, [[name, *(row[key] for row in rows)] for name, key in lines.items()])


def unchanged_table(unchanged: Figures) -> str:
    """
    Updates that change nothing; the bench shows it too.
    """
    heads = ["an `up` that changes nothing, seconds", *unchanged["ratios"], "fixed part", "each, ms"]
    rows = [
        [name, *run["seconds"].values(), run["fixed_seconds"], run["each_ms"]]
        for name, run in unchanged["medians"].items()
    ]
    rows.append(
        ["gates, times as long", *unchanged["ratios"].values(), unchanged["fixed_ratio"], unchanged["each_ratio"]]
    )
    return table(heads, rows)


def _ratios(figures: Figures) -> str:
    gates, client = figures["engine"]["gates"], figures["client"]
    imports = client["imports"]["ratios_to_import_pulumi"]
    count, pending = gates["gates"], round(gates["pending_seconds"])
    policies = figures["engine"]["policies"]
    rows = {
        f"`up` of {count} gates that pend for {pending} s, compared with the same approved before plus {pending} s and"
        " a tenth": gates["wall_of_allowed"],
        f"an unrelated resource's creation beside {count} pending gates, compared with {count} approved ones": (
            gates["unrelated_pending_to_approved"]
        ),
        "the same, compared with as many plain components": gates["unrelated_pending_to_plain"],
        "memory of that program, compared with one with as many plain components": gates["memory_to_plain"],
        "a GET of `Client`, compared with one of a bare `requests.Session`": client["get"]["ratio"],
        "importing pulumi and all of kf_provider, compared with importing pulumi": imports[
            "pulumi, and all of kf_provider"
        ],
        "importing pulumi, requests and pydantic with one model, compared with importing pulumi": (
            imports["pulumi, requests, pydantic with one model"]
        ),
        f"{policies['resources']} resources under the recommended policies, compared with an empty pack": (
            policies["to_empty"]
        ),
    }
    return table(
        ["measured side by side, medians", "times as long, or as much; lower is better"],
        [[name, f"{value:.2f}"] for name, value in rows.items()],
    )


def large_table(large: Figures) -> str:
    """
    The same for large programs.
    """
    rows = [
        [f"{run['count']:,} {name}", run["seconds"], run["peak_mib"], sum(run["requests"].values())]
        for name, run in large.items()
    ]
    return table(["one run each", "seconds", "peak MiB", "requests"], rows)


def _commands(figures: Figures) -> str:
    rows = [[name, f"{run['seconds']:.2g}", run["ratio"]] for name, run in figures["commands"]["commands"].items()]
    return table(["start of a command, medians", "seconds", "times as long as `python -c pass`"], rows)


def _sandbox(figures: Figures) -> str:
    load = figures["sandbox"]
    latency, memory = load["latency_ms"], load["memory_mib"]
    rows = {
        f"requests of {load['clients']} clients in {load['seconds']:.0f} s, none of them failed": load["requests"],
        "milliseconds of an answer: median, 99th percentile, longest": " · ".join(map(str, latency.values())),
        "MiB at the start, when the journal is full, at the end": (
            f"{memory['first']:.0f} · {memory['after_a_third']:.0f} · {memory['last']:.0f}"
        ),
    }
    return table(["the sandbox", ""], [*rows.items()])


def _five(figures: Figures) -> str:
    schedules, engine = figures["schedules"], figures["engine"]
    many = next(row for row in schedules["gates"] if row["gates"] == 300)
    others = many["requests_of_others"]
    vcert = next(count for name, count in others.items() if name.startswith("vcert"))
    hour = next(row for row in schedules["waits"] if row["wait"] == "1 h")
    gates, unchanged = engine["gates"], engine["unchanged"]
    pending = round(gates["pending_seconds"])
    wait = figures["commands"]["commands"]["kf wait, approved"]
    rows = {
        "Requests of 300 gates, each approved within an hour": (
            f"{many['requests']:,} requests; Terraform's retry helper sends {others[TERRAFORM]:,}, vcert {vcert:,}"
        ),
        "Mean delay until an approval is seen, in a wait of 1 hour": f"{hour['delay_mean_seconds']:.0f} seconds",
        f"`pulumi up` of {gates['gates']} gates that wait for {pending} s": (
            f"{gates['wall_of_allowed']:.2f} times as long as with earlier approvals, plus {pending} s and a tenth"
        ),
        "An `up` that changes nothing, with 300 gates": (
            f"{unchanged['ratios']['300']:.2f} times as long as with 300 plain components, each with a resource"
        ),
        "`kf wait` of an approved instance": (
            f"{wait['seconds']:.2g} seconds, {wait['ratio']:.0f} times as long as `python -c pass`"
        ),
    }
    return table(["", "lower is better"], [*rows.items()])


BLOCKS: Final[Mapping[str, Callable[[Figures], str]]] = {
    "machine": _machine,
    "waits": _waits,
    "gates": _gates,
    "changes": _changes,
    "unchanged": lambda figures: unchanged_table(figures["engine"]["unchanged"]),
    "ratios": _ratios,
    "large": lambda figures: large_table(figures["engine"]["large"]),
    "commands": _commands,
    "sandbox": _sandbox,
    "five": _five,
}

if __name__ == "__main__":
    write()
