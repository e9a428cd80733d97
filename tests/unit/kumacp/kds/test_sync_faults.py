"""Each fault of the sync on its own, and what heals it (docs/decisions/0017)."""

from __future__ import annotations

import pytest

from kds_resources import resource_of
from kds_world import PATIENCE_S, ControlPlane, Direction, Stream, World, is_synced
from kumacp.kds.protocol.hashing import synced_name
from kumamesh.names import ZONE_LABEL
from kumamesh.resource import Resource, ResourceKey

DOWN, UP = Direction.DOWN, Direction.UP


class Sync:
    """A world whose streams have said all they have to say."""

    def __init__(self, zones: int = 2) -> None:
        self.world = World(zones)
        self.top, self.zones = self.world.top, self.world.zones

    def write(
        self, place: ControlPlane, type_: str, name: str, variant: int = 0, *, valid: bool = True
    ) -> None:
        origin, zone = ("global", "") if place is self.top else ("zone", place.name)
        self.world.put(place, resource_of(type_, name, variant, origin, zone, valid=valid))

    def connect(self, zone: ControlPlane, *directions: Direction) -> Stream:
        """All new streams of the zone; the last one."""
        for direction in directions or (UP, DOWN):
            stream = self.world.connect(zone, direction)
        self.settle()
        return stream

    def settle(self) -> None:
        self.world.converse(list(self.world.streams.values()))

    def wait(self, seconds: float) -> None:
        self.world.seconds += seconds
        for stream in list(self.world.streams.values()):
            self.world.release(stream)
        self.settle()

    def on_global(self, zone: ControlPlane) -> set[ResourceKey]:
        found = self.top.resources.items()
        return {key for key, resource in found if resource.labels.get(ZONE_LABEL) == zone.name}

    def synced(self, zone: ControlPlane, type_: str) -> list[Resource]:
        return [resource for resource in zone.of(type_) if is_synced(resource)]


def test_an_ingress_reaches_every_other_zone_under_one_name() -> None:
    sync = Sync(zones=3)
    sync.write(sync.zones[0], "ZoneIngress", "i")
    for zone in (*sync.zones, sync.zones[0]):
        sync.connect(zone)
    name = synced_name("", "i", {ZONE_LABEL: "zone-1"})
    assert sync.on_global(sync.zones[0]) == {ResourceKey("ZoneIngress", "", name)}
    assert [resource.name for resource in sync.zones[0].of("ZoneIngress")] == ["i"]
    for zone in sync.zones[1:]:
        assert [resource.name for resource in zone.of("ZoneIngress")] == [name]
    sync.world.drop(sync.zones[0], ResourceKey("ZoneIngress", "", "i"))
    sync.settle()
    assert not any(zone.of("ZoneIngress") for zone in sync.zones)


def test_a_disabled_zone_tells_and_is_told_nothing_and_its_ingress_is_gone_elsewhere() -> None:
    sync = Sync()
    first, second = sync.zones
    sync.write(first, "ZoneIngress", "i")
    sync.write(second, "ZoneIngress", "i")
    for zone in (first, second, first):
        sync.connect(zone)
    sync.world.set_enabled(first, False)
    sync.write(sync.top, "Mesh", "m")
    sync.write(first, "Dataplane", "d")
    sync.settle()
    assert not sync.synced(second, "ZoneIngress")
    assert sync.synced(first, "ZoneIngress")
    assert not first.of("Mesh")
    assert {key.type for key in sync.on_global(first)} == {"ZoneIngress"}
    sync.world.set_enabled(first, True)
    sync.settle()
    assert sync.synced(second, "ZoneIngress")
    assert first.of("Mesh")
    assert {key.type for key in sync.on_global(first)} == {"ZoneIngress", "Dataplane"}


def test_a_global_that_lost_its_memory_changes_nothing_until_people_say_so() -> None:
    sync = Sync()
    zone = sync.zones[0]
    for type_ in ("Mesh", "Secret", "TrafficPermission"):
        sync.write(sync.top, type_, "a")
    sync.connect(zone)
    before = dict(zone.resources)
    sync.world.lose_memory(sync.top)
    sync.write(sync.top, "Mesh", "b")
    sync.connect(zone)
    sync.wait(3_600.0)
    assert zone.resources == before
    zone.allowed = sync.top.id
    sync.connect(zone)
    assert [resource.name for resource in zone.of("Mesh")] == ["b"]
    assert not zone.of("Secret")
    assert zone.remembered == sync.top.id


