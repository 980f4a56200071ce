"""
`kf wait`: its outcomes and exit codes, what it prints, and how it goes on.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from pathlib import Path

import pytest

from kf_provider.sandbox import Sandbox

from .conftest import Kf

UNKNOWN = "38400000-8cf0-11bd-b23e-10b96e4ef00d"


def approved(server: Sandbox) -> str:
    id_ = server.start_enrollment()
    server.approve(id_)
    return id_


@pytest.mark.parametrize(
    ("ending", "options", "code", "outcome"),
    [
        ("approve", [], 0, "approved"),
        ("approve", ["--expect", "current_state_data.Subject=CN=web.keyexample.com"], 0, "approved"),
        ("pending", ["--once"], 75, "pending"),
        ("pending", ["--timeout", "0.5"], 75, "pending"),
        ("deny", [], 10, "rejected"),
        ("fail", [], 11, "failed"),
        ("restart", [], 12, "restarted"),
        ("approve", ["--expect", "title=canary"], 13, "mismatch"),
        ("old", ["--max-age", "1s"], 14, "expired"),
        ("purge", [], 66, "not_found"),
        ("outage", ["--once"], 69, "unreachable"),
        ("forbid", [], 77, "forbidden"),
    ],
)
def test_outcome(kf: Kf, server: Sandbox, ending: str, options: list[str], code: int, outcome: str) -> None:
    """
    Each outcome of a wait has its exit code; the last line on stdout says it, and why.
    """
    id_ = server.start_enrollment()
    match ending:
        case "old":
            server.approve(id_)
            time.sleep(2)
        case "outage":
            server.outage = True
        case "forbid":
            server.forbid()
        case "pending":
            pass
        case _:
            getattr(server, ending)(id_)

    run = kf("wait", id_, *options)

    assert code == run.code, run
    assert run.out.startswith(f"{id_}  {outcome}  "), run
    assert 1 == len(run.out.splitlines())
    assert "canary" not in run.out


def test_number_that_nothing_explains(tmp_path: Path) -> None:
    """
    A status number that nothing names is an outcome of its own, and missing settings are one.
    """
    with Sandbox(statuses="numbers") as server:
        id_ = server.start_enrollment()
        kf = Kf(tmp_path, {**os.environ, **server.environment(), "HOME": str(tmp_path)})

        assert 15 == kf("wait", id_).code
        assert 0 == kf("wait", id_, "--any", approved(server), KEYFACTOR_STATUS_NAMES="1=Suspended,2=Complete").code
        assert 78 == kf("wait", id_, KEYFACTOR_PASSWORD="").code


@pytest.mark.parametrize(
    ("arguments", "said", "message"),
    [
        ([], None, "give IDs"),
        (["-"], "", "there is no ID on standard input, so nothing was approved"),
        (["42"], None, "is a reference id"),
        (["x"], None, "is not the id of a workflow instance"),
        ([UNKNOWN, "--match", "title=x"], None, "give IDs, or --match and filters, not both"),
        ([UNKNOWN, "--once", "--timeout", "1h"], None, "leave out --timeout"),
        ([UNKNOWN, "--timeout", "soon"], None, "is not a duration"),
        ([UNKNOWN, "--expect", "title"], None, "is not of the form PATH=VALUE"),
        ([UNKNOWN, "--expect", "titel=x"], None, "which no instance has"),
        ([UNKNOWN, "--expect", "title=x", "--expect", "title=y"], None, "two values"),
        ([UNKNOWN, "--expect", "title={x"], None, "begins like JSON and is none"),
    ],
)
def test_usage(kf: Kf, server: Sandbox, arguments: list[str], said: str | None, message: str) -> None:
    """
    A call that makes no sense ends with 2, before anything is sent.
    """
    run = kf("wait", *arguments, said=said)

    assert (2, "") == (run.code, run.out)
    assert message in run.err.replace("\n", " ")
    assert [] == server.journal()


def test_all_and_any(kf: Kf, server: Sandbox) -> None:
    """
    All must be approved, and the first that cannot be any more ends it; with --any the first approved does.
    """
    good, open_, denied = approved(server), server.start_enrollment(), server.start_enrollment()
    server.deny(denied)

    assert 10 == kf("wait", open_, good, denied).code
    assert 0 == kf("wait", open_, denied, good, "--any").code
    assert 75 == kf("wait", open_, good, "--once").code
    assert 75 == kf("wait", denied, open_, "--any", "--once").code
    assert 10 == kf("wait", denied, "--any").code
    assert 0 == kf("wait", "-", said=f"{good}\n{{{good.upper()}}}\n").code


def test_values_are_json_where_they_look_like_it(kf: Kf, server: Sandbox) -> None:
    """
    Numbers, truths, lists and quoted texts are JSON; anything else is text.
    """
    id_ = server.start_enrollment(state_data={"Count": 7, "Text": "7", "Flag": True, "List": [1, "a"], "Name": "a=b"})
    server.approve(id_)
    expected = ["Count=7", 'Text="7"', "Flag=true", 'List=[1, "a"]', "Name=a=b"]

    run = kf("wait", id_, *(part for text in expected for part in ("--expect", f"current_state_data.{text}")))

    assert 0 == run.code, run
    assert 13 == kf("wait", id_, "--expect", "current_state_data.Text=7").code


def test_command_to_go_on(kf: Kf, server: Sandbox) -> None:
    """
    At the timeout nothing is lost: the whole command to go on is printed, and does.
    """
    id_ = server.start_enrollment(state_data={"Name": "it's 7", "Text": "7"})
    run = kf(
        "wait", id_, "--timeout", "0.3", "--expect", "current_state_data.Name=it's 7", "--expect",
        'current_state_data.Text="7"', "--max-age", "1h", "--follow-restarts"
    )  # fmt: skip
    server.approve(id_)
    command = run.err.splitlines()[-1].strip()

    assert "stopped watching after 0 s; nothing was lost" in run.err
    words = shlex.split(command)
    assert ["kf", "wait", id_] == words[:3]
    assert 0 == kf(*words[1:]).code


def test_lines_of_json(kf: Kf, server: Sandbox) -> None:
    """
    --output jsonl writes a line for each change, with all that programs need, and nothing else on stdout.
    """
    id_ = server.start_enrollment(approvals=2)
    process = kf.start("wait", id_, "--output", "jsonl", "--timeout", "600")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    server.approve(id_)
    second = json.loads(process.stdout.readline())
    server.approve(id_)
    out, _ = process.communicate(timeout=60)
    *_, last = map(json.loads, out.splitlines())

    fields = {
        "time", "instance_id", "outcome", "status", "step", "signals_received", "signals_wanted", "approvers", "text",
        "is_final",
    }  # fmt: skip
    assert fields <= first.keys()
    assert [("pending", 0, 2, False), ("pending", 1, 2, False), ("approved", 0, 0, True)] == [
        (line["outcome"], line["signals_received"], line["signals_wanted"], line["is_final"])
        if not line["is_final"]
        else (line["outcome"], 0, 0, True)
        for line in (first, second, last)
    ]
    assert ("Suspended", "Manager approval", ["PKI Administrators"]) == (
        first["status"],
        first["step"],
        first["approvers"],
    )
    assert 0 == process.returncode


def test_reader_that_goes_away(kf: Kf, server: Sandbox) -> None:
    """
    When nobody reads the lines any more, the command ends, quietly, and not as approved.
    """
    id_ = server.start_enrollment(approvals=2)
    process = kf.start("wait", id_, "--output", "jsonl")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    server.approve(id_)

    assert (141, "") == (process.wait(60), process.stderr.read())
    process.stderr.close()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("hangs", [False, True])
def test_signals(kf: Kf, server: Sandbox, signum: signal.Signals, code: int, hangs: bool) -> None:
    """
    A signal ends it at once, also when the server hangs.
    """
    server.hang = hangs
    process = kf.start("wait", server.start_enrollment(), KEYFACTOR_CLIENT_TIMEOUT="600")
    server.wait_for_journal(bool, timeout=60)
    time.sleep(0.2)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    server.hang = False

    assert code == process.returncode, err
    assert "Traceback" not in err


def test_hundred_ids(kf: Kf, server: Sandbox) -> None:
    """
    A hundred ids in one process: at most five requests in flight, and two lists a tick.
    """
    ids = [server.start_enrollment() for _ in range(100)]
    for id_ in ids:
        server.approve(id_)

    run = kf("wait", "-", said="\n".join(ids))

    assert (0, 100) == (run.code, len(run.out.splitlines()))
    assert len(server.journal()) <= 102


def test_newest_that_matches(kf: Kf, server: Sandbox) -> None:
    """
    --match waits for the newest that matches, whatever its status.
    """
    old = approved(server)
    server.advance(60)
    new = server.start_enrollment()
    match = "--match", "current_state_data.Subject=CN=web.keyexample.com"

    pending = kf("wait", *match, "--once")
    server.approve(new)

    assert (75, True) == (pending.code, new in pending.out), pending
    assert new in kf("wait", *match).out
    assert 66 == kf("wait", "--match", "title=none").code
    assert old not in pending.out


def test_resume(kf: Kf, server: Sandbox) -> None:
    """
    A file keeps ids and conditions, without secrets; the clock goes on, and a new timeout counts from now.
    """
    id_ = server.start_enrollment()
    file = kf.folder / "wait.json"
    expect = "--expect", "current_state_data.Subject=CN=web.keyexample.com"
    first = kf("wait", id_, *expect, "--resume", str(file), "--timeout", "0.3")
    kept = json.loads(file.read_text())
    again = kf("wait", "--resume", str(file))
    server.approve(id_)
    last = kf("wait", "--resume", str(file), "--timeout", "1m")

    assert [75, 75, 0] == [first.code, again.code, last.code], (first, again, last)
    assert ([id_], True) == (kept["ids"], kept["is_over"])
    assert 0o600 == file.stat().st_mode & 0o777
    assert server.password not in file.read_text()
    assert f"--resume {file}" in first.err


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"ids": []}, 65, "is not a file of"),
        ({"ids": ["x"]}, 65, "is not a file of"),
        ({"version": 2}, 65, "is not a file of"),
        ({"expect": None}, 65, "is not a file of"),
        ({"expect": {"titel": 1}}, 65, "is not a file of"),
        ({"more": 1}, 65, "is not a file of"),
        ({"server": "https://other/KeyfactorAPI"}, 65, "for the server https://other"),
        ({"identity": "basic:x"}, 65, "for the identity basic:x"),
        ({"expect": {}}, 2, "another --expect than this call has"),
        ({"max_age": 60.0}, 0, ""),
    ],
)
def test_resumed_file_of_something_else(
    kf: Kf, server: Sandbox, change: dict[str, object], code: int, message: str
) -> None:
    """
    A broken file, or one of another server or wait, is told, left as it is, and never drops an expectation.
    """
    id_ = approved(server)
    file = kf.folder / "wait.json"
    call = "wait", id_, "--expect", "current_state_data.Subject=CN=web.keyexample.com", "--resume", str(file)
    assert 0 == kf(*call).code
    changed = json.dumps(json.loads(file.read_text()) | change)
    file.write_text(changed)

    run = kf(*call)

    assert code == run.code, run
    assert message in run.err
    assert code == 0 or changed == file.read_text()


@pytest.mark.parametrize("content", ["", "{", "null", "[]", "\0", "x" * 100])
def test_broken_file(kf: Kf, server: Sandbox, content: str) -> None:
    """
    A file that is none of ours ends with 65.
    """
    (kf.folder / "wait.json").write_text(content)

    assert 65 == kf("wait", "--resume", "wait.json").code
    assert 65 == kf("wait", UNKNOWN, "--resume", "wait.json").code
    assert content == (kf.folder / "wait.json").read_text()


def test_places_that_cannot_be_written(kf: Kf, server: Sandbox) -> None:
    """
    Where the file cannot be written, one line says so before anything is asked.
    """
    for place in ("/proc/none/wait.json", "/dev/full/x", str(kf.folder / "no" / "wait.json")):
        run = kf("wait", UNKNOWN, "--resume", place)
        assert (2, 1) == (run.code, len(run.err.splitlines())), run
    assert [] == server.journal()


def test_one_writer(kf: Kf, server: Sandbox) -> None:
    """
    Two with one file: the second says so in one line, and asks nothing; one that was killed holds nothing.
    """
    id_ = server.start_enrollment()
    first = kf.start("wait", id_, "--resume", "wait.json")
    server.wait_for_journal(bool, timeout=60)

    second = kf("wait", "--resume", "wait.json")
    first.kill()
    first.communicate()
    server.approve(id_)

    assert (75, True) == (second.code, "another `kf wait` runs with wait.json" in second.err)
    assert 0 == kf("wait", "--resume", "wait.json").code


def test_github(kf: Kf, server: Sandbox) -> None:
    """
    GitHub gets outputs, a summary and an annotation; a server's words order nothing there.
    """
    id_ = server.start_enrollment()
    server.deny(id_, "no | ![x](y)\n::set-output name=approved::true")
    output, summary = kf.folder / "output", kf.folder / "summary"
    run = kf("wait", id_, GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(output), GITHUB_STEP_SUMMARY=str(summary))

    assert 10 == run.code
    assert f"outcome=rejected\ninstance_id={id_}\napproved=false\n" == output.read_text()
    assert f"| `{id_}` | rejected |" in summary.read_text()
    orders = [line for line in run.out.splitlines() if line.startswith("::")]
    assert [True] == [line.startswith(f"::error title=kf wait::workflow instance {id_} is Rejected") for line in orders]
    assert not re.search(r"(?<!\\)!\[", summary.read_text())


def test_azure_and_gitlab(kf: Kf, server: Sandbox) -> None:
    """
    Azure gets variables and an issue, GitLab a dotenv report; with jsonl the orders are on stderr.
    """
    id_ = server.start_enrollment()
    azure = kf("wait", id_, "--once", TF_BUILD="True")
    jsonl = kf("wait", id_, "--once", "--output", "jsonl", TF_BUILD="True")
    gitlab = kf("wait", approved(server), GITLAB_CI="true", CI_PROJECT_DIR=str(kf.folder))

    assert "##vso[task.setvariable variable=outcome;isOutput=true]pending" in azure.out
    assert "##vso[task.logissue type=warning]" in azure.out
    assert "##vso[task.uploadsummary]" in azure.out
    assert all(line["is_final"] for line in jsonl.lines)
    assert "##vso[task.setvariable" in jsonl.err
    assert 0 == gitlab.code
    assert "APPROVED=true" in (kf.folder / "kf-wait.env").read_text()
    for file in re.findall(r"uploadsummary\](\S+)", azure.out + jsonl.err):
        Path(file).unlink()
