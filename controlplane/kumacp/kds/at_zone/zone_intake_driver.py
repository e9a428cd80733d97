"""What a zone makes of what its global control plane sends."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kumacp.kds.at_zone.trust import CONFIG, REMEMBERED, GlobalTrust, Standing
from kumacp.kds.exchange.incoming import Writes, from_global
from kumacp.kds.protocol.messages import Received
from kumacp.store.api import NotFound, Store
from kumamesh.names import ORIGIN_LABEL
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config

log = logging.getLogger(__name__)

_KEY = ResourceKey(CONFIG, "", REMEMBERED)
_SHOWN = 20


async def remembered_global(store: Store) -> str:
    """The id of the global control plane that this zone has joined, "" if it has joined none."""
    try:
        resource = await store.get(_KEY)
    except NotFound:
        return ""
    id_: str = resource.spec.config
    return id_


class ZoneIntake:
    """Of one stream."""

    owner = None
    by_name = True

    def __init__(self, store: Store, zone: str, trust: GlobalTrust) -> None:
        self._store = store
        self._zone = zone
        self._trust = trust
        self._told = ""
        self._lost = ""

    def note(self, received: Received) -> bool:
        """Nothing is taken in before it is known who sends, and nothing of a stranger."""
        self._trust.note(received)
        if self._trust.standing is Standing.FOREIGN:
            self._tell()
        return self._trust.trusted

    def decide(self, received: Received, stored: Sequence[Resource], *, full: bool) -> Writes:
        writes = from_global(received, stored, full=full, zone=self._zone)
        self._lost = _lost(writes, stored)
        return writes

    async def applied(self, received: Received, writes: Writes, *, full: bool) -> None:
        if self._lost:
            log.warning(
                "global has the say over what this zone made itself, with all that belongs to it: %s",
                self._lost,
            )
        if (id_ := self._trust.to_remember) is not None:
            await self._remember(id_)
            self._trust.remembered = id_

    def _tell(self) -> None:
        trust = self._trust
        if self._told == trust.named:
            return
        self._told = trust.named
        log.error(
            "the global control plane is another one (id %s) than the one that this zone belongs to (%s), or"
            " it has lost its store: nothing of it is taken over. If it is meant to take over, start the zone"
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


def _lost(writes: Writes, stored: Sequence[Resource]) -> str:
    """What of the zone's own is no more when this is written, in words."""
    own = {item.key: item for item in stored if item.labels.get(ORIGIN_LABEL) != "global"}
    gone = [key for key in writes.deletes if key in own]
    other = [new.key for new in writes.puts if new.key in own and own[new.key].spec != new.spec]
    parts = (("deleted", gone), ("replaced", other))
    return "; ".join(f"{verb} {_listed(keys)}" for verb, keys in parts if keys)


def _listed(keys: Sequence[ResourceKey]) -> str:
    shown = ", ".join(
        f'{key.type} "{key.name}"' + (f" of mesh {key.mesh}" if key.mesh else "") for key in keys[:_SHOWN]
    )
    return f"{shown} and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else shown
