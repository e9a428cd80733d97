"""Proxies to which the host redirects connections (contract 5.3)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hub_world as world
from kumacp.store.api import Change, Operation
from kumacp.xds import sidecar
from kumacp.xds.model import (
    InboundListener,
    LocalCluster,
    OutboundListener,
    ProxyMetadata,
    Redirection,
    UnitInput,
)
from kumacp.xds.outside import NoDestinationCluster, PassthroughCluster, PassthroughListener
from kumacp.xds.transparent import IN_METADATA, parse_redirection, redirection, workload_source
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
    # What the Dataplane declares is not for it: it has the virtual addresses of its mesh.
    others = [unit for unit in units.values() if isinstance(unit, InboundListener | OutboundListener)]
    assert [(unit.name, unit.bind) for unit in others] == [("inbound:10.0.0.1:8080", False)]
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


def test_an_inbound_that_nobody_redirects_to_opens_its_port() -> None:
    for proxying in ({"redirectPortInbound": 0}, {"redirectPortOutbound": 0}):
        listener = units_of(redirected(**proxying))[LISTENER, "inbound:10.0.0.1:8080"]
        assert isinstance(listener, InboundListener)
        assert listener.bind


METADATA_SAYS = replace(
    world.METADATA,
    features=world.METADATA.features | {IN_METADATA},
    redirection=Redirection(16001, 16006, ipv6=False),
)


def test_what_the_proxy_says_of_itself_wins_over_its_dataplane() -> None:
    for dataplane in (world.dataplane("web", address="10.0.0.1"), redirected()):
        units = units_of(dataplane, metadata=METADATA_SAYS)
        passing_through = [unit for unit in units.values() if isinstance(unit, PassthroughListener)]
        assert {(unit.name, unit.port) for unit in passing_through} == {
            ("outbound:passthrough:ipv4", 16001),
            ("inbound:passthrough:ipv4", 16006),
        }
    off = replace(METADATA_SAYS, redirection=Redirection(0))
    assert passing(units_of(redirected(), metadata=off)) == {CLUSTER: set(), LISTENER: set()}


def test_without_the_feature_or_with_nothing_said_the_dataplane_decides() -> None:
    for metadata in (
        replace(METADATA_SAYS, features=world.METADATA.features),
        replace(METADATA_SAYS, redirection=None),
    ):
        assert passing(units_of(redirected(), metadata=metadata))[LISTENER] == FOUR


def test_redirection_of_ipv4_alone_is_none_for_a_proxy_at_an_ipv6_address() -> None:
    web = world.dataplane("web", address="fd00::1")
    assert redirection(web.spec, METADATA_SAYS) is None
    assert redirection(web.spec, replace(METADATA_SAYS, redirection=Redirection(16001, 16006))) is not None


def flow(*, enabled: Any = True, port: Any = 15001) -> dict[str, Any]:
    return {"enabled": enabled, "port": port}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, Redirection(15001, 15006)),
        ({}, Redirection(15001, 15006)),
        ({"redirect": {}}, Redirection(0, 0)),
        (
            # As it travels: numbers are floats.
            {
                "ipFamilyMode": "ipv4",
                "redirect": {"outbound": flow(port=16001.0), "inbound": flow(port=16006.0)},
            },
            Redirection(16001, 16006, ipv6=False),
        ),
        (
            {"redirect": {"outbound": flow(), "inbound": flow(enabled=False, port=0), "dns": flow(port=0)}},
            Redirection(15001, 0),
        ),
        ({"ipFamilyMode": None, "redirect": {"outbound": {"enabled": None}}}, Redirection(0, 0)),
    ],
)
def test_what_a_proxy_says_of_its_redirection(said: Any, expected: Redirection) -> None:
    assert parse_redirection(said) == expected


MALFORMED = [
    ([], "dataplaneConfig: must be an object"),
    ("on", "dataplaneConfig: must be an object"),
    ({"ipFamilyMode": "ipv6"}, "dataplaneConfig.ipFamilyMode: must be dualstack or ipv4"),
    ({"ipFamilyMode": ["ipv4"]}, "dataplaneConfig.ipFamilyMode: must be dualstack or ipv4"),
    ({"redirect": 7}, "dataplaneConfig.redirect: must be an object"),
    ({"redirect": {"inbound": True}}, "dataplaneConfig.redirect.inbound: must be an object"),
    (
        {"redirect": {"outbound": flow(enabled="yes")}},
        "dataplaneConfig.redirect.outbound.enabled: must be true or false",
    ),
    *(
        ({"redirect": {way: flow(port=port)}}, f"dataplaneConfig.redirect.{way}.port: must be a whole number")
        for way, port in [("outbound", "15001"), ("inbound", 1.5), ("dns", float("nan")), ("outbound", True)]
    ),
    *(
        (
            {"redirect": {"outbound": flow(port=port)}},
            "dataplaneConfig.redirect.outbound.port: must be in the range [1, 65535]",
        )
        for port in (0, -1, 65536)
    ),
    (
        {"redirect": {"outbound": flow(), "inbound": flow()}},
        "dataplaneConfig.redirect.inbound.port: must differ from that of outbound",
    ),
]


@pytest.mark.parametrize(("said", "text"), MALFORMED)
def test_what_cannot_be_meant_is_refused_with_its_place(said: Any, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_redirection(said)
    assert str(caught.value) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["ipFamilyMode", "redirect", "inbound", "outbound", "dns", "enabled", "port"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_nothing_that_is_said_breaks_anything(said: Any) -> None:
    with contextlib.suppress(ValueError):
        found = parse_redirection(said)
        assert {type(found.inbound), type(found.outbound)} == {int}
        assert 0 <= found.inbound <= 65535
        assert 0 <= found.outbound <= 65535


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
