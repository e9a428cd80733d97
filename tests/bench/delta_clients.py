"""Many delta xDS clients in one process, as light as Python allows.

Run as `python delta_clients.py TARGET CA COUNT TOKEN`.

Each registers a Dataplane of its own that calls `backend`. Speaks lines of JSON: on stdin
`{"expect": true}` arms the next measurement; on stdout `{"ready": true}` once all are configured, then one
`{"last_ack": MONOTONIC, "acks": COUNT}` when every client has acknowledged a new assignment of `backend`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET
from lab import dataplane

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
CONNECTING_AT_ONCE = 50


class Crowd:
    """Counts who has acknowledged an assignment since the last arming."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.configured = 0
        self.acks = 0
        self.armed = False
        self.all_configured = asyncio.Event()
        self.all_acked = asyncio.Event()

    def on_configured(self) -> None:
        self.configured += 1
        if self.configured == self.count:
            self.all_configured.set()

    def on_endpoints_acked(self) -> None:
        if self.armed:
            self.acks += 1
            if self.acks == self.count:
                self.all_acked.set()


def first_request(number: int) -> DeltaDiscoveryRequest:
    document = dataplane(
        f"web-{number}", "web", app_port=8080, inbound_port=8081, outbounds={"backend": 9000}
    )
    request = DeltaDiscoveryRequest(type_url=CLUSTER)
    request.node.id = f"default.web-{number}"
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


async def client(number: int, target: str, credentials: Any, token: str, crowd: Crowd, gate: Any) -> None:
    async with gate:
        channel = grpc.aio.secure_channel(target, credentials, OPTIONS)
        call = channel.stream_stream(METHOD)(metadata=(("authorization", token),))
        await call.write(first_request(number).SerializeToString())
        await call.write(DeltaDiscoveryRequest(type_url=LISTENER).SerializeToString())
        names = ["identity_cert:secret:default", "mesh_ca:secret:default"]
        for type_url, wanted in ((ENDPOINT, ["backend"]), (SECRET, names)):
            request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=wanted)
            await call.write(request.SerializeToString())
        waiting = {CLUSTER, LISTENER, ENDPOINT}
        while waiting:
            waiting.discard(await answer_one(call))
        crowd.on_configured()
    while True:
        if await answer_one(call) == ENDPOINT:
            crowd.on_endpoints_acked()


async def answer_one(call: Any) -> str:
    """Read a response and acknowledge it; its type."""
    data = await call.read()
    if data is grpc.aio.EOF:
        raise SystemExit(f"a stream ended: {await call.details()}")
    response = DeltaDiscoveryResponse.FromString(data)
    ack = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
    await call.write(ack.SerializeToString())
    return str(response.type_url)


async def orders(crowd: Crowd) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await crowd.all_configured.wait()
    tell({"ready": True})
    while await reader.readline():
        crowd.acks, crowd.armed = 0, True
        crowd.all_acked.clear()
        tell({"armed": True})
        await crowd.all_acked.wait()
        crowd.armed = False
        tell({"last_ack": time.monotonic(), "acks": crowd.acks})
    os._exit(0)  # a thousand open streams are not worth closing one by one


def tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def main() -> None:
    target, ca, count, token = sys.argv[1], Path(sys.argv[2]).read_bytes(), int(sys.argv[3]), sys.argv[4]
    credentials = grpc.ssl_channel_credentials(ca)
    crowd, gate = Crowd(count), asyncio.Semaphore(CONNECTING_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(client(number, target, credentials, token, crowd, gate))
        group.create_task(orders(crowd))


if __name__ == "__main__":
    asyncio.run(main())
