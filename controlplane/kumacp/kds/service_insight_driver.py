"""Keeps the ServiceInsight of each mesh on global, from the Dataplanes of all zones; zones get it by sync."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kumacp.insights import service_insight, service_insight_name
from kumacp.store.api import Change, Conflict, NotFound, Store, StoreUnavailable
from kumacp.store.following_driver import Following
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight, ServiceInsight

log = logging.getLogger(__name__)

REST_S = 1.0
"""Kuma's shortest pause (metrics.mesh.minResyncInterval)."""
_REST_PER_COST = 10.0
"""A mesh of 10,000 proxies takes 0.3 s: at most a tenth of a core goes into this."""
_SOURCES = frozenset({"Dataplane", "DataplaneInsight", "ExternalService", "Mesh"})


class ServiceInsightDriver:
    """`load`, then `run`."""

    def __init__(self, store: Store, *, rest_s: float = REST_S) -> None:
        self._store = store
        self._rest_s = rest_s
        self._stale: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._following = Following(store, "the meshes", read=self._read, take=self._take)

    async def load(self) -> None:
        """Every mesh is looked at once; raises StoreUnavailable."""
        await self._following.begin()

    async def run(self) -> None:
        """Until the store is closed."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write_all())
            await self._following.run()
            writing.cancel()

    async def _read(self) -> None:
        self._mark([mesh.name for mesh in await self._store.list("Mesh")])

    def _take(self, batch: Sequence[Change]) -> None:
        self._mark(_mesh_of(change) for change in batch if matters(change))

    def _mark(self, meshes: Iterable[str]) -> None:
        for mesh in meshes:
            self._stale[mesh] = None
            self._wake.set()

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            meshes, self._stale = self._stale, {}
            for mesh in meshes:
                await self._renew(mesh)
            await asyncio.sleep(max(self._rest_s, _REST_PER_COST * (time.monotonic() - began)))

    async def _renew(self, mesh: str) -> None:
        try:
            await self._write(mesh)
        except (NotFound, Conflict):
            return  # the mesh is gone, or its next change is on its way
        except StoreUnavailable as error:
            log.error("the services of mesh %s were not written: %s", mesh, error)
            self._mark([mesh])

    async def _write(self, mesh: str) -> None:
        await self._store.get(ResourceKey("Mesh", "", mesh))
        listed = [
            await self._store.list(type_, mesh)
            for type_ in ("Dataplane", "DataplaneInsight", "ExternalService")
        ]
        spec: ServiceInsight = await asyncio.to_thread(service_insight, *listed)
        key = ResourceKey("ServiceInsight", mesh, service_insight_name(mesh))
        try:
            stored = await self._store.get(key)
        except NotFound:
            await self._store.create(Resource(key, spec))
        else:
            if stored.spec != spec:
                await self._store.update(replace(stored, spec=spec))


def _mesh_of(change: Change) -> str:
    return change.key.name if change.key.type == "Mesh" else change.key.mesh


def matters(change: Change) -> bool:
    """Whether services may be in another state. Most changes are counters of insights."""
    if change.key.type not in _SOURCES:
        return False
    if change.key.type == "Mesh":
        return change.old is None
    if change.old is None or change.new is None:
        return True
    if change.key.type == "DataplaneInsight":
        return _seen(change.old.spec) != _seen(change.new.spec)
    return bool(change.old.spec != change.new.spec)


def _seen(insight: DataplaneInsight) -> tuple[bool, str]:
    return insight.online, insight.m_tls.issued_backend if insight.m_tls else ""
