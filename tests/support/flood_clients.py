"""Many proxies that come at the same moment, from a process of their own.

Run as `python flood_clients.py PORT CA TOKEN FIRST COUNT BOOTSTRAPS`: COUNT delta streams, each over a connection
of its own with a Dataplane of its own, and BOOTSTRAPS requests for a bootstrap. Prints `ready`, waits for a line,
begins with all of them at once, prints a line of JSON (`served`, `bootstrapped`, `failures`, `seconds`), keeps
its streams open until its stdin ends, and then prints how many of them were ended meanwhile.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from ads_client import SERVICE, node_metadata
from kumamesh.xds import CLUSTER, LISTENER
from lab import dataplane

_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
_WITHIN_S = 240.0


class Flood:
    def __init__(self, port: int, ca: bytes, token: str, first: int, count: int, bootstraps: int) -> None:
        self._port, self._ca, self._token = port, ca, token
        self._numbers = range(first, first + count)
        self._bootstraps = range(first, first + bootstraps)
        self._credentials = grpc.ssl_channel_credentials(ca)
        self._open: list[tuple[Any, Any]] = []
        self.failures: collections.Counter[str] = collections.Counter()
        self.served = self.bootstrapped = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in self._numbers:
                group.create_task(self._count(self._stream(number), "stream"))
            for number in self._bootstraps:
                group.create_task(self._count(self._bootstrap(number), "bootstrap"))

    async def _count(self, work: Any, what: str) -> None:
        try:
            async with asyncio.timeout(_WITHIN_S):
                await work
        except grpc.aio.AioRpcError as error:
            self.failures[f"{what}: {error.code().name} {error.details()}"] += 1
        except (OSError, TimeoutError, EOFError, AssertionError) as error:
            self.failures[f"{what}: {type(error).__name__} {error}"] += 1

    async def _stream(self, number: int) -> None:
        """Served: it has its clusters and its listeners."""
        channel = grpc.aio.secure_channel(f"localhost:{self._port}", self._credentials, _OPTIONS)
        method = f"{SERVICE}/DeltaAggregatedResources"
        call = channel.stream_stream(method)(metadata=(("authorization", self._token),), wait_for_ready=True)
        self._open.append((channel, call))
        await call.write(_first(number).SerializeToString())
        await call.write(DeltaDiscoveryRequest(type_url=LISTENER).SerializeToString())
        waiting = {CLUSTER, LISTENER}
        while waiting:
            data = await call.read()
            if data is grpc.aio.EOF:
                raise EOFError(f"{(await call.code()).name} {await call.details()}")
            response = DeltaDiscoveryResponse.FromString(data)
            waiting.discard(response.type_url)
            ack = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
            await call.write(ack.SerializeToString())
        self.served += 1

    async def _bootstrap(self, number: int) -> None:
        context = ssl.create_default_context(cadata=self._ca.decode())
        body = json.dumps(_request(number, self._token)).encode()
        reader, writer = await asyncio.open_connection("localhost", self._port, ssl=context, ssl_handshake_timeout=60)
        head = f"POST /bootstrap HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            answer = await reader.read()
        finally:
            writer.transport.abort()
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
        self.bootstrapped += 1

    def ended(self) -> int:
        return sum(call.done() for _, call in self._open)


def _document(number: int) -> dict[str, Any]:
    return dataplane(f"flood-{number}", "flood", app_port=8080, inbound_port=8081)


def _first(number: int) -> DeltaDiscoveryRequest:
    request = DeltaDiscoveryRequest(type_url=CLUSTER)
    request.node.id = f"default.flood-{number}"
    request.node.metadata.update(node_metadata(_document(number)))
    return request


def _request(number: int, token: str) -> dict[str, Any]:
    return {
        "mesh": "default",
        "name": f"flood-{number}",
        "proxyType": "dataplane",
        "dataplaneToken": token,
        "dataplaneResource": json.dumps(_document(number)),
        "readinessPort": 9902,
        "features": ["feature-delta-grpc"],
        "workdir": "/tmp/flood",
    }


async def main() -> None:
    port, ca, token, first, count, bootstraps = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    flood = Flood(int(port), Path(ca).read_bytes(), token, int(first), int(count), int(bootstraps))
    loop, orders = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    await orders.readline()
    begun = time.monotonic()
    await flood.run()
    figures = {"served": flood.served, "bootstrapped": flood.bootstrapped, "failures": dict(flood.failures)}
    print(json.dumps({**figures, "seconds": time.monotonic() - begun}), flush=True)
    await orders.read()
    print(json.dumps({"ended": flood.ended()}), flush=True)
    os._exit(0)  # thousands of open streams are not worth closing one by one


if __name__ == "__main__":
    asyncio.run(main())
