"""Workloads that call instances at their own addresses (contract 5.1, kuma-cp 3.1)."""

from __future__ import annotations

from typing import Any

import pytest

import hub_world as world
from kumacp.vips.entry import Kind
from kumacp.xds.direct import DirectAccessCluster, DirectAccessListener
from kumacp.xds.hub import Hub
from kumacp.xds.model import ProxyMetadata, Redirection, UnitInput
from kumacp.xds.proxy import Touched
from kumamesh.resource import Resource
from kumamesh.xds import CLUSTER, LISTENER, XdsResource

WEB = world.key("web")
STRICT, PERMISSIVE = world.mesh(mode="STRICT"), world.mesh(mode="PERMISSIVE")


def web(*services: str, **networking: Any) -> Resource:
    proxying = {**world.REDIRECTED, "directAccessServices": list(services)}
    return world.dataplane(
        "web",
        address="10.0.0.1",
        inbounds=[world.inbound("web")],
        **{"transparentProxying": proxying, **networking},
    )


def instance(service: str, address: str, port: int = 8080, **more: Any) -> Resource:
    return world.dataplane(
        f"at-{address}-{port}", address=address, inbounds=[world.inbound(service, port=port, **more)]
    )


BACKEND = instance("backend", "10.0.1.1")
REDIS = instance("redis", "10.0.2.1", 6379)


class Site:
    def __init__(self, *resources: Resource, metadata: ProxyMetadata = world.METADATA) -> None:
        self.inputs: dict[str, UnitInput] = {}
        self.hub = Hub("east", self._build, world.permission)
        self.writer = world.Writer()
        self.put(*resources)
        self.hub.connect(WEB, metadata)

    def put(self, *resources: Resource) -> Touched:
        return self.hub.apply([self.writer.put(resource) for resource in resources])

    def delete(self, resource: Resource) -> Touched:
        change = self.writer.delete(resource.key)
        assert change is not None
        return self.hub.apply([change])

    def ways(self) -> dict[str, str]:
        """Clusters of direct listeners, by address."""
        found = {}
        for resource in self.hub.desired(WEB)[LISTENER].values():
            unit = self.inputs[resource.version]
            if isinstance(unit, DirectAccessListener):
                assert unit.name == f"direct_access_{unit.address}:{unit.port}" or ":" in unit.address
                found[f"{unit.address} {unit.port}"] = unit.cluster
        return found

    def clusters(self) -> set[UnitInput]:
        units = (self.inputs[resource.version] for resource in self.hub.desired(WEB)[CLUSTER].values())
        return {unit for unit in units if isinstance(unit, DirectAccessCluster)}

    def _build(self, input_: UnitInput) -> XdsResource:
        built = world.build(input_)
        self.inputs[built.version] = input_
        return built


def test_instances_of_the_named_services_or_of_all_but_never_the_proxys_own() -> None:
    assert Site(web("redis"), BACKEND, REDIS).ways() == {"10.0.2.1 6379": "direct_access"}
    everything = {"10.0.1.1 8080": "direct_access", "10.0.2.1 6379": "direct_access"}
    for services in (["*"], ["*", "redis"], ["backend", "redis", "web"]):
        assert Site(web(*services), BACKEND, REDIS).ways() == everything


def test_instances_that_are_not_ready_are_called_when_somebody_calls_them() -> None:
    made = Site(
        web("*"),
        instance("backend", "10.0.1.1", state="NotReady"),
        instance("backend", "10.0.1.2", state="Ignored"),
        instance("backend", "10.0.1.3", 49151),
    )
    assert set(made.ways()) == {"10.0.1.1 8080"}


@pytest.mark.parametrize(
    ("proxy", "metadata"),
    [
        (web(), world.METADATA),
        (web("*"), world.answering(world.BIND)),
        (web("*"), world.answering(world.IN_METADATA, redirection=Redirection(0))),
        (web("*", transparentProxying={"directAccessServices": ["*"]}), world.METADATA),
    ],
)
def test_nothing_for_those_that_did_not_ask_or_are_not_redirected(
    proxy: Resource, metadata: ProxyMetadata
) -> None:
    made = Site(proxy, BACKEND, STRICT, metadata=metadata)
    assert (made.ways(), made.clusters()) == ({}, set())


