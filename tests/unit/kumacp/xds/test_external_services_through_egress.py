"""What sidecars have of services outside the mesh where routing.zoneEgress is on: mTLS up to an egress."""

from __future__ import annotations

import pytest

import hub_world as world
from kumacp.xds.destinations import Destination, egress_cluster
from kumacp.xds.hub import Hub
from kumacp.xds.model import Endpoint, ServiceCluster, UnitInput
from kumacp.xds.outside import ExternalCluster
from kumacp.xds.proxy import Touched
from kumacp.xds.view import View
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, XdsResource

WEB = world.key("web")
THROUGH = {"zoneEgress": True}
SERVICE = world.external_service("x", "httpbin", protocol="http")


class Site:
    """A STRICT mesh whose way out is the egress of its zone, if it has one; `web` calls `httpbin`, and the
    proxy `idle` something else."""

    def __init__(self, *resources: Resource, mode: str = "STRICT") -> None:
        self.inputs: dict[str, UnitInput] = {}
        self.hub = Hub("east", self._build, world.permission)
        self.writer = world.Writer()
        self.put(
            world.mesh(mode=mode, routing=THROUGH),
            world.ca(),
            world.dataplane("web", outbounds={20000: "httpbin"}),
            world.dataplane("idle", address="10.0.0.2", outbounds={20000: "other"}),
            SERVICE,
            *resources,
        )
        for name in ("web", "idle"):
            self.hub.connect(world.key(name), world.METADATA)

    def put(self, *resources: Resource) -> Touched:
        return self.hub.apply([self.writer.put(resource) for resource in resources])

    def delete(self, resource: Resource) -> Touched:
        change = self.writer.delete(resource.key)
        assert change is not None
        return self.hub.apply([change])

    def cluster(self) -> UnitInput:
        return self.inputs[self.hub.desired(WEB)[CLUSTER]["httpbin"].version]

    def endpoints(self) -> tuple[Endpoint, ...] | None:
        resource = self.hub.desired(WEB)[ENDPOINT].get("httpbin")
        if resource is None:
            return None
        found: tuple[Endpoint, ...] = self.inputs[resource.version].endpoints  # type: ignore[attr-defined]
        return found

    def _build(self, input_: UnitInput) -> XdsResource:
        resource = world.build(input_)
        self.inputs[resource.version] = input_
        return resource


def at(*addresses: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(address, 10002, edge=True) for address in addresses)


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
def test_every_egress_of_the_zone_is_an_endpoint_and_proves_to_be_one(mode: str) -> None:
    site = Site(
        world.zone_egress("e1", "10.0.9.2"),
        world.zone_egress("e2", "10.0.9.3"),
        world.zone_egress("e3", "10.0.9.4", zone="west"),
        mode=mode,
    )
    expected = ServiceCluster("default", "httpbin", "http", tls=True, peer="zone-egress")
    assert site.cluster() == expected
    assert site.endpoints() == at("10.0.9.2", "10.0.9.3")


def test_without_an_egress_nobody_goes_around_it() -> None:
    site = Site()
    assert isinstance(site.cluster(), ServiceCluster)
    assert site.endpoints() == ()
    egress = world.zone_egress("e1")
    assert site.put(egress) == {WEB: {ENDPOINT: frozenset({"httpbin"})}}
    assert site.endpoints() == at("10.0.9.2")
    assert site.delete(egress) == {WEB: {ENDPOINT: frozenset({"httpbin"})}}
    assert site.endpoints() == ()


def test_an_egress_that_moves_touches_those_who_call_out_only() -> None:
    site = Site(world.zone_egress("e1"))
    assert site.put(world.zone_egress("e1", "10.0.9.7")) == {WEB: {ENDPOINT: frozenset({"httpbin"})}}
    assert site.put(world.zone_egress("e1", "10.0.9.7")) == {}


