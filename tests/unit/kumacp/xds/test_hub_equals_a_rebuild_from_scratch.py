"""After any sequence of changes the hub says what a naive rebuild says, and tells exactly what differs."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import hub_world as world
from hub_model import Model, Names
from kumacp.store.api import Change, Operation
from kumacp.vips.entry import Kind
from kumacp.xds.hub import Hub
from kumacp.xds.model import IdentityRequest, ProxyMetadata
from kumacp.xds.proxy import Touched
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import ServiceInsight
from vips_model import SETTINGS

# A small world, in which random changes often meet: few names, most of them in one mesh.
MESHES = st.sampled_from(["default"] * 7 + ["other"])
NAMES = st.sampled_from(["d1", "d2", "d3"])
SERVICES = st.sampled_from(["s1", "s1", "s2", "s3"])
BACKENDS = st.sampled_from(["ca-1", "ca-1", "ca-1", "ca-2"])
MODES = st.sampled_from(["", "STRICT", "PERMISSIVE", "PERMISSIVE"])
INBOUNDS = st.builds(
    world.inbound,
    SERVICES,
    port=st.sampled_from([8080, 8081]),
    protocol=st.sampled_from(["http", "http", "http2", "grpc", "tcp", "kafka"]),
    state=st.sampled_from(["Ready", "Ready", "Ready", "NotReady", "Ignored"]),
    tags=st.sampled_from([{}, {"version": "v1"}]),
)
TAGGED = st.builds(lambda service: {"kuma.io/service": service, "version": "v1"}, SERVICES)
DATAPLANES = st.builds(
    world.dataplane,
    NAMES,
    mesh=MESHES,
    address=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    inbounds=st.lists(INBOUNDS, max_size=2, unique_by=lambda inbound: inbound["port"]),
    outbounds=st.dictionaries(st.sampled_from([20000, 20001, 20002]), SERVICES | TAGGED, max_size=3),
    connected=st.booleans(),
    transparentProxying=st.sampled_from(
        [
            None,
            None,
            world.REDIRECTED,
            {**world.REDIRECTED, "reachableServices": ["s1"]},
            {**world.REDIRECTED, "reachableServices": ["s2", "s3"]},
            {**world.REDIRECTED, "directAccessServices": ["*"]},
            {**world.REDIRECTED, "directAccessServices": ["s1", "s2"]},
        ]
    ),
)
VIP_ADDRESSES = st.sampled_from(["240.0.0.0", "240.0.0.1", "240.0.0.2"])
VIP_ENTRIES = st.one_of(
    st.builds(world.service_vip, SERVICES, VIP_ADDRESSES, port=st.sampled_from([0, 0, 8443])),
    st.builds(
        world.vip,
        st.just(Kind.FQDN),
        st.sampled_from(["v1.corp", "s1.mesh"]),
        VIP_ADDRESSES,
        st.dictionaries(st.sampled_from([80, 9000]), SERVICES | TAGGED, min_size=1),
    ),
    st.builds(
        world.vip,
        st.just(Kind.HOST),
        st.sampled_from(["httpbin.example", "10.0.0.1"]),
        st.sampled_from(["10.0.0.1", "240.0.0.3", "fd00::3"]),
        st.dictionaries(st.just(8080), SERVICES, min_size=1),
    ),
)
VIPS = st.one_of(
    st.builds(lambda entries, mesh: world.vips(*entries, mesh=mesh), st.lists(VIP_ENTRIES), MESHES),
    st.builds(world.vips, mesh=MESHES, text=st.just('{"0:s1": {"address": "nowhere"}}')),
)
MESH_RESOURCES = st.builds(
    world.mesh,
    MESHES,
    mode=MODES,
    backend=BACKENDS,
    networking=st.sampled_from([{}, {}, {"outbound": {"passthrough": False}}]),
    routing=st.sampled_from([{}, {}, {"localityAwareLoadBalancing": True}, {"zoneEgress": True}]),
)
TRUST = st.sampled_from([{}, {"caCert": {"secret": "e1"}}, {"caCert": {"secret": "e1"}}])
EXTERNAL_SERVICES = st.builds(
    world.external_service,
    st.sampled_from(["x1", "x2"]),
    SERVICES,
    address=st.sampled_from(["httpbin.example:443", "192.0.2.1:80"]),
    mesh=MESHES,
    protocol=st.sampled_from(["http", "http", "grpc", "tcp", ""]),
    tags=st.sampled_from([{}, {"version": "v1"}, {"kuma.io/zone": "west"}]),
    tls=st.none() | TRUST | TRUST,
)
TRUSTED = st.builds(
    world.secret,
    st.just("e1"),
    st.sampled_from([*world.AUTHORITIES, world.NO_PEM]),
    mesh=MESHES,
)
AVAILABLE = st.builds(
    world.available,
    SERVICES,
    st.sampled_from([0, 1, 1, 2, 3, 7]),
    mesh=MESHES,
    external=st.sampled_from([False, False, False, True]),
    **{"kuma.io/protocol": st.sampled_from(["http", "http", "grpc", "tcp"])},
) | st.builds(world.available, SERVICES, st.integers(1, 3), version=st.just("v1"))
# Names that meet: an ingress may move to another zone, or stand where another one does.
INGRESSES = st.builds(
    lambda name, offered, zone, at: world.zone_ingress(name, *offered, zone=zone, at=at),
    st.sampled_from(["i1", "i2", "i3"]),
    st.lists(AVAILABLE, max_size=5),
    zone=st.sampled_from(["west", "west", "north", "north", "east", ""]),
    at=st.sampled_from([("192.0.2.1", 10001), ("192.0.2.2", 10001), ("192.0.2.3", 10001), ("", 0)]),
)
EGRESSES = st.builds(
    world.zone_egress,
    st.sampled_from(["e1", "e2"]),
    address=st.sampled_from(["10.0.9.1", "10.0.9.2"]),
    zone=st.sampled_from(["east", "east", "west"]),
)
INSIGHTS = st.builds(
    world.insight,
    NAMES,
    st.sampled_from(["", "ca-1", "ca-1", "ca-1", "ca-2"]),
    mesh=MESHES,
    regenerations=st.integers(0, 2),
)
CAS = st.builds(world.ca, st.sampled_from([b"root", b"root", b"root 2"]), mesh=MESHES, backend=BACKENDS)
PERMISSIONS = st.builds(
    world.traffic_permission,
    st.sampled_from(["p1", "p2"]),
    SERVICES,
    st.one_of(SERVICES, st.just("*")),
    mesh=MESHES,
)
UNRELATED = st.one_of(
    st.builds(world.secret, st.just("unrelated"), st.binary(max_size=1), mesh=MESHES),
    st.just(Resource(ResourceKey("ServiceInsight", "default", "all-services-default"), ServiceInsight())),
)
RESOURCES = st.one_of(
    DATAPLANES,
    DATAPLANES,
    DATAPLANES,
    INSIGHTS,
    INSIGHTS,
    MESH_RESOURCES,
    CAS,
    PERMISSIONS,
    UNRELATED,
    EXTERNAL_SERVICES,
    EXTERNAL_SERVICES,
    TRUSTED,
    INGRESSES,
    INGRESSES,
    INGRESSES,
    EGRESSES,
    VIPS,
    VIPS,
    VIPS,
)


class Changes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub("east", world.build, world.permission, SETTINGS)
        self.model = Model()
        self.writer = world.Writer()
        self.connected: set[ResourceKey] = set()
        self.issued: dict[ResourceKey, IdentityRequest] = {}
        self.serial = 0

    @initialize(mode=MODES, dataplanes=st.lists(DATAPLANES, min_size=2, max_size=4))
    def start(self, mode: str, dataplanes: list[Resource]) -> None:
        first = [world.mesh(mode=mode), world.ca(), *dataplanes]
        for resource in first:
            self.writer.put(resource)
        for resource in self.writer.resources.values():
            self.hub.load([resource])
            self.model.apply([Change(Operation.CREATE, resource.key, None, resource)])
        for name in ("d1", "d2", "d3"):
            self.connect(name, "default", world.METADATA)

    @rule(writes=st.lists(RESOURCES, min_size=1, max_size=3))
    def put(self, writes: list[Resource]) -> None:
        self._apply([self.writer.put(resource) for resource in writes])

    @rule(insights=st.sets(NAMES, min_size=1), backend=BACKENDS)
    def certify(self, insights: set[str], backend: str) -> None:
        """Proxies report certificates; random insights alone seldom make a service TLS-ready."""
        self.put([world.insight(name, backend) for name in sorted(insights)])

    @rule(data=st.data(), then=st.none() | RESOURCES)
    def delete(self, data: st.DataObject, then: Resource | None) -> None:
        if not self.writer.resources:
            return
        change = self.writer.delete(data.draw(st.sampled_from(sorted(self.writer.resources))))
        assert change is not None
        self._apply([change] if then is None else [change, self.writer.put(then)])

    @rule(name=NAMES, mesh=MESHES, metadata=st.sampled_from(world.METADATAS))
    def connect(self, name: str, mesh: str, metadata: ProxyMetadata) -> None:
        proxy = world.key(name, mesh)
        self.hub.connect(proxy, metadata)
        self.model.disconnect(proxy)
        self.model.connect(proxy, metadata)
        self.connected.add(proxy)
        self.issued.pop(proxy, None)

    @precondition(lambda self: len(self.connected) > 1)
    @rule(name=NAMES, mesh=MESHES)
    def disconnect(self, name: str, mesh: str) -> None:
        proxy = world.key(name, mesh)
        self.hub.disconnect(proxy)
        self.model.disconnect(proxy)
        self.connected.discard(proxy)

    @rule()
    def issue(self) -> None:
        for request in self.hub.identity_requests():
            assert request.proxy in self.connected
            self.serial += 1
            identity = world.identity(request, self.serial)
            before = self._desired()
            touched = self.hub.set_identity(request.proxy, identity, request)
            self.model.issue(request, identity)
            assert _plain(touched) == _difference(before, self._desired())
        for proxy in self.connected & self.writer.resources.keys():
            for part in self.model.certified(proxy):
                assert part in self.model.identities[proxy].certificate.decode()

    @invariant()
    def what_is_desired_equals_a_rebuild(self) -> None:
        for proxy, names in self._desired().items():
            assert names == self.model.desired(proxy)

    @invariant()
    def faults_are_those_of_what_cannot_be_used(self) -> None:
        assert set(self.hub.faults) == self.model.unusable()

    def teardown(self) -> None:
        for proxy in self.connected:
            self.hub.disconnect(proxy)
        assert self.hub.counters.held == 0

    def _apply(self, changes: list[Change]) -> None:
        before = self._desired()
        built = self.hub.counters.built
        planned = self.connected & self.model.resources.keys()
        touched = self.hub.apply(changes)
        self.model.apply(changes)
        assert _plain(touched) == _difference(before, self._desired())
        if not touched and planned == self.connected & self.model.resources.keys() == self.connected:
            assert self.hub.counters.built == built

    def _desired(self) -> dict[ResourceKey, Names]:
        return {
            proxy: {
                type_url: {name: resource.version for name, resource in names.items()}
                for type_url, names in self.hub.desired(proxy).items()
                if names
            }
            for proxy in self.connected
        }


def _plain(touched: Touched) -> dict[ResourceKey, dict[str, set[str]]]:
    return {
        proxy: {type_url: set(names) for type_url, names in types.items()} for proxy, types in touched.items()
    }


def _difference(
    before: dict[ResourceKey, Names], after: dict[ResourceKey, Names]
) -> dict[ResourceKey, dict[str, set[str]]]:
    found: dict[ResourceKey, dict[str, set[str]]] = {}
    for proxy, types in after.items():
        for type_url in types.keys() | before[proxy].keys():
            old, new = before[proxy].get(type_url, {}), types.get(type_url, {})
            names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
            if names:
                found.setdefault(proxy, {})[type_url] = names
    return found


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
