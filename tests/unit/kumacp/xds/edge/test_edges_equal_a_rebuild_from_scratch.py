"""After any sequence of changes zone proxies have what they would have in a hub that only knows how things
are now, and are told exactly what differs."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import hub_world as world
from edge_world import EdgeWorld, key
from kumacp.vips.entry import Kind
from kumacp.xds.proxy import Touched
from kumamesh.resource import Resource, ResourceKey

MESHES = st.sampled_from(["default", "default", "other"])
SERVICES = st.sampled_from(["s1", "s1", "S1", "s2"])
TAGS = st.sampled_from([{}, {"version": "v1"}, {"version": "v2"}, {"version": "v2", "team": "a"}])
INBOUNDS = st.builds(
    world.inbound,
    SERVICES,
    port=st.sampled_from([8080, 8081]),
    state=st.sampled_from(["Ready", "Ready", "NotReady", "Ignored"]),
    tags=TAGS,
)
DATAPLANES = st.builds(
    world.dataplane,
    st.sampled_from(["d1", "d2", "d3"]),
    mesh=MESHES,
    address=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    inbounds=st.lists(INBOUNDS, max_size=2, unique_by=lambda inbound: inbound["port"]),
)
MESH_RESOURCES = st.builds(
    world.mesh,
    MESHES,
    mode=st.sampled_from(["", "STRICT", "STRICT", "PERMISSIVE"]),
    routing=st.sampled_from([{}, {"zoneEgress": True}]),
)
EXTERNAL_SERVICES = st.builds(
    world.external_service,
    st.sampled_from(["x1", "x2"]),
    SERVICES,
    address=st.sampled_from(["httpbin.example:443", "192.0.2.1:80"]),
    mesh=MESHES,
    tags=st.sampled_from([{}, {"kuma.io/zone": "east"}, {"kuma.io/zone": "west", "version": "v1"}]),
)
VIPS = st.builds(
    lambda service, tags, mesh: world.vips(
        world.vip(Kind.FQDN, "x.corp", "240.0.0.0", {80: {"kuma.io/service": service, **tags}}), mesh=mesh
    ),
    SERVICES,
    TAGS,
    MESHES,
)
OFFERED = st.builds(
    world.available,
    SERVICES,
    st.sampled_from([0, 1, 2]),
    mesh=MESHES,
    external=st.booleans(),
    version=st.sampled_from(["v1", "v2"]),
)
# Names that meet: an ingress may move to another zone, where proxies of this one do not follow it.
INGRESSES = st.builds(
    lambda name, zone, offered: world.zone_ingress(name, *offered, zone=zone),
    st.sampled_from(["i1", "i2", "i3"]),
    st.sampled_from(["east", "east", "west"]),
    st.lists(OFFERED, max_size=3),
)
EGRESSES = st.builds(
    world.zone_egress,
    st.sampled_from(["e1", "e2"]),
    address=st.sampled_from(["10.0.9.2", "10.0.9.3"]),
    zone=st.sampled_from(["east", "east", "west"]),
)
CAS = st.builds(world.ca, st.sampled_from([b"root", b"root 2"]), mesh=MESHES)
PERMISSIONS = st.builds(
    world.traffic_permission, st.sampled_from(["p1", "p2"]), SERVICES, SERVICES, mesh=MESHES
)
RESOURCES = st.one_of(
    DATAPLANES, DATAPLANES, DATAPLANES, MESH_RESOURCES, EXTERNAL_SERVICES, VIPS, INGRESSES, EGRESSES, CAS,
    PERMISSIONS,
)  # fmt: skip
PROXIES = st.sampled_from(["i1", "i2", "e1", "e2"])

Versions = dict[tuple[str, str], str]


class Edges(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = EdgeWorld()
        self.connected: set[str] = set()
        self.warming: set[ResourceKey] = set()
        self.told = 0

        def tell() -> None:
            self.told += 1

        self.now.hub.available.on_change = tell

    @initialize()
    def meshes(self) -> None:
        """What is rarely deleted."""
        for name in ("default", "other"):
            routing = {"zoneEgress": name == "other"}
            self.now.put(world.mesh(name, mode="STRICT", routing=routing), world.ca(mesh=name))
        self.now.put(*(world.zone_ingress(name, zone="east") for name in ("i1", "i2")))
        self.now.put(world.zone_egress("e1"))

    @rule(resources=st.lists(RESOURCES, min_size=1, max_size=3))
    def put(self, resources: list[Resource]) -> None:
        with Telling(self) as telling:
            telling.touched = self.now.put(*resources)

    @rule(resources=st.lists(RESOURCES.filter(lambda one: one.type != "Secret"), max_size=3))
    def delete(self, resources: list[Resource]) -> None:
        with Telling(self) as telling:
            telling.touched = self.now.delete(*{resource.key for resource in resources})

    @rule(name=st.sampled_from(["d1", "d2"]), warming=st.booleans())
    def warm(self, name: str, warming: bool) -> None:
        """Of a proxy that is stored: of others the hub remembers more than a new one can know."""
        proxy = world.key(name)
        if proxy not in self.now.writer.resources:
            return
        with Telling(self) as telling:
            telling.touched = self.now.hub.set_warming(proxy, warming)
        (self.warming.add if warming else self.warming.discard)(proxy)

    @rule(name=PROXIES)
    def connect(self, name: str) -> None:
        self.now.hub.connect(key(name), world.METADATA)
        self.connected.add(name)

    @rule(name=PROXIES)
    def disconnect(self, name: str) -> None:
        self.now.hub.disconnect(key(name))
        self.connected.discard(name)

    @rule()
    def certify(self) -> None:
        with Telling(self) as telling:
            telling.touched = certify(self.now)

    @invariant()
    def everything_is_as_if_it_had_always_been_so(self) -> None:
        # A proxy that is deleted starts anew when it is back.
        self.warming &= self.now.writer.resources.keys()
        certify(self.now)
        fresh = EdgeWorld(*self.now.writer.resources.values())
        for proxy in self.warming:
            fresh.hub.set_warming(proxy, True)
        for name in self.connected:
            fresh.hub.connect(key(name), world.METADATA)
        certify(fresh)
        for name in self.connected:
            if self.now.writer.resources.get(key(name)) and self._here(name):
                assert versions(self.now, name) == versions(fresh, name)
        assert self.now.hub.available.services == fresh.hub.available.services

    def teardown(self) -> None:
        for name in self.connected:
            self.now.hub.disconnect(key(name))
        assert self.now.hub.counters.held == 0

    def _here(self, name: str) -> bool:
        zone: str = self.now.writer.resources[key(name)].spec.zone
        return zone == "east"


class Telling:
    """What differs between the beginning and the end is what `touched` tells, and whoever writes down what is
    available is woken if that differs."""

    def __init__(self, edges: Edges) -> None:
        self.edges = edges
        self.touched: Touched = {}
        self.before = self._seen()
        self.available = edges.now.hub.available.services
        self.told = edges.told

    def __enter__(self) -> Telling:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            return
        for name, after in self._seen().items():
            before = self.before[name]
            different = {at for at in before.keys() | after.keys() if before.get(at) != after.get(at)}
            told = self.touched.get(key(name), {})
            assert {(type_, each) for type_, names in told.items() for each in names} == different
        if self.edges.now.hub.available.services != self.available:
            assert self.edges.told > self.told

    def _seen(self) -> dict[str, Versions]:
        return {name: versions(self.edges.now, name) for name in self.edges.connected}


def versions(edges: EdgeWorld, name: str) -> Versions:
    desired = edges.hub.desired(key(name))
    return {(type_, each): one.version for type_, named in desired.items() for each, one in named.items()}


def certify(edges: EdgeWorld) -> Touched:
    """Issue what is wanted; what different proxies are told is put together."""
    told: dict[ResourceKey, dict[str, frozenset[str]]] = {}
    for request in edges.hub.identity_requests():
        touched = edges.hub.set_identity(request.proxy, world.identity(request), request)
        for proxy, types in touched.items():
            _add(told.setdefault(proxy, {}), types.items())
    return told


def _add(told: dict[str, frozenset[str]], types: Iterable[tuple[str, frozenset[str]]]) -> None:
    for type_, names in types:
        told[type_] = told.get(type_, frozenset()) | names


TestEdges = Edges.TestCase
TestEdges.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
