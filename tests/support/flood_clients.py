"""Many proxies that come at the same moment, from a process of their own.

Run as `python flood_clients.py PORT CA TOKEN FIRST COUNT BOOTSTRAPS`: COUNT delta streams, each over a
connection of its own with a Dataplane of its own, and BOOTSTRAPS requests for a bootstrap. Prints `ready`,
waits for a line, begins with all of them at once, prints a line of JSON (`served`, `bootstrapped`, `retries`,
`failures`, `seconds`), keeps its streams open until its stdin ends, and prints how many were ended meanwhile.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import json
import os
import random
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from ads_client import node_metadata
from h2_client import CLOSED, GOAWAY, DeltaConnection
from kumamesh.xds import CLUSTER, LISTENER
from lab import dataplane

_WITHIN_S = 240.0


class Flood:
    def __init__(self, port: int, ca: bytes, token: str, first: int, count: int, bootstraps: int) -> None:
        self._port, self._ca, self._token = port, ca, token
        self._numbers = range(first, first + count)
        self._bootstraps = range(first, first + bootstraps)
        self._open: list[DeltaConnection] = []
        self._keeping: asyncio.TaskGroup
        self.failures: collections.Counter[str] = collections.Counter()
        self.served = self.bootstrapped = self.retries = 0

    async def run(self, keeping: asyncio.TaskGroup) -> None:
        """Returns when everybody was served, or was not; the streams are kept open in `keeping`."""
        self._keeping = keeping
        async with asyncio.TaskGroup() as group:
            for number in self._numbers:
                group.create_task(self._count(self._stream(number), "stream"))
            for number in self._bootstraps:
                group.create_task(self._count(self._bootstrap(number), "bootstrap"))

    async def _count(self, work: Any, what: str) -> None:
        try:
            async with asyncio.timeout(_WITHIN_S):
                await work
        except (OSError, TimeoutError, EOFError, AssertionError) as error:
            self.failures[f"{what}: {type(error).__name__} {error}"] += 1

    async def _stream(self, number: int) -> None:
        """Until it is served, which may take another try, as it may for a proxy: connections that take longer
        than the server allows are ended, and 3,000 TLS handshakes take a busy machine seconds."""
        while True:
            try:
                return await self._try(number)
            except EOFError as error:
                if str(error) not in (CLOSED, GOAWAY):
                    raise
                self.retries += 1
            await asyncio.sleep(random.uniform(0.5, 2.0))

    async def _try(self, number: int) -> None:
        """Served: it has its clusters and its listeners."""
        connection = DeltaConnection(self._port, self._context(("h2",)), self._token)
        await connection.open()
        connection.send(_first(number))
        connection.send(DeltaDiscoveryRequest(type_url=LISTENER))
        waiting = {CLUSTER, LISTENER}
        while waiting:
            response = DeltaDiscoveryResponse.FromString(await connection.receive())
            waiting.discard(response.type_url)
            connection.send(DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce))
        self.served += 1
        self._open.append(connection)
        self._keeping.create_task(connection.keep())

    async def _bootstrap(self, number: int) -> None:
        context = self._context(())
        body = json.dumps(_request(number, self._token)).encode()
        reader, writer = await asyncio.open_connection(
            "localhost", self._port, ssl=context, ssl_handshake_timeout=60
        )
        head = f"POST /bootstrap HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            answer = await reader.read()
        finally:
            writer.transport.abort()
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
        self.bootstrapped += 1

    def ended(self) -> int:
        return sum(connection.ended for connection in self._open)

    @functools.cache  # noqa: B019  # one flood per process
    def _context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._ca.decode())
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


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
    async with asyncio.TaskGroup() as keeping:
        await flood.run(keeping)
        await _report(flood, orders, time.monotonic() - begun)


async def _report(flood: Flood, orders: asyncio.StreamReader, seconds: float) -> None:
    figures = {
        "served": flood.served,
        "bootstrapped": flood.bootstrapped,
        "failures": dict(flood.failures),
        "retries": flood.retries,
    }
    print(json.dumps({**figures, "seconds": seconds}), flush=True)
    await orders.read()
    print(json.dumps({"ended": flood.ended()}), flush=True)
    os._exit(0)  # thousands of open streams are not worth closing one by one


if __name__ == "__main__":
    asyncio.run(main())
