"""What zone egresses carry of a mesh: onward to other zones, and out of the mesh, where its mTLS ends."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

import hub_world as world
from kumacp.policy.permission import outside_rbac
from kumacp.xds.edge.carrier import Carriage
from kumacp.xds.edge.egress import Egress
from kumacp.xds.edge.outside import OutsideChain, OutsideCluster
from kumacp.xds.edge.units import EdgeChain
from kumacp.xds.mesh_view import MeshDelta, MeshView
from kumacp.xds.model import CaSecret, PrincipalPolicy, PrincipalRbac, UriMatch
from kumacp.xds.view import View
from kumamesh.resource import Resource, ResourceKey

EGRESS = Egress(outside_rbac)
EGRESS_1 = ResourceKey("ZoneEgress", "", "egress-1")
THROUGH = {"zoneEgress": True}
OWN_CA = {"inline": base64.b64encode(world.AUTHORITIES[0]).decode()}
WEB = UriMatch("spiffe://default/web")


def view_of(*resources: Resource, mode: str = "STRICT", routing: Mapping[str, Any] = THROUGH) -> MeshView:
    """The mesh `default` of the zone `east`."""
    view = View("east")
    writer = world.Writer()
    mesh = world.mesh(mode=mode, routing=dict(routing))
    view.apply([writer.put(resource) for resource in (mesh, world.ca(), *resources)])
    return view.mesh("default")


def carried(service: str, *resources: Resource, **mesh: Any) -> Carriage | None:
    return EGRESS.carry(view_of(*resources, **mesh), service)


def out(service: str, *resources: Resource) -> dict[str, OutsideChain]:
    """Chains that lead out of the mesh, by server name."""
    carriage = carried(service, *resources)
    assert carriage is not None
    return {chain.sni: chain for chain in carriage.chains if isinstance(chain, OutsideChain)}


def onward(service: str, *resources: Resource) -> dict[str, dict[tuple[str, int], int]]:
    """For each server name that is passed on, the weights of where to."""
    carriage = carried(service, *resources)
    assert carriage is not None
    weights = {
        backing.cluster.name: {(one.address, one.port): one.weight for one in backing.endpoints or ()}
        for backing in carriage.backings
    }
    return {chain.sni: weights[chain.cluster] for chain in carriage.chains if isinstance(chain, EdgeChain)}


def allows(name: str, *principals: UriMatch) -> PrincipalRbac:
    return PrincipalRbac((PrincipalPolicy(name, tuple((one,) for one in principals)),))


# Out of the mesh.


def test_a_service_outside_has_a_chain_of_its_server_name_and_a_cluster() -> None:
    service = world.external_service("x", "httpbin", protocol="http")
    (chain,) = out("httpbin", service).values()
    assert chain == OutsideChain(
        "httpbin{mesh=default}", "default", "httpbin", "http", (PrincipalRbac((), http=True),)
    )
    carriage = carried("httpbin", service)
    assert carriage is not None
    (backing,) = carriage.backings
    assert backing.endpoints is None
    assert backing.cluster.name == chain.cluster == "default:httpbin"
    assert chain.name == "httpbin_default"


@pytest.mark.parametrize(
    ("mode", "routing"), [("STRICT", {}), ("", THROUGH), ("STRICT", {"zoneEgress": False})]
)
def test_nothing_is_carried_of_a_mesh_that_does_not_ask_for_it(mode: str, routing: dict[str, Any]) -> None:
    service = world.external_service("x", "httpbin")
    view = view_of(service, world.zone_ingress("i", world.available("backend")), mode=mode, routing=routing)
    assert EGRESS.carry(view, "httpbin") is None
    assert EGRESS.carry(view, "backend") is None
    assert EGRESS.identity(view, EGRESS_1) is None
    assert list(EGRESS.trusted(view)) == []


def test_a_permissive_mesh_is_carried_with_mtls_too() -> None:
    assert carried("httpbin", world.external_service("x", "httpbin"), mode="PERMISSIVE") is not None


@pytest.mark.parametrize(("zone", "here"), [("", True), ("east", True), ("west", False)])
def test_an_external_service_of_a_zone_leaves_the_mesh_there_only(zone: str, here: bool) -> None:
    service = world.external_service("x", "httpbin", tags={"kuma.io/zone": zone} if zone else {})
    assert (carried("httpbin", service) is not None) is here


def test_one_of_another_zone_is_passed_on_to_where_that_zone_offers_it() -> None:
    service = world.external_service("x", "httpbin", tags={"kuma.io/zone": "west"})
    offer = world.available("httpbin", 1, external=True)
    assert onward("httpbin", service, world.zone_ingress("i", offer))["httpbin{mesh=default}"] == {
        ("192.0.2.9", 10001): 1
    }


def test_one_that_can_be_reached_here_is_not_passed_on() -> None:
    service = world.external_service("x", "httpbin")
    chains = out("httpbin", service, world.zone_ingress("i", world.available("httpbin", 1, external=True)))
    assert list(chains) == ["httpbin{mesh=default}"]


def test_a_service_that_dataplanes_offer_does_not_leave_the_mesh() -> None:
    inside = world.dataplane("b", inbounds=[world.inbound("httpbin")])
    assert carried("httpbin", world.external_service("x", "httpbin"), inside) is None


def test_what_other_zones_have_inside_the_mesh_is_no_external_service_of_theirs() -> None:
    service = world.external_service("x", "httpbin", tags={"kuma.io/zone": "north"})
    inside, outside = world.available("httpbin", 2), world.available("httpbin", 5, external=True)
    found = onward(
        "httpbin",
        service,
        world.zone_ingress("i", inside),
        world.zone_ingress("j", outside, zone="north", at=("192.0.2.10", 1)),
    )
    assert list(found["httpbin{mesh=default}"]) == [("192.0.2.9", 10001)]


def test_tags_choose_among_external_services() -> None:
    chains = out(
        "httpbin",
        world.external_service("a", "httpbin", "a.example:80", tags={"version": "v1"}),
        world.external_service("b", "httpbin", "b.example:80", tags={"version": "v2"}),
    )
    assert set(chains) == {
        "httpbin{mesh=default}",
        "httpbin{mesh=default,version=v1}",
        "httpbin{mesh=default,version=v2}",
    }
    assert chains["httpbin{mesh=default,version=v1}"].tags == (("version", "v1"),)
    assert len({chain.cluster for chain in chains.values()}) == 3
    # What is decided for both in the same way is asked once.
    assert [len(chain.rbacs) for chain in chains.values()] == [1, 1, 1]


def test_tags_that_all_have_choose_nothing_and_need_no_cluster_of_their_own() -> None:
    service = world.external_service("a", "httpbin", tags={"version": "v1"}, tls={})
    chains = out("httpbin", service)
    assert set(chains) == {"httpbin{mesh=default}", "httpbin{mesh=default,version=v1}"}
    assert {chain.cluster for chain in chains.values()} == {"default:httpbin"}


def test_a_name_that_no_client_can_send_is_left_out() -> None:
    assert carried("s" * 300, world.external_service("x", "s" * 300)) is None


# Who may call.


def test_a_permission_for_the_service_decides() -> None:
    service = world.external_service("x", "httpbin", protocol="tcp")
    permission = world.traffic_permission("web-to-httpbin", "web", "httpbin")
    (chain,) = out("httpbin", service, permission).values()
    assert chain.rbacs == (allows("web-to-httpbin", WEB),)


def test_one_for_another_service_does_not() -> None:
    permission = world.traffic_permission("web-to-backend", "web", "backend")
    (chain,) = out("httpbin", world.external_service("x", "httpbin", protocol="tcp"), permission).values()
    assert chain.rbacs == (PrincipalRbac(()),)


def test_who_may_call_only_one_of_several_may_not_call_them_all() -> None:
    """The client cannot say which of them it gets."""
    permission = world.traffic_permission("web-to-v1", "web", "httpbin")
    (selector,) = permission.spec.destinations
    narrow = selector.model_copy(update={"match": {**selector.match, "version": "v1"}})
    permission = replace(permission, spec=permission.spec.model_copy(update={"destinations": (narrow,)}))
    chains = out(
        "httpbin",
        world.external_service("a", "httpbin", "a.example:80", tags={"version": "v1"}),
        world.external_service("b", "httpbin", "b.example:80", tags={"version": "v2"}),
        permission,
    )
    one, none = allows("web-to-v1", WEB), PrincipalRbac(())
    assert chains["httpbin{mesh=default,version=v1}"].rbacs == (one,)
    assert chains["httpbin{mesh=default,version=v2}"].rbacs == (none,)
    assert chains["httpbin{mesh=default}"].rbacs == (one, none)


# Onward to other zones.


def test_instances_of_other_zones_get_their_share_exactly() -> None:
    """Two ingresses share the three instances of a zone, one has the two of another."""
    backend = {"service": "backend"}
    found = onward(
        "backend",
        world.zone_ingress("i", world.available(**backend, instances=3)),
        world.zone_ingress("j", world.available(**backend, instances=3), at=("192.0.2.10", 10001)),
        world.zone_ingress(
            "k", world.available(**backend, instances=2, zone="north"), zone="north", at=("192.0.2.11", 1)
        ),
    )
    weights = found["backend{mesh=default}"]
    assert weights[("192.0.2.9", 10001)] == weights[("192.0.2.10", 10001)]
    assert 2 * 2 * weights[("192.0.2.9", 10001)] == 3 * weights[("192.0.2.11", 1)]


def test_tags_choose_the_ways_to_those_that_have_them() -> None:
    found = onward(
        "backend",
        world.zone_ingress(
            "i", world.available("backend", 1, version="v1"), world.available("backend", 4, version="v2")
        ),
        world.zone_ingress(
            "k",
            world.available("backend", 2, zone="north", version="v2"),
            zone="north",
            at=("192.0.2.11", 1),
        ),
    )
    assert found["backend{mesh=default}"] == {("192.0.2.9", 10001): 5, ("192.0.2.11", 1): 2}
    assert found["backend{mesh=default,version=v1}"] == {("192.0.2.9", 10001): 1}
    assert found["backend{mesh=default,version=v2}"] == {("192.0.2.9", 10001): 4, ("192.0.2.11", 1): 2}
    assert found["backend{kuma.io/zone=north,mesh=default}"] == {("192.0.2.11", 1): 2}


def test_instances_of_its_own_zone_are_not_carried() -> None:
    own = world.dataplane("b", inbounds=[world.inbound("backend")])
    assert carried("backend", own) is None
    found = onward("backend", own, world.zone_ingress("i", world.available("backend", 3)))
    assert list(found["backend{mesh=default}"]) == [("192.0.2.9", 10001)]


def test_its_own_zones_ingress_is_no_way_onward() -> None:
    offer = world.available("backend", 3, zone="east")
    assert carried("backend", world.zone_ingress("i", offer, zone="east")) is None


def test_another_mesh_is_another_matter() -> None:
    assert carried("backend", world.zone_ingress("i", world.available("backend", mesh="other"))) is None


# What it presents, and what it depends on.


def test_it_is_the_zone_egress_of_the_mesh() -> None:
    view = view_of()
    request = EGRESS.identity(view, EGRESS_1)
    assert request is not None
    assert (request.proxy, request.mesh, request.services) == (EGRESS_1, "default", ("zone-egress",))
    assert request.tags == (("kuma.io/service", "zone-egress"),)
    assert (request.backend, request.lifetime_s) == ("ca-1", 3600)
    assert list(EGRESS.trusted(view)) == [CaSecret("default", b"root")]


def test_without_a_ca_there_is_nothing_to_present() -> None:
    view = View("east")
    view.apply([world.Writer().put(world.mesh(mode="STRICT", routing=THROUGH))])
    assert EGRESS.identity(view.mesh("default"), EGRESS_1) is None
    assert list(EGRESS.trusted(view.mesh("default"))) == []


def test_it_asks_again_for_what_a_change_concerns() -> None:
    view = view_of(
        world.external_service("x", "httpbin"),
        world.external_service("y", "other"),
        world.zone_ingress("i", world.available("backend")),
    )
    assert set(EGRESS.services(view)) == {"httpbin", "other", "backend"}
    of = EGRESS.concerned
    assert set(of(view, MeshDelta(endpoints=frozenset({"httpbin"})))) == {"httpbin"}
    assert set(of(view, MeshDelta(remote=frozenset({"backend"})))) == {"backend"}
    assert set(of(view, MeshDelta(facts=frozenset({"httpbin"})))) == {"httpbin"}
    assert set(of(view, MeshDelta(permissions=True))) == {"httpbin", "other"}
    assert set(of(view, MeshDelta(dataplanes=frozenset({"web"})))) == set()


@pytest.mark.parametrize(
    ("address", "tls", "of_proxy", "expected"),
    [
        ("httpbin.example:443", {}, "10.0.9.2", ("/host.pem", False)),
        ("httpbin.example:443", {}, "fd00::2", ("/host.pem", True)),
        ("192.0.2.1:443", {}, "fd00::2", ("/host.pem", False)),
        ("httpbin.example:80", None, "10.0.9.2", ("", False)),
        ("httpbin.example:443", {"caCert": OWN_CA}, "10.0.9.2", ("", False)),
    ],
)
def test_a_cluster_is_fitted_to_the_host_of_the_proxy(
    address: str, tls: dict[str, Any] | None, of_proxy: str, expected: tuple[str, bool]
) -> None:
    carriage = carried("httpbin", world.external_service("x", "httpbin", address, tls=tls))
    assert carriage is not None
    metadata = replace(world.METADATA, system_ca="/host.pem")
    cluster = EGRESS.fitted(carriage.backings[0].cluster, of_proxy, metadata)
    assert isinstance(cluster, OutsideCluster)
    assert (cluster.system_ca, cluster.ipv6) == expected
