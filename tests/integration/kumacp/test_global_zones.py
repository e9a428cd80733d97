"""Zones come, are seen, and go: registration, insights, deletion, several control planes of one zone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from global_plane import GlobalPlane, first_store, global_plane
from kumacp.kds.at_global.global_server import Patience
from kumacp.kds.protocol import streams
from kumamesh.errors import UserError
from kumamesh.resource import ResourceKey
from kumamesh.resources.insight import ZoneInsight
from kumamesh.version import BUILD
from scripted_zone import dataplane, ingress, scripted_zone
from tcp_relay import relays


@pytest.fixture
async def plane() -> AsyncIterator[GlobalPlane]:
    async with global_plane() as started:
        yield started


def _open(insight: ZoneInsight) -> bool:
    return insight.online


def _over(insight: ZoneInsight) -> bool:
    return bool(insight.subscriptions) and not insight.online


async def test_a_zone_is_registered_when_it_comes_and_its_insight_says_who_it_is(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        await zone.joined()
        insight = await plane.until_insight(lambda seen: _open(seen) and bool(seen.kds_streams))
        registered = await plane.get("Zone", "", "zone-1")
    assert registered is not None
    assert registered.spec.enabled is True
    (subscription,) = insight.subscriptions
    assert subscription.version is not None
    assert subscription.version.kuma_cp.version == BUILD.version
    assert subscription.version.kuma_cp.kuma_cp_global_compatible
    assert (subscription.zone_instance_id, subscription.global_instance_id) == ("zone-1-instance", "global-1")
    assert subscription.config == '{"mode": "zone"}'
    assert not subscription.auth_token_provided


async def test_counters_of_responses_are_written_by_type(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        await zone.joined()
        insight = await plane.until_insight(
            lambda seen: seen.subscriptions[-1].status.total.responses_acknowledged > 0
        )
    status = insight.subscriptions[-1].status
    assert status.stat["Mesh"].responses_sent == 1
    assert status.total.responses_rejected == 0
    assert status.last_update_time is not None


async def test_a_short_visit_is_written_down_whole() -> None:
    async with global_plane(zone_insight_flush_interval=3_600.0) as plane:
        async with scripted_zone(plane.port) as zone:
            await zone.joined()
        insight = await plane.until_insight(_over)
    assert insight.subscriptions[-1].status.stat["Mesh"].responses_sent == 1


async def test_every_stream_is_shown_while_it_is_open(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        await zone.joined()
        config_dumps = zone.open(streams.XDS_CONFIGS)
        await zone.telling().asked()

        def all_there(seen: ZoneInsight) -> bool:
            shown = seen.kds_streams
            return bool(shown and shown.global_to_zone and shown.zone_to_global and shown.config_dump)

        await plane.until_insight(all_there)
        config_dumps.call.cancel()
        await plane.until_insight(lambda seen: bool(seen.kds_streams and not seen.kds_streams.config_dump))


async def test_a_ping_is_written_down(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        await zone.joined()
        assert await zone.ping() is not None
        insight = await plane.until_insight(lambda seen: seen.health_check is not None)
    assert insight.health_check is not None
    assert insight.health_check.time is not None


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_zone_that_leaves_is_offline_and_nothing_of_it_is_deleted(
    plane: GlobalPlane, orderly: bool
) -> None:
    async with scripted_zone(plane.port) as zone:
        asking, telling = await zone.joined(), zone.telling()
        await telling.serve(Dataplane=[zone.own(dataplane())])
        await plane.until_named("Dataplane", "web-1")
        if orderly:
            await asking.call.done_writing()
            assert (await asking.ended())[0] == "OK"
    insight = await plane.until_insight(_over)
    assert insight.subscriptions[-1].disconnect_time is not None
    await plane.until_named("Dataplane", "web-1")


async def test_a_zone_whose_connection_falls_silent_is_offline() -> None:
    patience = Patience(ping_s=1.0, ping_timeout_s=1.0)
    async with global_plane(patience=patience) as plane:
        with relays() as new:
            relay = new(("127.0.0.1", plane.port))
            async with scripted_zone(relay.port) as zone:
                await zone.joined()
                await plane.until_insight(_open)
                relay.blackhole()
                await plane.until_insight(_over)


async def test_a_zone_that_comes_back_is_online_and_its_past_is_kept_within_bounds(
    plane: GlobalPlane,
) -> None:
    for _ in range(12):
        async with scripted_zone(plane.port) as zone:
            await zone.joined()
            await plane.until_insight(_open)
        await plane.until_insight(_over)
    async with scripted_zone(plane.port) as zone:
        await zone.joined()
        insight = await plane.until_insight(_open)
    assert len(insight.subscriptions) == 10
    assert [item.online for item in insight.subscriptions] == [False] * 9 + [True]


async def test_subscriptions_that_a_killed_global_left_open_are_ended_by_the_next_one() -> None:
    store = await first_store()
    async with global_plane(store, killed=True) as plane, scripted_zone(plane.port) as zone:
        await zone.joined()
        await plane.until_insight(_open)
    async with global_plane(store, instance_id="global-2") as plane:
        insight = await plane.until_insight(_over)
        assert insight.subscriptions[-1].global_instance_id == "global-1"
        async with scripted_zone(plane.port) as zone:
            await zone.joined()
            insight = await plane.until_insight(_open)
    assert [item.global_instance_id for item in insight.subscriptions] == ["global-1", "global-2"]


async def test_a_global_that_stops_says_so_and_writes_that_its_zones_are_gone() -> None:
    store = await first_store()
    async with global_plane(store) as plane, scripted_zone(plane.port) as zone:
        asking = await zone.joined()
        await plane.until_insight(_open)
        await plane.server.stop(5.0)
        assert await asking.ended() == ("UNAVAILABLE", "the global control plane is shutting down")
        insight = (await store.get(ResourceKey("ZoneInsight", "", "zone-1"))).spec
    assert not insight.online


async def test_two_control_planes_of_one_zone_may_share_a_store(plane: GlobalPlane) -> None:
    async with (
        scripted_zone(plane.port, store_id="store-1") as one,
        scripted_zone(plane.port, store_id="store-1") as other,
        scripted_zone(plane.port) as silent,
    ):
        await one.joined()
        await other.joined()
        await silent.joined()
        insight = await plane.until_insight(lambda seen: sum(s.online for s in seen.subscriptions) == 3)
    assert len({item.id for item in insight.subscriptions}) == 3


async def test_a_second_zone_of_the_same_name_is_refused_while_the_first_one_is_there(
    plane: GlobalPlane,
) -> None:
    async with scripted_zone(plane.port, store_id="store-2") as other:
        async with scripted_zone(plane.port, store_id="store-1") as zone:
            asking = await zone.joined()
            code, text = await other.open(streams.ZONE_TO_GLOBAL).ended()
            assert code == "FAILED_PRECONDITION"
            assert text == (
                'another control plane is connected as zone "zone-1", and it has another store: give each'
                " zone a name of its own (KUMA_MULTIZONE_ZONE_NAME), or stop the other one"
            )
            await asking.first_of("Secret", zone.node)  # the first one goes on
        await plane.until_insight(_over)
        await other.joined()


async def test_a_deleted_zone_takes_all_it_told_along_and_is_registered_again_when_it_comes_back(
    plane: GlobalPlane,
) -> None:
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port, "zone-2") as other:
        asking, telling = await zone.joined(), zone.telling()
        await telling.serve(Dataplane=[zone.own(dataplane())], ZoneIngress=[zone.own(ingress())])
        await other.telling().serve(Dataplane=[other.own(dataplane("web-2"))])
        await plane.until_named("Dataplane", "web-1", "web-2")
        await plane.delete("Zone", "", "zone-1")
        assert await asking.ended() == ("UNAVAILABLE", 'the Zone "zone-1" was deleted')
        await plane.until_named("Dataplane", "web-2")
        await plane.until_named("ZoneIngress")
        assert await plane.get("ZoneInsight", "", "zone-1") is None
        await zone.joined()
        await zone.telling().serve(Dataplane=[zone.own(dataplane())])
        await plane.until_named("Dataplane", "web-1", "web-2")
        await plane.until("Zone", lambda stored: len(stored) == 2)


async def test_zones_that_should_report_and_fall_silent_are_disconnected() -> None:
    settings = {"zone_health_check_poll_interval": 0.2, "zone_health_check_timeout": 0.5}
    async with (
        global_plane(**settings) as plane,
        scripted_zone(plane.port) as zone,
        scripted_zone(plane.port, "zone-2", features="hash-suffix") as other,
    ):
        asking, old = await zone.joined(), await other.joined()
        assert await asking.ended() == ("CANCELLED", "stream canceled - zone hc failed")
        await old.first_of("Secret", other.node)  # it never said that it reports


async def test_the_server_counts_its_zones(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        await zone.joined()
        await plane.until_insight(_open)
        zones = plane.server.zones
        assert (zones.online, zones.total) == (1, 1)
        assert zones.open_streams["global_to_zone"] == 1
        assert plane.server.traffic.sent["Mesh"] == 1
    await plane.until_insight(_over)
    assert (zones.online, zones.total) == (0, 1)


async def test_a_port_that_is_taken_is_named_with_the_setting(plane: GlobalPlane) -> None:
    with pytest.raises(UserError, match="KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT"):
        async with global_plane(port=plane.port):
            pass
