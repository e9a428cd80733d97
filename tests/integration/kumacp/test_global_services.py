"""The services of all zones, as global computes them and zones are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from global_plane import first_store
from kumacp.insights import mesh_insight, service_insight_name
from kumacp.kds.at_global.service_insight_driver import ServiceInsightDriver
from kumacp.kds.exchange.outgoing import to_zone
from kumacp.kds.protocol.messages import NODE_FEATURES
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight, DiscoverySubscription, ServiceInsight
from kumamesh.resources.rest import from_rest
from scripted_zone import dataplane

WITHIN_S = 20.0
KEY = ResourceKey("ServiceInsight", "default", service_insight_name("default"))


@asynccontextmanager
async def _driven(store: MemoryStore) -> AsyncIterator[None]:
    driver = ServiceInsightDriver(store, rest_s=0.0)
    await driver.load()
    running = asyncio.get_running_loop().create_task(driver.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def _put(store: MemoryStore, name: str, zone: str, *, online: bool) -> ResourceKey:
    """A Dataplane of a zone as global stores it, with its insight."""
    document = dataplane(f"{name}-{zone}-bcdfghjklmnpqrst")
    document["networking"]["inbound"][0]["tags"]["kuma.io/zone"] = zone
    labels = {"kuma.io/zone": zone, "kuma.io/origin": "zone", "kuma.io/display-name": name}
    made = from_rest(document)
    await store.create(Resource(made.key, made.spec, labels=labels))
    times = {"connect_time": made.creation_time, "disconnect_time": None if online else made.creation_time}
    subscription = DiscoverySubscription(id="1", **times)
    key = made.key._replace(type="DataplaneInsight")
    await store.create(
        Resource(key, DataplaneInsight(subscriptions=(subscription,)), labels=labels), owner=made.key
    )
    return made.key


async def _until(store: MemoryStore, total: int, online: int, *zones: str) -> ServiceInsight:
    async with asyncio.timeout(WITHIN_S):
        with store.watch() as feed:
            batches = aiter(feed)
            while True:
                found = [item.spec for item in await store.list("ServiceInsight") if item.key == KEY]
                state = found[0].services.get("web") if found else None
                counted = state.dataplanes if state else None
                if counted and (counted.total, counted.online, state.zones) == (total, online, zones):
                    return found[0]
                await anext(batches)


async def test_services_count_the_proxies_of_all_zones_and_follow_them() -> None:
    store = await first_store()
    await _put(store, "web", "zone-1", online=True)
    async with _driven(store):
        await _until(store, 1, 1, "zone-1")
        await _put(store, "web", "zone-2", online=True)
        gone = await _put(store, "web-off", "zone-2", online=False)
        insight = await _until(store, 3, 2, "zone-1", "zone-2")
        assert insight.services["web"].status == "partially_degraded"
        await store.delete(gone)
        insight = await _until(store, 2, 2, "zone-1", "zone-2")
        assert insight.services["web"].status == "online"


async def test_every_mesh_has_its_insight_and_takes_it_along() -> None:
    store = await first_store()
    async with _driven(store):
        await store.create(from_rest({"type": "Mesh", "name": "other"}))
        async with asyncio.timeout(WITHIN_S):
            with store.watch() as feed:
                batches = aiter(feed)
                while {item.mesh for item in await store.list("ServiceInsight")} != {"default", "other"}:
                    await anext(batches)
        await store.delete(ResourceKey("Mesh", "", "other"))
        assert {item.mesh for item in await store.list("ServiceInsight")} == {"default"}


async def test_zones_are_told_of_it() -> None:
    store = await first_store()
    async with _driven(store):
        await _put(store, "web", "zone-1", online=True)
        await _until(store, 1, 1, "zone-1")
        told = to_zone(await store.get(KEY), "zone-2", NODE_FEATURES, lambda _: True)
    assert told is not None
    assert told.labels["kuma.io/display-name"] == "all-services-default"


async def test_a_mesh_insight_counts_the_proxies_of_all_zones() -> None:
    store = MemoryStore()
    await _put(store, "web", "zone-1", online=True)
    await _put(store, "web", "zone-2", online=True)
    await _put(store, "web-off", "zone-2", online=False)
    listed = [await store.list(type_) for type_ in ("Dataplane", "DataplaneInsight")]
    insight = mesh_insight(*listed, counts={})
    assert (insight.dataplanes.total, insight.dataplanes.online) == (3, 2)
    assert insight.services.internal == 1
