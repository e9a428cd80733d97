"""What a zone tells its global control plane, over real gRPC."""

from __future__ import annotations

from dataclasses import replace

import pytest

from joined_zone import joined_zone
from kumacp.kds.protocol import catalog
from kumacp.kds.protocol.hashing import synced_name
from kumacp.kds.protocol.messages import PARTS
from kumacp.kds.protocol.streams import ZONE_TO_GLOBAL
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource
from permissions import dataplane
from scripted_global import Stream, Told, scripted_global
from vip_stores import dataplane as offering


def hashed(name: str) -> str:
    """The name of a Dataplane of zone-1 on the wire."""
    return synced_name("default", name, {"kuma.io/zone": "zone-1"}) + ".default"


async def store_of(*resources: Resource) -> MemoryStore:
    store = MemoryStore()
    for resource in resources:
        await store.create(resource)
    return store


async def test_everything_that_is_asked_for_is_told_once() -> None:
    store = await store_of(dataplane("a"), dataplane("b"))
    async with scripted_global() as world, joined_zone(world.port, store=store):
        up = await world.opened(ZONE_TO_GLOBAL)
        assert up.header("client-id") == ["zone-1"]
        await up.ask("Dataplane")
        told = await up.hear("Dataplane")
        assert set(told.resources) == {hashed("a"), hashed("b")}
        assert told.identifier == "zone-1"
        labels = told.resources[hashed("a")].meta.labels
        assert dict(labels) == {
            "kuma.io/origin": "zone",
            "kuma.io/zone": "zone-1",
            "kuma.io/display-name": "a",
        }
        await up.ask("ZoneIngress")
        assert (await up.hear("ZoneIngress")).resources == {}


async def test_only_what_changed_is_told_afterwards() -> None:
    store = await store_of(dataplane("a"), dataplane("b"))
    async with scripted_global() as world, joined_zone(world.port, store=store):
        up = await world.opened(ZONE_TO_GLOBAL)
        await up.ask("Dataplane")
        await up.hear("Dataplane")
        await store.create(dataplane("c"))
        assert set((await up.hear("Dataplane")).resources) == {hashed("c")}
        stored = await store.get(dataplane("a").key)
        await store.update(replace(offering("a", "web"), version=stored.version))
        assert set((await up.hear("Dataplane")).resources) == {hashed("a")}
        await store.delete(dataplane("b").key)
        told = await up.hear("Dataplane")
        assert (told.resources, told.removed) == ({}, (hashed("b"),))


async def test_changes_wait_for_the_verdict_and_then_go_together() -> None:
    store = await store_of(dataplane("a"))
    async with scripted_global() as world, joined_zone(world.port, store=store):
        up = await world.opened(ZONE_TO_GLOBAL)
        await up.ask("Dataplane")
        first = await up.told()
        await store.create(dataplane("b"))
        await store.create(dataplane("c"))
        await store.delete(dataplane("b").key)
        await up.accept(first)
        assert set((await up.hear("Dataplane")).resources) == {hashed("c")}


async def test_what_global_made_is_not_told_back() -> None:
    labels = {"kuma.io/origin": "global"}
    store = await store_of(dataplane("a"), dataplane("synced", labels=labels))
    async with scripted_global() as world, joined_zone(world.port, store=store):
        up = await world.opened(ZONE_TO_GLOBAL)
        await up.ask("Dataplane")
        assert set((await up.hear("Dataplane")).resources) == {hashed("a")}


async def test_a_refused_resource_does_not_hold_up_the_others() -> None:
    store = await store_of(dataplane("good"), dataplane("bad"))
    async with (
        scripted_global() as world,
        joined_zone(world.port, store=store, zone_kds_nack_backoff=0.01) as zone,
    ):
        up = await world.opened(ZONE_TO_GLOBAL)
        await up.ask("Dataplane")
        await up.accept(await up.told(), f'Dataplane "{hashed("bad")}" is not wanted')
        await store.create(dataplane("new"))
        assert set((await up.hear("Dataplane")).resources) == {hashed("new")}
        assert zone.federation.traffic.refused["Dataplane"] == 1


async def test_a_type_that_a_zone_does_not_have_is_answered_with_nothing() -> None:
    async with scripted_global() as world, joined_zone(world.port):
        up = await world.opened(ZONE_TO_GLOBAL)
        await up.ask("Mesh")
        assert (await up.hear("Mesh")).resources == {}


class TestLargeLists:
    """No message is larger than the limit."""

    LIMIT = 20_000

    async def _whole(self, up: Stream) -> list[Told]:
        messages = [await up.told()]
        while "/" in messages[-1].nonce:
            messages.append(await up.told())
        return messages

    async def test_a_first_list_comes_in_parts_to_those_who_know_parts(self) -> None:
        store = await store_of(*(dataplane(f"dp-{number}") for number in range(200)))
        async with (
            scripted_global() as world,
            joined_zone(world.port, store=store, zone_kds_max_message_bytes=self.LIMIT),
        ):
            up = await world.opened(ZONE_TO_GLOBAL)
            await up.ask("Dataplane", features=(PARTS,))
            messages = await self._whole(up)
        assert len(messages) > 2
        assert [message.nonce for message in messages[:-1]] == [f"1/{n}" for n in range(1, len(messages))]
        assert {name for message in messages for name in message.resources} == {
            hashed(f"dp-{number}") for number in range(200)
        }

    async def test_a_first_list_is_one_message_to_others_and_later_ones_are_not(self) -> None:
        store = await store_of(*(dataplane(f"dp-{number}") for number in range(200)))
        async with (
            scripted_global() as world,
            joined_zone(world.port, store=store, zone_kds_max_message_bytes=self.LIMIT),
        ):
            up = await world.opened(ZONE_TO_GLOBAL)
            await up.ask("Dataplane")
            assert len((await up.hear("Dataplane")).resources) == 200
            for number in range(200, 400):
                await store.create(dataplane(f"dp-{number}"))
            heard: set[str] = set()
            while len(heard) < 200:
                messages = await self._whole(up)
                await up.accept(messages[-1])
                heard |= {name for message in messages for name in message.resources}
        assert heard == {hashed(f"dp-{number}") for number in range(200, 400)}

    async def test_what_is_too_large_for_a_message_stays_here(self, caplog: pytest.LogCaptureFixture) -> None:
        huge = dataplane("huge", labels={"big": "x" * 30_000})
        store = await store_of(dataplane("a"), huge)
        async with (
            scripted_global() as world,
            joined_zone(world.port, store=store, zone_kds_max_message_bytes=self.LIMIT),
        ):
            up = await world.opened(ZONE_TO_GLOBAL)
            await up.ask("Dataplane")
            assert set((await up.hear("Dataplane")).resources) == {hashed("a")}
        lines = [record for record in caplog.records if record.levelname == "ERROR"]
        assert "cannot be sent" in lines[0].getMessage()
        assert lines[0].__dict__["resource"] == "huge" or "huge" in lines[0].__dict__["resource"]


async def test_every_type_of_the_catalog_can_be_asked_for() -> None:
    store = await store_of(dataplane("a"))
    async with scripted_global() as world, joined_zone(world.port, store=store):
        up = await world.opened(ZONE_TO_GLOBAL)
        for type_ in catalog.from_zone():
            await up.ask(type_)
        answered = set()
        for _ in catalog.from_zone():
            told = await up.told()
            await up.accept(told)
            answered.add(told.type)
    assert answered == set(catalog.from_zone())
