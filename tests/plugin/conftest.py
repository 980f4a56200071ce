"""
The real plugin process, `python -m pulumi.dynamic`, of all tests, and a Keyfactor for each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pulumi.runtime.proto import provider_pb2_grpc

from kf_provider.sandbox import Sandbox

from .process import started_process


@pytest.fixture(scope="session")
def process() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """A plugin process without any of Keyfactor's settings in its environment."""
    with started_process() as stub:
        yield stub


@pytest.fixture
def server() -> Iterator[Sandbox]:
    """A Keyfactor to try things on."""
    with Sandbox() as running:
        yield running
