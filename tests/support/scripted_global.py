"""A global control plane that does what a test tells it: it speaks the wire of Kuma 2.13 and decides nothing.

async with scripted_global() as world:
    down = await world.opened(GLOBAL_TO_ZONE)     # the zone has opened the stream
    await down.asked("Mesh")                      # and asked for a type
    await down.send("Mesh", mesh)                 # a response; the next nonce
    assert (await down.verdict()).ok
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from kumacp.kds.protocol import streams
from kumacp.kds.protocol.codec import encode_resource
from kumacp.kds.wire import kds_pb2
from kumamesh.resource import Resource

PATIENCE_S = 20.0
_KUMA_RESOURCE = "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource"
_STREAMS = (
    streams.GLOBAL_TO_ZONE,
    streams.ZONE_TO_GLOBAL,
    streams.XDS_CONFIGS,
    streams.STATS,
    streams.CLUSTERS,
)


@dataclass
class Told:
    """A response of the zone. `resources`: name -> KumaResource."""

    type: str
    nonce: str
    resources: dict[str, Any]
    removed: tuple[str, ...]
    identifier: str


@dataclass
class Verdict:
    type: str
    nonce: str
    error: str

    @property
    def ok(self) -> bool:
        return not self.error


class Stream:
    """One stream that the zone has opened; `metadata` as it came, in order."""

    def __init__(self, context: Any) -> None:
        self.metadata = [(key, value) for key, value in context.invocation_metadata()]
        self.requests: dict[str, DeltaDiscoveryRequest] = {}
        self.over = asyncio.Event()
        self._context = context
        self._verdicts: asyncio.Queue[Verdict] = asyncio.Queue()
        self._asked = asyncio.Condition()
        self._nonces = 0
        self._end: tuple[grpc.StatusCode, str] | None = None
        self._ending = asyncio.Event()

    def header(self, key: str) -> list[str]:
        return [value for known, value in self.metadata if known == key]

    async def read(self) -> bytes | None:
        async with asyncio.timeout(PATIENCE_S):
            data = await self._context.read()
        return None if data is grpc.aio.EOF else data

    async def write(self, data: bytes) -> None:
        await self._context.write(data)

    async def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, text: str = "") -> None:
        self._end = (code, text)
        self._ending.set()
        async with asyncio.timeout(PATIENCE_S):
            await self.over.wait()

    # The side that global answers: GlobalToZoneSync.

    async def asked(self, type_: str) -> DeltaDiscoveryRequest:
        """The first request for a type."""
        while type_ not in self.requests:
            await self._take()
        return self.requests[type_]

    async def verdict(self) -> Verdict:
        """The next ACK or NACK."""
        while self._verdicts.empty():
            await self._take()
        return self._verdicts.get_nowait()

    async def send(
        self, type_: str, *resources: Resource, removed: Sequence[str] = (), nonce: str = ""
    ) -> str:
        self._nonces += 1
        nonce = nonce or str(self._nonces)
        message = DeltaDiscoveryResponse(type_url=type_, nonce=nonce, removed_resources=removed)
        message.control_plane.identifier = "global"
        for resource in resources:
            made = encode_resource(resource)
            added = message.resources.add(name=made.name, version=made.version)
            added.resource.type_url = _KUMA_RESOURCE
            added.resource.value = made.body
        await self.write(message.SerializeToString())
        return nonce

    async def give(self, type_: str, *resources: Resource, removed: Sequence[str] = ()) -> Verdict:
        """Send a response, and wait for its verdict."""
        await self.asked(type_)
        nonce = await self.send(type_, *resources, removed=removed)
        verdict = await self.verdict()
        assert (verdict.type, verdict.nonce) == (type_, nonce)
        return verdict

    async def _take(self) -> None:
        data = await self.read()
        assert data is not None, "the zone has ended the stream"
        request = DeltaDiscoveryRequest.FromString(data)
        if request.response_nonce:
            error = request.error_detail.message if request.HasField("error_detail") else ""
            self._verdicts.put_nowait(Verdict(request.type_url, request.response_nonce, error))
        else:
            self.requests[request.type_url] = request

    # The side that global asks: ZoneToGlobalSync.

    async def ask(self, type_: str, *, features: Sequence[str] = ()) -> None:
        request = DeltaDiscoveryRequest(type_url=type_, resource_names_subscribe=["*"])
        request.node.id = "zone-1"
        if features:
            request.node.metadata.update({"features": list(features)})
        await self.write(request.SerializeToString())

    async def told(self) -> Told:
        """The next response of the zone."""
        data = await self.read()
        assert data is not None, "the zone has ended the stream"
        message = DeltaDiscoveryResponse.FromString(data)
        resources = {}
        for item in message.resources:
            assert item.resource.type_url == _KUMA_RESOURCE
            resources[item.name] = kds_pb2.KumaResource.FromString(item.resource.value)
        return Told(
            message.type_url,
            message.nonce,
            resources,
            tuple(message.removed_resources),
            message.control_plane.identifier,
        )

    async def accept(self, told: Told, error: str = "") -> None:
        request = DeltaDiscoveryRequest(type_url=told.type, response_nonce=told.nonce)
        request.node.id = "zone-1"
        if error:
            request.error_detail.message = error
            request.resource_names_subscribe.append("*")
        await self.write(request.SerializeToString())

    async def hear(self, type_: str) -> Told:
        """The next response, accepted; of this type."""
        told = await self.told()
        assert told.type == type_
        await self.accept(told)
        return told

    async def serve(self) -> None:
        await self._ending.wait()
        assert self._end is not None
        self.over.set()
        if self._end[0] is not grpc.StatusCode.OK:
            await self._context.abort(*self._end)


@dataclass
class ScriptedGlobal:
    """`refusals`: how a method is answered at once. `ping_interval_s`: what the zone is told, None for a
    global that serves no pings; `ping_answer` is sent as it is."""

    port: int = 0
    pings: int = 0
    ping_interval_s: float | None = 0.0
    ping_answer: bytes | None = None
    refusals: dict[str, tuple[grpc.StatusCode, str]] = field(default_factory=dict)
    ping_metadata: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._streams: dict[str, asyncio.Queue[Stream]] = {method: asyncio.Queue() for method in _STREAMS}
        self._open: set[Stream] = set()
        self._pinged = asyncio.Event()
        self._server: Any = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def opened(self, method: str) -> Stream:
        """The next stream of this method."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._streams[method].get()

    async def pinged(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.pings < times:
                self._pinged.clear()
                await self._pinged.wait()

    async def start(self, identity: tuple[bytes, bytes] | None = None) -> None:
        """`identity`: certificate and key in PEM; without it, plain text."""
        self._server = grpc.aio.server(
            options=(("grpc.http2.min_ping_interval_without_data_ms", 10_000), ("grpc.so_reuseport", 0))
        )
        self._server.add_generic_rpc_handlers((_Services(self),))
        address = f"127.0.0.1:{self.port}"
        if identity is None:
            self.port = self._server.add_insecure_port(address)
        else:
            certificate, key = identity
            credentials = grpc.ssl_server_credentials([(key, certificate)])
            self.port = self._server.add_secure_port(address, credentials)
        await self._server.start()

    async def stop(self) -> None:
        """At once, as if killed; what it has opened is gone."""
        await self._server.stop(None)
        for queue in self._streams.values():
            while not queue.empty():
                queue.get_nowait()

    async def serve(self, method: str, context: Any) -> None:
        if method in self.refusals:
            await context.abort(*self.refusals[method])
        stream = Stream(context)
        self._streams[method].put_nowait(stream)
        try:
            await stream.serve()
        finally:
            stream.over.set()

    async def answer_ping(self, context: Any) -> bytes:
        if streams.HEALTH_CHECK in self.refusals:
            await context.abort(*self.refusals[streams.HEALTH_CHECK])
        self.ping_metadata = list(context.invocation_metadata())
        self.pings += 1
        self._pinged.set()
        if self.ping_interval_s is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method")
        if self.ping_answer is not None:
            return self.ping_answer
        answer = kds_pb2.ZoneHealthCheckResponse()
        answer.interval.FromNanoseconds(int((self.ping_interval_s or 0.0) * 1e9))
        return answer.SerializeToString()


class _Services(grpc.GenericRpcHandler):
    def __init__(self, world: ScriptedGlobal) -> None:
        self._world = world

    def service(self, handler_call_details: Any) -> Any:
        method, world = handler_call_details.method, self._world
        if method == streams.HEALTH_CHECK:

            async def ping(_: bytes, context: Any) -> bytes:
                return await world.answer_ping(context)

            return grpc.unary_unary_rpc_method_handler(ping)
        if method not in _STREAMS:
            return None

        async def stream(_: Any, context: Any) -> None:
            await world.serve(method, context)

        return grpc.stream_stream_rpc_method_handler(stream)


@asynccontextmanager
async def scripted_global(identity: tuple[bytes, bytes] | None = None) -> AsyncIterator[ScriptedGlobal]:
    world = ScriptedGlobal()
    await world.start(identity)
    try:
        yield world
    finally:
        await world.stop()
