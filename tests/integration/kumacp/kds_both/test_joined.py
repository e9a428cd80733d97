"""A zone's side and the real server of global, over real gRPC."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from global_plane import first_store, global_plane
from joined_zone import JoinedZone, joined_zone
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.store.memory import MemoryStore
from kumacp.store.sqlite import SqliteStore
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest
from mesh_pki import Pki
from tcp_relay import relays
from vip_stores import dataplane

PERMISSION = {
    "type": "TrafficPermission",
    "mesh": "default",
    "name": "one",
    "sources": [{"match": {"kuma.io/service": "*"}}],
    "destinations": [{"match": {"kuma.io/service": "*"}}],
}


def ingress(name: str) -> Resource:
    networking = {
        "address": "127.0.0.1",
        "port": 10001,
        "advertisedAddress": "127.0.0.1",
        "advertisedPort": 10001,
    }
    return from_rest({"type": "ZoneIngress", "name": name, "networking": networking})


async def permissions(zone: JoinedZone, number: int) -> set[str]:
    return await zone.until("TrafficPermission", lambda names: len(names) == number)


async def test_the_inventory_of_a_zone_is_on_global_and_policies_in_the_zone() -> None:
    async with global_plane() as world, joined_zone(world.port) as zone:
        await zone.until("Mesh", lambda names: names == {"default"})
        assert len(await permissions(zone, 1)) == 1
        await zone.store.create(dataplane("backend-1", "backend"))
        stored = (await world.until_named("Dataplane", "backend-1"))[0]
        assert stored.labels["kuma.io/zone"] == "zone-1"
        await world.put(PERMISSION)
        await permissions(zone, 2)
        await world.delete("TrafficPermission", "default", "one")
        await permissions(zone, 1)
        await zone.store.delete(ResourceKey("Dataplane", "default", "backend-1"))
        await world.until_named("Dataplane")


async def test_what_one_zone_offers_to_others_reaches_them_and_leaves_them() -> None:
    async with (
        global_plane() as world,
        joined_zone(world.port) as one,
        joined_zone(world.port, name="zone-2") as two,
    ):
        await one.store.create(ingress("in-1"))
        await world.until_named("ZoneIngress", "in-1")
        (name,) = await two.until("ZoneIngress", lambda names: len(names) == 1)
        there = await two.get("ZoneIngress", "", name)
        assert there is not None
        assert there.spec.zone == "zone-1"
        await world.switch("zone-1", enabled=False)
        await two.until("ZoneIngress", lambda names: not names)
        await world.switch("zone-1", enabled=True)
        await two.until("ZoneIngress", lambda names: len(names) == 1)
        assert await one.names("ZoneIngress") == {"in-1"}


async def test_a_disabled_zone_is_paused_in_both_directions_and_loses_nothing() -> None:
    async with global_plane() as world, joined_zone(world.port) as zone:
        await zone.store.create(dataplane("before", "web"))
        await world.until_named("Dataplane", "before")
        await permissions(zone, 1)
        await world.switch("zone-1", enabled=False)
        await world.put(PERMISSION)
        await zone.store.create(dataplane("meanwhile", "web"))
        async with joined_zone(world.port, name="zone-2") as other:
            # It came later, and was told all: so the first one could have been, too.
            await permissions(other, 2)
            await other.store.create(dataplane("of-another", "web"))
            await world.until_named("Dataplane", "before", "of-another")
        assert len(await zone.names("TrafficPermission")) == 1
        await world.switch("zone-1", enabled=True)
        await permissions(zone, 2)
        await world.until_named("Dataplane", "before", "meanwhile", "of-another")


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
async def test_global_restarts_and_both_sides_converge(killed: bool) -> None:
    store = await first_store()
    zone_store = MemoryStore()
    async with global_plane(store, killed=killed) as world:
        port = world.port
        async with joined_zone(port, store=zone_store) as zone:
            await permissions(zone, 1)
            await zone.store.create(dataplane("a", "web"))
            await world.until_named("Dataplane", "a")
    async with joined_zone(port, store=zone_store) as zone:
        await zone.store.create(dataplane("b", "web"))
        await zone.store.delete(dataplane("a", "web").key)
        assert len(await zone.names("TrafficPermission")) == 1
        async with global_plane(store, port=port) as world:
            await world.put(PERMISSION)
            await permissions(zone, 2)
            await world.until_named("Dataplane", "b")


async def test_a_global_that_lost_its_store_changes_nothing_in_the_zone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    zone_store = MemoryStore()
    async with global_plane() as world:
        port = world.port
        async with joined_zone(port, store=zone_store) as zone:
            await world.put(PERMISSION)
            await permissions(zone, 2)
            await zone.store.create(dataplane("a", "web"))
            await world.until_named("Dataplane", "a")
    empty = MemoryStore()
    async with global_plane(empty, port=port) as world, joined_zone(port, store=zone_store) as zone:
        await world.until_named("Dataplane", "a")
        assert await zone.names("Mesh") == {"default"}
        assert len(await zone.names("TrafficPermission")) == 2
    assert any("KUMA_MULTIZONE_ZONE_GLOBAL_CLUSTER_ID" in record.getMessage() for record in caplog.records)


async def test_a_zone_that_lost_its_store_gets_everything_again_and_global_forgets_it_late() -> None:
    async with global_plane() as world:
        async with joined_zone(world.port) as zone:
            await zone.store.create(dataplane("old", "web"))
            await world.until_named("Dataplane", "old")
        async with joined_zone(world.port, store_id="store-2") as zone:
            await permissions(zone, 1)
            assert len(await world.names("Dataplane")) == 1
            await zone.store.create(dataplane("new", "web"))
            await world.until("Dataplane", lambda stored: len(stored) == 2)


async def test_a_large_zone_arrives_whole(tmp_path: Path) -> None:
    """In parts, for its first list is larger than a message."""
    number, limit = 600, 64_000
    store = await SqliteStore.open(tmp_path / "zone.db")
    await store.create_all([dataplane(f"dp-{n}", "web") for n in range(number)])
    async with (
        global_plane(kds_max_message_bytes=limit) as world,
        joined_zone(world.port, store=store, zone_kds_max_message_bytes=limit) as zone,
    ):
        await world.until("Dataplane", lambda stored: len(stored) == number)
        await zone.store.delete(ResourceKey("Dataplane", "default", "dp-7"))
        await world.until("Dataplane", lambda stored: len(stored) == number - 1)
    await store.close()


async def test_messages_are_compressed() -> None:
    store = MemoryStore()
    await store.create_all([dataplane(f"dp-{n}", "web") for n in range(400)])
    with relays() as new:
        async with global_plane() as world:
            relay = new(("127.0.0.1", world.port))
            async with joined_zone(relay.port, store=store):
                await world.until("Dataplane", lambda stored: len(stored) == 400)
    assert relay.received < 400 * 100


async def test_the_connection_is_cut_again_and_again(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path, text in zip((certificate, key), Pki.create("any").server("elsewhere"), strict=True):
        path.write_bytes(text)
    with relays() as new:
        async with global_plane(certificate=CertificateFiles(certificate, key)) as world:
            relay = new(("127.0.0.1", world.port))
            async with joined_zone(relay.port, tls=True, kds_tls_skip_verify=True) as zone:
                for number in range(3):
                    await zone.store.create(dataplane(f"dp-{number}", "web"))
                    await world.put({**PERMISSION, "name": f"tp-{number}"})
                    await asyncio.to_thread(relay.refuse)
                    await asyncio.to_thread(relay.heal)
                await permissions(zone, 4)
                await world.until_named("Dataplane", "dp-0", "dp-1", "dp-2")
                stored = await zone.store.get(dataplane("dp-0", "web").key)
                await zone.store.update(replace(dataplane("dp-0", "web", "db"), version=stored.version))
                await world.until(
                    "Dataplane", lambda stored: any(len(item.spec.networking.inbound) == 2 for item in stored)
                )