def test_redirection_may_be_said_by_the_proxy_itself() -> None:
    metadata = world.answering(world.IN_METADATA, redirection=Redirection(15001, 15006, ipv6=False))
    proxy = web("*", transparentProxying={"directAccessServices": ["*"]})
    made = Site(proxy, BACKEND, instance("backend", "fd00::1"), metadata=metadata)
    assert set(made.ways()) == {"10.0.1.1 8080"}


def test_addresses_of_ipv6_and_names_that_no_listener_can_have() -> None:
    made = Site(web("*"), instance("backend", "fd00::1"), instance("backend", "b.example"))
    assert set(made.ways()) == {"fd00::1 8080"}


def test_with_mtls_of_the_mesh_and_without() -> None:
    made = Site(web("*"), BACKEND, REDIS)
    assert made.clusters() == {DirectAccessCluster("direct_access", "")}
    made.put(STRICT)
    assert made.clusters() == {DirectAccessCluster("direct_access", "default")}
    assert set(made.ways().values()) == {"direct_access"}


def test_in_permissive_a_service_that_is_not_ready_for_tls_is_called_in_plain_text() -> None:
    made = Site(web("*"), BACKEND, REDIS, PERMISSIVE, world.insight(BACKEND.name, "ca-1"))
    assert made.clusters() == {
        DirectAccessCluster("direct_access", "default"),
        DirectAccessCluster("direct_access:plain", ""),
    }
    assert made.ways() == {"10.0.1.1 8080": "direct_access", "10.0.2.1 6379": "direct_access:plain"}
    touched = made.put(world.insight(REDIS.name, "ca-1"))
    assert touched == {WEB: {LISTENER: frozenset({"direct_access_10.0.2.1:6379"})}}
    assert made.ways()["10.0.2.1 6379"] == "direct_access"


def test_an_instance_that_comes_moves_or_goes_changes_its_listener_only() -> None:
    made = Site(web("*"), BACKEND, STRICT)
    assert made.put(REDIS) == {WEB: {LISTENER: frozenset({"direct_access_10.0.2.1:6379"})}}
    moved = world.dataplane(REDIS.name, address="10.0.2.9", inbounds=[world.inbound("redis", port=6379)])
    both = frozenset({"direct_access_10.0.2.1:6379", "direct_access_10.0.2.9:6379"})
    assert made.put(moved) == {WEB: {LISTENER: both}}
    built = made.hub.counters.built
    assert made.put(instance("backend", "10.0.1.1", state="NotReady")) == {}
    assert made.hub.counters.built == built
    assert made.delete(moved) == {WEB: {LISTENER: frozenset({"direct_access_10.0.2.9:6379"})}}


def test_instances_of_services_that_nobody_asked_for_touch_nobody() -> None:
    made = Site(web("backend"), BACKEND)
    assert made.put(REDIS) == {}


def test_an_address_that_is_an_outbound_already_stays_one() -> None:
    entry = world.vip(Kind.HOST, "10.0.1.1", "10.0.1.1", {8080: "backend"})
    made = Site(web("*"), BACKEND, world.vips(entry))
    assert made.ways() == {}
    assert made.put(world.vips())[WEB][LISTENER] == {
        "outbound:10.0.1.1:8080",
        "direct_access_10.0.1.1:8080",
    }
    assert set(made.ways()) == {"10.0.1.1 8080"}


def test_two_that_say_they_are_at_one_address_count_until_both_are_gone() -> None:
    twin = world.dataplane("twin", address="10.0.1.1", inbounds=[world.inbound("backend")])
    made = Site(web("backend"), BACKEND, twin)
    assert made.delete(twin) == {}
    assert made.delete(BACKEND) == {WEB: {LISTENER: frozenset({"direct_access_10.0.1.1:8080"})}}


def test_a_proxy_without_a_dataplane_keeps_its_ways_and_one_that_left_is_forgotten() -> None:
    made = Site(web("*"), BACKEND)
    made.delete(web("*"))
    assert made.put(REDIS) == {}
    assert set(made.ways()) == {"10.0.1.1 8080"}
    made.put(web("*"))
    assert set(made.ways()) == {"10.0.1.1 8080", "10.0.2.1 6379"}
    made.hub.disconnect(WEB)
    assert made.put(instance("backend", "10.0.1.2")) == {}
    assert made.hub.counters.held == 0
