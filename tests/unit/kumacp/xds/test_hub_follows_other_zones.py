"""What changes in other zones costs and touches what depends on it, and nothing else."""

from __future__ import annotations

from typing import Any

import hub_world as world
from kumacp.xds.hub import Hub
from kumacp.xds.model import OutboundListener, ServiceCluster, ServiceEndpoints, UnitInput
from kumacp.xds.proxy import Touched
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, XdsResource

WEB, OTHER = world.key("web"), world.key("other")


class Site:
    """A hub with a proxy that calls `backend` and one that calls `redis`, and the inputs it had built."""

    def __init__(self, *resources: Resource) -> None:
        self.inputs: list[UnitInput] = []
        self.hub = Hub("east", self._build, world.permission)
        self.writer = world.Writer()
        calling = (
            world.dataplane("web", address="10.0.0.1", outbounds={20000: "backend"}),
            world.dataplane("other", address="10.0.0.2", outbounds={20000: "redis"}),
        )
        self.put(*calling, *resources)
        for proxy in (WEB, OTHER):
            self.hub.connect(proxy, world.METADATA)

    def put(self, *resources: Resource) -> Touched:
        self.inputs.clear()
        return self.hub.apply([self.writer.put(resource) for resource in resources])

    def delete(self, key: ResourceKey) -> Touched:
        self.inputs.clear()
        change = self.writer.delete(key)
        assert change is not None
        return self.hub.apply([change])

    @property
    def built(self) -> list[tuple[str, str]]:
        return [(input_.type_url, input_.name) for input_ in self.inputs]

    def _build(self, input_: UnitInput) -> XdsResource:
        self.inputs.append(input_)
        return world.build(input_)


def west(instances: int = 1, **more: Any) -> Resource:
    many = [world.available(f"s{number}") for number in range(30)]
    return world.zone_ingress("i1", *many, world.available("backend", instances, **more))


STRICT = world.mesh(mode="STRICT")


def test_an_instance_in_another_zone_builds_one_assignment_and_wakes_its_subscribers() -> None:
    site = Site(STRICT, west())
    assert site.put(west(2)) == {WEB: {ENDPOINT: frozenset({"backend"})}}
    (assignment,) = site.inputs
    assert isinstance(assignment, ServiceEndpoints)
    assert [endpoint.weight for endpoint in assignment.endpoints] == [2]


def test_what_nobody_calls_or_what_is_said_again_builds_nothing() -> None:
    site = Site(STRICT, west())
    assert site.put(west()) == {}
    assert site.put(world.zone_ingress("i2", world.available("s3", 9), zone="north")) == {}
    assert site.put(world.zone_ingress("own", world.available("backend", 9), zone="east")) == {}
    assert site.built == []


def test_without_mtls_nobody_is_told() -> None:
    site = Site(world.mesh(), west())
    assert site.put(west(2)) == {}
    assert site.built == []


def test_a_new_service_of_another_zone_changes_listener_cluster_and_assignment_of_who_calls_it() -> None:
    site = Site(STRICT)
    listener = "outbound:127.0.0.1:20000"
    assert site.put(west()) == {
        WEB: {
            CLUSTER: frozenset({"backend"}),
            ENDPOINT: frozenset({"backend"}),
            LISTENER: frozenset({listener}),
        }
    }
    assert {type(input_) for input_ in site.inputs} == {ServiceCluster, ServiceEndpoints, OutboundListener}


def test_a_new_egress_touches_those_who_call_other_zones() -> None:
    site = Site(world.mesh(mode="STRICT", routing={"zoneEgress": True}), west())
    assert site.put(world.zone_egress("e1")) == {WEB: {ENDPOINT: frozenset({"backend"})}}
    assert site.built == [(ENDPOINT, "backend")]
    assert site.delete(world.zone_egress("e1").key) == {WEB: {ENDPOINT: frozenset({"backend"})}}


def test_the_first_instance_of_another_zone_gives_permissive_clusters_their_second_socket() -> None:
    backend = world.dataplane("b1", inbounds=[world.inbound("backend")])
    site = Site(world.mesh(mode="PERMISSIVE"), backend)
    touched = site.put(west())
    assert touched == {WEB: {CLUSTER: frozenset({"backend"}), ENDPOINT: frozenset({"backend"})}}
    (cluster,) = [input_ for input_ in site.inputs if isinstance(input_, ServiceCluster)]
    assert (cluster.tls, cluster.edges) == (False, True)
    assert site.put(west(2)) == {WEB: {ENDPOINT: frozenset({"backend"})}}


def test_that_other_zones_cannot_be_reached_is_logged_once(caplog: Any) -> None:
    site = Site(world.mesh())
    for instances in (1, 2):
        site.put(west(instances))
    (record,) = caplog.records
    assert (record.levelname, record.mesh) == ("WARNING", "default")
    assert "mtls.enabledBackend" in record.message
