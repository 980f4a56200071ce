"""
examples/pipelines: the shell parts of every recipe, run against the sandbox.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from kf_provider.sandbox import Sandbox

from .conftest import Kf

FOLDER = Path(__file__).parents[2] / "examples" / "pipelines"
EXPECTED = "current_state_data.Subject=CN=web.example.com"


@pytest.fixture
def approved(server: Sandbox) -> str:
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    return id_


def run(kf: Kf, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of a recipe; `pip` and `pulumi` note what they were called with."""
    tools = kf.folder / "bin"
    tools.mkdir(exist_ok=True)
    for name in ("pip", "pulumi"):
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {kf.folder}/called\n')
        (tools / name).chmod(0o755)
    path = f"{tools}:{Path(sys.executable).parent}:{kf.environment['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script, "recipe", *arguments],  # as GitHub's runners do
        cwd=kf.folder,
        env={**kf.environment, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def called(kf: Kf) -> list[str]:
    file = kf.folder / "called"
    return file.read_text().splitlines() if file.exists() else []


def steps(recipe: str) -> dict[str, str]:
    """The scripts of a recipe, by their names."""
    found: dict[str, str] = {}

    def look(part: Any) -> None:
        if isinstance(part, dict):
            for key in ("run", "bash"):
                if isinstance(part.get(key), str):
                    found[str(part.get("name") or part.get("displayName") or part.get("id"))] = part[str(key)]
            if isinstance(part.get("script"), list):
                found["script" if "script" not in found else "deploy"] = "\n".join(part["script"])
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(yaml.safe_load((FOLDER / recipe).read_text()))
    return found


@pytest.mark.parametrize("recipe", ["github-wait.yml", "azure-pipelines.yml"])
def test_wait_then_update(kf: Kf, approved: str, recipe: str) -> None:
    """
    The steps install, wait and update, in this order; a refused request ends before the update.
    """
    scripts = list(steps(recipe).values())
    for script in scripts:
        done = run(kf, script, INSTANCE_ID=approved, STACK="prod")
        assert done.returncode == 0, done

    assert ["pip install", "pulumi config set --stack prod", "pulumi up --yes --stack prod"] == [
        re.sub(r"^(pip install|pulumi config set) .*?( --stack prod)?$", r"\1\2", line) for line in called(kf)
    ]


@pytest.mark.parametrize(
    ("ending", "code", "says"), [("approve", 0, "true"), ("pending", 0, "false"), ("deny", 10, "false")]
)
def test_park_and_come_back(kf: Kf, server: Sandbox, ending: str, code: int, says: str) -> None:
    """
    A pending approval is no failure and no update; a refused one is a failure; a kept wait goes on.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    look = steps("github-park.yml")["look"]
    output = kf.folder / "output"
    environment = {"INSTANCE_ID": id_, "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    assert 0 == run(kf, look, **environment).returncode
    if ending != "pending":
        getattr(server, ending)(id_)
    output.unlink()

    done = run(kf, look, **environment)

    assert code == done.returncode, done
    assert f"approved={says}" in output.read_text()
    assert (kf.folder / "approval.json").exists()


def test_poisoned_cache(kf: Kf, server: Sandbox, approved: str) -> None:
    """
    A file in the cache that waits for less is refused, and no condition is dropped.
    """
    look = steps("github-park.yml")["look"]
    other = server.start_enrollment()
    server.approve(other)
    assert 0 == kf("wait", other, "--resume", "approval.json").code

    assert 2 == run(kf, look, INSTANCE_ID=approved).returncode


INPUTS = {"instance-ids": "", "expect": "", "timeout": "", "max-age": "", "once": "false", "any": "false"}


@pytest.mark.parametrize(
    ("inputs", "code", "outcome"),
    [
        ({}, 0, "approved"),
        (
            {"expect": f"{EXPECTED}\ndefinition.workflow_type=Enrollment\n", "timeout": "1h", "max-age": "1d"},
            0,
            "approved",
        ),
        ({"expect": "title=x"}, 13, "mismatch"),
        ({"expect": "title=$(touch hacked)\ntitle2=*"}, 2, None),
        ({"instance-ids": "PENDING", "once": "true", "resume": "r.json", "follow-restarts": "true"}, 75, "pending"),
        ({"instance-ids": "PENDING\nAPPROVED", "any": "true"}, 0, "approved"),
    ],
)
def test_composite_action(
    kf: Kf, server: Sandbox, approved: str, inputs: dict[str, str], code: int, outcome: str | None
) -> None:
    """
    The action's inputs and outputs are those of `kf wait`; an input is no code.
    """
    action = yaml.safe_load((FOLDER / "github-action" / "action.yml").read_text())
    pending = server.start_enrollment(subject="CN=web.example.com")
    given = {name: str(about.get("default", "APPROVED")) for name, about in action["inputs"].items()} | inputs
    given["instance-ids"] = given["instance-ids"].replace("PENDING", pending).replace("APPROVED", approved)
    (step,) = action["runs"]["steps"]
    environment = {
        name: given[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text)[1]]  # type: ignore[index]  # each is one
        for name, text in step["env"].items()
    }
    output = kf.folder / "output"

    done = run(kf, step["run"], GITHUB_OUTPUT=str(output), **environment)

    assert code == done.returncode, done
    assert not (kf.folder / "hacked").exists()
    if outcome is not None:
        written = dict(line.split("=") for line in output.read_text().splitlines())
        assert outcome == written["outcome"]
        assert action["outputs"].keys() == written.keys()


def test_gitlab(kf: Kf, server: Sandbox, approved: str) -> None:
    """
    The job waits, and the next one deploys by the report of the first.
    """
    scripts = steps("gitlab-ci.yml")
    done = run(kf, scripts["script"], INSTANCE_ID=approved, GITLAB_CI="true", CI_PROJECT_DIR=str(kf.folder))
    report = dict(line.split("=") for line in (kf.folder / "kf-wait.env").read_text().splitlines())

    assert 0 == done.returncode, done
    assert 0 == run(kf, scripts["deploy"], STACK="prod", **report).returncode
    assert "pulumi up --yes --stack prod" in called(kf)
    job = yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())["approve"]
    assert (69, 75) == (job["retry"]["exit_codes"], job["allow_failure"]["exit_codes"])


def test_gitlab_pending(kf: Kf) -> None:
    """
    A pending approval deploys nothing.
    """
    assert 0 == run(kf, steps("gitlab-ci.yml")["deploy"], APPROVED="false", OUTCOME="pending").returncode
    assert [] == called(kf)


def test_shell(kf: Kf, server: Sandbox, approved: str) -> None:
    """
    The plain script keeps the exit code, and the plan is made and followed after the approval.
    """
    pending = server.start_enrollment(subject="CN=web.example.com")
    waits = run(kf, f'exec {FOLDER / "wait.sh"} "$1"', pending, TIMEOUT="0.2")
    goes_on = run(kf, f'exec {FOLDER / "wait.sh"} "$1"', approved)
    planned = run(kf, f'exec {FOLDER / "plan.sh"} "$1"', approved)

    assert (75, 0, 0) == (waits.returncode, goes_on.returncode, planned.returncode)
    assert "still pending" in waits.stdout
    assert ["pulumi preview --save-plan plan.json", "pulumi up --yes --plan plan.json"] == called(kf)[-2:]


def test_cron(kf: Kf, approved: str) -> None:
    """
    The line of the crontab looks once, and deploys.
    """
    line = (FOLDER / "crontab").read_text().splitlines()[-1]
    command = line.split(maxsplit=5)[5].replace("/srv/stack", str(kf.folder))
    (kf.folder / "keyfactor.env").write_text(f"export INSTANCE_ID={approved}\n")

    done = run(kf, command)

    assert 0 == done.returncode, done
    assert ["pulumi up --yes"] == called(kf)


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="expected: PowerShell is not installed")
def test_powershell(kf: Kf, approved: str) -> None:
    """
    The script for PowerShell keeps the exit code.
    """
    assert 0 == run(kf, f"pwsh {FOLDER / 'wait.ps1'} {approved}").returncode


def test_recipes_always_say_what_is_expected() -> None:
    """
    No recipe goes on from a file without saying what is waited for.
    """
    for file in FOLDER.rglob("*"):
        if file.is_file() and file.name != "README.md":
            for line in file.read_text().splitlines():
                if "--resume" in line and "kf wait" in line:
                    assert "--expect" in line, file
                    assert "$INSTANCE_ID" in line, file


RECIPES = [file for file in FOLDER.parent.rglob("*.yml") if "pip install" in file.read_text()]


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.name)
def test_recipes_say_what_to_fill_in(file: Path) -> None:
    """
    What is not published yet is marked where it is installed; an update has a login to Pulumi, a stack and its package.
    """
    text = file.read_text()
    lines = text.splitlines()
    unmarked = [
        line
        for above, line in pairwise(lines)
        if re.search("pip install.*kf-provider", line) and "when kf-provider is published" not in above
    ]

    assert [] == unmarked
    assert re.search(r"pulumi up .*--stack |stack-name:", text)
    assert "PULUMI_ACCESS_TOKEN" in text
    parsed = yaml.safe_load(text)
    jobs = parsed.get("jobs", parsed)
    for job in jobs if isinstance(jobs, list) else jobs.values():
        said = yaml.dump(job, width=1000)
        assert not re.search("pulumi up|command: up", said) or re.search("pip install .*kf-provider", said), said
