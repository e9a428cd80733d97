"""Services of other zones, egresses of this one, and what other zones are told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import hub_world as world
from kumacp.store.api import Change
from kumacp.xds.facts import ServiceFacts
from kumacp.xds.mesh_view import MeshView
from kumacp.xds.model import Endpoint, freeze_tags
from kumacp.xds.view import MeshDelta, View
from kumamesh.resource import Resource, ResourceKey

STRICT = world.mesh(mode="STRICT")
BACKEND = frozenset({"backend"})
TAGS = (("kuma.io/protocol", "http"), ("kuma.io/zone", "west"))


class Zone:
    """The view of a zone with the resources put into it."""

    def __init__(self, *resources: Resource) -> None:
        self.view = View("east")
        self.writer = world.Writer()
        self.put(*resources)

    def put(self, *resources: Resource) -> dict[str, MeshDelta]:
        return self.view.apply([self.writer.put(resource) for resource in resources])

    def delete(self, key: ResourceKey) -> dict[str, MeshDelta]:
        change: Change | None = self.writer.delete(key)
        assert change is not None
        return self.view.apply([change])

    @property
    def mesh(self) -> MeshView:
        return self.view.mesh("default")

    def outbound(self, service: str = "backend", **tags: str) -> list[tuple[str, int]]:
        """Addresses and weights."""
        found = self.mesh.outbound_endpoints(service, freeze_tags(tags))
        return [(endpoint.address, endpoint.weight) for endpoint in found]


def backend(name: str = "b1", address: str = "10.0.0.1", **more: Any) -> Resource:
    return world.dataplane(name, address=address, inbounds=[world.inbound("backend", **more)])


def west(*offered: dict[str, Any], name: str = "i1", host: int = 9) -> Resource:
    many = offered or (world.available("backend", 2),)
    return world.zone_ingress(name, *many, at=(f"192.0.2.{host}", 10001))


def test_instances_of_other_zones_are_endpoints_of_sidecars_and_not_of_ingresses() -> None:
    zone = Zone(STRICT, backend())
    delta = zone.put(west())
    assert delta == {"default": MeshDelta(endpoints=BACKEND, facts=BACKEND, remote=BACKEND)}
    assert [endpoint.address for endpoint in zone.mesh.endpoints("backend")] == ["10.0.0.1"]
    remote = Endpoint("192.0.2.9", 10001, weight=2, tags=TAGS, zone="west", edge=True)
    assert zone.mesh.outbound_endpoints("backend")[1:] == (remote,)
    assert zone.mesh.remote_endpoints("backend") == (remote,)


def test_a_change_of_one_service_names_that_service_only() -> None:
    entries = [world.available(f"s{number}", 1) for number in range(50)]
    zone = Zone(STRICT, west(*entries))
    entries[7] = world.available("s7", 2)
    changed = frozenset({"s7"})
    assert zone.put(west(*entries)) == {"default": MeshDelta(endpoints=changed, remote=changed)}


def test_a_second_ingress_at_the_same_address_changes_nothing() -> None:
    zone = Zone(STRICT, west())
    assert zone.put(west(name="i2")) == {}
    assert zone.delete(west().key) == {}
    assert zone.outbound() == [("192.0.2.9", 2)]


def test_meshes_with_services_of_one_name_do_not_meet() -> None:
    zone = Zone(STRICT, world.mesh("m2", mode="STRICT"), west(world.available("backend", 4, mesh="m2")))
    assert zone.outbound() == []
    assert zone.view.mesh("m2").outbound_endpoints("backend")[0].weight == 4
    assert zone.put(west()).keys() == {"default", "m2"}
    assert zone.view.mesh("m2").outbound_endpoints("backend") == ()


def test_without_mtls_other_zones_are_not_reached_and_with_it_they_are() -> None:
    zone = Zone(world.mesh(), backend(), west())
    assert zone.outbound() == [("10.0.0.1", 1)]
    assert zone.mesh.remote_endpoints("backend") == ()
    assert zone.mesh.remote("backend")
    zone.put(STRICT)
    assert zone.outbound() == [("10.0.0.1", 1), ("192.0.2.9", 2)]
    zone.put(world.mesh())
    assert zone.outbound() == [("10.0.0.1", 1)]


def test_that_other_zones_cannot_be_reached_is_told_when_it_begins() -> None:
    zone = Zone(world.mesh())
    assert zone.put(west())["default"].cut_off.endswith("enable it in the Mesh (mtls.enabledBackend)")
    assert not zone.put(west(world.available("other")))["default"].cut_off
    assert not zone.put(STRICT)["default"].cut_off
    assert zone.put(world.mesh())["default"].cut_off
    assert not zone.delete(west().key)["default"].cut_off


def test_a_service_that_is_only_elsewhere_speaks_what_its_tags_say() -> None:
    zone = Zone(world.mesh(), west(world.available("backend", **{"kuma.io/protocol": "grpc"})))
    assert zone.mesh.facts("backend") == ServiceFacts("grpc")
    zone.put(STRICT)
    assert zone.mesh.facts("backend") == ServiceFacts("grpc", tls=True, edges=True)


def test_all_who_are_called_must_speak_the_protocol() -> None:
    zone = Zone(world.mesh(), backend(), west(world.available("backend", **{"kuma.io/protocol": "tcp"})))
    assert zone.mesh.facts("backend").protocol == "http"
    assert zone.put(STRICT)["default"].facts == BACKEND
    assert zone.mesh.facts("backend").protocol == "tcp"


def test_permissive_calls_other_zones_with_tls_whatever_this_one_is_ready_for() -> None:
    zone = Zone(world.mesh(mode="PERMISSIVE"), backend(), west())
    assert zone.mesh.facts("backend") == ServiceFacts("http", tls=False, edges=True)
    zone.put(world.insight("b1", "ca-1"))
    assert zone.mesh.facts("backend") == ServiceFacts("http", tls=True, edges=True)
    assert Zone(world.mesh(mode="PERMISSIVE"), west()).mesh.facts("backend").tls
    assert not Zone(world.mesh(mode="PERMISSIVE"), backend()).mesh.facts("backend").edges


def test_a_service_of_another_zone_is_inside_the_mesh() -> None:
    zone = Zone(STRICT, world.external_service("x1", "backend"))
    assert zone.mesh.facts("backend").external
    zone.put(west())
    assert zone.mesh.facts("backend") == ServiceFacts("http", tls=True, edges=True)
    zone.put(west(world.available("backend", external=True)))
    assert zone.mesh.facts("backend").external


def test_what_is_external_elsewhere_is_known_and_no_endpoint() -> None:
    zone = Zone(STRICT, west(world.available("backend", external=True)))
    assert (zone.outbound(), list(zone.mesh.remote_services())) == ([], ["backend"])
    assert [one.external for one in zone.mesh.remote("backend")] == [True]


def test_outbounds_that_ask_for_tags_reach_instances_with_these() -> None:
    v1, v2 = world.available("backend", 1, version="v1"), world.available("backend", 5, version="v2")
    zone = Zone(STRICT, backend(tags={"version": "v1"}), west(v1, v2))
    assert zone.outbound() == [("10.0.0.1", 1), ("192.0.2.9", 6)]
    assert zone.outbound(version="v1") == [("10.0.0.1", 1), ("192.0.2.9", 1)]
    assert zone.outbound(version="v2") == [("192.0.2.9", 5)]
    assert zone.outbound(**{"kuma.io/zone": "west", "version": "v2"}) == [("192.0.2.9", 5)]
    assert zone.outbound(version="v3") == []


def test_names_with_upper_case_are_taken_as_they_are() -> None:
    zone = Zone(STRICT, west(world.available("Backend"), world.available("backend", 2)))
    assert (zone.outbound("Backend"), zone.outbound()) == ([("192.0.2.9", 1)], [("192.0.2.9", 2)])


def test_a_server_name_that_does_not_fit_leaves_only_instances_of_this_zone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fits = "f" * (255 - len("{mesh=default}"))
    long = fits + "f"
    inbounds = [world.inbound(long), world.inbound(fits, port=8081)]
    own = world.dataplane("b1", inbounds=inbounds)
    zone = Zone(STRICT, own, west(world.available(long), world.available(fits)))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert zone.outbound(long) == [("10.0.0.1", 1)]
        assert zone.outbound(fits) == [("10.0.0.1", 1), ("192.0.2.9", 1)]
        assert zone.outbound(fits, **{"kuma.io/zone": "west"}) == []
    first, second = caplog.messages
    assert long in first
    assert fits in second


EGRESSED = world.mesh(mode="STRICT", routing={"zoneEgress": True})


def test_with_an_egress_other_zones_are_reached_through_it_only() -> None:
    zone = Zone(EGRESSED, backend(), west(), west(name="i2", host=8))
    assert zone.outbound() == [("10.0.0.1", 1)]
    delta = zone.put(world.zone_egress("e1"))
    assert delta == {"default": MeshDelta(endpoints=BACKEND, egresses=True)}
    assert zone.outbound() == [("10.0.0.1", 1), ("10.0.9.2", 2)]
    zone.put(world.zone_egress("e2", "10.0.9.3"), world.zone_egress("same", "10.0.9.3"))
    assert zone.outbound() == [("10.0.0.1", 2), ("10.0.9.2", 2), ("10.0.9.3", 2)]
    assert [one.address for one in zone.mesh.egresses] == ["10.0.9.2", "10.0.9.3"]
    assert [one.weight for one in zone.mesh.remote_endpoints("backend")] == [2, 2]
    zone.put(STRICT)
    assert zone.outbound() == [("10.0.0.1", 2), ("192.0.2.8", 2), ("192.0.2.9", 2)]


def test_that_there_is_no_egress_is_told() -> None:
    zone = Zone(EGRESSED, world.zone_egress("e1"), west())
    delta = zone.delete(world.zone_egress("e1").key)["default"]
    assert (delta.egresses, "this zone has no zone egress" in delta.cut_off) == (True, True)
    assert not zone.put(world.zone_egress("e1"))["default"].cut_off


@pytest.mark.parametrize(
    "mesh", [STRICT, world.mesh(routing={"zoneEgress": True})], ids=["not asked for", "without mTLS"]
)
def test_an_egress_changes_nothing_for_meshes_that_do_not_use_it(mesh: Resource) -> None:
    zone = Zone(mesh, backend(), west())
    assert zone.put(world.zone_egress("e1")) == {}
    assert zone.mesh.egresses == ()


@pytest.mark.parametrize(
    "egress", [world.zone_egress("e1", zone="west"), world.zone_egress("e1", address="")]
)
def test_egresses_of_other_zones_or_of_no_address_are_not_used(egress: Resource) -> None:
    zone = Zone(EGRESSED, west())
    assert zone.put(egress) == {}
    assert zone.outbound() == []


def test_external_services_of_a_mesh_with_egress_are_told_of_a_new_one() -> None:
    zone = Zone(EGRESSED, world.external_service("x1", "httpbin"), backend())
    delta = zone.put(world.zone_egress("e1"))["default"]
    assert delta == MeshDelta(endpoints=frozenset({"httpbin"}), egresses=True)


def test_the_zones_own_edges_are_kept_by_name_and_told_once() -> None:
    own, egress = world.zone_ingress("own", world.available("backend"), zone="east"), world.zone_egress("e1")
    zone = Zone(STRICT, own, egress, west())
    assert (zone.view.ingresses, zone.view.egresses) == ({"own": own}, {"e1": egress})
    assert zone.outbound() == [("192.0.2.9", 2)]
    assert zone.view.take_edges_changed() == {own.key, egress.key}
    assert zone.view.take_edges_changed() == set()
    zone.put(Resource(own.key, own.spec, own.labels, version=9))
    assert zone.view.take_edges_changed() == set()
    assert zone.view.edge(own.key) == own
    zone.delete(own.key)
    assert (zone.view.take_edges_changed(), zone.view.edge(own.key)) == ({own.key}, None)


def test_an_ingress_that_moves_to_this_zone_is_no_way_to_another() -> None:
    zone = Zone(STRICT, west())
    zone.put(world.zone_ingress("i1", world.available("backend"), zone="east"))
    assert (zone.outbound(), list(zone.view.ingresses)) == ([], ["i1"])
    zone.put(west())
    assert (zone.outbound(), list(zone.view.ingresses)) == ([("192.0.2.9", 2)], [])


def test_a_mesh_of_which_only_other_zones_know_is_forgotten_with_them() -> None:
    zone = Zone(west(world.available("backend", mesh="m2")))
    assert [mesh.name for mesh in zone.view.meshes] == ["m2"]
    zone.delete(west().key)
    assert list(zone.view.meshes) == []


def _full(**tags: str) -> Any:
    return freeze_tags({"kuma.io/service": "backend", "kuma.io/protocol": "http", **tags})


def test_exposed_are_numbers_of_healthy_instances_by_full_tags() -> None:
    zone = Zone(backend("b1"), backend("b2", "10.0.0.2"), backend("b3", "10.0.0.3", tags={"v": "1"}))
    assert zone.mesh.exposed() == {"backend": {_full(): 2, _full(v="1"): 1}}
    delta = zone.put(backend("b3", "10.0.0.3", tags={"v": "1"}, state="NotReady"))["default"]
    assert delta.exposed == BACKEND
    assert zone.mesh.exposed() == {"backend": {_full(): 2, _full(v="1"): 0}}
    assert zone.put(backend("b2", "10.0.0.9"))["default"].exposed == set()
    zone.delete(world.key("b3"))
    assert zone.mesh.exposed() == {"backend": {_full(): 2}}


def test_proxies_that_start_and_doubles_are_not_exposed() -> None:
    zone = Zone(backend("b1"), backend("b2", "10.0.0.2"), backend("double"))
    assert zone.mesh.exposed() == {"backend": {_full(): 2}}
    delta = zone.view.set_warming(world.key("b2"), warming=True)["default"]
    assert (delta.exposed, zone.mesh.exposed()) == (BACKEND, {"backend": {_full(): 1}})
    for name in ("b1", "b2", "double"):
        zone.delete(world.key(name))
    assert zone.mesh.exposed() == {}
