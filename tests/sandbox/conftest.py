"""
A sandbox for each test, and a client that speaks to it as Keyfactor wants.
"""

from collections.abc import Iterator

import httpx
import pytest

from kf_provider.sandbox import Sandbox

from .clients import connect


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as running:
        yield running


@pytest.fixture
def client(server: Sandbox) -> Iterator[httpx.Client]:
    with connect(server) as connected:
        yield connected


@pytest.fixture
def control(server: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/sandbox", timeout=60, trust_env=False, verify=False) as connected:
        yield connected


@pytest.fixture
def path(server: Sandbox) -> str:
    return f"/Workflow/Instances/{server.start_enrollment()}"
