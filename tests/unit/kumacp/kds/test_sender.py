"""The answering side of a sync stream, on a wire that a test holds in its hands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kumacp.dpserver.timer_driver import wait_until
from kumacp.kds.exchange import sender_driver
from kumacp.kds.exchange.pause_driver import Pause
from kumacp.kds.exchange.sender_driver import Sender
from kumacp.kds.protocol.codec import decode_response, encode_request, encode_resource
from kumacp.kds.protocol.messages import Node, Received
from kumamesh.delta import WILDCARD, DeltaRequest
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh

PATIENCE_S = 20.0
MESH = encode_resource(Resource(ResourceKey("Mesh", "", "default"), Mesh()))
SOURCE = {"Mesh": {MESH.name: MESH}}


class Hands:
    """A Wire: `ask` is read by the sender, `heard` is what it wrote."""

    def __init__(self) -> None:
        self._requests: asyncio.Queue[bytes] = asyncio.Queue()
        self._responses: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes | None:
        return await self._requests.get()

    async def write(self, data: bytes) -> None:
        self._responses.put_nowait(data)

    def ask(self, request: DeltaRequest) -> None:
        self._requests.put_nowait(encode_request(request, Node("zone-1")))

    async def heard(self) -> Received:
        async with asyncio.timeout(PATIENCE_S):
            return decode_response(await self._responses.get())


def sender_on(wire: Hands, pause: Pause | None = None) -> Sender:
    return Sender(
        wire,
        SOURCE,
        control_plane="global",
        peer="zone-1",
        nack_backoff_s=0.0,
        max_message_bytes=1_000_000,
        pause=pause,
    )


async def test_during_a_pause_only_its_end_wakes_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment that the session named before would be over one day, and over for ever."""
    waits: asyncio.Queue[float | None] = asyncio.Queue()

    async def watched(moment: float | None, clock: Callable[[], float], event: asyncio.Event) -> None:
        waits.put_nowait(moment)
        await wait_until(moment, clock, event)

    monkeypatch.setattr(sender_driver, "wait_until", watched)
    wire, pause = Hands(), Pause()
    sender = sender_on(wire, pause)
    task = asyncio.create_task(sender.run())
    wire.ask(DeltaRequest("Mesh", subscribe=(WILDCARD,)))
    first = await wire.heard()
    wire.ask(DeltaRequest("Mesh", subscribe=(WILDCARD,), nonce=first.nonce, error="not now"))
    async with asyncio.timeout(PATIENCE_S):
        while await waits.get() is None:  # until it knows when to offer again what was refused
            pass
        pause.begin()
        sender.touch({})
        assert await waits.get() is None
    task.cancel()


async def test_a_first_request_without_names_asks_for_everything() -> None:
    """As any delta xDS; an empty answer would be the list of all there is."""
    wire = Hands()
    task = asyncio.create_task(sender_on(wire).run())
    wire.ask(DeltaRequest("Mesh"))
    assert [resource.name for resource in (await wire.heard()).resources] == ["default"]
    task.cancel()
