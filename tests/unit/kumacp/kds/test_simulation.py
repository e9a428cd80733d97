"""Global and its zones under every fault: what should live is never deleted, and in the end all agree."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kds_world import ControlPlane, Direction, Stream, World, is_synced
from kumacp.kds.catalog import FLOWS
from kumacp.kds.payload import MESSAGES
from kumamesh.names import ORIGIN_LABEL, ZONE_LABEL, ZONE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.base import FrozenMap, Spec
from kumamesh.resources.dataplane import Dataplane, Inbound, Networking
from kumamesh.resources.permission import (
    From,
    FromDefault,
    MeshTrafficPermission,
    Selector,
    TargetRef,
    TrafficPermission,
)
from kumamesh.resources.registry import TYPES
from kumamesh.resources.secret import Secret
from kumamesh.resources.zone import ZoneIngress, ZoneIngressNetworking

ZONES = st.sampled_from(range(3))
DIRECTIONS = st.sampled_from(Direction)
OF_GLOBAL = ("Mesh", "TrafficPermission", "MeshTrafficPermission", "Secret")
OF_ZONES = ("Dataplane", "ZoneIngress", "MeshTrafficPermission", "Secret")
NAMES = st.sampled_from("ab")
VARIANTS = st.integers(0, 2)


def spec_of(type_: str, zone: str, variant: int, *, valid: bool = True) -> Spec:
    """Like what people and proxies write; an ingress that is not valid has no port."""
    match type_:
        case "Secret":
            return Secret(data=bytes([variant]))
        case "Dataplane":
            tags = FrozenMap({"kuma.io/service": "web", ZONE_TAG: zone})
            inbound = Inbound(port=8080 + variant, tags=tags)
            return Dataplane(networking=Networking(address="10.0.0.1", inbound=(inbound,)))
        case "ZoneIngress":
            networking = ZoneIngressNetworking(address="10.0.0.1", port=10001 + variant if valid else 0)
            return ZoneIngress(zone=zone, networking=networking)
        case "MeshTrafficPermission":
            allow = From(target_ref=TargetRef(kind="Mesh"), default=FromDefault(action="Allow"))
            return MeshTrafficPermission(target_ref=TargetRef(kind="Mesh"), from_=(allow,))
        case "TrafficPermission":
            everybody = (Selector(match=FrozenMap({"kuma.io/service": "*"})),)
            return TrafficPermission(sources=everybody, destinations=everybody)
        case _:
            return TYPES[type_].spec()


def resource_of(
    type_: str, name: str, variant: int, origin: str, zone: str = "", *, valid: bool = True
) -> Resource:
    mesh = "default" if TYPES[type_].mesh_scoped else ""
    labels = {ORIGIN_LABEL: origin, "variant": str(variant), **({ZONE_LABEL: zone} if zone else {})}
    return Resource(ResourceKey(type_, mesh, name), spec_of(type_, zone, variant, valid=valid), labels)


class SyncMachine(RuleBasedStateMachine):
    """`own` is what people of a control plane have made and not deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(zones=3)
        self.own: dict[str, dict[ResourceKey, Resource]] = {
            place.name: {} for place in (self.world.top, *self.world.zones)
        }

    def zone(self, number: int) -> ControlPlane:
        return self.world.zones[number]

    def stream(self, number: int, direction: Direction) -> Stream | None:
        return self.world.streams.get((self.zone(number).name, direction))

    def write(self, place: ControlPlane, resource: Resource) -> None:
        self.world.put(place, resource)
        self.own[place.name][resource.key] = place.resources[resource.key]

    @rule(type_=st.sampled_from(OF_GLOBAL), name=NAMES, variant=VARIANTS)
    def global_writes(self, type_: str, name: str, variant: int) -> None:
        self.write(self.world.top, resource_of(type_, name, variant, "global"))

    @rule(type_=st.sampled_from(OF_GLOBAL), name=NAMES)
    def global_deletes(self, type_: str, name: str) -> None:
        self.remove(self.world.top, resource_of(type_, name, 0, "global").key)

    @rule(number=ZONES, type_=st.sampled_from(OF_ZONES), name=NAMES, variant=VARIANTS, valid=st.booleans())
    def zone_writes(self, number: int, type_: str, name: str, variant: int, valid: bool) -> None:
        zone = self.zone(number)
        resource = resource_of(type_, name, variant, "zone", zone.name, valid=valid or variant > 0)
        present = zone.resources.get(resource.key)
        if present is None or not is_synced(present):
            self.write(zone, resource)

    @rule(number=ZONES, type_=st.sampled_from(OF_ZONES), name=NAMES)
    def zone_deletes(self, number: int, type_: str, name: str) -> None:
        key = resource_of(type_, name, 0, "zone").key
        if key in self.own[self.zone(number).name]:
            self.remove(self.zone(number), key)

    def remove(self, place: ControlPlane, key: ResourceKey) -> None:
        self.own[place.name].pop(key, None)
        self.world.drop(place, key)

    @rule(number=ZONES, direction=DIRECTIONS)
    def connect(self, number: int, direction: Direction) -> None:
        self.world.connect(self.zone(number), direction)

    @rule(number=ZONES, direction=DIRECTIONS)
    def cut(self, number: int, direction: Direction) -> None:
        self.world.cut(self.zone(number).name, direction)

    @rule(number=ZONES, direction=DIRECTIONS, times=st.integers(1, 12))
    def hear_requests(self, number: int, direction: Direction, times: int) -> None:
        stream = self.stream(number, direction)
        for _ in range(times if stream else 0):
            assert stream is not None
            self.world.hear_request(stream)

    @rule(number=ZONES, direction=DIRECTIONS)
    def send(self, number: int, direction: Direction) -> None:
        if stream := self.stream(number, direction):
            self.world.send(stream)

    @rule(number=ZONES, direction=DIRECTIONS, crash_after=st.none() | st.integers(0, 3))
    def hear_response(self, number: int, direction: Direction, crash_after: int | None) -> None:
        if stream := self.stream(number, direction):
            self.world.hear_response(stream, crash_after)

    @rule(number=ZONES, direction=DIRECTIONS)
    def talk(self, number: int, direction: Direction) -> None:
        """So much that all is told, unless something waits for time to pass."""
        if self.stream(number, direction) is None:
            self.world.connect(self.zone(number), direction)
        stream = self.stream(number, direction)
        assert stream is not None
        self.converse([stream])

    def converse(self, streams: list[Stream]) -> None:
        for _ in range(200):
            for stream in streams:
                while stream.requests:
                    self.world.hear_request(stream)
                self.world.send(stream)
                waiting = len(stream.responses)
                for _ in range(waiting):
                    self.world.hear_response(stream)
            if all(not stream.requests for stream in streams):
                return
        raise AssertionError("they talk without end")

    @rule(number=ZONES)
    def restart_zone(self, number: int) -> None:
        self.world.restart(self.zone(number))

    @rule()
    def restart_global(self) -> None:
        self.world.restart(self.world.top)

    @rule(number=ZONES)
    def zone_loses_its_memory(self, number: int) -> None:
        self.world.lose_memory(self.zone(number))
        self.own[self.zone(number).name].clear()

    @rule()
    def global_loses_its_memory(self) -> None:
        self.world.lose_memory(self.world.top)
        self.own[self.world.top.name].clear()

    @rule(number=ZONES)
    def people_accept_the_new_global(self, number: int) -> None:
        self.zone(number).allowed = self.world.top.id
        self.world.restart(self.zone(number))

    @rule(number=ZONES, enabled=st.booleans())
    def set_enabled(self, number: int, enabled: bool) -> None:
        self.world.set_enabled(self.zone(number), enabled)

    @precondition(lambda self: self.world.streams)
    @rule(seconds=st.sampled_from([1.0, 5.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.seconds += seconds
        for stream in list(self.world.streams.values()):
            self.world.release(stream)

    @invariant()
    def what_people_made_is_there(self) -> None:
        for place in (self.world.top, *self.world.zones):
            for key, resource in list(self.own[place.name].items()):
                stored = place.resources.get(key)
                assert stored is not None, f"{key} of {place.name} is gone"
                if place is not self.world.top and is_synced(stored):
                    assert FLOWS[key.type].keeps_name, f"{key} of {place.name} was taken over"
                    assert stored.spec == resource.spec
                    del self.own[place.name][key]
                else:
                    assert stored == resource, f"{key} of {place.name} was overwritten"

    def teardown(self) -> None:
        """Everything heals."""
        for zone in self.world.zones:
            self.world.set_enabled(zone, True)
        self.settle()
        for zone in self.world.zones:
            self.check_what_global_knows(zone)
            self.check_what_a_zone_knows(zone, exactly=zone.remembered == self.world.top.id)
            zone.allowed = self.world.top.id
            self.world.restart(zone)
        self.settle()
        for zone in self.world.zones:
            self.check_what_a_zone_knows(zone, exactly=True)

    def settle(self) -> None:
        for zone in self.world.zones:
            for direction in Direction:
                if (zone.name, direction) not in self.world.streams:
                    self.world.connect(zone, direction)
        for _ in range(5):
            self.converse(list(self.world.streams.values()))
            self.world.seconds += 3_600.0
            for stream in self.world.streams.values():
                self.world.release(stream)
            self.what_people_made_is_there()
        self.converse(list(self.world.streams.values()))

    def check_what_global_knows(self, zone: ControlPlane) -> None:
        stored = {
            key: resource
            for key, resource in self.world.top.resources.items()
            if resource.labels.get(ZONE_LABEL) == zone.name
        }
        told = self.world.told(zone, Direction.UP)
        assert stored.keys() <= told.keys()
        for key, resource in told.items():
            if key.type != "ZoneIngress" or resource.spec.networking.port:
                assert said(stored[key]) == said(resource)

    def check_what_a_zone_knows(self, zone: ControlPlane, *, exactly: bool) -> None:
        own = self.own[zone.name]
        told = self.world.told(zone, Direction.DOWN)
        synced = {key: resource for key, resource in zone.resources.items() if is_synced(resource)}
        for key, resource in told.items():
            if key not in own:
                assert said(synced[key]) == said(resource)
        if exactly:
            assert synced.keys() == told.keys() - own.keys()


def said(resource: Resource) -> tuple[Spec, dict[str, str]]:
    return resource.spec, dict(resource.labels)


TestSync = SyncMachine.TestCase
TestSync.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)


def test_the_types_of_the_simulation_travel_in_both_forms() -> None:
    assert {type_ in MESSAGES for type_ in (*OF_GLOBAL, *OF_ZONES)} == {True, False}
