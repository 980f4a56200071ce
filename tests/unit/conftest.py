"""
Unit tests: a server of their own, and nothing of the machine's settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kf_provider.keyfactor.client import Client

from .loopback import Loopback, client_for, running


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings, proxies or certificates but the test's own."""
    for name in list(os.environ):
        if name.startswith("KEYFACTOR_") or name.lower().endswith("_proxy") or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as loopback:
        yield loopback


@pytest.fixture
def client(server: Loopback) -> Iterator[Client]:
    with client_for(server) as made:
        yield made


@pytest.fixture
def tls_server() -> Iterator[Loopback]:
    with running(tls=True) as loopback:
        yield loopback