def test_a_zone_that_lost_its_memory_has_a_minute_to_tell_what_it_has() -> None:
    sync = Sync()
    zone = sync.zones[0]
    for name in ("a", "b"):
        sync.write(zone, "Dataplane", name)
        sync.write(zone, "ZoneIngress", name)
    sync.connect(zone)
    assert len(sync.on_global(zone)) == 4
    sync.world.lose_memory(zone)
    sync.connect(zone)
    assert len(sync.on_global(zone)) == 4
    sync.write(zone, "Dataplane", "a")
    sync.wait(PATIENCE_S - 1)
    assert len(sync.on_global(zone)) == 4
    sync.wait(1)
    assert [key.type for key in sync.on_global(zone)] == ["Dataplane"]


def test_a_list_that_has_something_is_believed_at_once() -> None:
    sync = Sync()
    zone = sync.zones[0]
    for name in ("a", "b"):
        sync.write(zone, "Dataplane", name)
    sync.connect(zone)
    sync.world.lose_memory(zone)
    sync.write(zone, "Dataplane", "a")
    sync.connect(zone)
    assert len(sync.on_global(zone)) == 1


def test_an_empty_list_of_a_known_store_is_believed_at_once() -> None:
    sync = Sync()
    zone = sync.zones[0]
    sync.write(zone, "Dataplane", "a")
    sync.connect(zone)
    sync.world.restart(zone)
    sync.world.drop(zone, ResourceKey("Dataplane", "default", "a"))
    sync.connect(zone)
    assert not sync.on_global(zone)


def test_what_cannot_be_read_stays_as_it_was_and_comes_when_it_is_mended() -> None:
    sync = Sync()
    zone = sync.zones[0]
    sync.write(zone, "ZoneIngress", "i", 1)
    sync.connect(zone)
    sync.write(zone, "ZoneIngress", "i", valid=False)
    sync.write(zone, "ZoneIngress", "j")
    for _ in range(2):
        ports = {resource.spec.networking.port for resource in sync.top.of("ZoneIngress")}
        assert ports <= {10001, 10002}
        sync.connect(zone)
    assert ports == {10001, 10002}
    sync.write(zone, "ZoneIngress", "i", 2)
    sync.wait(5.0)
    assert {resource.spec.networking.port for resource in sync.top.of("ZoneIngress")} == {10001, 10003}


def test_a_name_that_is_taken_is_had_when_it_is_free_without_a_new_connection() -> None:
    sync = Sync()
    zone = sync.zones[0]
    sync.write(zone, "Secret", "a", 1)
    sync.write(sync.top, "Secret", "a", 2)
    sync.write(sync.top, "Secret", "b")
    stream = sync.connect(zone)
    assert {resource.name: is_synced(resource) for resource in zone.of("Secret")} == {"a": False, "b": True}
    assert stream.session.last_nack is not None
    assert '"a.default" exists in the zone' in stream.session.last_nack.error
    sync.world.drop(zone, ResourceKey("Secret", "default", "a"))
    sync.settle()
    assert len(zone.of("Secret")) == 1
    sync.wait(60.0)
    assert {resource.name: resource.spec.data for resource in zone.of("Secret")} == {"a": b"\2", "b": b"\0"}


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("writes", range(7))
def test_a_receiver_that_dies_while_it_writes_loses_nothing(direction: Direction, writes: int) -> None:
    sync = Sync()
    zone = sync.zones[0]
    place, types = (
        (sync.top, ("Mesh", "Secret")) if direction is DOWN else (zone, ("Dataplane", "ZoneIngress"))
    )
    for type_ in types:
        for name in ("a", "b"):
            sync.write(place, type_, name)
    sync.connect(zone, direction)
    sync.world.restart(zone)
    for type_ in types:
        sync.write(place, type_, "a", 1)
        sync.world.drop(place, resource_of(type_, "b", 0, "").key)
        sync.write(place, type_, "c")
    stream = sync.world.connect(zone, direction)
    stream.writes_left = writes
    sync.world.converse([stream])
    assert stream.alive == (writes == 6)
    sync.connect(zone, direction)
    receiver = zone if direction is DOWN else sync.top
    told = sync.world.told(zone, direction)
    stored = [resource for type_ in types for resource in receiver.of(type_)]
    assert len(stored) == 4
    for resource in stored:
        assert dict(resource.labels) == dict(told[resource.key].labels)
        assert resource.spec == told[resource.key].spec