def test_where_the_server_is_matters_to_the_egress_alone() -> None:
    site = Site(world.zone_egress("e1"))
    before = {type_url: dict(names) for type_url, names in site.hub.desired(WEB).items()}
    elsewhere = world.external_service("x", "httpbin", "other.example:80", protocol="http", tls={})
    assert site.put(elsewhere) == {}
    assert site.hub.desired(WEB) == before


def test_the_switch_changes_the_way_and_not_the_listener() -> None:
    site = Site(world.zone_egress("e1"))
    listener = site.hub.desired(WEB)[LISTENER]["outbound:127.0.0.1:20000"]
    both = {CLUSTER: frozenset({"httpbin"}), ENDPOINT: frozenset({"httpbin"})}
    assert site.put(world.mesh(mode="STRICT"))[WEB] == both
    assert isinstance(site.cluster(), ExternalCluster)
    assert site.endpoints() is None
    assert site.put(world.mesh(mode="STRICT", routing=THROUGH))[WEB] == both
    assert isinstance(site.cluster(), ServiceCluster)
    assert site.endpoints() == at("10.0.9.2")
    assert site.hub.desired(WEB)[LISTENER]["outbound:127.0.0.1:20000"] == listener


def test_a_changed_cluster_comes_with_its_assignment() -> None:
    """Else Envoy warms it for 15 seconds."""
    site = Site(world.zone_egress("e1"))
    assert site.put(world.external_service("x", "httpbin", protocol="tcp"))[WEB] == {
        CLUSTER: frozenset({"httpbin"}),
        ENDPOINT: frozenset({"httpbin"}),
        LISTENER: frozenset({"outbound:127.0.0.1:20000"}),
    }


def test_the_application_is_told_from_a_mesh_peer() -> None:
    """Outbounds to services outside send no tags of the proxy, whatever the way there."""
    site = Site(world.zone_egress("e1"))
    listener = site.inputs[site.hub.desired(WEB)[LISTENER]["outbound:127.0.0.1:20000"].version]
    assert listener.external is True  # type: ignore[attr-defined]


def test_an_outbound_with_further_tags_asks_for_them() -> None:
    site = Site(world.zone_egress("e1"))
    site.put(
        world.dataplane("web", outbounds={20000: {"kuma.io/service": "httpbin", "version": "v1"}}),
    )
    (name,) = [name for name in site.hub.desired(WEB)[CLUSTER] if name.startswith("httpbin-")]
    cluster = site.inputs[site.hub.desired(WEB)[CLUSTER][name].version]
    assert cluster == ServiceCluster(
        "default", "httpbin", "http", tls=True, tags=(("version", "v1"),), peer="zone-egress"
    )


def test_what_a_host_trusts_is_no_matter_of_the_sidecar() -> None:
    view = View("east")
    view.apply([world.Writer().put(resource) for resource in (world.mesh(routing=THROUGH), SERVICE)])
    one, other = (Destination("httpbin", (), path) for path in ("/one.pem", "/other.pem"))
    mesh = view.mesh("default")
    assert egress_cluster(mesh, one) == egress_cluster(mesh, other)


def test_a_service_that_dataplanes_offer_does_not_leave_by_the_egress() -> None:
    site = Site(world.zone_egress("e1"))
    inside = world.dataplane("b", address="10.0.1.1", inbounds=[world.inbound("httpbin")])
    # Its listener too: peers in the mesh are told the tags of the proxy.
    assert site.put(inside)[WEB].keys() == {CLUSTER, ENDPOINT, LISTENER}
    cluster = site.cluster()
    assert isinstance(cluster, ServiceCluster)
    assert cluster.peer == ""
    endpoints = site.endpoints()
    assert endpoints is not None
    assert [one.address for one in endpoints] == ["10.0.1.1"]
    assert site.delete(site.writer.resources[ResourceKey("Dataplane", "default", "b")])[WEB]
    assert site.endpoints() == at("10.0.9.2")
