"""Which connections a zone ingress takes, and where it leads them."""

from __future__ import annotations

import logging

import pytest

import hub_world as world
from edge_world import EdgeWorld, key
from kumacp.vips.entry import Kind
from kumacp.xds.edge.units import EdgeChain
from kumacp.xds.reports import report_same_server_name, report_unexposed
from kumamesh.resource import ResourceKey
from kumamesh.resources.zone import ZoneIngress
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET

STRICT = world.mesh(mode="STRICT")


def backend(name: str = "d1", service: str = "backend", port: int = 8080, **more: object) -> object:
    state, mesh = more.pop("state", "Ready"), more.pop("mesh", "default")
    tags = {"kuma.io/zone": "east", **more}
    return world.dataplane(
        name,
        mesh=str(mesh),
        address=f"10.0.0.{name[-1]}",
        inbounds=[world.inbound(service, port, state=state, tags=tags)],
    )


def test_nothing_is_exposed_without_services() -> None:
    edges = EdgeWorld(STRICT)
    edges.connect()
    listener = edges.listener()
    assert (listener.name, listener.chains) == ("inbound:10.0.9.1:10001", ())
    assert (listener.proxy, listener.zone) == (".i1", "east")
    assert not edges.clusters()


def test_a_service_is_asked_for_by_its_name_and_mesh() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    chain = edges.chains()["backend{mesh=default}"]
    assert chain == EdgeChain("backend{mesh=default}", "default:backend")
    assert edges.endpoints("default:backend") == [("10.0.0.1", 8080)]
    assert edges.clusters()["default:backend"].subsets == ()


def test_only_meshes_with_mtls_are_carried() -> None:
    edges = EdgeWorld(world.mesh(), backend())
    edges.connect()
    assert not edges.chains()
    edges.put(STRICT)
    assert "backend{mesh=default}" in edges.chains()
    edges.put(world.mesh())
    assert not edges.chains()
    assert not edges.clusters()


def test_a_mesh_that_is_deleted_is_carried_no_longer() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    edges.delete(STRICT.key, world.key("d1"))
    assert not edges.chains()
    assert not edges.inputs(ENDPOINT)


def test_meshes_do_not_share_services_of_one_name() -> None:
    other = world.mesh("other", mode="STRICT")
    edges = EdgeWorld(STRICT, other, backend(), backend("d2", mesh="other"))
    edges.connect()
    assert edges.chains()["backend{mesh=default}"].cluster == "default:backend"
    assert edges.chains()["backend{mesh=other}"].cluster == "other:backend"
    assert edges.endpoints("default:backend") == [("10.0.0.1", 8080)]
    assert edges.endpoints("other:backend") == [("10.0.0.2", 8080)]


def test_instances_of_other_zones_are_no_endpoints() -> None:
    edges = EdgeWorld(STRICT, backend(), world.zone_ingress("w", world.available("backend", 3)))
    edges.connect()
    assert edges.endpoints("default:backend") == [("10.0.0.1", 8080)]
    edges.delete(world.key("d1"))
    assert not edges.chains()


def test_tags_choose_among_instances() -> None:
    edges = EdgeWorld(STRICT, backend(version="v1"), backend("d2", version="v2"))
    edges.connect()
    chains = edges.chains()
    assert chains["backend{mesh=default}"].subset == ()
    assert chains["backend{mesh=default,version=v2}"].subset == (("version", "v2"),)
    # All instances are in this zone: that tag alone chooses nothing.
    subsets = edges.clusters()["default:backend"].subsets
    assert subsets == (("kuma.io/zone", "version"), ("version",))
    assert edges.endpoints("default:backend") == [("10.0.0.1", 8080), ("10.0.0.2", 8080)]


def test_chains_stay_the_same_whatever_tags_others_have() -> None:
    """Another chain would cut the connections of the one before."""
    edges = EdgeWorld(STRICT, backend(version="v1"))
    edges.connect()
    before = edges.chains()
    assert edges.clusters()["default:backend"].subsets == ()
    edges.put(backend("d2", version="v2"))
    assert edges.chains().items() > before.items()
    assert edges.clusters()["default:backend"].subsets
    edges.delete(ResourceKey("Dataplane", "default", "d2"))
    assert edges.chains() == before


def test_nobody_can_ask_for_tags_that_no_instance_has() -> None:
    edges = EdgeWorld(STRICT, backend(version="v1", team="a"), backend("d2", version="v2", team="b"))
    edges.connect()
    assert "backend{mesh=default,team=a,version=v1}" in edges.chains()
    assert "backend{mesh=default,team=a,version=v2}" not in edges.chains()


def test_what_virtual_addresses_lead_to_can_be_asked_for() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    tags = {"kuma.io/service": "backend", "kuma.io/protocol": "http"}
    name = "backend{kuma.io/protocol=http,mesh=default}"
    assert name not in edges.chains()
    edges.put(world.vips(world.vip(Kind.FQDN, "b.corp", "240.0.0.1", {80: tags})))
    assert name in edges.chains()
    edges.put(world.vips())
    assert name not in edges.chains()


def test_the_health_of_an_instance_changes_endpoints_only() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    touched = edges.put(backend(state="NotReady"))
    assert touched == {key("i1"): {ENDPOINT: frozenset({"default:backend"})}}
    assert edges.endpoints("default:backend") == []
    assert "backend{mesh=default}" in edges.chains()


def test_an_instance_that_starts_is_no_endpoint() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    edges.hub.set_warming(world.key("d1"), True)
    assert edges.endpoints("default:backend") == []
    touched = edges.hub.set_warming(world.key("d1"), False)
    assert touched[key("i1")] == {ENDPOINT: frozenset({"default:backend"})}
    assert edges.endpoints("default:backend") == [("10.0.0.1", 8080)]


