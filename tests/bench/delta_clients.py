"""Many delta xDS clients in one process, as light as Python allows.

Speaks lines of JSON. The first on stdin is `{"target": ..., "ca": PATH, "token": ..., "dataplanes": [...]}`:
one client for each of the Dataplanes registers as it and subscribes to the services that its outbounds name.
`{"ready": true}` comes on stdout when all are configured.

What a service's assignment says is told by its mark: how far the highest port of its endpoints lies above
MARK_BASE. `{"until": {SERVICE: MARK}}` is answered when every client that calls these services has
acknowledged the mark or a later one, with
`{"reached": [[SERVICE, MARK, MONOTONIC], ...], "responses": N, "assignments": N}`: when the last client
acknowledged each mark, and what was received, since the answer before.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
CONNECTING_AT_ONCE = 50
MARK_BASE = 10_000
SECRETS = ("identity_cert:secret:default", "mesh_ca:secret:default")


class Crowd:
    """Which marks the clients have acknowledged."""

    def __init__(self, subscriptions: list[list[str]]) -> None:
        self.changed = asyncio.Event()
        self.unconfigured = len(subscriptions)
        self.responses = self.assignments = 0
        self._subscribers = Counter(service for services in subscriptions for service in services)
        self._seen: dict[tuple[int, str], int] = {}
        self._reached: dict[tuple[str, int], tuple[int, float]] = {}
        self._complete: dict[str, int] = {}

    def on_configured(self) -> None:
        self.unconfigured -= 1
        self.changed.set()

    def on_acknowledged(self, client: int, marks: Mapping[str, int]) -> None:
        now = time.monotonic()
        self.responses += 1
        self.assignments += len(marks)
        for service, mark in marks.items():
            before = self._seen.get((client, service))
            self._seen[client, service] = mark
            for each in range(mark if before is None else before + 1, mark + 1):
                count = self._reached.get((service, each), (0, now))[0] + 1
                self._reached[service, each] = (count, now)
                if count == self._subscribers[service]:
                    self._complete[service] = each
                    self.changed.set()

    def has(self, wanted: Mapping[str, int]) -> bool:
        return all(
            self._complete.get(service, -1) >= mark
            for service, mark in wanted.items()
            if service in self._subscribers
        )

    def report(self) -> dict[str, Any]:
        reached = [
            [service, mark, last]
            for (service, mark), (count, last) in self._reached.items()
            if count == self._subscribers[service]
        ]
        for service, mark, _ in reached:
            del self._reached[service, mark]
        told = {"reached": reached, "responses": self.responses, "assignments": self.assignments}
        self.responses = self.assignments = 0
        return told


def first_request(document: Mapping[str, Any]) -> DeltaDiscoveryRequest:
    request = DeltaDiscoveryRequest(type_url=CLUSTER)
    request.node.id = f"{document['mesh']}.{document['name']}"
    request.node.metadata.update(
        {
            "dataplane.resource": json.dumps(document),
            "dataplane.proxyType": "dataplane",
            "dataplane.admin.port": "9901",
            "dataplane.readinessReporter.port": "9902",
            "features": ["feature-delta-grpc"],
            "version": {"kumaDp": {"version": "2.13.0"}, "envoy": {"version": "1.40.0"}},
            "workdir": "/tmp/x",
        }
    )
    return request


def services_called(document: Mapping[str, Any]) -> list[str]:
    return [outbound["tags"]["kuma.io/service"] for outbound in document["networking"]["outbound"]]


class Clients:
    """All clients of this process, and the control plane that they connect to."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._target = spec["target"]
        self._credentials = grpc.ssl_channel_credentials(Path(spec["ca"]).read_bytes())
        self._metadata = (("authorization", spec["token"]),)
        self._gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self._documents = spec["dataplanes"]
        self.crowd = Crowd([services_called(document) for document in self._documents])

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number, document in enumerate(self._documents):
                group.create_task(self._client(number, document))
            group.create_task(orders(self.crowd))

    async def _client(self, number: int, document: Mapping[str, Any]) -> None:
        called = services_called(document)
        async with self._gate:
            channel = grpc.aio.secure_channel(self._target, self._credentials, OPTIONS)
            call = channel.stream_stream(METHOD)(metadata=self._metadata)
            await call.write(first_request(document).SerializeToString())
            await call.write(DeltaDiscoveryRequest(type_url=LISTENER).SerializeToString())
            for type_url, names in ((ENDPOINT, called), (SECRET, SECRETS)):
                request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
                await call.write(request.SerializeToString())
            waiting = {CLUSTER, LISTENER, SECRET, *([ENDPOINT] if called else [])}
            while waiting:
                waiting.discard(await self._answer_one(number, call))
            self.crowd.on_configured()
        while True:
            await self._answer_one(number, call)

    async def _answer_one(self, number: int, call: Any) -> str:
        """Read a response and acknowledge it; its type."""
        data = await call.read()
        if data is grpc.aio.EOF:
            raise SystemExit(f"a stream ended: {await call.details()}")
        response = DeltaDiscoveryResponse.FromString(data)
        ack = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        await call.write(ack.SerializeToString())
        if response.type_url == ENDPOINT:
            self.crowd.on_acknowledged(
                number, {item.name: mark_of(item.resource.value) for item in response.resources}
            )
        return str(response.type_url)


def mark_of(assignment: bytes) -> int:
    ports = (
        endpoint.endpoint.address.socket_address.port_value
        for locality in ClusterLoadAssignment.FromString(assignment).endpoints
        for endpoint in locality.lb_endpoints
    )
    return max(max(ports, default=0) - MARK_BASE, 0)


async def orders(crowd: Crowd) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while crowd.unconfigured:
        await change_of(crowd)
    tell({"ready": True})
    while line := await reader.readline():
        wanted = json.loads(line)["until"]
        while not crowd.has(wanted):
            await change_of(crowd)
        tell(crowd.report())
    os._exit(0)  # a thousand open streams are not worth closing one by one


async def change_of(crowd: Crowd) -> None:
    await crowd.changed.wait()
    crowd.changed.clear()


def tell(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Not through `sys.stdin`, which would read ahead: what follows the first line is for the event loop.
    first = bytearray()
    while not first.endswith(b"\n"):
        first += os.read(0, 1 << 16)
    asyncio.run(Clients(json.loads(first)).run())
