"""
A provider whose resources are their own inputs: it puts the real classes of `pulumi-tls` on the engine, without tls.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc


class Echo(provider_pb2_grpc.ResourceProviderServicer):
    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, so called in provider.proto, as all here
        return plugin_pb2.PluginInfo(version="5.6.2")

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        response = provider_pb2.DiffResponse
        return response(changes=response.DIFF_NONE if request.olds == request.news else response.DIFF_SOME)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CreateResponse(id="" if request.preview else "echo", properties=request.properties)

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = request.inputs
        if not inputs.fields:  # an import: every id is that of a certificate for this name
            inputs.update(
                {
                    "allowedUses": ["server_auth"],
                    "privateKeyPem": "a key",
                    "validityPeriodHours": 12,
                    "subject": {"commonName": request.id},
                }
            )
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties or inputs, inputs=inputs)

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.UpdateResponse(properties=request.news)

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return Empty()

    CheckConfig, DiffConfig = Check, Diff


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Echo(), server)
    sys.stdout.write(f"{server.add_insecure_port('127.0.0.1:0')}\n")  # the engine reads the port there
    sys.stdout.flush()
    server.start()
    server.wait_for_termination()
