"""Global and its zones under every fault: what should live is never deleted, and in the end all agree."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kds_resources import resource_of
from kds_world import ControlPlane, Direction, Stream, World, is_synced
from kumacp.kds.protocol.catalog import FLOWS
from kumacp.kds.protocol.payload import MESSAGES
from kumamesh.names import ZONE_LABEL
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.base import Spec

ZONES, PLACES = st.integers(0, 1), st.integers(0, 2)
DIRECTIONS = st.sampled_from(Direction)
OF_GLOBAL = ("Mesh", "TrafficPermission", "MeshTrafficPermission", "Secret")
OF_ZONES = ("Dataplane", "ZoneIngress", "MeshTrafficPermission", "Secret")
NAMES = st.sampled_from("ab")
VARIANTS = st.integers(0, 2)


class SyncMachine(RuleBasedStateMachine):
    """`own` is what people of a control plane have made and not deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(zones=2)
        self.places = (self.world.top, *self.world.zones)
        self.own: dict[str, dict[ResourceKey, Resource]] = {place.name: {} for place in self.places}

    def write(self, place: ControlPlane, resource: Resource) -> None:
        present = place.resources.get(resource.key)
        if place is self.world.top or present is None or not is_synced(present):
            self.world.put(place, resource)
            self.own[place.name][resource.key] = place.resources[resource.key]

    def delete(self, place: ControlPlane, key: ResourceKey) -> None:
        if self.own[place.name].pop(key, None):
            self.world.drop(place, key)

    @rule(type_=st.sampled_from(OF_GLOBAL), name=NAMES, variant=VARIANTS)
    def global_writes(self, type_: str, name: str, variant: int) -> None:
        self.write(self.world.top, resource_of(type_, name, variant, "global"))

    @rule(number=ZONES, type_=st.sampled_from(OF_ZONES), name=NAMES, variant=VARIANTS)
    def zone_writes(self, number: int, type_: str, name: str, variant: int) -> None:
        zone = self.world.zones[number]
        self.write(zone, resource_of(type_, name, variant, "zone", zone.name))

    @rule(place=PLACES, pick=st.integers(0, 7))
    def people_delete(self, place: int, pick: int) -> None:
        own = sorted(self.own[self.places[place].name])
        if own:
            self.delete(self.places[place], own[pick % len(own)])

    @rule(number=ZONES)
    def ingresses_lose_their_ports(self, number: int) -> None:
        zone = self.world.zones[number]
        for key in [key for key in self.own[zone.name] if key.type == "ZoneIngress"]:
            self.write(zone, resource_of("ZoneIngress", key.name, 0, "zone", zone.name, valid=False))

    @rule(number=ZONES, direction=DIRECTIONS, anew=st.booleans(), crash_after=st.none() | st.integers(0, 5))
    def one_stream_says_all(
        self, number: int, direction: Direction, anew: bool, crash_after: int | None
    ) -> None:
        """All that does not wait for time to pass, if its receiver lives so long."""
        stream = self.connected(number, direction, anew=anew)
        stream.writes_left = crash_after
        self.world.converse([stream])
        stream.writes_left = None

    @rule(anew=st.booleans())
    def all_streams_say_all(self, anew: bool) -> None:
        ends = [(number, direction) for number in range(2) for direction in Direction]
        self.world.converse([self.connected(*end, anew=anew) for end in ends])

    @precondition(lambda self: self.world.streams)
    @rule(pick=st.integers(0, 3), step=st.sampled_from(["request", "send", "response"]))
    def one_step(self, pick: int, step: str) -> None:
        streams = list(self.world.streams.values())
        stream = streams[pick % len(streams)]
        match step:
            case "request":
                self.world.hear_request(stream)
            case "send":
                self.world.send(stream)
            case _:
                self.world.hear_response(stream)

    @precondition(lambda self: self.world.streams)
    @rule(pick=st.integers(0, 3))
    def one_stream_is_cut(self, pick: int) -> None:
        streams = list(self.world.streams.values())
        self.world.cut(streams[pick % len(streams)])

    @rule(place=PLACES)
    def restart(self, place: int) -> None:
        self.world.restart(self.places[place])

    @rule(place=PLACES)
    def lose_memory(self, place: int) -> None:
        self.world.lose_memory(self.places[place])
        self.own[self.places[place].name].clear()

    @rule(number=ZONES)
    def people_accept_the_new_global(self, number: int) -> None:
        self.world.zones[number].allowed = self.world.top.id
        self.world.restart(self.world.zones[number])

    @rule(number=ZONES, enabled=st.booleans())
    def set_enabled(self, number: int, enabled: bool) -> None:
        self.world.set_enabled(self.world.zones[number], enabled)

    @precondition(lambda self: self.world.streams)
    @rule(seconds=st.sampled_from([5.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.seconds += seconds
        for stream in list(self.world.streams.values()):
            self.world.release(stream)

    def connected(self, number: int, direction: Direction, *, anew: bool) -> Stream:
        zone = self.world.zones[number]
        present = self.world.streams.get((zone.name, direction))
        return self.world.connect(zone, direction) if anew or present is None else present

    @invariant()
    def what_people_made_is_there(self) -> None:
        for place in self.places:
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
            if zone.remembered == self.world.top.id:
                self.check_what_a_zone_knows(zone)
            zone.allowed = self.world.top.id
            self.world.restart(zone)
        self.settle()
        for zone in self.world.zones:
            self.check_what_a_zone_knows(zone)

    def settle(self) -> None:
        for zone in self.world.zones:
            for direction in Direction:
                if (zone.name, direction) not in self.world.streams:
                    self.world.connect(zone, direction)
        for _ in range(5):
            self.world.converse(list(self.world.streams.values()))
            self.world.seconds += 3_600.0
            for stream in self.world.streams.values():
                self.world.release(stream)
            self.what_people_made_is_there()
        self.world.converse(list(self.world.streams.values()))

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

    def check_what_a_zone_knows(self, zone: ControlPlane) -> None:
        own = self.own[zone.name]
        told = self.world.told(zone, Direction.DOWN)
        synced = {key: resource for key, resource in zone.resources.items() if is_synced(resource)}
        for key, resource in told.items():
            if key not in own:
                assert said(synced[key]) == said(resource)
        assert synced.keys() == told.keys() - own.keys()


def said(resource: Resource) -> tuple[Spec, dict[str, str]]:
    return resource.spec, dict(resource.labels)


TestSync = SyncMachine.TestCase
TestSync.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)


def test_the_types_of_the_simulation_travel_in_both_forms() -> None:
    assert {type_ in MESSAGES for type_ in (*OF_GLOBAL, *OF_ZONES)} == {True, False}
