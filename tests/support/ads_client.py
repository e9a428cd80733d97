"""A delta xDS client that behaves as a proxy does: subscribes, acknowledges, holds what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET

SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
WITHIN_S = 10.0

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


def node_metadata(resource: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """What `kuma-dp` tells of a sidecar; `resource` is its Dataplane as a document."""
    carried = {"dataplane.resource": json.dumps(resource)} if resource is not None else {}
    return {
        "dataplane.admin.port": "9901",
        "dataplane.readinessReporter.port": "9902",
        "features": ["feature-delta-grpc", "feature-embedded-dns"],
        "version": {
            "kumaDp": {"version": "2.13.0", "gitTag": "v2.13.0"},
            "envoy": {"version": "1.40.0", "kumaDpCompatible": True},
        },
        "workdir": "/tmp/kuma-dp",
        **carried,
        **more,
    }


class StreamClient:
    """What a test can wait for on a stream that a client reads; the reader sets `_changed`."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for a condition on what was received."""
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the stream; its status and text."""
        async with asyncio.timeout(WITHIN_S):
            return await self.call.code(), await self.call.details()

    async def leave(self) -> None:
        """Say goodbye: half-close, and wait until the server has closed too."""
        await self.call.done_writing()
        assert await self.ended() == (grpc.StatusCode.OK, "")


class AdsClient(StreamClient):
    """One stream over a connection of its own. Leaving the context breaks the connection."""

    def __init__(
        self,
        target: str,
        node_id: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        tokens: Sequence[str] = (),
        method: str = "DeltaAggregatedResources",
        auto_ack: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.node_id = node_id
        self.held: dict[str, dict[str, bytes]] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.responses: list[DeltaDiscoveryResponse] = []
        self._metadata = dict(metadata or {})
        self._auto_ack = auto_ack
        self._asked: set[str] = set()
        self._writing = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self.paused = False
        options = (*_CHANNEL_OPTIONS, *options)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options=options)
        call = self._channel.stream_stream(
            f"{SERVICE}/{method}",
            request_serializer=DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=DeltaDiscoveryResponse.FromString,
        )
        super().__init__(call(metadata=[("authorization", token) for token in tokens]))

    async def __aenter__(self) -> AdsClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    def start_reading(self) -> None:
        """Begin, or go on if the client was paused before its first request."""
        self.paused = False
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def ask(
        self,
        type_url: str = CLUSTER,
        *names: str,
        unsubscribe: Sequence[str] = (),
        known: Mapping[str, str] | None = None,
        node_id: str = "",
    ) -> None:
        """A request for a type; the first one of the stream carries the node."""
        request = DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=names,
            resource_names_unsubscribe=unsubscribe,
            initial_resource_versions=known or {},
        )
        if not self._asked or node_id:
            request.node.id = node_id or self.node_id
            request.node.metadata.update(self._metadata)
        self._asked.add(type_url)
        if self._reader is None and not self.paused:
            self.start_reading()
        await self._write(request)

    async def ask_all(self) -> None:
        """Clusters and listeners whole, then the assignments and secrets that clusters name."""
        await self.ask(CLUSTER)
        await self.until(lambda: CLUSTER in self.held)
        names = [name for name in self.held[CLUSTER] if ":" not in name]
        await self.ask(LISTENER)
        if names:
            await self.ask(ENDPOINT, *names)
        await self.until(lambda: LISTENER in self.held and len(self.held.get(ENDPOINT, ())) == len(names))

    async def ask_secrets(self, mesh: str = "default") -> None:
        await self.ask(SECRET, f"identity_cert:secret:{mesh}", f"mesh_ca:secret:{mesh}")

    async def answer(self, response: DeltaDiscoveryResponse, error: str | None = None) -> None:
        request = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if error is not None:
            request.error_detail.code = 13
            request.error_detail.message = error
        await self._write(request)

    async def kill(self) -> None:
        """Break the connection."""
        self.call.cancel()
        await self._channel.close()
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader

    async def _write(self, request: DeltaDiscoveryRequest) -> None:
        # gRPC loses the second of two writes at once.
        async with self._writing:
            await self.call.write(request)

    async def _read(self) -> None:
        try:
            async for response in self.call:
                self._take(response)
                if self._auto_ack:
                    await self.answer(response)
                self._changed.set()
        except (grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError):
            self._changed.set()  # the stream has ended, perhaps while an answer was on its way

    def _take(self, response: DeltaDiscoveryResponse) -> None:
        self.responses.append(response)
        held = self.held.setdefault(response.type_url, {})
        versions = self.versions.setdefault(response.type_url, {})
        for resource in response.resources:
            assert resource.resource.type_url == response.type_url
            held[resource.name] = resource.resource.value
            versions[resource.name] = resource.version
        for name in response.removed_resources:
            held.pop(name, None)
            versions.pop(name, None)
