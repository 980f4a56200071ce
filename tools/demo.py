"""
Show a real `pulumi up` that waits for an approval: what `make demo` runs.

A sandbox plays Keyfactor on a loopback port; examples/approval-gate runs against it, or with `--example enroll`
examples/enroll-approve-deploy, with a backend, a PULUMI_HOME and a HOME of its own in a temporary folder. Nothing
stays: the folder goes, and all processes end with this one.
Exit status: 0 when every step went as it is told, 1 with the reason otherwise, 130 and 143 when it was interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLES = {"gate": "approval-gate", "enroll": "enroll-approve-deploy"}

START_SECONDS = 30  # for the sandbox to print its address
WAIT_SECONDS = 6  # how long the gate is left waiting before the approval
REFUSED = {"Rejected": "denied", "Failed": "made to fail", "CanceledForRestart": "restarted"}
ON_A_TERMINAL = sys.stdout.isatty()


class DemoError(Exception):
    """A step did not go as it should; the text says which and why."""


class RefusedError(Exception):
    """The user has not approved the request; the text says so."""


def tell(text: str = "") -> None:
    # Before the next program writes to the same terminal or file.
    print(f"\x1b[1m{text}\x1b[0m" if text and ON_A_TERMINAL else text, flush=True)


# ---- the sandbox


class Sandbox:
    """The sandbox's control API, as design section 9 has it, and the account that it gave out."""

    def __init__(self, account: dict[str, Any]) -> None:
        self.account = account
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def url(self) -> str:
        return str(self.account["url"])

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=10) as response:
                return json.load(response)
        except (OSError, ValueError) as exc:
            raise DemoError(f"the sandbox did not do {path}: {exc}") from exc

    def newest(self) -> dict[str, Any]:
        """The newest instance, which the demo is about."""
        found: dict[str, Any] = self.call("/sandbox/instances")["instances"][0]
        return found

    def looks(self, instance_id: str) -> int:
        """How often somebody has asked for this instance by its id."""
        requests = self.call("/sandbox/journal")["requests"]
        return sum(record["instance_id"] == instance_id for record in requests)

    def looked_at(self) -> list[str]:
        """The instances that somebody has asked for by their ids, each once, in that order."""
        requests = self.call("/sandbox/journal")["requests"]
        return list(dict.fromkeys(record["instance_id"] for record in requests if record["instance_id"]))


@contextlib.contextmanager
def sandbox(work: Path) -> Iterator[Sandbox]:
    """A sandbox on a free port; it has a process group of its own, so that Ctrl-C reaches the programs in order."""
    log = work / "sandbox.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "kf_provider", "sandbox"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        stdout = process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            account = json.loads(lines.get(timeout=START_SECONDS))
        except (queue.Empty, ValueError) as exc:
            raise DemoError(f"the sandbox did not start:\n{log.read_text(errors='replace')}") from exc
        yield Sandbox(account)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---- the Pulumi CLI


