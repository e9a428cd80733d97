"""Drivers of virtual addresses on real stores, and what they write there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kumacp.store.api import NotFound, Store
from kumacp.store.memory import MemoryStore
from kumacp.store.sqlite import SqliteStore
from kumacp.vips.entry import read
from kumacp.vips.names import VipSettings, config_name
from kumacp.vips.vip_driver import VipDriver
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Inbound, Networking
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.rest import from_rest

PATIENCE_S = 20.0
SETTINGS = VipSettings()
MESH = ResourceKey("Mesh", "", "default")
CONFIG = ResourceKey("Config", "", config_name("default"))
STORES = ["memory", "sqlite"]


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Store]:
    """One of STORES, with the Mesh `default`."""
    store: Store
    store = MemoryStore() if kind == "memory" else await SqliteStore.open(folder / "cp.db")
    await store.create(Resource(MESH, Mesh()))
    yield store
    await store.close()


def dataplane(name: str, *services: str, mesh: str = "default") -> Resource:
    inbound = tuple(
        Inbound(port=80 + number, tags={"kuma.io/service": service})
        for number, service in enumerate(services)
    )
    spec = Dataplane(networking=Networking(address="192.168.0.1", inbound=inbound))
    return Resource(ResourceKey("Dataplane", mesh, name), spec)


def virtual(host: str) -> Resource:
    return from_rest(
        {
            "type": "VirtualOutbound",
            "mesh": "default",
            "name": "vo",
            "selectors": [{"match": {"kuma.io/service": "*"}}],
            "conf": {
                "host": host,
                "port": "80",
                "parameters": [{"name": "service", "tagKey": "kuma.io/service"}],
            },
        }
    )


@asynccontextmanager
async def driving(
    store: Store,
    settings: VipSettings = SETTINGS,
    *,
    zone: str = "east",
    longest_rest_s: float = 0.0,
    grace_s: float = 0.0,
) -> AsyncIterator[VipDriver]:
    driver = VipDriver(store, settings, zone=zone, longest_rest_s=longest_rest_s, grace_s=grace_s)
    await driver.load()
    task = asyncio.create_task(driver.run())
    try:
        yield driver
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def addresses(store: Store, mesh: str = "default") -> dict[str, str] | None:
    """What the Config says; None without one."""
    try:
        config = await store.get(ResourceKey("Config", "", config_name(mesh)))
    except NotFound:
        return None
    return {entry.name: entry.address for entry in read(config.spec.config).vips.values()}


async def until(store: Store, wanted: Callable[[Any], bool], mesh: str = "default") -> dict[str, str]:
    """The addresses, once they are as wanted."""
    with store.watch() as feed:
        async with asyncio.timeout(PATIENCE_S):
            changes = aiter(feed)
            while True:
                found = await addresses(store, mesh)
                if found is not None and wanted(set(found)):
                    return found
                await anext(changes)
