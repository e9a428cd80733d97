from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import hub_world as world
from kumacp.store.api import Change, Operation
from kumacp.xds import sidecar
from kumacp.xds.destinations import Destination, service_cluster, service_endpoints
from kumacp.xds.model import (
    AdminCluster,
    AdminListener,
    AdminTls,
    CaSecret,
    IdentityRequest,
    InboundListener,
    LocalCluster,
    OutboundListener,
    PrincipalPolicy,
    PrincipalRbac,
    ProxyMetadata,
    ReadinessCluster,
    ServiceCluster,
    ServiceEndpoints,
    SourceTags,
    TlsMode,
    UnitInput,
    UriMatch,
)
from kumacp.xds.outbounds import outbound_units
from kumacp.xds.view import MeshView, View
from kumadp_bootstrap import paths
from kumamesh.resource import Resource
from kumamesh.xds import CLUSTER, EXTENSION, LISTENER, SECRET, content_version

BACKEND = Destination("backend", ())
ADMIN_TLS = AdminTls(b"certificate", b"key", b"ca")


def view_of(*resources: Resource) -> MeshView:
    view = View("east")
    view.apply(Change(Operation.CREATE, resource.key, None, resource) for resource in resources)
    return view.mesh("default")


def own(
    dataplane: Resource, *resources: Resource, metadata: ProxyMetadata = world.METADATA
) -> dict[tuple[str, str], UnitInput]:
    view = view_of(dataplane, *resources)
    return sidecar.own_units(view, dataplane, metadata, world.permission, None)


def outbounds(dataplane: Resource, *resources: Resource) -> list[UnitInput]:
    view = view_of(dataplane, *resources)
    return list(outbound_units(view, dataplane, world.METADATA).values())


def test_an_inbound_gives_a_listener_and_the_cluster_of_the_workload() -> None:
    dataplane = world.dataplane(
        "b1",
        inbounds=[world.inbound("backend", servicePort=9090, serviceAddress="127.0.0.1", state="NotReady")],
    )
    units = own(dataplane)
    assert units[CLUSTER, "localhost:9090"] == LocalCluster("127.0.0.1", 9090, "http")
    assert units[LISTENER, "inbound:10.0.0.1:8080"] == InboundListener(
        address="10.0.0.1",
        port=8080,
        mesh="default",
        service="backend",
        tags=(("kuma.io/protocol", "http"), ("kuma.io/service", "backend")),
        protocol="http",
        local_port=9090,
        tls=None,
        rbac=None,
        reuse_port=True,
    )


@pytest.mark.parametrize("left_out", [{"state": "Ignored"}, {"port": 49151}])
def test_ignored_inbounds_and_the_reserved_port_have_no_listener(left_out: dict[str, Any]) -> None:
    units = own(world.dataplane("b1", inbounds=[world.inbound("backend", **left_out)]))
    assert not [name for type_url, name in units if type_url == LISTENER]


def test_a_delegated_gateway_has_outbounds_only() -> None:
    gateway = world.dataplane(
        "gw", gateway={"tags": {"kuma.io/service": "edge"}}, outbounds={20000: "backend"}
    )
    assert not [name for type_url, name in own(gateway) if name.startswith(("inbound", "localhost"))]
    assert len(outbounds(gateway)) == 1


def test_with_mtls_inbounds_carry_mode_and_rbac_and_the_ca_is_there() -> None:
    dataplane = world.dataplane("b1", inbounds=[world.inbound("backend", protocol="grpc")])
    units = own(
        dataplane, world.mesh(mode="PERMISSIVE"), world.ca(b"root"), world.traffic_permission("p", "web", "*")
    )
    listener = units[LISTENER, "inbound:10.0.0.1:8080"]
    assert isinstance(listener, InboundListener)
    assert listener.tls is TlsMode.PERMISSIVE
    assert listener.rbac == PrincipalRbac(allow=(PrincipalPolicy("p", ((UriMatch("web"),),)),), http=True)
    assert units[SECRET, "mesh_ca:secret:default"] == CaSecret("default", b"root")


@pytest.mark.parametrize(("protocol", "http"), [("tcp", False), ("kafka", False), ("http2", True)])
def test_rbac_is_asked_for_http_only_where_the_chain_has_it(protocol: str, http: bool) -> None:
    dataplane = world.dataplane("b1", inbounds=[world.inbound("backend", protocol=protocol)])
    listener = own(dataplane, world.mesh(mode="STRICT"))[LISTENER, "inbound:10.0.0.1:8080"]
    assert isinstance(listener, InboundListener)
    assert isinstance(listener.rbac, PrincipalRbac)
    assert listener.rbac.http is http


