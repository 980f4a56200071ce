"""
When real pollers ask, on a clock of ours. Runs in the venv of the peers; knows nothing of kf_provider.

    python poll_times.py SECONDS SEED  ->  {"google-api-core 2.44.0": [0.0, 0.4, ...], ...}

Each is asked to wait, with the defaults of its authors, for something that is done after SECONDS. Its own time limit is
lifted, so that it goes on: google-api-core ends after 900 s otherwise, vcert after 180 s.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from importlib import import_module
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any
from unittest import mock


class Clock:
    """
    Time that passes only where somebody sleeps, and the polls that were sent on it.
    """

    def __init__(self, done_at: float) -> None:
        self.now = 0.0
        self.done_at = done_at
        self.polls: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def poll(self) -> bool:
        """
        Note a request; whether its answer is that it is done.
        """
        self.polls.append(self.now)
        return self.now >= self.done_at


def google_api_core(clock: Clock) -> None:
    """
    PollingFuture.result with DEFAULT_POLLING: x1.5 from 1 s up to 20 s, each time a random part of it.
    """
    polling: Any = import_module("google.api_core.future.polling")

    class Operation(polling.PollingFuture):  # type: ignore[misc]  # of a venv that mypy does not see
        def done(self, **_: object) -> bool:
            if is_done := clock.poll():
                self.set_result(None)
            return is_done

        def cancel(self) -> None:
            raise NotImplementedError

        def cancelled(self) -> bool:
            return False

    Operation().result(timeout=None)


def azure_core(clock: Clock) -> None:
    """
    LROBasePolling.run without a Retry-After: 30 s.
    """
    base_polling: Any = import_module("azure.core.polling.base_polling")

    class Polling(base_polling.LROBasePolling):  # type: ignore[misc]  # as above
        _status = "InProgress"
        _operation = SimpleNamespace(get_final_get_url=lambda _: None)

        def update_status(self) -> None:
            self._pipeline_response = SimpleNamespace(http_response=SimpleNamespace(headers={}))
            self._status = "Succeeded" if clock.poll() else "InProgress"

        def _sleep(self, delay: float) -> None:
            clock.sleep(delay)

    Polling().run()


def vcert(clock: Clock) -> None:
    """
    TPPConnection.retrieve_cert: 2 s.
    """
    common: Any = import_module("vcert.common")
    connection: Any = import_module("vcert.connection_tpp")

    class Connection(connection.TPPConnection):  # type: ignore[misc]  # as above
        def _post(self, *_: object, **__: object) -> tuple[HTTPStatus, None]:
            if clock.poll():
                raise StopIteration  # out of the loop, which would now parse a certificate
            return HTTPStatus.ACCEPTED, None

    request = common.CertificateRequest(cert_id="web", timeout=10 * clock.done_at)
    with suppress(StopIteration):
        Connection("user", "password", "https://tpp.example.com/vedsdk/").retrieve_cert(request)


PEERS: dict[str, Callable[[Clock], None]] = {
    "google-api-core": google_api_core,
    "azure-core": azure_core,
    "vcert": vcert,
}


def main() -> None:
    """
    Print when each peer polls.
    """
    seconds, seed = float(sys.argv[1]), int(sys.argv[2])
    found = {}
    for name, wait in PEERS.items():
        clock = Clock(seconds)
        random.seed(seed)
        with mock.patch.multiple(time, sleep=clock.sleep, monotonic=clock.time, time=clock.time):
            wait(clock)
        found[f"{name} {version(name)}"] = [round(at, 3) for at in clock.polls]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
