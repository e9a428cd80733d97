"""A zone's control plane that does what a test tells it, also what no honest one does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from kumacp.kds.protocol import streams
from kumacp.kds.protocol.catalog import from_zone
from kumacp.kds.protocol.codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_resource,
    encode_response,
)
from kumacp.kds.protocol.hashing import synced_name
from kumacp.kds.protocol.messages import NODE_FEATURES, Node, Received
from kumamesh import names
from kumamesh.delta import WILDCARD, DeltaRequest, DeltaResponse
from kumamesh.resource import Resource
from kumamesh.resources.rest import from_rest
from kumamesh.version import BUILD

WITHIN_S = 20.0


class Stream:
    """One open stream. Bytes go in and out as they are."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def write(self, data: bytes) -> None:
        await self.call.write(data)

    async def read(self) -> bytes:
        """Fails when the stream is over."""
        async with asyncio.timeout(WITHIN_S):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, f"the stream is over: {await self.ended()}"
        assert isinstance(data, bytes)
        return data

    async def ended(self) -> tuple[str, str]:
        """How the other side ended it: gRPC's code and text. What it still sends is passed over."""
        async with asyncio.timeout(WITHIN_S):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            return (await self.call.code()).name, await self.call.details()


class Asking(Stream):
    """A GlobalToZoneSync stream."""

    async def ask(self, type_: str, node: Node) -> None:
        await self.write(encode_request(DeltaRequest(type_, subscribe=(WILDCARD,)), node))

    async def response(self, *, ack: bool = True) -> Received:
        received = decode_response(await self.read())
        if ack:
            node = Node("")
            await self.write(encode_request(DeltaRequest(received.type, nonce=received.nonce), node))
        return received

    async def first_of(self, type_: str, node: Node) -> Received:
        await self.ask(type_, node)
        while (received := await self.response()).type != type_:
            pass
        return received


class Telling(Stream):
    """A ZoneToGlobalSync stream."""

    def __init__(self, call: Any) -> None:
        super().__init__(call)
        self._nonce = 0

    async def asked(self) -> list[str]:
        """Types that global asks for."""
        return [decode_request(await self.read())[0].type_url for _ in from_zone()]

    async def serve(self, **lists: Sequence[Resource]) -> None:
        """Take the first requests, and answer each type with its list, or with an empty one."""
        nonces = {type_: await self.tell(type_, lists.get(type_, ())) for type_ in await self.asked()}
        for type_, nonce in nonces.items():
            assert await self.verdict(type_, nonce) is None, type_

    async def tell(
        self, type_: str, resources: Iterable[Resource] = (), removed: Sequence[Resource] = ()
    ) -> str:
        """Send a response; its nonce."""
        self._nonce += 1
        encoded = tuple(encode_resource(resource) for resource in resources)
        gone = tuple(encode_resource(resource).name for resource in removed)
        response = DeltaResponse(type_, str(self._nonce), encoded, gone)
        await self.write(encode_response(response, "zone"))
        return response.nonce

    async def verdict(self, type_: str, nonce: str) -> str | None:
        """The text of the NACK on a response, None for an ACK."""
        while True:
            request, _ = decode_request(await self.read())
            if (request.type_url, request.nonce) == (type_, nonce):
                return request.error

    async def told(self, type_: str, *resources: Resource, removed: Sequence[Resource] = ()) -> str | None:
        return await self.verdict(type_, await self.tell(type_, resources, removed))


class ScriptedZone:
    """One connection to global on loopback."""

    def __init__(self, channel: Any, name: str, metadata: Mapping[str, str | Sequence[str]]) -> None:
        self.name = name
        self.channel = channel
        self.node = Node(name, BUILD.to_wire(), '{"mode": "zone"}', f"{name}-instance", NODE_FEATURES)
        self._metadata = [
            (key, value)
            for key, values in metadata.items()
            for value in ([values] if isinstance(values, str) else values)
        ]

    def open(self, method: str) -> Stream:
        return Stream(self._call(method))

    def asking(self) -> Asking:
        return Asking(self._call(streams.GLOBAL_TO_ZONE))

    def telling(self) -> Telling:
        return Telling(self._call(streams.ZONE_TO_GLOBAL))

    async def joined(self) -> Asking:
        """A stream on which the zone has introduced itself and got the Meshes."""
        asking = self.asking()
        await asking.first_of("Mesh", self.node)
        return asking

    async def ping(self) -> bytes:
        call = self.channel.unary_unary(streams.HEALTH_CHECK)
        answer = await call(b"", metadata=self._metadata, timeout=WITHIN_S)
        assert isinstance(answer, bytes)
        return answer

    def own(self, document: Mapping[str, Any], *, zone: str = "", suffix: bool = True) -> Resource:
        """A resource of the zone as it goes to global. `zone` claims another zone."""
        resource = from_rest(dict(document))
        labels = {
            **resource.labels,
            names.ORIGIN_LABEL: "zone",
            names.ZONE_LABEL: zone or self.name,
            names.DISPLAY_NAME_LABEL: resource.name,
        }
        key = resource.key
        if suffix:
            key = key._replace(name=synced_name(resource.mesh, resource.name, labels))
        return Resource(key, resource.spec, labels=labels)

    def _call(self, method: str) -> Any:
        return self.channel.stream_stream(method)(metadata=self._metadata)


@asynccontextmanager
async def scripted_zone(
    port: int,
    name: str = "zone-1",
    *,
    store_id: str = "",
    token: str = "",
    ca: bytes | None = None,
    **metadata: str | Sequence[str],
) -> AsyncIterator[ScriptedZone]:
    """`metadata` in the place of the usual one, with underscores for dashes; "" leaves a key out."""
    told: dict[str, str | Sequence[str]] = {
        "client-id": name,
        "kds-version": "v3",
        "features": ("zone-ping-health", "hash-suffix"),
        "version": BUILD.version,
        "kuma-store-id": store_id,
        "authorization": f"Bearer {token}" if token else "",
        **{key.replace("_", "-"): value for key, value in metadata.items()},
    }
    told = {key: value for key, value in told.items() if value}
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    gzip = grpc.Compression.Gzip
    if ca is None:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options, compression=gzip)
    else:
        credentials = grpc.ssl_channel_credentials(ca)
        channel = grpc.aio.secure_channel(f"localhost:{port}", credentials, options, gzip)
    try:
        yield ScriptedZone(channel, name, told)
    finally:
        await channel.close()


def ingress(name: str = "ingress-1", *, service: str = "web", mesh: str = "default") -> dict[str, Any]:
    return {
        "type": "ZoneIngress",
        "name": name,
        "networking": {
            "address": "10.0.0.1",
            "port": 10001,
            "advertisedAddress": "192.0.2.1",
            "advertisedPort": 10001,
        },
        "availableServices": [{"tags": {"kuma.io/service": service}, "instances": 1, "mesh": mesh}],
    }


def dataplane(name: str = "web-1", service: str = "web", mesh: str = "default") -> dict[str, Any]:
    return {
        "type": "Dataplane",
        "mesh": mesh,
        "name": name,
        "networking": {
            "address": "10.0.0.2",
            "inbound": [{"port": 8080, "tags": {"kuma.io/service": service, "kuma.io/zone": "zone-1"}}],
        },
    }
