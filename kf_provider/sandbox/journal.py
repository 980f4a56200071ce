"""
The journal: what clients asked and what they got, without secrets, for tests to look at.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

MAX_RECORDS: Final = 20_000

_SECRET_HEADERS: Final = frozenset({"cookie", "proxy-authorization"})


class Endpoint(StrEnum):
    """
    What a request is for, whatever its spelling.
    """

    GET = "get"
    LIST = "list"
    ASSIGNED_TO_ME = "assigned_to_me"
    MY = "my"
    SIGNAL = "signal"
    STOP = "stop"
    RESTART = "restart"
    DELETE = "delete"
    DEFINITIONS = "definitions"
    ENROLL = "enroll"
    REVOKE = "revoke"
    CERTIFICATES = "certificates"
    STATUS_ENDPOINTS = "status_endpoints"
    TOKEN = "token"  # noqa: S105 - the name of an endpoint
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


READS: Final = frozenset({Endpoint.GET, Endpoint.LIST, Endpoint.ASSIGNED_TO_ME, Endpoint.MY})


@dataclass(frozen=True)
class RequestRecord:
    """
    One request. `status` is None while it has no answer, and for ever when the connection was cut.

    `time` is the sandbox's clock, `elapsed_seconds` the real time since the sandbox started. `identity` is the user
    name, or the OAuth client that asked for a token; `credential` says basic, access_token or oauth.
    `retry_after_seconds` is what a Retry-After in the answer asked for, where it can be understood.
    """

    number: int
    time: datetime
    elapsed_seconds: float
    endpoint: Endpoint
    method: str
    path: str
    query: str
    instance_id: UUID | None
    identity: str | None
    credential: str | None
    headers: Mapping[str, str]
    status: int | None = None
    fault: str | None = None
    retry_after_seconds: float | None = None


class Journal:
    """
    The latest requests, oldest first; older ones than the last 20,000 are dropped. Thread-safe.
    """

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._records: deque[RequestRecord] = deque(maxlen=MAX_RECORDS)
        self._changed = threading.Condition()
        self._started = time.monotonic()
        self._last_number = 0

    def add(
        self,
        *,
        endpoint: Endpoint,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        instance_id: UUID | None,
        identity: str | None,
        credential: str | None,
    ) -> int:
        """
        Note that a request has come in, and return its number.
        """
        with self._changed:
            self._last_number += 1
            self._records.append(
                RequestRecord(
                    number=self._last_number,
                    time=self._now(),
                    elapsed_seconds=time.monotonic() - self._started,
                    endpoint=endpoint,
                    method=method,
                    path=path,
                    query=query,
                    instance_id=instance_id,
                    identity=identity,
                    credential=credential,
                    headers=_without_secrets(headers),
                )
            )
            self._changed.notify_all()
            return self._last_number

    def amend(
        self,
        number: int,
        *,
        status: int | None = None,
        fault: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """
        Note the answer to a request, or the fault that meets it.
        """
        with self._changed:
            # Unless the journal was cleared meanwhile, the record is as far from the end as its number is.
            index = number - self._last_number - 1
            if len(self._records) >= -index and self._records[index].number == number:
                record = self._records[index]
                self._records[index] = replace(
                    record,
                    status=status or record.status,
                    fault=fault or record.fault,
                    retry_after_seconds=retry_after_seconds or record.retry_after_seconds,
                )
            self._changed.notify_all()

    def records(self) -> list[RequestRecord]:
        """
        Every request so far.
        """
        with self._changed:
            return list(self._records)

    def wait_for(self, condition: Callable[[list[RequestRecord]], bool], *, timeout: float) -> list[RequestRecord]:
        """
        Wait until the journal fulfils `condition`, and return it; a `TimeoutError` after `timeout` real seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(list(self._records)), timeout):
                raise TimeoutError(f"the journal did not come to what was awaited within {timeout} s")
            return list(self._records)

    def clear(self) -> None:
        """
        Forget all requests; numbers go on.
        """
        with self._changed:
            self._records.clear()
            self._changed.notify_all()


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """
    The headers with lower-case names; of credentials only the scheme is left.
    """
    kept = {}
    for name, text in headers.items():
        lower = name.lower()
        if lower == "authorization":
            kept[lower] = f"{text.partition(' ')[0]} ***"
        else:
            kept[lower] = "***" if lower in _SECRET_HEADERS else text
    return kept
