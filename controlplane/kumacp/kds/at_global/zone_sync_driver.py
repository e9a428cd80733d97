"""Serves the two sync streams of each zone: sends it what global has, and stores what it tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from kumacp.dpserver.refusal import Refused, Status
from kumacp.kds.at_global.global_intake import GlobalIntake
from kumacp.kds.at_global.zone_insight import told_by
from kumacp.kds.at_global.zone_insight_driver import ZoneInsights
from kumacp.kds.at_global.zone_stream_driver import ZoneStream
from kumacp.kds.at_global.zones_driver import Zones
from kumacp.kds.exchange.offers_driver import EncodedCache, Offers, OffersDriver
from kumacp.kds.exchange.outgoing import to_zone
from kumacp.kds.exchange.receiver_driver import Receiver
from kumacp.kds.exchange.sender_driver import Sender
from kumacp.kds.exchange.traffic import Traffic
from kumacp.kds.protocol.catalog import from_global, from_zone
from kumacp.kds.protocol.codec import decode_request
from kumacp.kds.protocol.messages import NODE_FEATURES, PARTS, Node
from kumacp.kds.protocol.subscriber import Subscriber
from kumacp.settings import CpSettings
from kumacp.store.api import Store, StoreUnavailable
from kumamesh.names import ZONE_LABEL
from kumamesh.version import BUILD

log = logging.getLogger(__name__)

GLOBAL = "global"
FIRST_REQUEST_S = 10.0
PATIENCE_S = 60.0
"""How long a zone whose store may have been lost has to tell of what it still has."""


class ZoneSync:
    """`load`, then `run`."""

    def __init__(
        self,
        settings: CpSettings,
        store: Store,
        zones: Zones,
        insights: ZoneInsights,
        *,
        instance_id: str,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.traffic = Traffic()
        self._settings = settings
        self._store = store
        self._zones = zones
        self._insights = insights
        self._instance_id = instance_id
        self._patience_s = patience_s
        self._cache = EncodedCache(settings.kds_max_message_bytes)
        self._offers = OffersDriver(store, from_global(), self._cache)

    async def load(self) -> None:
        """Read what zones are told; raises StoreUnavailable."""
        await self._offers.load()

    async def run(self) -> None:
        await self._offers.run()

    def reconsider(self, zone: str) -> None:
        """The zone was enabled or disabled: others get what it offers to them, or lose it."""
        self._offers.reconsider(lambda resource: resource.labels.get(ZONE_LABEL) == zone)

    async def send(self, stream: ZoneStream) -> None:
        """What global has, until the zone ends the stream; raises Refused, ValueError for what is no request,
        StoreUnavailable, ConnectionError."""
        first = await stream.read_within(FIRST_REQUEST_S, "the first request")
        if first is None:
            return
        node = _node_of(stream, first)
        await self._zones.register(stream.zone)
        seen = partial(
            to_zone,
            zone=stream.zone,
            features=node.features & NODE_FEATURES,
            enabled=self._zones.enabled,
            hidden_labels=self._settings.kds_labels_skip_prefixes,
        )
        offers = Offers(seen, from_global(), self._cache, keeps=PARTS in node.features)
        sender = Sender(
            stream,
            offers.source,
            control_plane=GLOBAL,
            peer=stream.zone,
            nack_backoff_s=self._settings.kds_nack_backoff,
            max_message_bytes=self._settings.kds_max_message_bytes,
            pause=self._zones.pause(stream.zone),
            traffic=self.traffic,
        )
        await self._offers.add(offers, sender.touch)
        try:
            told = told_by(node, token_provided=bool(stream.caller.tokens))
            self._insights.subscribed(stream, told, lambda: sender.counters)
            shown = {"zone": stream.zone, "peer": stream.peer, "version": told.version.kuma_cp.version}
            log.info("a control plane of a zone is connected", extra=shown)
            await sender.run(first)
        finally:
            self._offers.remove(offers)
            log.info("a control plane of a zone is gone", extra={"zone": stream.zone, "peer": stream.peer})

    async def receive(self, stream: ZoneStream) -> None:
        """What the zone has, until it ends the stream; raises like `send`, and Conflict or NotFound when
        somebody else keeps writing the same."""
        await self._zones.register(stream.zone)
        node = Node(
            stream.zone,
            version=BUILD.to_wire(),
            control_plane_id=self._instance_id,
            features=NODE_FEATURES,
        )
        fault: Exception | None = None
        async with asyncio.TaskGroup() as group:
            waiting: list[asyncio.Task[None]] = []

            def wait_for_more(type_: str) -> None:
                job = self._release(type_, stream, receiver, intake)
                waiting.append(group.create_task(job))

            intake = self._intake(stream, wait_for_more)
            receiver = Receiver(
                stream,
                Subscriber(from_zone(), node),
                self._store,
                intake,
                peer=stream.zone,
                pause=self._zones.pause(stream.zone),
                traffic=self.traffic,
            )
            try:
                await receiver.run()
            except Exception as error:  # noqa: BLE001  # raised below, not in a group
                fault = error
            for task in waiting:
                task.cancel()
        if fault is not None:
            raise fault

    def _intake(self, stream: ZoneStream, on_withheld: Callable[[str], None]) -> GlobalIntake:
        caller = stream.caller
        return GlobalIntake(
            caller.zone,
            caller.features,
            store_known=self._zones.store_is_known(caller.zone, caller.store_id),
            on_withheld=on_withheld,
            on_complete=partial(self._zones.know_store, caller.zone, caller.store_id),
        )

    async def _release(
        self, type_: str, stream: ZoneStream, receiver: Receiver, intake: GlobalIntake
    ) -> None:
        log.warning(
            "the zone lists no resource of the type, and its store may be a new one: what global has is kept"
            " for %g s",
            self._patience_s,
            extra={"zone": stream.zone, "type": type_},
        )
        pause = self._zones.pause(stream.zone)
        await asyncio.sleep(self._patience_s)
        while pause.holds:  # meanwhile the zone can tell of nothing
            await pause.over()
            await asyncio.sleep(self._patience_s)
        try:
            await receiver.release(type_)
        except StoreUnavailable as error:
            stream.end(Refused(Status.UNAVAILABLE, f"the store of global is not available: {error}"))
        else:
            intake.released(type_)


def _node_of(stream: ZoneStream, first: bytes) -> Node:
    """Raises Refused, MalformedMessage."""
    _, node = decode_request(first)
    if node.id != stream.zone:
        raise Refused(
            Status.INVALID_ARGUMENT,
            f'the stream is one of zone "{stream.zone}", and its node calls itself "{node.id[:100]}"',
        )
    return node
