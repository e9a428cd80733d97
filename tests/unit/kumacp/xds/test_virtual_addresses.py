"""The virtual addresses of a mesh as outbounds and names of its proxies (contract 4.1, 4.3, 5.3, 6.1)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

import hub_world as world
from kumacp.store.api import Change, Operation
from kumacp.vips.entry import Kind, VipEntry
from kumacp.vips.names import VipSettings
from kumacp.xds.hub import Hub
from kumacp.xds.model import OutboundListener, ProxyMetadata, Redirection, UnitInput
from kumacp.xds.name_table import DnsListener, DynamicConfig
from kumacp.xds.proxy import Touched
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, XdsResource

BACKEND = world.service_vip("backend", "240.0.0.0")
REDIS = world.service_vip("redis_prod", "240.0.0.1", port=6379)
HTTPBIN = world.vip(Kind.HOST, "httpbin.example", "240.0.0.2", {443: "httpbin"})
CORP = world.vip(Kind.FQDN, "v1.corp", "240.0.0.3", {8443: {"kuma.io/service": "backend", "version": "v1"}})
ENTRIES = (BACKEND, REDIS, HTTPBIN, CORP)
EMBEDDED = world.answering(world.EMBEDDED)


def redirected(name: str = "web", **changes: Any) -> Resource:
    return world.dataplane(
        name, inbounds=[world.inbound(name)], transparentProxying={**world.REDIRECTED, **changes}
    )


class Site:
    """A hub with one connected proxy, and the inputs of all that was built."""

    def __init__(
        self,
        *resources: Resource,
        proxy: Resource | None = None,
        metadata: ProxyMetadata = EMBEDDED,
        settings: VipSettings | None = None,
        entries: Iterable[VipEntry] = ENTRIES,
    ) -> None:
        self.inputs: dict[str, UnitInput] = {}
        self.hub = Hub("east", self._build, world.permission, settings)
        self.writer = world.Writer()
        proxy = proxy or redirected()
        self.key = proxy.key
        self.put(proxy, world.vips(*entries), *resources)
        self.hub.connect(self.key, metadata)

    def put(self, *resources: Resource) -> Touched:
        return self.hub.apply([self.writer.put(resource) for resource in resources])

    def delete(self, key: ResourceKey) -> Touched:
        change = self.writer.delete(key)
        assert change is not None
        return self.hub.apply([change])

    def names(self, type_url: str, key: ResourceKey | None = None) -> set[str]:
        return set(self.hub.desired(key or self.key)[type_url])

    def outbounds(self) -> dict[str, OutboundListener]:
        return {
            name: input_
            for name, resource in self.hub.desired(self.key)[LISTENER].items()
            if isinstance(input_ := self.inputs[resource.version], OutboundListener)
        }

    def told(self) -> dict[str, list[str]]:
        """Names and addresses, by whatever way the proxy is told."""
        for resource in self.hub.desired(self.key)[LISTENER].values():
            input_ = self.inputs[resource.version]
            if isinstance(input_, DynamicConfig):
                return {one["name"]: one["ips"] for one in json.loads(input_.pages[0].text)["records"]}
            if isinstance(input_, DnsListener):
                return {record.name: list(record.ips) for record in input_.names.records}
        return {}

    def _build(self, input_: UnitInput) -> XdsResource:
        built = world.build(input_)
        self.inputs[built.version] = input_
        return built


def test_every_port_of_every_address_is_an_outbound_that_binds_no_port() -> None:
    made = Site()
    outbounds = made.outbounds()
    assert {name: (one.service, dict(one.tags)) for name, one in outbounds.items()} == {
        "outbound:240.0.0.0:80": ("backend", {"kuma.io/service": "backend"}),
        "outbound:240.0.0.1:80": ("redis_prod", {"kuma.io/service": "redis_prod"}),
        "outbound:240.0.0.1:6379": ("redis_prod", {"kuma.io/service": "redis_prod"}),
        "outbound:240.0.0.2:80": ("httpbin", {"kuma.io/service": "httpbin"}),
        "outbound:240.0.0.2:443": ("httpbin", {"kuma.io/service": "httpbin"}),
        "outbound:240.0.0.3:8443": ("backend", {"kuma.io/service": "backend", "version": "v1"}),
    }
    assert not any(one.bind for one in outbounds.values())
    destinations = {"backend", "redis_prod", "httpbin", outbounds["outbound:240.0.0.3:8443"].cluster}
    assert destinations <= made.names(CLUSTER)
    assert made.names(ENDPOINT) == destinations


@pytest.mark.parametrize(
    ("proxy", "metadata", "binds"),
    [
        (redirected(), EMBEDDED, False),
        (
            world.dataplane("web"),
            world.answering(world.IN_METADATA, redirection=Redirection(15001, 15006)),
            False,
        ),
        (world.dataplane("web"), world.answering(world.EMBEDDED, world.BIND), True),
        (redirected(), world.answering(world.EMBEDDED, world.BIND), True),
    ],
)
def test_redirected_are_connections_unless_the_addresses_are_bound(
    proxy: Resource, metadata: ProxyMetadata, binds: bool
) -> None:
    outbounds = Site(proxy=proxy, metadata=metadata).outbounds()
    assert len(outbounds) == 6
    assert {one.bind for one in outbounds.values()} == {binds}


def test_without_either_a_proxy_has_only_what_its_dataplane_declares() -> None:
    made = Site(proxy=world.dataplane("web", outbounds={20000: "backend"}))
    assert set(made.outbounds()) == {"outbound:127.0.0.1:20000"}
    assert made.told() == {}


def test_reachable_services_prune_outbounds_and_names_by_the_service_they_lead_to() -> None:
    made = Site(proxy=redirected(reachableServices=["backend", "httpbin"]))
    assert set(made.outbounds()) == {
        "outbound:240.0.0.0:80",
        "outbound:240.0.0.2:80",
        "outbound:240.0.0.2:443",
        "outbound:240.0.0.3:8443",
    }
    assert set(made.told()) == {"backend.mesh", "httpbin.example", "v1.corp"}
    made.put(redirected(reachableServices=["redis_prod"]))
    assert set(made.outbounds()) == {"outbound:240.0.0.1:80", "outbound:240.0.0.1:6379"}
    assert set(made.told()) == {"redis_prod.mesh", "redis.prod.mesh"}


def test_names_and_their_addresses() -> None:
    assert Site().told() == {
        "backend.mesh": ["240.0.0.0", "::ffff:f000:0"],
        "httpbin.example": ["240.0.0.2", "::ffff:f000:2"],
        "redis.prod.mesh": ["240.0.0.1", "::ffff:f000:1"],
        "redis_prod.mesh": ["240.0.0.1", "::ffff:f000:1"],
        "v1.corp": ["240.0.0.3", "::ffff:f000:3"],
    }


@pytest.mark.parametrize(
    ("proxy", "metadata"),
    [
        (redirected(ipFamilyMode="IPv4"), EMBEDDED),
        (redirected(), replace(EMBEDDED, ipv6_enabled=False)),
        (world.dataplane("web"), world.answering(world.EMBEDDED, world.BIND)),
    ],
)
def test_only_ipv4_where_ipv6_is_not_redirected(proxy: Resource, metadata: ProxyMetadata) -> None:
    settings = VipSettings(ipv6_cidr="fd00:fd00::/64")
    made = Site(proxy=proxy, metadata=metadata, settings=settings)
    assert made.told()["backend.mesh"] == ["240.0.0.0"]
    assert not [name for name in made.outbounds() if "[" in name]


def test_addresses_of_a_range_of_ipv6_have_listeners_of_their_own() -> None:
    made = Site(settings=VipSettings(ipv6_cidr="fd00:fd00::/64"), entries=[REDIS])
    assert made.told()["redis.prod.mesh"] == ["240.0.0.1", "fd00:fd00::1"]
    assert set(made.outbounds()) == {
        "outbound:240.0.0.1:80",
        "outbound:240.0.0.1:6379",
        "outbound:[fd00:fd00::1]:80",
        "outbound:[fd00:fd00::1]:6379",
    }
    made.put(world.vips())
    assert made.outbounds() == {}


@pytest.mark.parametrize("ipv6_cidr", ["", "fd00:fd00::/64"])
def test_a_host_that_is_an_address_has_an_outbound_and_no_name(ipv6_cidr: str) -> None:
    entry = world.vip(Kind.HOST, "192.0.2.7", "192.0.2.7", {5432: "postgres"})
    made = Site(entries=[entry], settings=VipSettings(ipv6_cidr=ipv6_cidr))
    assert set(made.outbounds()) == {"outbound:192.0.2.7:5432"}
    assert made.told() == {}


def test_the_dynamic_configuration_carries_the_document_and_its_hash() -> None:
    made = Site(entries=[BACKEND])
    resource = made.hub.desired(made.key)[LISTENER]["_kuma:dynamicconfig"]
    unit = made.inputs[resource.version]
    assert isinstance(unit, DynamicConfig)
    assert unit.pipe == "/run/kuma/kuma-mesh-metric-config.sock"
    (page,) = unit.pages
    assert page.path == "/dns"
    assert page.text == '{"records":[{"name":"backend.mesh","ips":["240.0.0.0","::ffff:f000:0"]}],"ttl":30}'
    assert page.etag == hashlib.sha256(page.text.encode()).hexdigest()


def test_another_domain_is_told_too() -> None:
    made = Site(settings=VipSettings(domain="corp.internal"), entries=[BACKEND])
    resource = made.hub.desired(made.key)[LISTENER]["_kuma:dynamicconfig"]
    unit = made.inputs[resource.version]
    assert isinstance(unit, DynamicConfig)
    document = json.loads(unit.pages[0].text)
    assert document["domains"] == ["corp.internal", "mesh.local"]
    assert [one["name"] for one in document["records"]] == ["backend.corp.internal"]


@pytest.mark.parametrize(
    ("proxy", "metadata", "listeners"),
    [
        (redirected(), EMBEDDED, {"_kuma:dynamicconfig"}),
        (redirected(), world.answering(), {"kuma:dns"}),
        (redirected(), world.METADATA, set()),
        (redirected(), replace(EMBEDDED, dns_port=0), set()),
        (redirected(), replace(EMBEDDED, workdir=""), set()),
        (world.dataplane("web"), EMBEDDED, set()),
        (world.dataplane("web"), world.answering(world.EMBEDDED, world.BIND), {"_kuma:dynamicconfig"}),
        (world.dataplane("web"), world.answering(world.BIND), set()),
    ],
)
def test_who_is_told_names_and_how(proxy: Resource, metadata: ProxyMetadata, listeners: set[str]) -> None:
    for entries in (ENTRIES, ()):
        made = Site(proxy=proxy, metadata=metadata, entries=entries)
        assert made.names(LISTENER) & {"_kuma:dynamicconfig", "kuma:dns"} == listeners


def test_a_new_address_touches_what_is_new_and_the_names() -> None:
    made = Site(entries=[BACKEND])
    assert made.put(world.vips(BACKEND, REDIS)) == {
        made.key: {
            CLUSTER: frozenset({"redis_prod"}),
            ENDPOINT: frozenset({"redis_prod"}),
            LISTENER: frozenset({"outbound:240.0.0.1:80", "outbound:240.0.0.1:6379", "_kuma:dynamicconfig"}),
        }
    }
    built = made.hub.counters.built
    assert made.put(world.vips(REDIS, BACKEND)) == {}
    assert made.hub.counters.built == built


def test_what_all_proxies_see_is_held_once() -> None:
    made = Site(redirected("other"), *(redirected(f"p{number}") for number in range(8)))
    other = world.key("other")
    made.hub.connect(other, replace(EMBEDDED, workdir="/run/other"))
    held, built = made.hub.counters.held, made.hub.counters.built
    for number in range(8):
        made.hub.connect(world.key(f"p{number}"), replace(EMBEDDED, workdir=f"/run/{number}"))
    # Each has an inbound of its own service, the tags of it, and two sockets of its own agent.
    assert made.hub.counters.held - held == made.hub.counters.built - built == 4 * 8
    mine, others = made.hub.desired(made.key)[LISTENER], made.hub.desired(other)[LISTENER]
    shared = {name for name in mine if name.startswith("outbound:240")}
    assert len(shared) == 6
    assert all(mine[name] is others[name] for name in shared)


def test_the_last_service_facts_stay_while_an_address_leads_to_it() -> None:
    backend = world.dataplane("b1", address="10.0.1.1", inbounds=[world.inbound("backend")])
    made = Site(backend, entries=[BACKEND])
    assert made.outbounds()["outbound:240.0.0.0:80"].protocol == "http"
    assert made.delete(backend.key) == {made.key: {ENDPOINT: frozenset({"backend"})}}
    assert made.outbounds()["outbound:240.0.0.0:80"].protocol == "http"


def test_a_document_that_cannot_be_read_changes_nothing_and_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Site()
    caplog.set_level(logging.INFO)
    before = set(made.outbounds())
    for _ in range(2):
        assert made.put(world.vips(text="{")) == {}
    assert set(made.outbounds()) == before
    (line,) = caplog.messages
    assert line.startswith("the virtual addresses of a mesh cannot be read, proxies keep those ")
    assert made.put(world.vips(*ENTRIES)) == {}
    assert caplog.messages[1:] == ["the virtual addresses of a mesh can be read again"]


def test_without_a_document_there_are_no_addresses_any_more() -> None:
    made = Site()
    made.delete(world.vips().key)
    assert made.outbounds() == {}
    assert made.names(ENDPOINT) == set()
    assert made.told() == {}


def test_of_two_entries_with_one_address_and_port_the_first_has_it() -> None:
    twice = world.service_vip("zzz", "240.0.0.0")
    made = Site(entries=[twice, BACKEND])
    assert made.outbounds()["outbound:240.0.0.0:80"].service == "backend"
    made.put(world.vips(twice))
    assert made.outbounds()["outbound:240.0.0.0:80"].service == "zzz"


@pytest.mark.parametrize("service", ["kuma:envoy:admin", "direct_access", "direct_access:plain", "inbound:x"])
def test_a_service_named_like_a_cluster_of_the_proxy_is_left_out(service: str) -> None:
    assert Site(entries=[world.service_vip(service, "240.0.0.9")]).outbounds() == {}


def test_a_proxy_whose_dataplane_is_gone_keeps_what_it_saw() -> None:
    made = Site(entries=[BACKEND])
    before = {name: dict(of) for name, of in made.hub.desired(made.key).items()}
    proxy = made.writer.resources[made.key]
    made.delete(made.key)
    assert made.put(world.vips(REDIS)) == {}
    assert {name: dict(of) for name, of in made.hub.desired(made.key).items()} == before
    made.put(proxy)
    assert set(made.outbounds()) == {"outbound:240.0.0.1:80", "outbound:240.0.0.1:6379"}


def test_a_preview_is_kept_by_nobody() -> None:
    made = Site(redirected("other"))
    held = made.hub.counters.held
    previewed = made.hub.preview(made.key)
    assert set(previewed[LISTENER]) == made.names(LISTENER)
    assert made.hub.counters.held == held
    made.hub.disconnect(made.key)
    assert made.hub.counters.held == 0
    assert "outbound:passthrough:ipv4" in made.hub.preview(world.key("other"))[LISTENER]
    assert made.hub.counters.held == 0


def test_meshes_have_addresses_of_their_own() -> None:
    made = Site()
    assert made.put(world.vips(REDIS, mesh="other")) == {}
    assert len(made.outbounds()) == 6


def test_a_change_of_another_config_is_nobodys() -> None:
    made = Site()
    other = Resource(ResourceKey("Config", "", "cluster-id"), world.vips().spec)
    assert made.hub.apply([Change(Operation.CREATE, other.key, None, other)]) == {}
