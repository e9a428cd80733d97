"""A client of health discovery that behaves as Envoy does, except that it reports when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import grpc
from envoy.config.core.v3 import health_check_pb2
from envoy.service.health.v3.hds_pb2 import HealthCheckRequestOrEndpointHealthResponse, HealthCheckSpecifier

from ads_client import StreamClient, node_metadata

METHOD = "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck"
ADMIN_PORT = 9901
"""That of `node_metadata`."""


class HdsClient(StreamClient):
    """One stream over a connection of its own; leaving the context breaks the connection."""

    def __init__(
        self,
        target: str,
        node_id: str = "default.web-1",
        *tokens: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.specifiers: list[HealthCheckSpecifier] = []
        self._node_id = node_id
        self._metadata = node_metadata() if metadata is None else dict(metadata)
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self._channel = grpc.aio.insecure_channel(target, options=options)
        stream = self._channel.stream_stream(METHOD, response_deserializer=HealthCheckSpecifier.FromString)
        super().__init__(stream(metadata=[("authorization", token) for token in tokens]))
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def __aenter__(self) -> HdsClient:
        message = HealthCheckRequestOrEndpointHealthResponse()
        message.health_check_request.node.id = self._node_id
        message.health_check_request.node.metadata.update(self._metadata)
        with suppress(grpc.aio.AioRpcError):  # refused before it could say anything: see `ended`
            await self.send(message.SerializeToString())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call.cancel()
        await self._channel.close()
        await self._reader

    async def send(self, data: bytes) -> None:
        await self.call.write(data)

    async def report(self, envoy: bool = True, **workloads: bool) -> None:
        """What was found: Envoy itself, and workloads on 127.0.0.1 by port, as `p8080=True`."""
        found = {ADMIN_PORT: envoy, **{int(name[1:]): healthy for name, healthy in workloads.items()}}
        await self.send(report(found))

    async def told(self, number: int = 1) -> HealthCheckSpecifier:
        """Wait for that many specifiers; the last one."""
        await self.until(lambda: len(self.specifiers) >= number)
        return self.specifiers[-1]

    async def _read(self) -> None:
        try:
            async for specifier in self.call:
                self.specifiers.append(specifier)
                self._changed.set()
        except (grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError):
            self._changed.set()


def report(found: Mapping[int, bool], *, entries: int = 0) -> bytes:
    """A report in Envoy's two forms; `entries` adds as many about addresses that nobody asked about."""
    message = HealthCheckRequestOrEndpointHealthResponse()
    response = message.endpoint_health_response
    unknown = [("192.0.2.1", 1 + number % 60_000, False) for number in range(entries)]
    for address, port, healthy in (*(("127.0.0.1", port, is_) for port, is_ in found.items()), *unknown):
        name = "kuma:envoy:admin" if port == ADMIN_PORT else f"localhost:{port}"
        cluster = response.cluster_endpoints_health.add(cluster_name=name)
        status = health_check_pb2.HEALTHY if healthy else health_check_pb2.UNHEALTHY
        item = cluster.locality_endpoints_health.add().endpoints_health.add(health_status=status)
        item.endpoint.address.socket_address.address = address
        item.endpoint.address.socket_address.port_value = port
        response.endpoints_health.append(item)
    return bytes(message.SerializeToString())


def clusters(specifier: HealthCheckSpecifier) -> Sequence[str]:
    return [check.cluster_name for check in specifier.cluster_health_checks]
