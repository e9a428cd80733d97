"""What a zone makes of what its global control plane sends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from kumacp.kds.incoming import Writes, from_global
from kumacp.kds.messages import Received
from kumacp.kds.trust import CONFIG, REMEMBERED, GlobalTrust, Standing
from kumacp.store.api import NotFound, Store
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config

log = logging.getLogger(__name__)

_KEY = ResourceKey(CONFIG, "", REMEMBERED)


async def remembered_global(store: Store) -> str:
    """The id of the global control plane that this zone has joined, "" if it has joined none."""
    try:
        resource = await store.get(_KEY)
    except NotFound:
        return ""
    id_: str = resource.spec.config
    return id_


class ZoneIntake:
    """Of one stream. `release` makes the deletions that were withheld until it was known who sends."""

    owner = None
    by_name = True

    def __init__(
        self, store: Store, zone: str, trust: GlobalTrust, release: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._zone = zone
        self._trust = trust
        self._release = release
        self._told = ""

    def decide(self, received: Received, stored: Sequence[Resource], *, full: bool) -> Writes:
        self._trust.note(received)
        return from_global(received, stored, full=full, zone=self._zone, trusted=self._trust.trusted)

    async def applied(self, received: Received, writes: Writes, *, full: bool) -> None:
        if received.type == CONFIG:
            await self._act_on_trust()
        if writes.withheld and self._trust.standing is Standing.FOREIGN:
            log.debug("%d resources of %s stay, unknown to global", len(writes.withheld), received.type)

    async def _act_on_trust(self) -> None:
        trust = self._trust
        if trust.trusted:
            if (id_ := trust.to_remember) is not None:
                await self._remember(id_)
                trust.remembered = id_
            await self._release()
        elif trust.standing is Standing.FOREIGN and self._told != trust.named:
            self._told = trust.named
            log.error(
                "the global control plane is another one (id %s) than the one that this zone belongs to (%s):"
                " what it does not know of is not deleted here. If it is meant to take over, start the zone"
                " with KUMA_MULTIZONE_ZONE_GLOBAL_CLUSTER_ID=%s",
                trust.named,
                trust.expected,
                trust.named,
            )

    async def _remember(self, id_: str) -> None:
        try:
            stored = await self._store.get(_KEY)
        except NotFound:
            await self._store.create(Resource(_KEY, Config(config=id_)))
        else:
            await self._store.update(
                Resource(_KEY, Config(config=id_), stored.labels, version=stored.version)
            )
        log.info("this zone belongs to a global control plane", extra={"global": id_})
