"""
`kf get`, `list`, `certificate` and `completion`, and what holds for every command.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys

import pytest

from kf_provider.sandbox import Sandbox
from tools.picture import Terminal

from .conftest import Kf

UNKNOWN = "38400000-8cf0-11bd-b23e-10b96e4ef00d"
CANARY = "canary-5be1"


def test_get(kf: Kf, server: Sandbox) -> None:
    """
    One instance, as text and as JSON with the fields of the functions; state data is hidden unless asked for.
    """
    id_ = server.start_enrollment(state_data={"Answer": CANARY, "a.b": {"c": [1, 2]}})
    reference = str(server.instance(id_).reference_id)
    text, data = kf("get", id_), kf("get", "--reference-id", reference, "--output", "json")
    shown = kf("get", id_, "--output", "json", "--show-secrets")

    assert [0, 0, 0] == [text.code, data.code, shown.code]
    assert ["status", "Suspended"] in [line.split() for line in text.out.splitlines()]
    assert (id_, "Suspended", "[secret]") == tuple(
        data.json[name] for name in ("instance_id", "status", "current_state_data")
    )
    assert CANARY not in f"{text}{data}"
    assert CANARY == shown.json["current_state_data"]["Answer"]


@pytest.mark.parametrize(
    ("path", "options", "code", "out"),
    [
        ("status", [], 0, "Suspended"),
        ("definition.workflow_type", [], 0, "Enrollment"),
        ("current_state_data.Answer", [], 0, "[secret]"),
        ("current_state_data.Answer", ["--show-secrets"], 0, CANARY),
        ("current_state_data.a.b.c.1", ["--show-secrets"], 0, "2"),
        ("current_state_data.none", ["--show-secrets"], 66, ""),
        ("none", [], 66, ""),
    ],
)
def test_path(kf: Kf, server: Sandbox, path: str, options: list[str], code: int, out: str) -> None:
    """
    One value by its path, bare.
    """
    id_ = server.start_enrollment(state_data={"Answer": CANARY, "a.b": {"c": [1, 2]}})

    run = kf("get", id_, "--path", path, *options)

    assert (code, out) == (run.code, run.out.strip())


def test_digest(kf: Kf, server: Sandbox) -> None:
    """
    The digest can be computed again from what is printed.
    """
    id_ = server.start_enrollment(state_data={"Ünïcode": "ä"})
    text, digest = kf("get", id_, "--digest", "--show-secrets").out.splitlines()
    hidden = kf("get", id_, "--digest", "--output", "json").json

    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert {"text": "[secret]", "state_digest": digest} == hidden


def test_list(kf: Kf, server: Sandbox) -> None:
    """
    Rows as a table, as JSON, as lines of JSON and as ids, narrowed by filters and matches.
    """
    ids = [server.start_enrollment(subject=f"CN=web{number}.example.com") for number in range(3)]
    server.approve(ids[0])

    assert ids == [row["instance_id"] for row in kf("list", "--output", "json").json]
    assert ids[1:] == kf("list", "--status", "Suspended", "--output", "ids").out.split()
    assert [ids[2]] == kf("list", "--newest", "--limit", "1", "--output", "ids").out.split()
    assert 3 == len(kf("list", "--output", "jsonl").lines)
    by_data = kf("list", "--match", "current_state_data.Subject=CN=web1.example.com", "--output", "ids")
    assert [ids[1]] == by_data.out.split()
    table = kf("list")
    assert ["ID", "STATUS", "STARTED", "TITLE"] == table.out.splitlines()[0].split()
    assert all(id_ in table.out for id_ in ids)
    assert (0, "", "kf: none\n") == (
        (run := kf("list", "--title-contains", "nothing")).code,
        run.out,
        run.err,
    )


def test_certificate(kf: Kf, server: Sandbox) -> None:
    """
    A line for each field, of which none is a certificate; the certificate itself by --output pem.
    """
    id_ = server.start_enrollment(approvals=0)

    lines = kf("certificate", "--instance-id", id_).out

    assert re.search("^pem +see --output pem$", lines, re.MULTILINE)
    assert "BEGIN" not in lines
    assert kf("certificate", "--instance-id", id_, "--output", "pem").out.startswith("-----BEGIN CERTIFICATE-----\n")


def test_list_on_a_narrow_terminal(kf: Kf, server: Sandbox) -> None:
    """
    At 80 columns each id is whole and each status is there; the title is what is cut.
    """
    id_ = server.start_enrollment()
    terminal = Terminal([sys.executable, "-m", "kf_provider", "list"], kf.folder, kf.environment, columns=80)

    try:
        terminal.process.wait(timeout=60)
        terminal.read(1.0)
    finally:
        terminal.close()

    header, row = (line.rstrip() for line in terminal.screen.display if line.strip())
    assert ["ID", "STATUS", "TITLE"] == header.split()
    assert re.fullmatch(rf"{id_} +Suspended +\S.*…", row)


def test_no_order_in_a_log(kf: Kf, server: Sandbox) -> None:
    """
    What a server says orders nothing in the log of a CI system; programs get it as it came.
    """
    order = "##vso[task.setvariable variable=x]y"
    id_ = server.start_enrollment(subject=f"CN={order}")

    assert order not in kf("get", id_).out
    assert order not in kf("list").out
    assert order in kf("get", id_, "--path", "title").out
    assert order in kf("list", "--output", "json").json[0]["title"]


@pytest.mark.parametrize("command", ["get", "list", "certificate"])
@pytest.mark.parametrize(
    ("trouble", "code"), [("outage", 69), ("forbid", 77), ("unauthorized", 77), ("settings", 78), ("profile", 78)]
)
def test_trouble(kf: Kf, server: Sandbox, command: str, trouble: str, code: int) -> None:
    """
    What goes wrong is one line on stderr, and the same exit code for each command.
    """
    arguments = {
        "get": ["get", server.start_enrollment()],
        "list": ["list"],
        "certificate": ["certificate", "--instance-id", server.start_enrollment()],
    }[command]
    environment = {}
    match trouble:
        case "outage":
            server.outage = True
        case "forbid":
            server.forbid()
        case "unauthorized":
            environment["KEYFACTOR_PASSWORD"] = CANARY
        case "settings":
            environment["KEYFACTOR_HOSTNAME"] = "x y"
        case "profile":
            arguments += ["--profile", "none"]

    run = kf(*arguments, **environment)

    assert (code, "") == (run.code, run.out), run
    assert run.err.startswith("kf: ")
    assert 1 == len(run.err.splitlines())
    assert CANARY not in run.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["get"],
        ["get", "x"],
        ["get", UNKNOWN, "--reference-id", "1"],
        ["get", UNKNOWN, "--path", "x", "--digest"],
        ["list", "--status", "Done"],
        ["list", "--limit", "0"],
        ["list", "--started-after", "soon"],
        ["certificate"],
        ["certificate", "--id", "1", "--request-id", "2"],
        ["completion", "tcsh"],
        ["none"],
    ],
)
def test_usage(kf: Kf, server: Sandbox, arguments: list[str]) -> None:
    """
    What makes no sense ends with 2 before anything is sent.
    """
    run = kf(*arguments)

    assert (2, "", []) == (run.code, run.out, server.journal()), run


def test_not_there(kf: Kf) -> None:
    """
    What is not there ends with 66.
    """
    assert 66 == kf("get", UNKNOWN).code
    assert 66 == kf("get", "--reference-id", "99").code


def test_pipe_that_closes(kf: Kf, server: Sandbox) -> None:
    """
    Who reads only the first line ends the command quietly.
    """
    for _ in range(300):
        server.start_enrollment()
    command = f"{sys.executable} -m kf_provider list --output json | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=kf.environment, capture_output=True, text=True, check=False
    )

    assert ("[\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(kf: Kf, shell: str) -> None:
    """
    Three shells can complete the commands and their options.
    """
    script = kf("completion", shell)
    at = "wa" if shell == "fish" else "1"
    completed = kf(_KF_COMPLETE=f"{shell}_complete", COMP_WORDS="kf wa", COMP_CWORD=at)

    assert 0 == script.code
    assert "_KF_COMPLETE" in script.out
    assert "wait" in completed.out


def test_no_home(kf: Kf, server: Sandbox) -> None:
    """
    It works without a home.
    """
    del kf.environment["HOME"]

    assert 0 == kf("list").code


@pytest.mark.parametrize(
    "arguments", [["get", "42"], ["wait", "42"], ["list", "--id", "42"], ["certificate", "--instance-id", "42"]]
)
def test_reference_id(kf: Kf, arguments: list[str]) -> None:
    """
    The portal's number in the place of an id: the line names the command that takes it, and no call of a program.
    """
    run = kf(*arguments)

    assert 2 == run.code, run
    assert "42 is a reference id: look it up with kf get --reference-id 42, and pass its instance_id" in run.err
    assert "get_workflow_instance" not in run.err
