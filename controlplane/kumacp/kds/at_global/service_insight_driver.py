"""Keeps the ServiceInsight of each mesh on global, from the Dataplanes of all zones; zones get it by sync."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kumacp.insights import service_insight_name
from kumacp.services import SOURCES, Services
from kumacp.store.api import Change, Conflict, NotFound, Store, StoreUnavailable
from kumacp.store.following_driver import Following
from kumamesh.resource import Resource, ResourceKey

log = logging.getLogger(__name__)

MESH = "Mesh"
REST_S = 1.0
"""Kuma's shortest pause (metrics.mesh.minResyncInterval)."""
_SLICE = 200
"""Resources counted at the beginning before others get their turn."""


class ServiceInsightDriver:
    """`load`, then `run`."""

    def __init__(self, store: Store, *, rest_s: float = REST_S) -> None:
        self._store = store
        self._rest_s = rest_s
        self._meshes: dict[str, Services] = {}
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
        meshes = {mesh.name: Services() for mesh in await self._store.list(MESH)}
        for type_ in sorted(SOURCES):
            for number, resource in enumerate(await self._store.list(type_), 1):
                if resource.mesh in meshes:
                    meshes[resource.mesh].put(resource.key, resource.spec)
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
        self._meshes = meshes
        self._mark(meshes)

    def _take(self, batch: Sequence[Change]) -> None:
        for change in batch:
            if change.key.type == MESH:
                self._take_mesh(change)
            elif change.key.type in SOURCES and (services := self._meshes.get(change.key.mesh)) is not None:
                services.put(change.key, change.new.spec if change.new else None)
                if services.changed:
                    self._mark([change.key.mesh])

    def _take_mesh(self, change: Change) -> None:
        """Whatever is in a mesh comes after it, and goes before it."""
        name = change.key.name
        if change.new is None:
            self._meshes.pop(name, None)
        elif name not in self._meshes:
            self._meshes[name] = Services()
            self._mark([name])

    def _mark(self, meshes: Iterable[str]) -> None:
        for mesh in meshes:
            self._stale[mesh] = None
            self._wake.set()

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            meshes, self._stale = self._stale, {}
            for mesh in meshes:
                await self._renew(mesh)
            await asyncio.sleep(self._rest_s)

    async def _renew(self, mesh: str) -> None:
        try:
            await self._write(mesh)
        except (NotFound, Conflict):
            return  # the mesh is gone, or its next change is on its way
        except StoreUnavailable as error:
            log.error("the services of mesh %s were not written: %s", mesh, error)
            self._mark([mesh])

    async def _write(self, mesh: str) -> None:
        await self._store.get(ResourceKey(MESH, "", mesh))
        services = self._meshes.get(mesh)
        if services is None:
            return
        spec, key = services.insight(), ResourceKey("ServiceInsight", mesh, service_insight_name(mesh))
        try:
            stored = await self._store.get(key)
        except NotFound:
            await self._store.create(Resource(key, spec))
        else:
            if stored.spec != spec:
                await self._store.update(replace(stored, spec=spec))