def test_without_mtls_there_are_no_secrets() -> None:
    assert not [key for key in own(world.dataplane("b1"), world.mesh(), world.ca()) if key[0] == SECRET]


def test_the_identity_is_there_once_it_is_issued() -> None:
    dataplane = world.dataplane("b1", inbounds=[world.inbound("backend")])
    view = view_of(world.mesh(mode="STRICT"), world.ca(), dataplane)
    request = sidecar.identity_request(view, dataplane.key, dataplane.spec)
    assert request is not None
    identity = world.identity(request)
    units = sidecar.own_units(view, dataplane, world.METADATA, world.permission, identity)
    assert units[SECRET, "identity_cert:secret:default"] == identity


def test_an_outbound_to_an_unknown_service_is_tcp() -> None:
    assert outbounds(world.dataplane("web", outbounds={20000: "backend"})) == [
        OutboundListener(
            address="127.0.0.1",
            port=20000,
            mesh="default",
            service="backend",
            tags=(("kuma.io/service", "backend"),),
            protocol="tcp",
            reuse_port=True,
        )
    ]


def test_the_tags_of_the_source_are_a_unit_of_their_own() -> None:
    web = world.dataplane(
        "web", inbounds=[world.inbound("web"), world.inbound("web-admin", port=8081)], outbounds={20000: "b"}
    )
    tags = SourceTags((("kuma.io/protocol", "http"), ("kuma.io/service", "web,web-admin")))
    assert own(web)[EXTENSION, "kuma:source-tags"] == tags
    other = world.dataplane("other", inbounds=[world.inbound("other")], outbounds={20000: "b"})
    backend = world.dataplane("b1", inbounds=[world.inbound("b")])
    assert outbounds(web, backend) == outbounds(other, backend)


def test_two_outbounds_of_one_service_share_what_stands_behind_them() -> None:
    web = world.dataplane("web", outbounds={20000: "backend", 20001: "backend"})
    view = view_of(web)
    plan = sidecar.plan(view, web, world.METADATA, world.permission)
    assert plan.destinations == {Destination("backend", ())}
    assert sorted(name for _, name in plan.outbounds) == [
        "outbound:127.0.0.1:20000",
        "outbound:127.0.0.1:20001",
    ]


def test_of_two_outbounds_on_one_address_the_first_counts() -> None:
    tags = [{"port": 20000, "tags": {"kuma.io/service": name}} for name in ("first", "second")]
    web = world.dataplane("web", outbound=tags)
    plan = sidecar.plan(view_of(web), web, world.METADATA, world.permission)
    assert plan.destinations == {Destination("first", ())}


def test_a_service_named_like_a_cluster_of_the_proxy_itself_is_left_out() -> None:
    web = world.dataplane("web", outbounds={20000: "localhost:8080", 20001: "kuma:envoy:admin"})
    plan = sidecar.plan(view_of(web), web, world.METADATA, world.permission)
    assert (plan.destinations, plan.outbounds) == (frozenset(), {})


def test_cluster_and_assignment_of_a_service() -> None:
    backend = world.dataplane("b1", inbounds=[world.inbound("backend", protocol="http2")])
    view = view_of(world.mesh(mode="STRICT"), backend)
    assert service_cluster(view, BACKEND) == ServiceCluster("default", "backend", "http2", tls=True)
    assert service_endpoints(view, BACKEND, "7") == ServiceEndpoints(
        "backend", view.endpoints("backend"), "7"
    )
    assert service_endpoints(view, Destination("unknown", ()), "7") == ServiceEndpoints("unknown", (), "7")


def test_admin_and_readiness_clusters() -> None:
    units = own(world.dataplane("web"))
    assert units[CLUSTER, "kuma:envoy:admin"] == AdminCluster("127.0.0.1", 9901)
    assert units[CLUSTER, "kuma:readiness"] == ReadinessCluster(
        "/run/kuma/kuma-readiness-reporter.sock", "", 0
    )
    assert (LISTENER, "kuma:envoy:admin") not in units


def test_the_path_of_the_readiness_socket_always_fits_into_an_address() -> None:
    metadata = replace(world.METADATA, workdir="/var/" + "w" * 80)
    cluster = own(world.dataplane("web"), metadata=metadata)[CLUSTER, "kuma:readiness"]
    assert isinstance(cluster, ReadinessCluster)
    assert cluster.pipe == paths.check_socket_path(paths.readiness_reporter(metadata.workdir))


def test_readiness_by_port_without_the_feature() -> None:
    metadata = replace(world.METADATA, features=frozenset())
    units = own(world.dataplane("web"), metadata=metadata)
    assert units[CLUSTER, "kuma:readiness"] == ReadinessCluster("", "127.0.0.1", 9902)


