"""The server of a global control plane in this process, with a store of its own, and zones that dial it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from kumacp.defaults_driver import ensure_defaults
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.identity.signing_keys import KeyRing, TokenKind
from kumacp.kds.at_global.global_server import GlobalServer, Patience
from kumacp.kds.at_zone.trust import CLUSTER_ID
from kumacp.kds.own_id_driver import ensure_id
from kumacp.manager.resource_driver import ResourceManager
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import ZoneInsight
from kumamesh.resources.rest import from_rest
from kumamesh.settings import Seconds
from kumamesh.tokens import ZoneClaims, issue

WITHIN_S = 20.0
SETTINGS = CpSettings(mode="global", kds_nack_backoff=Seconds(0.2), zone_insight_flush_interval=Seconds(0.2))
PATIENCE = Patience()
_first: list[Resource] = []


class GlobalPlane:
    """`store` may be written to like people would through `manager`."""

    def __init__(self, store: Store, settings: CpSettings, server: GlobalServer) -> None:
        self.store = store
        self.server = server
        self.manager = ResourceManager(store, settings)
        self.port = 0

    async def put(self, document: dict[str, Any]) -> None:
        await self.manager.put(from_rest(document))

    async def delete(self, type_: str, mesh: str, name: str) -> None:
        await self.store.delete(ResourceKey(type_, mesh, name))

    async def token(self, zone: str, *scope: str, valid_for_s: float = 3_600.0, now: float) -> str:
        key = KeyRing(await self.store.list("GlobalSecret")).latest(TokenKind.ZONE)
        return issue(ZoneClaims(zone, scope), key, now=now, valid_for_s=valid_for_s)

    async def names(self, type_: str) -> set[str]:
        return {resource.name for resource in await self.store.list(type_)}

    async def get(self, type_: str, mesh: str, name: str) -> Resource | None:
        try:
            return await self.store.get(ResourceKey(type_, mesh, name))
        except NotFound:
            return None

    async def until(self, type_: str, wanted: Callable[[list[Resource]], bool]) -> list[Resource]:
        """Until the stored resources of a type are as wanted."""
        async with asyncio.timeout(WITHIN_S):
            with self.store.watch() as feed:
                stored = await self.store.list(type_)
                batches = aiter(feed)
                while not wanted(stored):
                    await anext(batches)
                    stored = await self.store.list(type_)
        return stored

    async def until_named(self, type_: str, *names: str) -> list[Resource]:
        """Until there are resources of the type with these display names and no others."""
        wanted = sorted(names)
        return await self.until(type_, lambda stored: sorted(map(display_name, stored)) == wanted)

    async def until_insight(self, wanted: Callable[[ZoneInsight], bool], zone: str = "zone-1") -> ZoneInsight:
        def right(stored: list[Resource]) -> bool:
            return any(item.name == zone and wanted(item.spec) for item in stored)

        stored = await self.until("ZoneInsight", right)
        insight: ZoneInsight = next(item.spec for item in stored if item.name == zone)
        return insight

    async def switch(self, zone: str, *, enabled: bool) -> None:
        """Returns when the server knows it."""
        await self.put({"type": "Zone", "name": zone, "enabled": enabled})
        async with asyncio.timeout(WITHIN_S):
            while self.server.zones.enabled(zone) is not enabled:
                await asyncio.sleep(0)


def display_name(resource: Resource) -> str:
    return resource.labels.get("kuma.io/display-name", resource.name)


async def first_store() -> MemoryStore:
    """As global leaves it at its first start; keys are made once, because they take time."""
    if not _first:
        made = MemoryStore()
        await ensure_defaults(made, ResourceManager(made, SETTINGS), SETTINGS)
        types = ("Mesh", "Secret", "GlobalSecret", "TrafficPermission")
        _first.extend([resource for type_ in types for resource in await made.list(type_)])
    store = MemoryStore()
    await store.create_all(_first)
    return store


@asynccontextmanager
async def global_plane(
    store: Store | None = None,
    *,
    certificate: CertificateFiles | None = None,
    patience: Patience = PATIENCE,
    port: int = 0,
    instance_id: str = "global-1",
    killed: bool = False,
    **changes: Any,
) -> AsyncIterator[GlobalPlane]:
    """`killed`: it ends as suddenly as it can, and writes nothing any more."""
    settings = replace(SETTINGS, **changes)
    store = store or await first_store()
    await ensure_id(store, CLUSTER_ID)
    server = GlobalServer(
        settings, store, certificate=certificate, instance_id=instance_id, patience=patience
    )
    plane = GlobalPlane(store, settings, server)
    plane.port = await server.start(f"127.0.0.1:{port}")
    running = asyncio.get_running_loop().create_task(server.run())
    try:
        yield plane
    finally:
        if killed:
            running.cancel()
        else:
            await server.stop(1.0)
        await asyncio.wait((running,))
        if not running.cancelled():
            running.result()
