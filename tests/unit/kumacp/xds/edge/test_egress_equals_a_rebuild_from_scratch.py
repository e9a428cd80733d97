"""Whatever happens in whichever order: connected egresses, and sidecars that call services outside the mesh,
have what a control plane would give them that starts with the same resources."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hub_world as world
from kumacp.policy.permission import inbound_rbac, outside_rbac
from kumacp.xds.edge.egress import Egress
from kumacp.xds.hub import Hub
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT

MESHES = ("default", "other")
EGRESSES = tuple(ResourceKey("ZoneEgress", "", name) for name in ("egress-1", "egress-2"))
WEB = world.key("web")
SERVICES = ("httpbin", "database")

Names = dict[str, dict[str, str]]


def _meshes() -> st.SearchStrategy[Resource]:
    return st.builds(
        lambda name, mode, through: world.mesh(name, mode, routing={"zoneEgress": through}),
        st.sampled_from(MESHES),
        st.sampled_from(("", "STRICT", "STRICT", "PERMISSIVE")),
        st.sampled_from((True, True, False)),
    )


def _external() -> st.SearchStrategy[Resource]:
    def made(name: str, service: str, mesh: str, protocol: str, zone: str, tls: bool) -> Resource:
        tags = {"version": name, **({"kuma.io/zone": zone} if zone else {})}
        address = f"{name}.example:443"
        return world.external_service(
            name, service, address, mesh=mesh, protocol=protocol, tags=tags, tls={} if tls else None
        )

    return st.builds(
        made,
        st.sampled_from(("a", "b")),
        st.sampled_from(SERVICES),
        st.sampled_from(MESHES),
        st.sampled_from(("http", "tcp")),
        st.sampled_from(("", "east", "west")),
        st.booleans(),
    )


def _ingress(name: str, service: str, instances: int, external: bool, mesh: str) -> Resource:
    offer = world.available(service, instances, mesh=mesh, external=external)
    return world.zone_ingress(name, offer, at=("192.0.2.9", 10000 + len(name)))


RESOURCES = st.one_of(
    _meshes(),
    _external(),
    st.builds(world.ca, st.sampled_from((b"one", b"two")), st.sampled_from(MESHES)),
    st.builds(
        world.traffic_permission,
        st.just("p"),
        st.sampled_from(("web", "*")),
        st.sampled_from((*SERVICES, "*")),
        st.sampled_from(MESHES),
    ),
    st.builds(
        _ingress,
        st.sampled_from(("i", "jj")),
        st.sampled_from((*SERVICES, "backend")),
        st.integers(1, 3),
        st.booleans(),
        st.sampled_from(MESHES),
    ),
    st.builds(
        world.zone_egress,
        st.sampled_from(("egress-1", "egress-2")),
        st.sampled_from(("10.0.9.2", "10.0.9.3")),
        zone=st.sampled_from(("east", "east", "west")),
    ),
    st.builds(
        lambda mesh: world.dataplane(
            "inside", mesh=mesh, address="10.0.1.1", inbounds=[world.inbound("httpbin")]
        ),
        st.sampled_from(MESHES),
    ),
)
# Without its CA, unlike without its mesh, a proxy keeps the certificate that it has.
REMOVABLE = RESOURCES.filter(lambda resource: resource.key.type != "Secret")
WRITES = st.one_of(*[st.tuples(st.just("put"), RESOURCES)] * 3, st.tuples(st.just("delete"), REMOVABLE))
BATCH = st.lists(WRITES, max_size=4)
STEPS = st.lists(st.one_of(BATCH, st.sampled_from(EGRESSES)), max_size=12)


def new_hub() -> Hub:
    return Hub("east", world.build, inbound_rbac, carriers=(Egress(outside_rbac),))


def connect(hub: Hub, proxy: ResourceKey) -> None:
    hub.connect(proxy, world.METADATA)
    issue(hub)


def issue(hub: Hub) -> None:
    for request in hub.identity_requests():
        hub.set_identity(request.proxy, world.identity(request), request)


def seen(hub: Hub, proxy: ResourceKey) -> Names:
    return {
        type_url: {name: resource.version for name, resource in names.items()}
        for type_url, names in hub.desired(proxy).items()
    }


def different(before: Names, after: Names) -> dict[str, set[str]]:
    found = {
        type_url: {
            name
            for name in before[type_url].keys() | after[type_url].keys()
            if before[type_url].get(name) != after[type_url].get(name)
        }
        for type_url in before
    }
    return {type_url: names for type_url, names in found.items() if names}


class History:
    """A hub that has been there all the time."""

    def __init__(self) -> None:
        self.hub = new_hub()
        self.writer = world.Writer()
        self.connected: set[ResourceKey] = set()
        self.apply(
            [
                ("put", world.mesh(mode="STRICT", routing={"zoneEgress": True})),
                ("put", world.ca()),
                ("put", world.dataplane("web", outbounds=dict(enumerate(SERVICES, 20000)))),
                ("put", world.zone_egress("egress-1")),
            ]
        )
        connect(self.hub, WEB)

    def apply(self, batch: list[tuple[str, Resource]]) -> None:
        before = {proxy: seen(self.hub, proxy) for proxy in self.connected}
        changes = []
        for action, resource in batch:
            change = self.writer.put(resource) if action == "put" else self.writer.delete(resource.key)
            if change is not None:
                changes.append(change)
        touched = self.hub.apply(changes)
        for proxy, names in before.items():
            told = {type_url: set(found) for type_url, found in touched.get(proxy, {}).items()}
            assert told == different(names, seen(self.hub, proxy)), proxy
        issue(self.hub)

    def toggle(self, proxy: ResourceKey) -> None:
        if proxy in self.connected:
            self.hub.disconnect(proxy)
            self.connected.remove(proxy)
        else:
            connect(self.hub, proxy)
            self.connected.add(proxy)

    def check(self) -> None:
        fresh = new_hub()
        fresh.load(self.writer.resources.values())
        connect(fresh, WEB)
        for proxy in self.connected:
            connect(fresh, proxy)
            if self.stored(proxy):
                assert seen(self.hub, proxy) == seen(fresh, proxy)
        outside = {
            resource.spec.service
            for key, resource in self.writer.resources.items()
            if (key.type, key.mesh) == ("ExternalService", "default")
        }
        now, then = seen(self.hub, WEB), seen(fresh, WEB)
        for type_url in (CLUSTER, ENDPOINT):
            assert {name: now[type_url].get(name) for name in outside} == {
                name: then[type_url].get(name) for name in outside
            }

    def stored(self, proxy: ResourceKey) -> bool:
        """As an egress of this zone; without that it keeps what it has."""
        resource = self.writer.resources.get(proxy)
        return resource is not None and resource.spec.zone == "east"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_history_leaves_no_trace(steps: list[Any]) -> None:
    history = History()
    for step in steps:
        if isinstance(step, ResourceKey):
            history.toggle(step)
        else:
            history.apply(step)
        history.check()


def test_nothing_is_held_for_nobody() -> None:
    history = History()
    idle = history.hub.counters.held
    history.apply([("put", world.external_service("a", "httpbin")), ("put", world.zone_egress("egress-2"))])
    with_service = history.hub.counters.held
    for proxy in EGRESSES:
        history.toggle(proxy)
    assert history.hub.counters.held > with_service
    for proxy in EGRESSES:
        history.toggle(proxy)
    assert history.hub.counters.held == with_service
    history.apply([("delete", world.external_service("a", "httpbin"))])
    assert history.hub.counters.held == idle