def test_one_more_instance_costs_one_assignment() -> None:
    services = [backend(f"d{number}", f"s{number}") for number in range(1, 10)]
    edges = EdgeWorld(STRICT, *services)
    edges.connect()
    before = edges.hub.counters.built
    edges.put(backend("e1", "s1", 8081))
    assert edges.hub.counters.built - before == 1
    assert edges.endpoints("default:s1") == [("10.0.0.1", 8080), ("10.0.0.1", 8081)]


def test_a_new_service_changes_nothing_of_the_others() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    touched = edges.put(backend("d2", "web"))
    assert touched[key("i1")] == {
        CLUSTER: frozenset({"default:web"}),
        ENDPOINT: frozenset({"default:web"}),
        LISTENER: frozenset({"inbound:10.0.9.1:10001"}),
    }


def test_replicas_have_clusters_and_assignments_in_common() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect("i1")
    before = edges.hub.counters.built
    edges.connect("i2")
    # Only the listener is its own, for it says who answers.
    assert edges.hub.counters.built - before == 1
    for type_, name in ((CLUSTER, "default:backend"), (ENDPOINT, "default:backend")):
        one, other = (edges.hub.desired(key(each))[type_][name] for each in ("i1", "i2"))
        assert one is other
    edges.hub.disconnect(key("i1"))
    edges.put(backend("d2"))
    assert len(edges.endpoints("default:backend", "i2")) == 2
    edges.hub.disconnect(key("i2"))
    assert edges.hub.counters.held == 0


def test_an_ingress_has_no_secrets() -> None:
    edges = EdgeWorld(STRICT, world.ca(), backend())
    edges.connect()
    assert not edges.hub.desired(key("i1"))[SECRET]
    assert not edges.hub.identity_requests()


def test_it_listens_where_its_resource_says() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    moved = edges.writer.resources[key("i1")]
    networking = moved.spec.networking.model_copy(update={"port": 10009})
    spec: ZoneIngress = moved.spec.model_copy(update={"networking": networking})
    edges.put(world.Resource(moved.key, spec))
    assert [name for name in edges.inputs(LISTENER) if name.startswith("inbound")] == [
        "inbound:10.0.9.1:10009"
    ]


def test_one_that_is_not_stored_has_nothing_until_it_is() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.hub.connect(key("i1"), world.METADATA)
    assert not any(edges.hub.desired(key("i1")).values())
    touched = edges.put(world.zone_ingress("i1", zone="east"))
    assert "inbound:10.0.9.1:10001" in touched[key("i1")][LISTENER]
    assert "backend{mesh=default}" in edges.chains()


def test_one_whose_resource_is_deleted_goes_on() -> None:
    edges = EdgeWorld(STRICT, backend())
    edges.connect()
    assert not edges.delete(key("i1"))
    edges.put(backend("d2"))
    assert len(edges.endpoints("default:backend")) == 2


def test_server_names_are_compared_in_lower_case() -> None:
    edges = EdgeWorld(STRICT, backend(service="Backend"))
    edges.connect()
    assert edges.chains()["backend{mesh=default}"].cluster == "default:Backend"


def test_of_two_that_differ_in_case_only_the_lower_one_is_reached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Envoy takes no listener with two chains for one name."""
    report_same_server_name.cache_clear()
    with caplog.at_level(logging.WARNING):
        edges = EdgeWorld(STRICT, backend(service="Backend"), backend("d2", service="backend"))
        edges.connect()
        edges.put(backend("d3", service="web"))
    assert edges.chains()["backend{mesh=default}"].cluster == "default:backend"
    told = [record for record in caplog.records if hasattr(record, "cluster")]
    assert [record.cluster for record in told] == ["default:Backend"]
    assert [record.server_name for record in told] == ["backend{mesh=default}"]


@pytest.mark.parametrize(("length", "carried"), [(241, True), (242, False)])
def test_a_name_that_no_client_can_send_is_left_out(
    length: int, carried: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """255 bytes, of which the mesh and its braces take 14."""
    report_unexposed.cache_clear()
    service = "s" * length
    with caplog.at_level(logging.WARNING):
        edges = EdgeWorld(STRICT, backend(service=service), backend("d2"))
        edges.connect()
    assert (f"{service}{{mesh=default}}" in edges.chains()) is carried
    assert "backend{mesh=default}" in edges.chains()
    assert any("255 bytes" in record.message for record in caplog.records) is not carried
    offered = {entry.tags["kuma.io/service"] for entry in edges.hub.available.services}
    assert (service in offered) is carried


def test_a_cluster_of_the_proxy_itself_is_not_exposed() -> None:
    edges = EdgeWorld(world.mesh("kuma", mode="STRICT"), backend(service="readiness", mesh="kuma"))
    edges.connect()
    assert not edges.chains()
    assert not edges.hub.available.services


def test_services_outside_the_mesh_are_reached_through_the_egresses_of_the_zone() -> None:
    outside = world.external_service("x", "httpbin", tags={"kuma.io/zone": "east"})
    anywhere = world.external_service("y", "example")
    edges = EdgeWorld(world.mesh(mode="STRICT", routing={"zoneEgress": True}), outside, anywhere)
    edges.connect()
    assert not edges.chains()
    edges.put(world.zone_egress("e1"))
    assert "httpbin{mesh=default}" in edges.chains()
    assert "example{mesh=default}" not in edges.chains()
    assert edges.endpoints("default:httpbin") == [("10.0.9.2", 10002)]
    edges.put(world.mesh(mode="STRICT"))
    assert not edges.chains()
