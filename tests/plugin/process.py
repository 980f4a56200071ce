"""
A plugin's process as the engine speaks to it: over gRPC, in the engine's messages.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
from google.protobuf import json_format, struct_pb2
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from kf_provider.sandbox import Sandbox

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # how the engine's wire writes an unknown value


@contextmanager
def channel_to(
    *command: str, variables: Mapping[str, str] | None = None, cwd: Path | None = None, stderr: IO[str] | None = None
) -> Iterator[grpc.Channel]:
    """To a process that prints its port; with these variables, and without any of Keyfactor's settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYFACTOR_")}
    with subprocess.Popen(
        [sys.executable, "-u", *command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**environment, "HOME": "/nowhere", **(variables or {})},
    ) as running:
        assert running.stdout is not None
        port = int(running.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        running.kill()


@contextmanager
def started_process(
    *, stderr: IO[str] | None = None, **variables: str
) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The plugin of dynamic providers."""
    with channel_to("-m", "pulumi.dynamic", stderr=stderr, variables=variables) as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)


_number = itertools.count(1)


class Plugin:
    """A provider in a plugin process, which other tests may use before and after."""

    def __init__(self, stub: provider_pb2_grpc.ResourceProviderStub, provider: ResourceProvider) -> None:
        self._stub = stub
        self._provider = provider

    def configure(self, **config: str) -> None:
        # A process makes and configures a provider once for each text; in base64, the ends of lines say nothing.
        self._pickle = serialize_provider(self._provider) + "\n" * next(_number)
        request = provider_pb2.ConfigureRequest(
            args=struct({f"keyfactor:{key}": value for key, value in config.items()})
        )
        self._stub.Configure(request)

    def check(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        answer = self._stub.Check(
            provider_pb2.CheckRequest(olds=self._props(olds) if olds else struct({}), news=self._props(news))
        )
        return self._plain(answer.inputs), [f"{failure.property}{failure.reason}" for failure in answer.failures]

    def diff(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> tuple[bool, list[str]]:
        answer = self._stub.Diff(provider_pb2.DiffRequest(id="x", olds=self._props(olds), news=self._props(news)))
        return answer.changes == provider_pb2.DiffResponse.DIFF_SOME, list(answer.replaces)

    def create(self, props: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        answer = self._stub.Create(provider_pb2.CreateRequest(properties=self._props(props)))
        return answer.id, self._plain(answer.properties)

    def update(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._stub.Update(provider_pb2.UpdateRequest(id="x", olds=self._props(olds), news=self._props(news)))
        return self._plain(answer.properties)

    def read(self, id_: str, props: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        answer = self._stub.Read(provider_pb2.ReadRequest(id=id_, properties=self._props(props)))
        return answer.id, self._plain(answer.properties)

    def delete(self, id_: str, props: Mapping[str, Any]) -> None:
        self._stub.Delete(provider_pb2.DeleteRequest(id=id_, properties=self._props(props)))

    def _props(self, values: Mapping[str, Any]) -> struct_pb2.Struct:
        return struct({**values, "__provider": self._pickle})

    @staticmethod
    def _plain(answer: struct_pb2.Struct) -> dict[str, Any]:
        values: dict[str, Any] = json_format.MessageToDict(answer)
        values.pop("__provider", None)
        return values


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(dict(values))
    return message


def config_of(server: Sandbox) -> dict[str, str]:
    return {"hostname": server.url, "username": server.username, "password": server.password}
