"""Proxies to which the host redirects connections (contract 5.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import hub_world as world
from kumacp.store.api import Change, Operation
from kumacp.xds import sidecar
from kumacp.xds.model import InboundListener, LocalCluster, OutboundListener, ProxyMetadata, UnitInput
from kumacp.xds.outside import NoDestinationCluster, PassthroughCluster, PassthroughListener
from kumacp.xds.transparent import workload_source
from kumacp.xds.view import View
from kumamesh.resource import Resource
from kumamesh.xds import CLUSTER, LISTENER

STRICT = world.mesh(mode="STRICT")
CLOSED = {"networking": {"outbound": {"passthrough": False}}}


def redirected(inbounds: list[dict[str, Any]] | None = None, **changes: Any) -> Resource:
    """A Dataplane with redirection; `changes` are of how."""
    return world.dataplane(
        "web",
        address="10.0.0.1",
        inbounds=[world.inbound("web")] if inbounds is None else inbounds,
        outbounds={20000: "backend"},
        transparentProxying={**world.REDIRECTED, **changes},
    )


def units_of(
    dataplane: Resource, *resources: Resource, metadata: ProxyMetadata = world.METADATA
) -> dict[tuple[str, str], UnitInput]:
    view = View("east")
    view.apply(Change(Operation.CREATE, one.key, None, one) for one in (dataplane, *resources))
    plan = sidecar.plan(view.mesh("default"), dataplane, metadata, world.permission)
    return {**plan.own, **plan.outbounds}


def passing(units: dict[tuple[str, str], UnitInput]) -> dict[str, set[str]]:
    """Names of what passes traffic through: clusters and listeners."""
    return {
        kind: {name for type_url, name in units if type_url == kind and ":passthrough:" in name}
        for kind in (CLUSTER, LISTENER)
    }


FOUR = {f"{way}:passthrough:{family}" for way in ("inbound", "outbound") for family in ("ipv4", "ipv6")}


def test_without_redirection_there_is_nothing_of_it() -> None:
    units = units_of(world.dataplane("web", inbounds=[world.inbound("web")], outbounds={20000: "backend"}))
    assert passing(units) == {CLUSTER: set(), LISTENER: set()}
    assert all(getattr(unit, "bind", True) for unit in units.values())
    assert NoDestinationCluster() not in units.values()


def test_with_redirection_both_ways_pass_and_the_rest_binds_no_port() -> None:
    units = units_of(redirected())
    assert passing(units) == {CLUSTER: FOUR, LISTENER: FOUR}
    assert units[LISTENER, "outbound:passthrough:ipv4"] == PassthroughListener(
        "outbound:passthrough:ipv4", "0.0.0.0", 15001, outbound=True, reuse_port=True
    )
    assert units[LISTENER, "inbound:passthrough:ipv6"] == PassthroughListener(
        "inbound:passthrough:ipv6", "::", 15006, outbound=False, reuse_port=True
    )
    assert units[CLUSTER, "outbound:passthrough:ipv6"] == PassthroughCluster("outbound:passthrough:ipv6")
    assert units[CLUSTER, "inbound:passthrough:ipv4"] == PassthroughCluster(
        "inbound:passthrough:ipv4", "127.0.0.6"
    )
    assert units[CLUSTER, "inbound:passthrough:ipv6"] == PassthroughCluster("inbound:passthrough:ipv6", "::6")
    assert NoDestinationCluster() in units.values()
    others = [unit for unit in units.values() if isinstance(unit, InboundListener | OutboundListener)]
    assert [unit.bind for unit in others] == [False, False]
    local = units[CLUSTER, "localhost:8080"]
    assert isinstance(local, LocalCluster)
    assert local.source == "127.0.0.6"


@pytest.mark.parametrize(
    ("address", "source"), [("10.0.0.1", "127.0.0.6"), ("fd00::1", "::6"), ("127.0.0.1", ""), ("::1", "")]
)
def test_the_workload_is_called_from_an_address_that_is_not_redirected(address: str, source: str) -> None:
    assert workload_source(address) == source


@pytest.mark.parametrize(
    ("mode", "ipv6", "families"),
    [
        ("DualStack", True, {"ipv4", "ipv6"}),
        ("UnSpecified", True, {"ipv4", "ipv6"}),
        ("IPv6", True, {"ipv4", "ipv6"}),
        ("IPv4", True, {"ipv4"}),
        ("DualStack", False, {"ipv4"}),
    ],
)
def test_ipv6_where_redirection_and_host_have_it(mode: str, ipv6: bool, families: set[str]) -> None:
    metadata = replace(world.METADATA, ipv6_enabled=ipv6)
    names = passing(units_of(redirected(ipFamilyMode=mode), metadata=metadata))
    assert {name.rpartition(":")[2] for kind in names.values() for name in kind} == families


def test_a_mesh_without_passthrough_takes_away_the_outbound_clusters_only() -> None:
    units = passing(units_of(redirected(), world.mesh(**CLOSED)))
    assert units[CLUSTER] == {"inbound:passthrough:ipv4", "inbound:passthrough:ipv6"}
    assert units[LISTENER] == FOUR


def test_inbound_only_where_it_is_redirected() -> None:
    units = passing(units_of(redirected(redirectPortInbound=0)))
    assert units[LISTENER] == {"outbound:passthrough:ipv4", "outbound:passthrough:ipv6"}
    assert passing(units_of(redirected(redirectPortOutbound=0))) == {CLUSTER: set(), LISTENER: set()}


def test_a_proxy_that_binds_its_outbounds_has_no_redirection() -> None:
    metadata = replace(world.METADATA, features=world.METADATA.features | {"feature-bind-outbounds"})
    units = units_of(redirected(), metadata=metadata)
    assert passing(units) == {CLUSTER: set(), LISTENER: set()}
    assert all(getattr(unit, "bind", True) for unit in units.values())


TWO_PORTS = [world.inbound("web"), world.inbound("none", port=49151), world.inbound("admin", port=8081)]


@pytest.mark.parametrize(
    ("mesh", "features", "inbounds", "ports"),
    [
        (STRICT, {"feature-strict-inbound-ports"}, TWO_PORTS, (8080, 8081, 49151)),
        (STRICT, set(), TWO_PORTS, ()),
        (STRICT, {"feature-strict-inbound-ports"}, [], ()),
        (world.mesh(mode="PERMISSIVE"), {"feature-strict-inbound-ports"}, TWO_PORTS, ()),
        (world.mesh(), {"feature-strict-inbound-ports"}, TWO_PORTS, ()),
    ],
)
def test_inbound_ports_are_strict_in_strict_meshes_for_proxies_that_say_so(
    mesh: Resource, features: set[str], inbounds: list[dict[str, Any]], ports: tuple[int, ...]
) -> None:
    metadata = replace(world.METADATA, features=frozenset(features))
    units = units_of(redirected(inbounds), mesh, metadata=metadata)
    for name in ("inbound:passthrough:ipv4", "inbound:passthrough:ipv6"):
        listener = units[LISTENER, name]
        assert isinstance(listener, PassthroughListener)
        assert listener.ports == ports
    outbound = units[LISTENER, "outbound:passthrough:ipv4"]
    assert isinstance(outbound, PassthroughListener)
    assert outbound.ports == ()


@pytest.mark.parametrize(
    "service", ["outbound:passthrough:ipv4", "inbound:x", "self_transparentproxy_no_destination_inbound"]
)
def test_a_service_named_like_one_of_these_clusters_is_left_out(service: str) -> None:
    web = world.dataplane("web", outbounds={20000: service})
    view = View("east").mesh("default")
    assert sidecar.plan(view, web, world.METADATA, world.permission).destinations == frozenset()
