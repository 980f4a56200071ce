"""
What the client adds to a bare `requests.Session`, and the package to `import pulumi`: ratios of medians.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import requests

from kf_provider import Client, Settings
from kf_provider.sandbox import Sandbox

from .machine import ratio, side_by_side, table

GETS = 1500
IMPORTS = 25
GET_TARGET = 1.15

STATEMENTS = {
    "nothing": "",
    "pulumi": "import pulumi",
    "kf_provider": "import kf_provider",  # imports nothing until a name is used
    "pulumi, and all of kf_provider": "import pulumi; from kf_provider import *",
    # What the first model costs, every user of pydantic pays.
    "pulumi, requests, pydantic with one model": "import pulumi, requests, pydantic; pydantic.create_model('Model')",
}


def measure_gets() -> dict[str, object]:
    """
    GETs of one instance from one sandbox, in turns: our client, which also checks and parses, and a bare Session.
    """
    with Sandbox() as server:
        instance_id = server.start_enrollment(subject="CN=web.example.com")
        connection = server.connection()
        address = f"{connection['url']}/{connection['api_path']}/Workflow/Instances/{instance_id}"
        credentials = (server.username, server.password)
        settings = Settings(hostname=str(connection["url"]), username=credentials[0], password=credentials[1])
        session = requests.Session()

        def bare() -> object:
            response = session.get(
                address, auth=credentials, headers={"x-keyfactor-requested-with": "APIClient"}, timeout=60
            )
            response.raise_for_status()
            return response.json()

        with session, Client(settings) as client:
            taken = side_by_side(
                {
                    "requests.Session": _timed(bare),
                    "kf_provider.Client": _timed(lambda: client.get_workflow_instance(instance_id)),
                },
                rounds=GETS,
            )
    ours, theirs = taken["kf_provider.Client"], taken["requests.Session"]
    return {"gets_of_each": GETS, "ratio": ratio(ours, theirs), "target": GET_TARGET}


def measure_imports() -> dict[str, object]:
    """
    Whole processes that import and end, as ratios to `import pulumi` alone; and without what an empty process takes.
    """
    taken = side_by_side({name: _process(statement) for name, statement in STATEMENTS.items()}, rounds=IMPORTS)
    return {
        "processes_of_each": IMPORTS,
        "ratios_to_import_pulumi": {name: ratio(taken[name], taken["pulumi"]) for name in STATEMENTS},
    }


def _timed(ask: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        before = time.perf_counter()
        ask()
        return time.perf_counter() - before

    return measure


def _process(statement: str) -> Callable[[], float]:
    command = [sys.executable, "-c", statement]
    return _timed(lambda: subprocess.run(command, check=True))


def measure(report: Callable[[str], None]) -> dict[str, object]:
    """
    Both.
    """
    gets, imports = measure_gets(), measure_imports()
    ratios = imports["ratios_to_import_pulumi"]
    assert isinstance(ratios, dict)
    report(
        "A GET of kf_provider.Client beside one of a bare requests.Session\n\n"
        + table(["GETs of each", "ratio of medians", "target, at most"], [list(gets.values())])
    )
    report(
        "A process that imports, beside one that imports pulumi\n\n"
        + table(["imports", "ratio of medians"], [[name, f"{value:.2f}"] for name, value in ratios.items()])
    )
    return {"get": gets, "imports": imports}