def test_the_admin_listener_is_on_the_address_of_the_proxy() -> None:
    metadata = replace(world.METADATA, admin_tls=ADMIN_TLS)
    units = own(world.dataplane("web", address="10.0.0.1"), metadata=metadata)
    assert units[LISTENER, "kuma:envoy:admin"] == AdminListener("10.0.0.1", 9901, ADMIN_TLS, reuse_port=True)


@pytest.mark.parametrize(
    ("address", "admin_address"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", ""), ("10.0.0.1", "0.0.0.0")]
)
def test_no_admin_listener_where_admin_itself_listens(address: str, admin_address: str) -> None:
    metadata = replace(world.METADATA, admin_tls=ADMIN_TLS, admin_address=admin_address)
    assert (LISTENER, "kuma:envoy:admin") not in own(
        world.dataplane("web", address=address), metadata=metadata
    )


@pytest.mark.parametrize("change", [{"admin_port": 0}, {"admin_address": "192.0.2.1"}])
def test_nothing_of_admin_without_a_port_or_with_an_address_of_another_host(
    change: dict[str, Any],
) -> None:
    metadata = replace(world.METADATA, admin_tls=ADMIN_TLS, **change)
    assert {type_url for type_url, _ in own(world.dataplane("web"), metadata=metadata)} == {EXTENSION}


def test_the_identity_request_names_services_tags_and_ca() -> None:
    dataplane = world.dataplane(
        "b1", inbounds=[world.inbound("b", tags={"version": "v1"}), world.inbound("a", port=81)]
    )
    view = view_of(world.mesh(mode="STRICT", lifetime="30s"), world.ca(b"root"), dataplane)
    assert sidecar.identity_request(view, dataplane.key, dataplane.spec) == IdentityRequest(
        proxy=dataplane.key,
        mesh="default",
        backend="ca-1",
        services=("a", "b"),
        tags=(
            ("kuma.io/protocol", "http"),
            ("kuma.io/service", "a"),
            ("kuma.io/service", "b"),
            ("version", "v1"),
        ),
        ca_version=content_version(b"root"),
        lifetime_s=30.0,
    )


@pytest.mark.parametrize("resources", [(world.mesh(), world.ca()), (world.mesh(mode="STRICT"),)])
def test_no_identity_without_mtls_or_without_ca(resources: tuple[Resource, ...]) -> None:
    dataplane = world.dataplane("b1", inbounds=[world.inbound("backend")])
    assert sidecar.identity_request(view_of(*resources), dataplane.key, dataplane.spec) is None


def test_an_outbound_with_further_tags_leads_to_the_endpoints_that_have_them() -> None:
    tags = {"kuma.io/service": "backend", "version": "v1"}
    web = world.dataplane("web", outbounds={20000: tags, 20001: "backend"})
    v1 = world.dataplane("b1", inbounds=[world.inbound("backend", tags={"version": "v1"})])
    v2 = world.dataplane("b2", address="10.0.0.2", inbounds=[world.inbound("backend")])
    view = view_of(web, v1, v2)
    subset = Destination("backend", (("version", "v1"),))
    assert sidecar.plan(view, web, world.METADATA, world.permission).destinations == {BACKEND, subset}
    assert service_cluster(view, subset).tags == subset.tags
    chosen = service_endpoints(view, subset, "7")
    assert chosen.name == service_cluster(view, subset).name == subset.cluster
    assert [endpoint.address for endpoint in chosen.endpoints] == ["10.0.0.1"]
    assert len(service_endpoints(view, BACKEND, "7").endpoints) == 2


def test_of_two_destinations_with_one_cluster_name_the_first_counts() -> None:
    subset = Destination("backend", (("version", "v1"),))
    tags = {"kuma.io/service": "backend", "version": "v1"}
    web = world.dataplane("web", outbounds={20000: tags, 20001: subset.cluster})
    plan = sidecar.plan(view_of(web), web, world.METADATA, world.permission)
    assert plan.destinations == {subset}
    assert [name for _, name in plan.outbounds] == ["outbound:127.0.0.1:20000"]


def test_listeners_know_whether_the_host_has_ipv6() -> None:
    metadata = replace(world.METADATA, admin_tls=ADMIN_TLS, ipv6_enabled=False)
    web = world.dataplane("web", inbounds=[world.inbound("web")], outbounds={20000: "backend"})
    plan = sidecar.plan(view_of(web), web, metadata, world.permission)
    listeners = [unit for unit in (*plan.own.values(), *plan.outbounds.values()) if unit.type_url == LISTENER]
    assert len(listeners) == 3
    assert not any(getattr(listener, "ipv6", True) for listener in listeners)
