"""
The real plugin process, `python -m pulumi.dynamic`, and a Keyfactor for each test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2_grpc

from kf_provider.sandbox import Sandbox


@pytest.fixture
def process() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """A plugin process without any of Keyfactor's settings in its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYFACTOR_")}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic"], stdout=subprocess.PIPE, env={**environment, "HOME": "/nowhere"}
    ) as running:
        assert running.stdout is not None
        port = int(running.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
        running.kill()


@pytest.fixture
def server() -> Iterator[Sandbox]:
    """A Keyfactor to try things on."""
    with Sandbox() as running:
        yield running
