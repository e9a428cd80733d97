"""What global takes from zones and gives to them, and what zones that misbehave cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from global_plane import GlobalPlane, display_name, first_store, global_plane
from kumacp.kds.at_global.global_server import Patience
from kumacp.kds.protocol import streams
from kumacp.kds.protocol.catalog import from_global, from_zone
from kumacp.kds.protocol.codec import decode_request
from kumacp.kds.protocol.messages import PARTS
from kumamesh.resource import ResourceKey
from scripted_zone import Asking, ScriptedZone, dataplane, ingress, scripted_zone

PERMISSION = {
    "type": "TrafficPermission",
    "mesh": "default",
    "name": "tp",
    "sources": [{"match": {"kuma.io/service": "*"}}],
    "destinations": [{"match": {"kuma.io/service": "*"}}],
}


@pytest.fixture
async def plane() -> AsyncIterator[GlobalPlane]:
    async with global_plane() as started:
        yield started


async def _ingresses(asking: Asking, zone: ScriptedZone) -> list[str]:
    received = await asking.first_of("ZoneIngress", zone.node)
    return sorted(map(display_name, received.resources))


async def test_global_asks_for_what_zones_have_and_says_who_asks(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        telling = zone.telling()
        requests = [decode_request(await telling.read()) for _ in from_zone()]
    assert {request.type_url for request, _ in requests} == set(from_zone())
    assert {(node.id, node.control_plane_id) for _, node in requests} == {("zone-1", "global-1")}
    assert all(PARTS in node.features for _, node in requests)


async def test_every_type_is_answered_also_when_there_is_nothing_of_it(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        asking = zone.asking()
        for type_ in from_global():
            await asking.ask(type_, zone.node)
        answered = {(await asking.response()).type for _ in from_global()}
    assert answered == set(from_global())


async def test_types_that_are_not_stored_here_are_answered_with_nothing(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        received = await zone.asking().first_of("MeshGateway", zone.node)
    assert received.resources == ()


async def test_what_a_zone_tells_is_stored_as_its_own(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        told = zone.own(dataplane())
        await zone.telling().serve(Dataplane=[told], ZoneIngress=[zone.own(ingress())])
        (stored,) = await plane.until_named("Dataplane", "web-1")
        (edge,) = await plane.until_named("ZoneIngress", "ingress-1")
    assert stored.name == told.name == "web-1-" + stored.name.rpartition("-")[2]
    assert (stored.labels["kuma.io/zone"], stored.labels["kuma.io/origin"]) == ("zone-1", "zone")
    assert edge.spec.zone == "zone-1"


async def test_a_zone_cannot_pretend_to_be_another_one(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port, "zone-2") as victim:
        mine = victim.own(dataplane("victim"))
        await victim.telling().serve(Dataplane=[mine])
        stored = await plane.until_named("Dataplane", "victim")
        telling = zone.telling()
        own = zone.own(dataplane("liar"))
        await telling.serve(Dataplane=[replace(own, labels={**own.labels, "kuma.io/zone": "zone-2"})])
        both = await plane.until_named("Dataplane", "liar", "victim")
        refused = await telling.told("Dataplane", mine)
        reserved = await telling.told("Dataplane", zone.own(dataplane("next"), zone="zone-2"))
        removed = await telling.told("Dataplane", removed=[mine])
        left = await plane.until_named("Dataplane", "liar", "victim")
    assert {display_name(item): item.labels["kuma.io/zone"] for item in both} == {
        "liar": "zone-1",
        "victim": "zone-2",
    }
    assert refused is not None
    assert "has the name of one that zone 'zone-2' made" in refused
    assert reserved is not None
    assert "has not the suffix that names of zone 'zone-1' have" in reserved
    assert removed is None
    assert stored[0] in left


async def test_a_zone_that_sends_what_it_may_not_send_loses_that_stream_alone(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port, "zone-2") as other:
        asking, telling = await zone.joined(), zone.telling()
        beside = other.telling()
        await beside.serve()
        await telling.serve()
        mesh = zone.own({"type": "Mesh", "name": "evil"}, suffix=False)
        await telling.tell("Mesh", [mesh])
        code, text = await telling.ended()
        assert code == "INVALID_ARGUMENT"
        assert "'Mesh'" in text
        assert await plane.names("Mesh") == {"default"}
        await asking.first_of("Secret", zone.node)
        assert await beside.told("Dataplane", other.own(dataplane())) is None
        await zone.telling().serve(Dataplane=[zone.own(dataplane("back"))])
        await plane.until_named("Dataplane", "web-1", "back")


async def test_an_invalid_resource_is_named_in_the_nack_and_the_rest_is_stored(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        telling = zone.telling()
        await telling.serve()
        good, bad = zone.own(dataplane("good")), zone.own(dataplane("bad"))
        networking = bad.spec.networking.model_copy(update={"address": ""})
        broken = replace(bad, spec=bad.spec.model_copy(update={"networking": networking}))
        nack = await telling.told("Dataplane", good, broken)
        await plane.until_named("Dataplane", "good")
        assert await telling.told("Dataplane", bad) is None
        await plane.until_named("Dataplane", "good", "bad")
    assert nack is not None
    assert f'Dataplane "{bad.name}.default"' in nack
    assert "networking.address" in nack
    assert "good" not in nack


async def test_what_a_zone_removes_goes_and_a_new_list_replaces_the_old_one(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        one, two, three = (zone.own(dataplane(name)) for name in ("one", "two", "three"))
        telling = zone.telling()
        await telling.serve(Dataplane=[one, two])
        assert await telling.told("Dataplane", three, removed=[one]) is None
        await plane.until_named("Dataplane", "two", "three")
    async with scripted_zone(plane.port) as zone:
        await zone.telling().serve(Dataplane=[three])
        await plane.until_named("Dataplane", "three")


async def test_empty_lists_of_a_store_that_may_be_new_delete_nothing_at_once() -> None:
    store = await first_store()
    async with global_plane(store, patience=Patience(deletion_s=3_600.0)) as plane:
        async with scripted_zone(plane.port, store_id="store-1") as zone:
            await zone.telling().serve(Dataplane=[zone.own(dataplane())])
            await plane.until_named("Dataplane", "web-1")
        for store_id in ("store-2", ""):
            async with scripted_zone(plane.port, store_id=store_id) as zone:
                await zone.telling().serve()
                await plane.until_named("Dataplane", "web-1")


async def test_empty_lists_of_a_new_store_are_believed_in_the_end() -> None:
    async with global_plane(patience=Patience(deletion_s=0.5)) as plane:
        async with scripted_zone(plane.port, store_id="store-1") as zone:
            await zone.telling().serve(Dataplane=[zone.own(dataplane(name)) for name in ("web-1", "web-2")])
            await plane.until_named("Dataplane", "web-1", "web-2")
        async with scripted_zone(plane.port, store_id="store-2") as zone:
            telling = zone.telling()
            await telling.serve()
            await telling.told("Dataplane", zone.own(dataplane("web-2")))
            await plane.until_named("Dataplane", "web-2")


async def test_while_a_zone_is_disabled_its_time_to_tell_does_not_run_out() -> None:
    async with global_plane(patience=Patience(deletion_s=3.0)) as plane:
        for name, own in (("zone-1", "web-1"), ("zone-2", "web-2")):
            async with scripted_zone(plane.port, name, store_id=f"{name}-old") as before:
                await before.telling().serve(Dataplane=[before.own(dataplane(own))])
                await plane.until("Dataplane", lambda items, own=own: own in map(display_name, items))
        async with scripted_zone(plane.port, store_id="zone-1-new") as zone:
            telling = zone.telling()
            await telling.serve()
            await plane.switch("zone-1", enabled=False)
            nonce = await telling.tell("Dataplane", [zone.own(dataplane("web-1"))])
            async with scripted_zone(plane.port, "zone-2", store_id="zone-2-new") as later:
                await later.telling().serve()  # the time of zone-1 is over before that of zone-2
                await plane.until_named("Dataplane", "web-1")
            await plane.switch("zone-1", enabled=True)
            assert await telling.verdict("Dataplane", nonce) is None


async def test_empty_lists_of_a_known_store_are_believed_at_once() -> None:
    async with global_plane(patience=Patience(deletion_s=3_600.0)) as plane:
        async with scripted_zone(plane.port, store_id="store-1") as zone:
            await zone.telling().serve(Dataplane=[zone.own(dataplane())])
            await plane.until_named("Dataplane", "web-1")
        async with scripted_zone(plane.port, store_id="store-1") as zone:
            await zone.telling().serve()
            await plane.until_named("Dataplane")


async def test_names_of_zones_that_know_no_suffix_get_the_zone_before_them(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port, features="zone-ping-health") as zone:
        await zone.telling().serve(Dataplane=[zone.own(dataplane(), suffix=False)])
        stored = await plane.until("Dataplane", lambda items: len(items) == 1)
    assert stored[0].name == "zone-1.web-1"


async def test_policies_reach_a_zone_and_changes_of_them(plane: GlobalPlane) -> None:
    await plane.put(PERMISSION)
    async with scripted_zone(plane.port) as zone:
        asking = zone.asking()
        received = await asking.first_of("TrafficPermission", zone.node)
        assert {display_name(item) for item in received.resources} == {"tp", "allow-all-default"}
        assert {item.labels["kuma.io/origin"] for item in received.resources} == {"global"}
        await plane.delete("TrafficPermission", "default", "tp")
        removed = (await asking.response()).removed
    assert [key.name.rpartition("-")[0] for key in removed] == ["tp"]


async def test_secrets_that_are_globals_own_stay_with_it(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        asking = zone.asking()
        received = await asking.first_of("GlobalSecret", zone.node)
        configs = await asking.first_of("Config", zone.node)
    assert [item.name for item in received.resources] == ["zone-token-signing-public-key-1"]
    assert b"PRIVATE" not in received.resources[0].spec.data
    assert [item.name for item in configs.resources] == ["kuma-cluster-id"]


async def test_an_ingress_reaches_the_other_zones_and_leaves_them_with_its_zone(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port, "zone-2") as other:
        await zone.telling().serve(ZoneIngress=[zone.own(ingress())], Dataplane=[zone.own(dataplane())])
        await plane.until_named("ZoneIngress", "ingress-1")
        near, far = zone.asking(), other.asking()
        assert await _ingresses(near, zone) == []
        assert await _ingresses(far, other) == ["ingress-1"]
        (stored,) = await plane.store.list("ZoneIngress")
        await plane.delete("Zone", "", "zone-1")
        assert (await far.response()).removed == (ResourceKey("ZoneIngress", "", stored.name),)


async def test_a_disabled_zone_is_left_in_peace_and_its_ingress_leaves_the_others(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port, "zone-2") as other:
        asking, telling, far = zone.asking(), zone.telling(), other.asking()
        await telling.serve(ZoneIngress=[zone.own(ingress())])
        await plane.until_named("ZoneIngress", "ingress-1")
        await asking.first_of("TrafficPermission", zone.node)
        assert await _ingresses(far, other) == ["ingress-1"]
        await far.first_of("TrafficPermission", other.node)

        await plane.switch("zone-1", enabled=False)
        assert len((await far.response()).removed) == 1
        await plane.put(PERMISSION)
        assert len((await far.response()).resources) == 1
        nonce = await telling.tell("Dataplane", [zone.own(dataplane())])
        assert await zone.ping() is not None
        await plane.until_insight(lambda seen: seen.online)
        assert await plane.names("Dataplane") == set()
        assert plane.server.traffic.sent["TrafficPermission"] == 3

        await plane.switch("zone-1", enabled=True)
        assert await telling.verdict("Dataplane", nonce) is None
        await plane.until_named("Dataplane", "web-1")
        missed = await asking.response()
        assert [display_name(item) for item in missed.resources] == ["tp"]
        assert [display_name(item) for item in (await far.response()).resources] == ["ingress-1"]


async def test_a_zone_that_comes_while_it_is_disabled_waits(plane: GlobalPlane) -> None:
    await plane.put({"type": "Zone", "name": "zone-1", "enabled": False})
    async with scripted_zone(plane.port) as zone:
        asking, telling = zone.asking(), zone.telling()
        await asking.ask("Mesh", zone.node)
        await plane.until_insight(lambda seen: seen.online)
        for type_ in await telling.asked():
            listed = [zone.own(dataplane())] if type_ == "Dataplane" else []
            await telling.tell(type_, listed)
        assert plane.server.traffic.sent["Mesh"] == 0
        assert await plane.names("Dataplane") == set()
        await plane.switch("zone-1", enabled=True)
        assert [item.name for item in (await asking.response()).resources] == ["default"]
        await plane.until_named("Dataplane", "web-1")


async def test_labels_that_are_hidden_do_not_reach_zones() -> None:
    async with global_plane(kds_labels_skip_prefixes=("argocd.argoproj.io",)) as plane:
        labels = {"argocd.argoproj.io/instance": "x", "team": "a"}
        await plane.put({**PERMISSION, "labels": labels})
        async with scripted_zone(plane.port) as zone:
            received = await zone.asking().first_of("TrafficPermission", zone.node)
    (sent,) = [item for item in received.resources if display_name(item) == "tp"]
    assert sent.labels["team"] == "a"
    assert "argocd.argoproj.io/instance" not in sent.labels


async def test_a_message_that_is_too_large_ends_its_stream_and_says_what_to_set() -> None:
    limit = 64 * 1024
    async with (
        global_plane(kds_max_message_bytes=limit) as plane,
        scripted_zone(plane.port) as zone,
        scripted_zone(plane.port, "zone-2") as other,
    ):
        asking = await zone.joined()
        telling, beside = zone.telling(), other.telling()
        await telling.serve()
        await beside.serve()
        for size in (limit + 1, 100 * limit):
            await telling.write(b"\0" * size)
            code, text = await telling.ended()
            assert code == "RESOURCE_EXHAUSTED", text
            assert size > 2 * limit or "KUMA_MULTIZONE_GLOBAL_KDS_MAX_MSG_SIZE" in text
            telling = zone.telling()
            await telling.serve()
        assert await beside.told("Dataplane", other.own(dataplane())) is None
        await asking.first_of("Secret", zone.node)


async def test_garbage_ends_its_stream_alone(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        asking = await zone.joined()
        for method in (streams.GLOBAL_TO_ZONE, streams.ZONE_TO_GLOBAL, streams.STATS):
            stream = zone.open(method)
            await stream.write(b"\xff\xfe garbage")
            code, text = await stream.ended()
            assert (code, "\n" in text) == ("INVALID_ARGUMENT", False), text
        await asking.first_of("Secret", zone.node)


async def test_a_restarted_global_gets_and_gives_everything_again() -> None:
    store = await first_store()
    async with global_plane(store, killed=True) as plane, scripted_zone(plane.port) as zone:
        await zone.telling().serve(Dataplane=[zone.own(dataplane())])
        await plane.until_named("Dataplane", "web-1")
    async with global_plane(store) as plane, scripted_zone(plane.port) as zone:
        assert await plane.names("Dataplane") == {zone.own(dataplane()).name}
        await zone.joined()
        await zone.telling().serve(Dataplane=[zone.own(dataplane()), zone.own(dataplane("web-2"))])
        await plane.until_named("Dataplane", "web-1", "web-2")


async def test_a_disabled_zone_that_leaves_is_seen_to_leave(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        await zone.joined()
        telling = zone.telling()
        await telling.serve()
        await plane.switch("zone-1", enabled=False)
        for name in ("one", "two", "three"):
            await telling.tell("Dataplane", [zone.own(dataplane(name))])
        await plane.until_insight(lambda seen: seen.online)
    await plane.until_insight(lambda seen: not seen.online)
    assert await plane.names("Dataplane") == set()
