from __future__ import annotations

from typing import Any

import pytest

import hub_world as world
from kumacp.store.api import Change
from kumacp.xds.facts import ServiceFacts, common_protocol
from kumacp.xds.model import Endpoint, TlsMode
from kumacp.xds.view import MeshDelta, View
from kumamesh.resource import Resource, ResourceKey


class Mesh:
    """A view with the resources put into it."""

    def __init__(self, *resources: Resource) -> None:
        self.view = View("east")
        self.writer = world.Writer()
        self.put(*resources)

    def put(self, *resources: Resource) -> MeshDelta | None:
        return self._apply([self.writer.put(resource) for resource in resources])

    def delete(self, *keys: ResourceKey) -> MeshDelta | None:
        return self._apply([change for key in keys if (change := self.writer.delete(key))])

    def facts(self, service: str) -> ServiceFacts:
        return self.view.mesh("default").facts(service)

    def endpoints(self, service: str) -> tuple[Endpoint, ...]:
        return self.view.mesh("default").endpoints(service)

    def _apply(self, changes: list[Change]) -> MeshDelta | None:
        return self.view.apply(changes).get("default")


def backend(name: str = "b1", *, address: str = "10.0.0.1", connected: bool = False, **more: Any) -> Resource:
    return world.dataplane(
        name, address=address, inbounds=[world.inbound("backend", **more)], connected=connected
    )


WEB = world.dataplane("web", address="10.0.0.9", outbounds={20000: "backend"})


def test_endpoints_are_sorted_and_carry_tags_without_the_service() -> None:
    mesh = Mesh()
    delta = mesh.put(
        backend("b1", address="10.0.0.2", tags={"version": "v1", "kuma.io/zone": "west"}),
        backend("b2", address="10.0.0.1"),
    )
    assert delta == MeshDelta(
        endpoints=frozenset({"backend"}),
        facts=frozenset({"backend"}),
        dataplanes=frozenset({"b1", "b2"}),
        instances=frozenset({("10.0.0.1", 8080), ("10.0.0.2", 8080)}),
        exposed=frozenset({"backend"}),
    )
    assert mesh.endpoints("backend") == (
        Endpoint("10.0.0.1", 8080, tags=(("kuma.io/protocol", "http"),), zone="east"),
        Endpoint(
            "10.0.0.2",
            8080,
            tags=(("kuma.io/protocol", "http"), ("kuma.io/zone", "west"), ("version", "v1")),
            zone="west",
        ),
    )


def test_the_advertised_address_wins_over_all_others() -> None:
    plain = world.dataplane("b1", inbounds=[world.inbound("backend", address="10.0.0.7")])
    advertised = world.dataplane(
        "b1", inbounds=[world.inbound("backend", address="10.0.0.7")], advertisedAddress="192.0.2.1"
    )
    mesh = Mesh(plain)
    assert [endpoint.address for endpoint in mesh.endpoints("backend")] == ["10.0.0.7"]
    mesh.put(advertised)
    assert [endpoint.address for endpoint in mesh.endpoints("backend")] == ["192.0.2.1"]


@pytest.mark.parametrize(
    "unhealthy", [{"state": "NotReady"}, {"state": "Ignored"}, {"health": {"ready": False}}, {"port": 49151}]
)
def test_unhealthy_inbounds_and_the_reserved_port_are_no_endpoints(unhealthy: dict[str, Any]) -> None:
    assert Mesh(backend(**unhealthy)).endpoints("backend") == ()


def test_health_changes_endpoints_but_neither_protocol_nor_other_services() -> None:
    mesh = Mesh(backend(), world.dataplane("o1", inbounds=[world.inbound("other")]))
    delta = mesh.put(backend(state="NotReady"))
    changed = frozenset({"backend"})
    assert delta == MeshDelta(endpoints=changed, dataplanes=frozenset({"b1"}), exposed=changed)
    assert mesh.facts("backend") == ServiceFacts("http")


@pytest.mark.parametrize(
    ("protocols", "common"),
    [
        (["http"], "http"),
        (["http2", "grpc"], "http2"),
        (["grpc", "http2", "http"], "http"),
        (["grpc", "tcp"], "tcp"),
        (["kafka", "kafka"], "kafka"),
        (["kafka", "http"], "tcp"),
        (["tls", "tcp"], "tcp"),
        (["unheard-of", "http"], "tcp"),
    ],
)
def test_the_protocol_is_what_all_instances_can_be_spoken_to_with(protocols: list[str], common: str) -> None:
    assert common_protocol(protocols) == common_protocol(reversed(protocols)) == common


def test_a_write_of_the_same_content_changes_nothing() -> None:
    mesh = Mesh(backend())
    again = backend()
    assert mesh.put(Resource(again.key, again.spec, again.labels, version=7)) is None


def test_changes_that_undo_each_other_in_one_batch_change_nothing() -> None:
    mesh = Mesh(backend(), world.mesh())
    writer = mesh.writer
    batch = [
        writer.put(backend(state="NotReady")),
        writer.put(world.mesh(mode="STRICT")),
        writer.put(world.traffic_permission("all", "*", "*")),
        writer.put(backend()),
        writer.put(world.mesh()),
        writer.delete(ResourceKey("TrafficPermission", "default", "all")),
    ]
    assert mesh.view.apply([change for change in batch if change]) == {}


