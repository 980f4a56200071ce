"""
The figures: `python -m benchmarks [schedules] [client] [commands] [engine] [sandbox] [--json]`, or `make bench`.

Tables go to stdout and the figures to benchmarks/results/DATE.json, where those of other parts stay, and from the
newest whole run into the pages; with --json the figures go to stdout and the tables to stderr.

Machines are noisy: times are measured beside each other in one run and given as ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from typing import TextIO

from . import client, commands, engine, page, sandbox_load, schedules
from .machine import ROOT, current_commit, description

PARTS = {
    "schedules": schedules.measure,
    "client": client.measure,
    "commands": commands.measure,
    "engine": engine.measure,
    "sandbox": sandbox_load.measure,
}


def main() -> None:
    """
    Measure, print and keep.
    """
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all of them unless given")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and keep no file")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    tables = sys.stderr if options.json else sys.stdout
    # Every process has its modules compiled, as an installer leaves them, also where a variable forbids to keep that.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="kf-bytecode-") as bytecode:
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        _measure(options, tables)


def _measure(options: argparse.Namespace, tables: TextIO) -> None:
    machine, commit = description(), current_commit()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), file=tables)
    path = ROOT / "benchmarks" / "results" / f"{machine['date']}.json"
    figures = json.loads(path.read_text()) if path.exists() and not options.json else {}
    for name, measure in PARTS.items():
        if not options.parts or name in options.parts:
            figures[name] = {
                "commit": commit,
                "machine": machine,
                **measure(lambda text: print(f"\n{text}", file=tables, flush=True)),
            }
            if not options.json:  # at once: what comes after it may fail
                path.parent.mkdir(exist_ok=True)
                path.write_text(_json(figures))
    if options.json:
        print(_json(figures), end="")
    else:
        page.write()
        print(f"\nkept in {path.relative_to(ROOT)}")


def _json(figures: dict[str, object]) -> str:
    return json.dumps(figures, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
