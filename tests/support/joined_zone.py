"""The zone's side of the sync, alone: a store, and a Federation that dials whatever a test listens with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from kumacp.envoyadmin.question import ProxyUnavailable, Question, Reply
from kumacp.kds.at_zone.federation_driver import Federation
from kumacp.mode import role
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config

PATIENCE_S = 20.0
ZONE = "zone-1"
CLUSTER_ID = ResourceKey("Config", "", "kuma-cluster-id")


class Envoys:
    """Proxies that answer every question with `body`, unless there is a `problem`."""

    def __init__(self) -> None:
        self.body = b"{}"
        self.problem = ""
        self.asked: list[tuple[ResourceKey, Question]] = []
        self.gate: asyncio.Event | None = None

    async def ask(self, proxy: Resource, question: Question) -> Reply:
        self.asked.append((proxy.key, question))
        if self.gate is not None:
            await self.gate.wait()
        if self.problem:
            raise ProxyUnavailable(self.problem)
        return Reply(self.body, question.content_type)


class JoinedZone:
    """`store` is the zone's, `federation` runs."""

    def __init__(self, store: Store, settings: CpSettings, store_id: str) -> None:
        self.store = store
        self.envoys = Envoys()
        self.federation = Federation(
            settings,
            role(settings),
            store,
            instance_id="instance-1",
            store_id=store_id,
            proxies=self.envoys,
        )

    async def names(self, type_: str) -> set[str]:
        return {resource.name for resource in await self.store.list(type_)}

    async def until(self, type_: str, wanted: Callable[[set[str]], bool]) -> set[str]:
        """Until the names of the stored resources of a type are as wanted."""
        async with asyncio.timeout(PATIENCE_S):
            with self.store.watch() as feed:
                names = await self.names(type_)
                batches = aiter(feed)
                while not wanted(names):
                    await anext(batches)
                    names = await self.names(type_)
        return names

    async def get(self, type_: str, mesh: str, name: str) -> Resource | None:
        try:
            return await self.store.get(ResourceKey(type_, mesh, name))
        except NotFound:
            return None


@asynccontextmanager
async def joined_zone(
    port: int,
    *,
    name: str = ZONE,
    store: Store | None = None,
    store_id: str = "",
    tls: bool = False,
    host: str = "127.0.0.1",
    **changes: Any,
) -> AsyncIterator[JoinedZone]:
    """Its end is as sudden as a kill: nothing is said to global but that the connection is over."""
    scheme = "grpcs" if tls else "grpc"
    settings = replace(
        CpSettings(), zone_name=name, zone_global_address=f"{scheme}://{host}:{port}", **changes
    )
    zone = JoinedZone(store or MemoryStore(), settings, store_id or f"store-of-{name}")
    running = asyncio.get_running_loop().create_task(zone.federation.run())
    try:
        yield zone
    finally:
        running.cancel()
        await asyncio.wait((running,))
        if not running.cancelled():
            running.result()


def cluster_id(id_: str) -> Resource:
    """The Config with which a global says who it is."""
    return Resource(CLUSTER_ID, Config(config=id_))