@pytest.mark.parametrize(
    "unrelated",
    [
        world.insight("b1"),
        world.insight("b1", "ca-1", regenerations=5),
        world.secret("my-own", b"data"),
        world.ca(b"unused", backend="ca-2"),
        Resource(ResourceKey("ServiceInsight", "default", "all-services-default"), None),
        Resource(ResourceKey("Zone", "", "east"), None),
        world.dataplane("b1", mesh="other", inbounds=[world.inbound("backend")]),
    ],
    ids=lambda resource: f"{resource.type}-{resource.name}",
)
def test_writes_that_nothing_depends_on_change_nothing(unrelated: Resource) -> None:
    mesh = Mesh(world.mesh(mode="STRICT"), world.ca(), backend(), world.insight("b1", "ca-1"))
    assert mesh.put(unrelated) is None


def test_a_service_keeps_its_last_protocol_while_an_outbound_refers_to_it() -> None:
    mesh = Mesh(backend(), WEB)
    delta = mesh.delete(world.key("b1"))
    assert delta == MeshDelta(
        endpoints=frozenset({"backend"}),
        dataplanes=frozenset({"b1"}),
        instances=frozenset({("10.0.0.1", 8080)}),
        exposed=frozenset({"backend"}),
    )
    assert mesh.facts("backend") == ServiceFacts("http")
    delta = mesh.delete(world.key("web"))
    assert delta == MeshDelta(facts=frozenset({"backend"}), dataplanes=frozenset({"web"}))
    assert mesh.facts("backend") == ServiceFacts("tcp")


def test_a_service_without_outbounds_is_forgotten_with_its_last_instance() -> None:
    mesh = Mesh(backend())
    mesh.delete(world.key("b1"))
    assert mesh.facts("backend") == ServiceFacts("tcp")


def test_strict_always_means_tls() -> None:
    mesh = Mesh(world.mesh(mode="STRICT"), backend())
    assert mesh.facts("backend").tls
    assert mesh.facts("unknown").tls
    assert mesh.put(world.insight("b1", "ca-1")) is None


def test_permissive_means_tls_once_every_dataplane_reports_a_certificate_of_the_backend() -> None:
    mesh = Mesh(world.mesh(mode="PERMISSIVE"), backend("b1"), backend("b2"), world.insight("b1", "ca-1"))
    assert not mesh.facts("backend").tls
    assert mesh.put(world.insight("b2", "ca-0")) is None
    assert mesh.put(world.insight("b2", "ca-1")) == MeshDelta(facts=frozenset({"backend"}))
    assert mesh.facts("backend").tls
    assert not mesh.facts("unknown").tls


def test_permissive_goes_back_to_plain_text_for_a_dataplane_that_may_have_no_proxy() -> None:
    mesh = Mesh(world.mesh(mode="PERMISSIVE"), backend("b1"), world.insight("b1", "ca-1"))
    mesh.put(backend("b2"))
    assert not mesh.facts("backend").tls


def test_permissive_stays_with_tls_while_a_new_proxy_waits_for_its_certificate() -> None:
    mesh = Mesh(world.mesh(mode="PERMISSIVE"), backend("b1"), world.insight("b1", "ca-1"), WEB)
    delta = mesh.put(backend("b2", address="10.0.0.2", connected=True))
    assert delta == MeshDelta(
        endpoints=frozenset({"backend"}),
        dataplanes=frozenset({"b2"}),
        instances=frozenset({("10.0.0.2", 8080)}),
        exposed=frozenset({"backend"}),
    )
    mesh.delete(world.key("b1"), world.insight("b1").key, world.key("b2"))
    assert mesh.facts("backend") == ServiceFacts("http", tls=True)
    mesh.put(backend("b1", connected=True), world.insight("b1"))
    assert mesh.facts("backend") == ServiceFacts("http", tls=True)


@pytest.mark.parametrize(
    "switches", [[world.mesh()], [world.mesh(mode="PERMISSIVE", backend="ca-2")]], ids=["off", "ca-2"]
)
def test_readiness_is_not_carried_over_to_another_backend(switches: list[Resource]) -> None:
    mesh = Mesh(world.mesh(mode="PERMISSIVE"), backend("b1", connected=True), world.insight("b1", "ca-1"))
    mesh.delete(world.insight("b1").key)
    assert mesh.facts("backend").tls
    mesh.put(*switches)
    assert not mesh.facts("backend").tls
    mesh.put(world.mesh(mode="PERMISSIVE"))
    assert not mesh.facts("backend").tls


def test_settings_follow_mesh_and_ca() -> None:
    mesh = Mesh(world.mesh())
    assert mesh.put(world.ca(b"root")) is None
    assert mesh.put(world.mesh(mode="STRICT", lifetime="30s")) == MeshDelta(settings=True)
    settings = mesh.view.mesh("default").settings
    assert (settings.mode, settings.backend, settings.lifetime_s, settings.ca) == (
        TlsMode.STRICT,
        "ca-1",
        30.0,
        b"root",
    )
    assert mesh.put(world.ca(b"root 2")) == MeshDelta(settings=True)
    assert mesh.view.mesh("default").settings.ca_version != settings.ca_version


def test_permissions_are_told_and_sorted_by_name() -> None:
    mesh = Mesh()
    delta = mesh.put(world.traffic_permission("b", "*", "*"), world.traffic_permission("a", "*", "*"))
    assert delta == MeshDelta(permissions=True)
    assert [resource.name for resource in mesh.view.mesh("default").traffic_permissions] == ["a", "b"]
    assert mesh.view.mesh("default").mesh_traffic_permissions == ()


def test_labels_of_a_dataplane_count_as_they_select_policies() -> None:
    mesh = Mesh(backend())
    labelled = Resource(backend().key, backend().spec, {"team": "a"})
    assert mesh.put(labelled) == MeshDelta(dataplanes=frozenset({"b1"}))
