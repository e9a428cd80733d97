"""Services outside the mesh: what of them reaches proxies, what a change of them costs, and what is kept."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import hub_world as world
from kumacp.store.api import Change, Operation
from kumacp.xds import sidecar
from kumacp.xds.destinations import external_cluster
from kumacp.xds.external import Unusable, external_endpoint
from kumacp.xds.hub import Hub
from kumacp.xds.model import Endpoint, OutboundListener, ProxyMetadata, UnitInput
from kumacp.xds.outbounds import outbound_units
from kumacp.xds.outside import ExternalCluster, ExternalEndpoint, ExternalTls
from kumacp.xds.proxy import Touched
from kumacp.xds.view import MeshView, View
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, XdsResource
from mesh_pki import Pki

PKI, OTHER = Pki.create("one"), Pki.create("two")
CERTIFICATE, KEY = PKI.identity("web")
ENCRYPTED = load_pem_private_key(KEY, None).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
)
SECRETS = {
    "ca": PKI.ca,
    "cert": CERTIFICATE,
    "key": KEY,
    "other-key": OTHER.identity("web")[1],
    "encrypted": ENCRYPTED,
    "text": b"hello",
}
NAME_TAG = "kuma.io/external-service-name"
MUTUAL = {
    "caCert": {"secret": "ca"},
    "clientCert": {"secret": "cert"},
    "clientKey": {"secret": "key"},
}
WEB = world.key("web")


def tls_of(tls: dict[str, Any], address: str = "httpbin.example:443") -> ExternalTls | None:
    spec = world.external_service("x", "httpbin", address, tls=tls).spec
    return external_endpoint("x", spec, SECRETS).tls


@pytest.mark.parametrize(
    ("address", "tls", "expected"),
    [
        ("httpbin.example:443", {}, ExternalTls("httpbin.example", "httpbin.example")),
        ("192.0.2.1:443", {}, ExternalTls("", "192.0.2.1")),
        ("[2001:db8::1]:443", {}, ExternalTls("", "2001:db8::1")),
        ("[2001:DB8:0::1]:443", {}, ExternalTls("", "2001:db8::1")),
        ("192.0.2.1:443", {"serverName": "a.example"}, ExternalTls("a.example", "a.example")),
        ("a.example:443", {"serverName": "b.example"}, ExternalTls("b.example", "b.example")),
        ("a.example:443", {"skipHostnameVerification": True}, ExternalTls("a.example", "")),
        ("a.example:443", {"skipHostnameVerification": False}, ExternalTls("a.example", "a.example")),
        (
            "a.example:443",
            {"allowRenegotiation": True},
            ExternalTls("a.example", "a.example", allow_renegotiation=True),
        ),
        ("a.example:443", MUTUAL, ExternalTls("a.example", "a.example", PKI.ca, CERTIFICATE, KEY)),
        (
            "a.example:443",
            {"caCert": {"inlineString": PKI.ca.decode()}},
            ExternalTls("a.example", "a.example", PKI.ca),
        ),
        ("a.example:443", {"clientCert": {"secret": "cert"}}, ExternalTls("a.example", "a.example")),
        ("a.example:443", {"clientKey": {"secret": "key"}}, ExternalTls("a.example", "a.example")),
        ("a.example:443", {"enabled": False, "caCert": {"secret": "gone"}}, None),
    ],
)
def test_tls_of_an_external_service(address: str, tls: dict[str, Any], expected: ExternalTls | None) -> None:
    assert tls_of(tls, address) == expected


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        (
            {"caCert": {"secret": "gone"}},
            'networking.tls.caCert names the Secret "gone", which the mesh does not have',
        ),
        ({"caCert": {"secret": "text"}}, "networking.tls.caCert is not a certificate in PEM form"),
        (
            {**MUTUAL, "clientCert": {"secret": "text"}},
            "networking.tls.clientCert is not a certificate in PEM form",
        ),
        (
            {**MUTUAL, "clientKey": {"secret": "cert"}},
            "networking.tls.clientKey is not an unencrypted RSA or EC key in PEM form",
        ),
        (
            {"clientKey": {"secret": "encrypted"}},
            "networking.tls.clientKey is not an unencrypted RSA or EC key in PEM form",
        ),
        (
            {**MUTUAL, "clientKey": {"secret": "other-key"}},
            "networking.tls.clientKey does not belong to networking.tls.clientCert",
        ),
    ],
)
def test_why_an_external_service_cannot_be_used(tls: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        tls_of(tls)
    assert str(caught.value) == reason


def test_the_endpoint_has_the_tags_and_with_tls_one_that_no_other_has() -> None:
    tags = {"kuma.io/zone": "west", "version": "v1"}
    plain = world.external_service("x", "httpbin", "192.0.2.1:80", tags=tags)
    assert external_endpoint("x", plain.spec, {}) == ExternalEndpoint(
        Endpoint("192.0.2.1", 80, tags=(("kuma.io/zone", "west"), ("version", "v1")), zone="west")
    )
    secured = external_endpoint("x", world.external_service("x", "httpbin", tls={}).spec, {})
    assert secured.at.tags == ((NAME_TAG, "x"),)


def test_a_private_key_is_in_no_text() -> None:
    tls = tls_of(MUTUAL)
    assert tls is not None
    cluster = ExternalCluster("s", "tcp", (ExternalEndpoint(Endpoint("a", 1), tls),))
    assert KEY.decode()[40:60] not in repr(cluster)


# What a plan makes of them.


def view_of(*resources: Resource) -> MeshView:
    view = View("east")
    view.apply(Change(Operation.CREATE, resource.key, None, resource) for resource in resources)
    return view.mesh("default")


def cluster_of(
    *resources: Resource, metadata: ProxyMetadata = world.METADATA, address: str = "10.0.0.1"
) -> ExternalCluster:
    web = world.dataplane("web", address=address, outbounds={20000: "httpbin"})
    view = view_of(web, *resources)
    (destination,) = sidecar.plan(view, web, metadata, world.permission).destinations
    return external_cluster(view, destination)


def test_several_external_services_of_one_service_are_its_endpoints() -> None:
    cluster = cluster_of(
        world.external_service("b", "httpbin", "b.example:80", protocol="http"),
        world.external_service("a", "httpbin", "192.0.2.1:443", protocol="grpc", tls={}),
        world.external_service("c", "other"),
    )
    assert (cluster.service, cluster.protocol) == ("httpbin", "http")
    assert [endpoint.at.address for endpoint in cluster.endpoints] == ["192.0.2.1", "b.example"]


def test_mtls_of_the_mesh_is_not_for_them_and_their_listener_tells_no_tags() -> None:
    web = world.dataplane("web", inbounds=[world.inbound("web")], outbounds={20000: "httpbin"})
    view = view_of(web, world.mesh(mode="STRICT"), world.external_service("a", "httpbin", protocol="http"))
    assert view.facts("httpbin").tls is False
    (listener,) = outbound_units(view, web, world.METADATA).values()
    assert isinstance(listener, OutboundListener)
    assert (listener.protocol, listener.external) == ("http", True)


@pytest.mark.parametrize(
    ("tls", "expected"),
    [(None, ""), ({"caCert": {"inlineString": PKI.ca.decode()}}, ""), ({}, "/host/ca.pem")],
)
def test_what_the_host_trusts_counts_only_where_the_resource_names_no_authority(
    tls: dict[str, Any] | None, expected: str
) -> None:
    metadata = replace(world.METADATA, system_ca="/host/ca.pem")
    service = world.external_service("a", "httpbin", tls=tls)
    assert cluster_of(service, metadata=metadata).system_ca == expected


@pytest.mark.parametrize(
    ("address", "of_proxy", "ipv6"),
    [
        ("a.example:80", "10.0.0.1", False),
        ("a.example:80", "fd00::1", True),
        ("192.0.2.1:80", "fd00::1", False),
    ],
)
def test_names_are_resolved_to_ipv6_for_proxies_that_have_it(address: str, of_proxy: str, ipv6: bool) -> None:
    assert cluster_of(world.external_service("a", "httpbin", address), address=of_proxy).ipv6 is ipv6


@pytest.mark.parametrize(
    ("zone", "local_first", "priority"),
    [("west", True, 1), ("east", True, 0), ("", True, 0), ("west", False, 0)],
)
def test_locality_is_as_in_the_mesh(zone: str, local_first: bool, priority: int) -> None:
    service = world.external_service("a", "httpbin", tags={"kuma.io/zone": zone} if zone else {})
    mesh = world.mesh(routing={"localityAwareLoadBalancing": local_first})
    (endpoint,) = cluster_of(service, mesh).endpoints
    assert (endpoint.at.zone, endpoint.at.priority) == (zone, priority)


def test_an_outbound_with_further_tags_leads_to_those_that_have_them() -> None:
    web = world.dataplane("web", outbounds={20000: {"kuma.io/service": "httpbin", "version": "v1"}})
    view = view_of(
        web,
        world.external_service("a", "httpbin", tags={"version": "v1"}),
        world.external_service("b", "httpbin", tags={"version": "v2"}),
    )
    (destination,) = sidecar.plan(view, web, world.METADATA, world.permission).destinations
    cluster = external_cluster(view, destination)
    assert [dict(one.at.tags) for one in cluster.endpoints] == [{"version": "v1"}]
    assert cluster.name == destination.cluster != "httpbin"


# What changes of them cost.


class Site:
    """A hub with the proxy `web`, which calls `httpbin`, and `idle`, which calls `other`."""

    def __init__(self, *resources: Resource) -> None:
        self.built: list[UnitInput] = []
        self.hub = Hub("east", self._build, world.permission)
        self.writer = world.Writer()
        self.put(
            world.mesh(),
            world.dataplane("web", outbounds={20000: "httpbin"}),
            world.dataplane("idle", address="10.0.0.2", outbounds={20000: "other"}),
            *resources,
        )
        for name in ("web", "idle"):
            self.hub.connect(world.key(name), world.METADATA)

    def put(self, *resources: Resource) -> Touched:
        self.built = []
        return self.hub.apply([self.writer.put(resource) for resource in resources])

    def delete(self, type_: str, name: str) -> Touched:
        change = self.writer.delete(ResourceKey(type_, "default", name))
        assert change is not None
        return self.hub.apply([change])

    def cluster(self) -> str:
        return self.hub.desired(WEB)[CLUSTER]["httpbin"].body.decode()

    def _build(self, input_: UnitInput) -> XdsResource:
        self.built.append(input_)
        return world.build(input_)


ONLY_THE_CLUSTER = {WEB: {CLUSTER: frozenset({"httpbin"})}}


def test_a_change_touches_the_cluster_of_its_subscribers_only() -> None:
    site = Site(world.external_service("x", "httpbin"))
    assert site.put(world.external_service("x", "httpbin", "other.example:443")) == ONLY_THE_CLUSTER
    assert [(one.type_url, one.name) for one in site.built] == [(CLUSTER, "httpbin")]
    assert site.put(world.external_service("unused", "unused")) == {}
    assert site.built == []


def test_a_change_of_a_secret_rebuilds_the_clusters_that_need_it_only() -> None:
    site = Site(
        world.secret("ca", PKI.ca),
        world.external_service("x", "httpbin", tls={"caCert": {"secret": "ca"}}),
        world.external_service("y", "other", tls={}),
    )
    assert site.put(world.secret("ca", OTHER.ca)) == ONLY_THE_CLUSTER
    assert [(one.type_url, one.name) for one in site.built] == [(CLUSTER, "httpbin")]
    assert site.put(world.secret("unrelated", OTHER.ca)) == {}


def test_a_missing_secret_keeps_what_was_there_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = Site(
        world.secret("ca", PKI.ca), world.external_service("x", "httpbin", tls={"caCert": {"secret": "ca"}})
    )
    before = site.cluster()
    assert site.delete("Secret", "ca") == {}
    assert site.put(world.external_service("x", "httpbin", "new.example:443", tls=MUTUAL)) == {}
    assert site.cluster() == before
    key = ResourceKey("ExternalService", "default", "x")
    assert site.hub.faults == {
        key: 'networking.tls.caCert names the Secret "ca", which the mesh does not have'
    }
    (told,) = caplog.records
    assert (told.levelname, told.__dict__["external_service"]) == ("WARNING", "x")
    site.put(world.secret("ca", OTHER.ca), world.secret("cert", CERTIFICATE), world.secret("key", KEY))
    assert "new.example" in site.cluster()
    assert site.hub.faults == {}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_thousands_that_one_secret_makes_unusable_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub("default", world.build, world.permission)
    tls = {"caCert": {"secret": "ca"}}
    hub.load([world.external_service(f"x-{n}", "httpbin", "a.example:443", tls=tls) for n in range(1_000)])
    assert len(hub.faults) == 1_000
    assert len(caplog.records) == 21
    assert caplog.records[0].getMessage().startswith("980 further ExternalServices became")


def test_a_fault_goes_with_its_external_service(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = Site(world.external_service("x", "httpbin", tls={"caCert": {"secret": "gone"}}))
    site.delete("ExternalService", "x")
    assert site.hub.faults == {}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ServiceCluster" in site.cluster()


def test_one_that_never_could_be_used_is_a_service_without_endpoints() -> None:
    site = Site(world.external_service("x", "httpbin", tls={"caCert": {"secret": "gone"}}))
    assert "ExternalCluster" in site.cluster()
    assert "endpoints=()" in site.cluster()
    assert "httpbin" not in site.hub.desired(WEB)[ENDPOINT]


def test_under_another_service_nothing_is_kept() -> None:
    site = Site(
        world.secret("ca", PKI.ca), world.external_service("x", "other", tls={"caCert": {"secret": "ca"}})
    )
    site.put(world.external_service("x", "httpbin", tls={"caCert": {"secret": "gone"}}))
    assert "endpoints=()" in site.cluster()


def test_a_secret_of_another_mesh_is_not_read() -> None:
    site = Site(
        world.secret("ca", PKI.ca, mesh="other"),
        world.external_service("x", "httpbin", tls={"caCert": {"secret": "ca"}}),
    )
    assert "endpoints=()" in site.cluster()


def test_a_dataplane_that_offers_the_service_takes_it_into_the_mesh_and_back() -> None:
    site = Site(world.external_service("x", "httpbin", protocol="http"))
    listener = "outbound:127.0.0.1:20000"
    assert "ExternalCluster" in site.cluster()
    inside = world.dataplane("b", address="10.0.1.1", inbounds=[world.inbound("httpbin", state="NotReady")])
    assert site.put(inside) == {
        WEB: {
            CLUSTER: frozenset({"httpbin"}),
            ENDPOINT: frozenset({"httpbin"}),
            LISTENER: frozenset({listener}),
        }
    }
    assert "ServiceCluster" in site.cluster()
    assert site.put(world.external_service("x", "httpbin", "other.example:80", protocol="http")) == {}
    assert site.delete("Dataplane", "b")[WEB][ENDPOINT] == {"httpbin"}
    assert "other.example" in site.cluster()
    assert "httpbin" not in site.hub.desired(WEB)[ENDPOINT]


def test_a_proxy_whose_dataplane_came_back_has_no_leftover_of_a_service_that_moved_out() -> None:
    site = Site(world.dataplane("b", address="10.0.1.1", inbounds=[world.inbound("httpbin")]))
    web = site.writer.resources[WEB]
    site.delete("Dataplane", "web")
    site.delete("Dataplane", "b")
    site.put(world.external_service("x", "httpbin"))
    assert "ServiceCluster" in site.cluster()
    site.put(web)
    assert "ExternalCluster" in site.cluster()
    assert "httpbin" not in site.hub.desired(WEB)[ENDPOINT]
