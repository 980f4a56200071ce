"""
What `make demo HOLD=1` leaves to a person.
"""

import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from .browser import open_browser

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 240.0

Found = TypeVar("Found")


def find_cli() -> str:
    """
    The folder of a working Pulumi CLI, as `make test` found it, or found now.
    """
    if (folder := os.environ.get("KF_PULUMI_BIN")) is not None:
        return folder
    find = [sys.executable, str(ROOT / "tools/pulumi/find.py")]
    return subprocess.run(find, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@dataclass
class Demo:
    """
    A demo that waits for a person: what it has printed, where its sandbox is, and which instance it waits for.
    """

    process: subprocess.Popen[str]
    lines: list[str]
    url: str
    instance_id: str

    @property
    def printed(self) -> str:
        return "".join(self.lines)


@contextmanager
def held_demo(stdin: int) -> Iterator[Demo]:
    """
    `make demo HOLD=1` with this standard input, when its gate waits in the update; it ends here at the latest.
    """
    environment = os.environ | {"PATH": f"{find_cli()}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tools/demo.py"), "--hold"],
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            address = re.compile(r"in a browser:\s+(http://\S+)/#(\S+)")
            url, instance_id = wait_for(lambda: address.search("".join(lines)), lines).groups()
            # One look is the preview's.
            wait_for(lambda: looks(url, instance_id) > 1, lines)
            yield Demo(process, lines, url, instance_id)
            process.wait(PATIENCE_SECONDS)
        finally:
            process.terminate()  # it ends all that it has started
            reader.join(PATIENCE_SECONDS)


def test_click_opens_the_gate(tmp_path: Path) -> None:
    """
    The demo's update waits until a person clicks Approve at the address that it prints, and then goes to its end.
    """
    with held_demo(subprocess.DEVNULL) as demo, open_browser(tmp_path / "profile") as browser:
        browser.visit(f"{demo.url}/#{demo.instance_id}")
        browser.wait_for_text("#detail-status", "Suspended")
        assert "listener created" not in demo.printed
        browser("#comment").send_keys("looks right")
        browser.button("approve").click()
        browser.wait_for_text("#detail-status", "Complete")

    assert demo.process.returncode == 0, demo.printed
    assert "The gate opened" in demo.printed


def test_demo_stays_up_until_enter() -> None:
    """
    On a terminal, everything is still there after the approval, until Enter is pressed.
    """
    keyboard, stdin = pty.openpty()
    try:
        with held_demo(stdin) as demo:
            httpx.post(f"{demo.url}/sandbox/instances/{demo.instance_id}/approve", trust_env=False)
            wait_for(lambda: "Everything is still there" in demo.printed, demo.lines)
            time.sleep(2)  # that it does not end by itself shows only in time
            assert looks(demo.url, demo.instance_id) > 1  # the sandbox answers
            assert "A second update" not in demo.printed

            os.write(keyboard, b"\n")
    finally:
        os.close(keyboard)
        os.close(stdin)

    assert demo.process.returncode == 0, demo.printed


def looks(url: str, instance_id: str) -> int:
    """
    How often somebody has asked for the instance.
    """
    requests = httpx.get(f"{url}/sandbox/journal", trust_env=False).json()["requests"]
    return sum(record["instance_id"] == instance_id for record in requests)


def wait_for(look: Callable[[], Found | None], lines: list[str]) -> Found:
    """
    Wait until `look` finds something; on failure, show what the demo has printed.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "".join(lines)
        time.sleep(0.1)
    return found
