"""What a zone takes from its global control plane, over real gRPC."""

from __future__ import annotations

from dataclasses import replace

from joined_zone import cluster_id, joined_zone
from kumacp.kds.protocol.messages import NODE_FEATURES
from kumacp.kds.protocol.streams import GLOBAL_TO_ZONE
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh
from kumamesh.version import VERSION
from permissions import dataplane, traffic_permission
from scripted_global import scripted_global


def mesh(name: str) -> Resource:
    return Resource(ResourceKey("Mesh", "", name), Mesh())


def of_global(resource: Resource) -> Resource:
    return replace(resource, labels={"kuma.io/origin": "global"})


async def joined_store() -> MemoryStore:
    """Of a zone that had joined the global `one`, which gave it a Mesh and a permission."""
    store = MemoryStore()
    await store.create(cluster_id("one"))
    await store.create(Resource(ResourceKey("Config", "", "kuma-global-cluster-id"), cluster_id("one").spec))
    await store.create(of_global(mesh("default")))
    await store.create(of_global(traffic_permission("old", [{"kuma.io/service": "*"}])))
    await store.create(dataplane("backend-1"))
    return store


async def test_the_zone_says_who_it_is_and_asks_for_everything() -> None:
    async with scripted_global() as world, joined_zone(world.port):
        down = await world.opened(GLOBAL_TO_ZONE)
        await down.asked("TrafficPermission")
        first = await down.asked("Mesh")
    assert next(iter(down.requests)) == "Config"
    assert down.header("client-id") == ["zone-1"]
    assert down.header("kds-version") == ["v3"]
    assert set(down.header("features")) == {"zone-ping-health", "hash-suffix"}
    assert down.header("version") == [VERSION]
    assert down.header("kuma-store-id") == ["store-of-zone-1"]
    assert down.header("authorization") == []
    assert list(first.resource_names_subscribe) == ["*"]
    assert first.node.id == "zone-1"
    told = dict(first.node.metadata)
    assert told["control-plane-id"] == "instance-1"
    assert told["version"]["kumaCp"]["version"] == VERSION
    assert set(told["features"]) >= NODE_FEATURES
    assert '"zone"' in told["config"]


async def test_what_comes_is_stored_and_accepted() -> None:
    async with scripted_global() as world, joined_zone(world.port) as zone:
        down = await world.opened(GLOBAL_TO_ZONE)
        assert (await down.give("Config", cluster_id("one"))).ok
        assert (await down.give("Mesh", mesh("default"), mesh("other"))).ok
        assert await zone.names("Mesh") == {"default", "other"}
        assert (await down.give("Mesh", mesh("third"), removed=["other."])).ok
        assert await zone.names("Mesh") == {"default", "third"}
        assert await zone.names("Config") == {"kuma-cluster-id", "kuma-global-cluster-id"}


async def test_a_bad_resource_is_named_and_the_good_ones_are_kept() -> None:
    async with scripted_global() as world, joined_zone(world.port) as zone:
        down = await world.opened(GLOBAL_TO_ZONE)
        await down.give("Config", cluster_id("one"))
        bad = traffic_permission("bad", [])
        verdict = await down.give(
            "TrafficPermission", bad, traffic_permission("good", [{"kuma.io/service": "*"}])
        )
        assert "bad" in verdict.error
        assert await zone.names("TrafficPermission") == {"good"}


async def test_a_message_in_parts_is_one_full_state() -> None:
    async with scripted_global() as world, joined_zone(world.port, store=await joined_store()) as zone:
        down = await world.opened(GLOBAL_TO_ZONE)
        await down.give("Config", cluster_id("one"))
        await down.asked("Mesh")
        await down.send("Mesh", mesh("first"), nonce="9/1")
        await down.send("Mesh", mesh("default"), nonce="9")
        verdict = await down.verdict()
        assert (verdict.nonce, verdict.ok) == ("9", True)
        assert await zone.names("Mesh") == {"default", "first"}
        assert await zone.names("Dataplane") == {"backend-1"}