class Pulumi:
    """The CLI, in a project folder that is a copy of the example."""

    def __init__(self, work: Path, account: dict[str, Any], example: str = "gate") -> None:
        self.project = work / "project"
        # The CLI writes Pulumi.<stack>.yaml beside Pulumi.yaml: a copy keeps the checkout clean.
        shutil.copytree(
            CHECKOUT / "examples" / EXAMPLES[example],
            self.project,
            ignore=shutil.ignore_patterns("__pycache__", "Pulumi.*"),
        )
        # Without the example's `virtualenv`, which is a path from its own folder: PATH below names the same one.
        name, _, _ = (CHECKOUT / "examples" / EXAMPLES[example] / "Pulumi.yaml").read_text().partition("\n")
        (self.project / "Pulumi.yaml").write_text(f"{name}\nruntime: python\n")
        for folder in ("home", "backend", "pulumi-home"):
            (work / folder).mkdir()
        theirs = ("PULUMI_", "KEYFACTOR_", "KF_")
        python = Path(sys.executable)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(theirs)},
            "HOME": str(work / "home"),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost"))),
            "PULUMI_BACKEND_URL": (work / "backend").as_uri(),
            "PULUMI_HOME": str(work / "pulumi-home"),
            "PULUMI_CONFIG_PASSPHRASE": "demo",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_PYTHON_CMD": str(python),
            "KEYFACTOR_HOSTNAME": account["url"],
            "KEYFACTOR_API_PATH": account["api_path"],
            "KEYFACTOR_USERNAME": account["username"],
            "KEYFACTOR_PASSWORD": account["password"],
        }

    def ask(self, *args: str) -> str:
        """Run a short command and return what it prints."""
        done = subprocess.run(
            ["pulumi", *args],
            check=False,  # its own output goes into the error
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise DemoError(f"`pulumi {' '.join(args)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def show(self, *args: str, stop: threading.Event | None = None) -> None:
        """Run a command that the user watches: it has the terminal itself, so its live rows are seen."""
        tell(f"\n$ pulumi {' '.join(args)}")
        process = subprocess.Popen(
            ["pulumi", *args],
            cwd=self.project,
            env=self.env,
            stdin=None if sys.stdin.isatty() else subprocess.DEVNULL,
        )
        try:
            while process.poll() is None and not (stop and stop.is_set()):
                time.sleep(0.1)
        except KeyboardInterrupt:
            # The terminal has sent it to the CLI as well: let that end in its own way first.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            raise
        finally:
            end(process)
        if process.returncode and not (stop and stop.is_set()):
            raise DemoError(
                f"`pulumi {' '.join(args)}` ended with {process.returncode}, by an error or by Ctrl-C: see above"
            )


def end(process: subprocess.Popen[bytes]) -> None:
    """End the CLI in the way that it likes best: SIGINT cancels an update and ends its plugins."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


# ---- the approval


class Approver(threading.Thread):
    """Approves the instance a few seconds after the gate has begun to look at it; without an id, the next new one."""

    def __init__(self, server: Sandbox, instance_id: str | None = None) -> None:
        super().__init__(daemon=True)
        self.approved_at: datetime | None = None
        self.failed = threading.Event()
        self.over = threading.Event()
        self.problem = ""
        self._server = server
        self._instance_id = instance_id
        self._before = server.looks(instance_id) if instance_id else 0
        self._known = server.looked_at()

    def run(self) -> None:
        try:
            while not self._is_looked_at():
                if self.over.wait(0.3):
                    return
            if self.over.wait(WAIT_SECONDS):
                return
            self.approved_at = datetime.now(UTC)
            self._server.call(f"/sandbox/instances/{self._instance_id}/approve", {"comment": "looks right"})
        except DemoError as exc:
            self.problem = str(exc)
            self.failed.set()
            return
        if not ON_A_TERMINAL:  # there the CLI is drawing
            tell("\n>> the demo, as the manager, has approved the request")

    def _is_looked_at(self) -> bool:
        if self._instance_id is None:
            self._instance_id = next((one for one in self._server.looked_at() if one not in self._known), None)
            return self._instance_id is not None
        return self._server.looks(self._instance_id) > self._before


# ---- the story


def demo(work: Path, *, hold: bool) -> None:
    tell("1. A sandbox plays Keyfactor. A certificate is requested; one person has to approve it.")
    with sandbox(work) as server:
        enrollment = server.call("/sandbox/enrollments", {"subject": "CN=web.keyexample.com", "approvals": 1})
        instance_id = enrollment["instance_id"]
        tell(f"   {server.url}, workflow instance {instance_id}")

        pulumi = Pulumi(work, server.account)
        pulumi.ask("stack", "init", "demo")
        pulumi.ask("config", "set", "instanceId", instance_id)

        tell("\n2. A preview says that the update will wait. It does not wait itself.")
        pulumi.show("preview")

        tell("\n3. The update waits at the gate `web-cert`, and `listener` waits for the gate.")
        try:
            approved_at = update(pulumi, server, instance_id, hold=hold)
        except RefusedError as exc:
            tell(f"\n4. {exc}")
            stay(server, hold=hold)
            return
        check(pulumi, instance_id, approved_at)
        stay(server, hold=hold)

        tell("\n5. A second update finds the approval in the state: nothing to do, nothing to wait for.")
        pulumi.show("up", "--yes", "--skip-preview", "--expect-no-changes")

        tell("\n6. Everything is removed again.")
        pulumi.show("destroy", "--yes", "--skip-preview")
        pulumi.ask("stack", "rm", "--yes", "demo")


def demo_enroll(work: Path, *, hold: bool) -> None:
    tell("1. A sandbox plays Keyfactor, and issues what is approved. The stack makes a key and a request for it.")
    with sandbox(work) as server:
        pulumi = Pulumi(work, server.account, "enroll")
        pulumi.ask("stack", "init", "demo")
        pulumi.ask("config", "set", "commonName", "web.keyexample.com")

        tell("\n2. The update enrolls, waits at the gate, gets the certificate, compares its key, and deploys it.")
        try:
            approved_up(pulumi, server, hold=hold)
        except RefusedError as exc:
            tell(f"\n3. {exc}")
            stay(server, hold=hold)
            return
        first = issued(pulumi)
        stay(server, hold=hold)

        tell("\n4. A second update finds everything as it is: nothing to request, nothing to wait for.")
        pulumi.show("up", "--yes", "--skip-preview", "--expect-no-changes")

        tell("\n5. A month later: a new key, a new request, a new approval; the old certificate serves until then.")
        server.call("/sandbox/advance", {"seconds": 30 * 86_400})
        pulumi.ask("config", "set", "renewal", "second")
        approved_up(pulumi, server, hold=hold)
        if issued(pulumi) == first:
            raise DemoError("the renewal has deployed the old certificate again")

        tell("\n6. Everything is removed again.")
        pulumi.show("destroy", "--yes", "--skip-preview")
        pulumi.ask("stack", "rm", "--yes", "demo")


def approved_up(pulumi: Pulumi, server: Sandbox, *, hold: bool) -> datetime | None:
    """An update that waits for its own new request, which the demo approves, or the user at the sandbox's page."""
    if hold:
        tell("   It is yours to decide, in a browser:")
        tell(f"     {server.url}")
    return waiting_up(pulumi, server, Approver(server), hold=hold)


def issued(pulumi: Pulumi) -> str:
    """Look into the stack: the thumbprint of the certificate that is deployed."""
    outputs = json.loads(pulumi.ask("stack", "output", "--json"))
    resources = json.loads(pulumi.ask("stack", "export"))["deployment"]["resources"]
    listener = next((found for found in resources if found["urn"].endswith("::listener")), None)
    if not listener or "BEGIN CERTIFICATE" not in str(listener["inputs"]["input"]):
        raise DemoError("`listener` has no certificate")
    tell("\n3. The certificate is deployed:")
    for name in ("approved_instance", "thumbprint", "not_after"):
        tell(f"   {name:25} {outputs[name]}")
    return str(outputs["thumbprint"])


def update(pulumi: Pulumi, server: Sandbox, instance_id: str, *, hold: bool) -> datetime | None:
    """The update that waits. Returns when the demo approved; None when that was left to the user."""
    if hold:
        path = f"/sandbox/instances/{instance_id}"
        tell("   It is yours to decide, in a browser:")
        tell(f"     {server.url}/#{instance_id}")
        # Each address and each command has a line of its own, so that it can be copied whole.
        tell("   Or in another terminal, to approve:")
        tell(f'     curl -s {server.url}{path}/approve -d \'{{"comment": "looks right"}}\'')
        tell("   Or to deny it, and the update fails:")
        tell(f'     curl -s {server.url}{path}/deny -d \'{{"comment": "no"}}\'')
    return waiting_up(pulumi, server, Approver(server, instance_id), hold=hold)


def waiting_up(pulumi: Pulumi, server: Sandbox, approver: Approver, *, hold: bool) -> datetime | None:
    """An update that waits. Returns when the demo approved; raises RefusedError when the user did not."""
    if not hold:
        tell(f"   The demo approves the request {WAIT_SECONDS} seconds after the gate's first look.")
        approver.start()
    try:
        pulumi.show("up", "--yes", "--skip-preview", stop=approver.failed)
    except DemoError:
        if not hold or (status := server.newest()["status"]) not in REFUSED:
            raise
        raise RefusedError(f"It was {REFUSED[status]}, so the update failed, as it should.") from None
    finally:
        approver.over.set()
    if not hold:
        approver.join()
        if approver.problem or approver.approved_at is None:
            raise DemoError(approver.problem or "the update ended before the approval was given: the gate did not wait")
    return approver.approved_at


def stay(server: Sandbox, *, hold: bool) -> None:
    """Leave everything as it is until Enter, for who wants to look around."""
    if hold and sys.stdin.isatty():
        tell("\n   Everything is still there:")
        tell(f"     {server.url}/#{server.newest()['instance_id']}")
        input("   Press Enter to go on. ")


def check(pulumi: Pulumi, instance_id: str, approved_at: datetime | None) -> None:
    """Look into the stack: exit status 0 alone does not say that the gate did its work."""
    outputs = json.loads(pulumi.ask("stack", "output", "--json"))
    wanted = {"approval_status": "Complete", "approved_instance": instance_id}
    wrong = {name: outputs.get(name) for name, value in wanted.items() if outputs.get(name) != value}
    missing = [name for name in ("state_digest", "certificate_ready") if not outputs.get(name)]
    if wrong or missing:
        raise DemoError(f"the stack's outputs are not those of an approved gate: {json.dumps(outputs, indent=2)}")

    resources = json.loads(pulumi.ask("stack", "export"))["deployment"]["resources"]
    listener = next((found for found in resources if found["urn"].endswith("::listener")), None)
    if not listener:
        raise DemoError(f"`listener` is not in the state: {[found['urn'] for found in resources]}")
    created = datetime.fromisoformat(listener["created"])
    if approved_at and created < approved_at:
        raise DemoError(f"`listener` was created at {created}, before the approval at {approved_at}")
    tell("\n4. The gate opened, and `listener` was created after the approval. In the stack's state:")
    if approved_at:
        tell(f"   approved by the demo at   {approved_at:%H:%M:%S.%f}")
    tell(f"   listener created at       {created.astimezone(UTC):%H:%M:%S.%f}")
    for name in ("approval_status", "approved_instance", "state_digest"):
        tell(f"   {name:25} {outputs[name]}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Show a `pulumi up` that waits for an approval in a sandbox.")
    parser.add_argument("--hold", action="store_true", help="do not approve; say how, and wait")
    parser.add_argument("--example", choices=EXAMPLES, default="gate", help="which example runs")
    given = parser.parse_args()
    hold, show = given.hold, demo_enroll if given.example == "enroll" else demo

    def stop(number: int, _frame: object) -> NoReturn:
        print("\nThe demo is being ended.", file=sys.stderr, flush=True)
        raise SystemExit(128 + number)  # through the `finally` blocks, which end everything

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    # A shell starts background jobs with SIGINT ignored, and the CLI would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="kf-demo-", ignore_cleanup_errors=True) as work:
            show(Path(work), hold=hold)
    except DemoError as exc:
        sys.exit(f"\nThe demo failed: {exc}")
    except KeyboardInterrupt:
        print("\nInterrupted; all that the demo started has ended.", file=sys.stderr)
        sys.exit(130)
    tell(f"\nThe demo passed in {time.monotonic() - started:.0f} s; nothing is left behind.")


if __name__ == "__main__":
    main()
