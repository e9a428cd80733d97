"""A zone as a part of the whole: keeps it joined to its global control plane, and lets it work alone whenever
that is away."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time

from kumacp.kds.at_zone.questions_driver import Proxies, Questions
from kumacp.kds.at_zone.reconnecting import Pauses
from kumacp.kds.at_zone.trouble import Trouble, trouble_of, unreadable
from kumacp.kds.at_zone.trust import GlobalTrust
from kumacp.kds.at_zone.zone_client import ClientWire, GlobalClient, StreamEnded, address_of
from kumacp.kds.at_zone.zone_intake_driver import ZoneIntake, remembered_global
from kumacp.kds.at_zone.zone_link_driver import LinkFigures, Serve, ZoneLink
from kumacp.kds.exchange.offers_driver import EncodedCache, Offers, OffersDriver
from kumacp.kds.exchange.outgoing import to_global
from kumacp.kds.exchange.receiver_driver import Receiver
from kumacp.kds.exchange.sender_driver import Sender
from kumacp.kds.exchange.traffic import Traffic
from kumacp.kds.protocol import catalog, streams
from kumacp.kds.protocol.messages import NODE_FEATURES, Node
from kumacp.kds.protocol.subscriber import Subscriber
from kumacp.mode import Role
from kumacp.settings import CpSettings
from kumacp.store.api import Store, StoreUnavailable
from kumamesh import settings as settings_document
from kumamesh.resource import Resource
from kumamesh.version import BUILD

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_PEER = "global"


class Federation:
    """`run` until it is cancelled. `store_id` tells this store from that of another who has the same name."""

    def __init__(
        self,
        settings: CpSettings,
        checked: Role,
        store: Store,
        *,
        instance_id: str,
        store_id: str,
        proxies: Proxies,
    ) -> None:
        self.figures = LinkFigures()
        self.traffic = Traffic()
        self._questions = Questions(store, proxies, limit=settings.zone_kds_max_message_bytes)
        self._settings = settings
        self._zone = checked.zone
        self._store = store
        self._address = address_of(settings, checked.global_target, tls=checked.global_tls, store_id=store_id)
        self._node = Node(
            id=checked.zone,
            version=BUILD.to_wire(),
            config=json.dumps(settings_document.dump(settings)),
            control_plane_id=instance_id,
            features=NODE_FEATURES,
        )
        self._cache = EncodedCache(settings.zone_kds_max_message_bytes)
        self._offers = OffersDriver(store, catalog.from_zone(), self._cache)

    async def run(self) -> None:
        await self._load()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._offers.run())
            await self._stay_joined()

    async def _load(self) -> None:
        while True:
            try:
                return await self._offers.load()
            except StoreUnavailable as error:
                log.error("the store cannot be read for the sync, trying again: %s", error)
                await asyncio.sleep(_RETRY_S)

    async def _stay_joined(self) -> None:
        pauses, told = Pauses(), ""
        while True:
            lived_s, trouble = await self._join()
            if lived_s or trouble.line != told:
                log.warning("%s; this zone goes on with what it has", trouble.line)
            told = trouble.line
            chance = random.random()  # noqa: S311
            await asyncio.sleep(pauses.next(lived_s=lived_s, refused=trouble.refused, chance=chance))

    async def _join(self) -> tuple[float, Trouble]:
        """One connection, from its beginning to its end: how many seconds it held, 0 if it did not come
        about, and why it is over."""
        dialled = self._address.dialled
        try:
            client = await GlobalClient.dial(self._address)
        except StreamEnded as ended:
            self.figures.failures += 1
            return 0.0, trouble_of(dialled, ended.code, ended.details)
        except OSError as error:
            self.figures.failures += 1
            token = self._address.token
            is_token = token is not None and error.filename in (str(token), str(token.expanduser()))
            return 0.0, unreadable(error.filename, error.strerror or "", token=is_token)
        log.info("joined the global control plane", extra={"global": dialled.target, "zone": self._zone})
        self.figures.connections += 1
        self.figures.connected = 1
        begun_at = time.monotonic()
        link = ZoneLink(client, dialled, self._serves(), self.figures)
        try:
            await link.run()
        finally:
            self.figures.connected = 0
            await client.close()
        lost = f"the connection to the global control plane at {dialled.target} was lost ({link.reason})"
        return time.monotonic() - begun_at, Trouble(lost)

    def _serves(self) -> dict[str, Serve]:
        asked = (streams.XDS_CONFIGS, streams.STATS, streams.CLUSTERS)
        return {
            streams.GLOBAL_TO_ZONE: self._receive,
            streams.ZONE_TO_GLOBAL: self._send,
            **{method: self._answering(method) for method in asked},
        }

    def _answering(self, method: str) -> Serve:
        async def answer(wire: ClientWire) -> None:
            await self._questions.serve(method, wire)

        return answer

    async def _receive(self, wire: ClientWire) -> None:
        trust = GlobalTrust(await remembered_global(self._store), self._settings.trusted_global_cluster_id)
        intake = ZoneIntake(self._store, self._zone, trust)
        subscriber = Subscriber(catalog.from_global(), self._node)
        receiver = Receiver(wire, subscriber, self._store, intake, peer=_PEER, traffic=self.traffic)
        await receiver.run()

    async def _send(self, wire: ClientWire) -> None:
        offers = Offers(self._shown, catalog.from_zone(), self._cache)
        sender = Sender(
            wire,
            offers.source,
            control_plane=self._zone,
            peer=_PEER,
            nack_backoff_s=self._settings.zone_kds_nack_backoff,
            max_message_bytes=self._settings.zone_kds_max_message_bytes,
            traffic=self.traffic,
        )
        await self._offers.add(offers, sender.touch)
        try:
            await sender.run()
        finally:
            self._offers.remove(offers)

    def _shown(self, resource: Resource) -> Resource | None:
        return to_global(resource, self._zone)