class TestTrust:
    """A global that has lost its memory takes nothing away, and puts nothing in its place."""

    async def test_a_list_of_the_global_that_was_joined_counts(self) -> None:
        async with scripted_global() as world, joined_zone(world.port, store=await joined_store()) as zone:
            down = await world.opened(GLOBAL_TO_ZONE)
            await down.give("Config", cluster_id("one"))
            assert (await down.give("TrafficPermission")).ok
            assert await zone.names("TrafficPermission") == set()
            assert await zone.names("Mesh") == {"default"}

    async def test_nothing_is_taken_of_another_global(self, caplog) -> None:  # type: ignore[no-untyped-def]
        async with scripted_global() as world, joined_zone(world.port, store=await joined_store()) as zone:
            down = await world.opened(GLOBAL_TO_ZONE)
            await down.send("TrafficPermission", traffic_permission("new", [{"kuma.io/service": "*"}]))
            await down.send("Config", cluster_id("two"))
            await down.send("Mesh")
            await down.send("Mesh")  # unasked, so that the stream ends: all before it was seen
            await world.opened(GLOBAL_TO_ZONE)
            assert await zone.names("Mesh") == {"default"}
            assert await zone.names("TrafficPermission") == {"old"}
            known = await zone.get("Config", "", "kuma-cluster-id")
        assert known is not None
        assert known.spec.config == "one"
        lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(lines) == 1
        assert "KUMA_MULTIZONE_ZONE_GLOBAL_CLUSTER_ID=two" in lines[0]
        assert "(one)" in lines[0]

    async def test_the_setting_lets_another_global_take_over(self) -> None:
        store = await joined_store()
        async with (
            scripted_global() as world,
            joined_zone(world.port, store=store, trusted_global_cluster_id="two") as zone,
        ):
            down = await world.opened(GLOBAL_TO_ZONE)
            await down.give("Config", cluster_id("two"))
            assert (await down.give("TrafficPermission")).ok
            assert await zone.names("TrafficPermission") == set()
            remembered = await zone.get("Config", "", "kuma-global-cluster-id")
        assert remembered is not None
        assert remembered.spec.config == "two"

    async def test_everything_waits_until_global_says_who_it_is(self) -> None:
        async with scripted_global() as world, joined_zone(world.port, store=await joined_store()) as zone:
            down = await world.opened(GLOBAL_TO_ZONE)
            keep = traffic_permission("kept", [{"kuma.io/service": "*"}])
            first = await down.send("TrafficPermission", keep)
            second = await down.send("Config", cluster_id("one"))
            assert [(await down.verdict()).nonce for _ in range(2)] == [first, second]
            assert await zone.names("TrafficPermission") == {"kept"}
            assert await zone.names("Mesh") == {"default"}

    async def test_a_zone_that_never_joined_is_the_first_globals(self) -> None:
        store = MemoryStore()
        await store.create(mesh("made-here"))
        async with scripted_global() as world, joined_zone(world.port, store=store) as zone:
            down = await world.opened(GLOBAL_TO_ZONE)
            assert (await down.give("Config", cluster_id("one"))).ok
            assert (await down.give("Mesh", mesh("default"))).ok
            assert await zone.names("Mesh") == {"default"}
            assert await zone.names("Config") == {"kuma-cluster-id", "kuma-global-cluster-id"}


async def test_what_the_zone_loses_of_its_own_is_named(caplog) -> None:  # type: ignore[no-untyped-def]
    """A zone that stood alone joins: global has the say over meshes, and what was in them goes with them."""
    store = MemoryStore()
    for name in ("default", "mine", "same"):
        await store.create(mesh(name))
    await store.create(of_global(mesh("old")))
    theirs = Mesh.model_validate({"routing": {"localityAwareLoadBalancing": True}})
    async with scripted_global() as world, joined_zone(world.port, store=store) as zone:
        down = await world.opened(GLOBAL_TO_ZONE)
        await down.asked("Mesh")
        await down.send("Config", cluster_id("one"))
        await down.send("Mesh", replace(mesh("default"), spec=theirs), mesh("same"))
        await zone.until("Mesh", lambda names: names == {"default", "same"})
        assert (await down.verdict()).type == "Config"
        assert (await down.verdict()).ok
    lines = [record.getMessage() for record in caplog.records if "made itself" in record.getMessage()]
    assert lines == [
        "global has the say over what this zone made itself, with all that belongs to it: deleted Mesh"
        ' "mine"; replaced Mesh "default"'
    ]


async def test_an_end_of_the_connection_deletes_nothing() -> None:
    async with scripted_global() as world, joined_zone(world.port, store=await joined_store()) as zone:
        down = await world.opened(GLOBAL_TO_ZONE)
        await down.give("Config", cluster_id("one"))
        await down.asked("Mesh")
        await world.stop()
        await world.start()
        again = await world.opened(GLOBAL_TO_ZONE)
        await again.asked("Mesh")
        assert await zone.names("Mesh") == {"default"}
        assert await zone.names("TrafficPermission") == {"old"}
        assert await zone.names("Dataplane") == {"backend-1"}
