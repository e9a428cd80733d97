"""One input per kind and variant of xDS unit, for the goldens and for tests with a real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count

from kumacp.xds.direct import DirectAccessCluster, DirectAccessListener
from kumacp.xds.edge.outside import OutsideChain, OutsideCluster
from kumacp.xds.edge.units import EdgeChain, EdgeCluster, EdgeEndpoints, EdgeListener
from kumacp.xds.model import (
    AdminCluster,
    AdminListener,
    AdminTls,
    CaSecret,
    Endpoint,
    IdentitySecret,
    InboundListener,
    LocalCluster,
    MatcherRbac,
    NotAll,
    OutboundListener,
    PrincipalPolicy,
    PrincipalRbac,
    ReadinessCluster,
    ServiceCluster,
    ServiceEndpoints,
    SourceTags,
    SpiffeRule,
    TlsMode,
    UnitInput,
    UriMatch,
)
from kumacp.xds.name_table import DnsListener, DynamicConfig, Page, Record, name_table
from kumacp.xds.outside import (
    ExternalCluster,
    ExternalEndpoint,
    ExternalTls,
    NoDestinationCluster,
    PassthroughCluster,
    PassthroughListener,
)

# Stand for PEM texts, so that goldens do not change with every new key.
CA_PEM = b"<PEM of a certificate authority>"
CERTIFICATE_PEM = b"<PEM of a certificate chain>"
KEY_PEM = b"<PEM of a private key>"
SYSTEM_CA_FILE = "/host/trusts.pem"
"""Stands for a file with a certificate authority."""

WEB = UriMatch("spiffe://default/web")
API = UriMatch("spiffe://default/api")
V1 = UriMatch("kuma://version/v1")
ANYBODY = PrincipalPolicy("allow-all-default", ((),))

TRAFFIC_PERMISSION = PrincipalRbac((PrincipalPolicy("web-to-backend", ((WEB,), (V1, API))),))
MESH_TRAFFIC_PERMISSION = PrincipalRbac(
    (PrincipalPolicy("MeshTrafficPermission", ((replace(API, negated=True), NotAll((WEB, V1))), (WEB,))),),
    shadow_deny=(PrincipalPolicy("MeshTrafficPermission", ((WEB,),)),),
    http=True,
)
RULES = MatcherRbac(
    rules=(
        SpiffeRule(
            "kri_mtp_default_east__operator_",
            deny=(UriMatch("spiffe://default/legacy/", prefix=True),),
            allow=(WEB, UriMatch("spiffe://default/ns/", prefix=True), UriMatch("", server_name="a.mesh")),
        ),
        SpiffeRule(
            "kri_mtp_default_east__owner_",
            allow=(UriMatch("spiffe://default/jobs", server_name="backend{mesh=default}"),),
            allow_with_shadow_deny=(API,),
        ),
    ),
    http=True,
)
RULES_AND_FROM = MatcherRbac(
    rules=(SpiffeRule("kri_mtp_default___rules_", deny=(API,)),),
    deny=(PrincipalPolicy("kri_mtp_default___from_", ((V1,),)),),
    allow=(
        PrincipalPolicy("kri_mtp_default___from_", ((replace(V1, negated=True),),)),
        PrincipalPolicy("kri_mtp_default___all_", ((), (NotAll((WEB, V1)),))),
    ),
    shadow_deny=(PrincipalPolicy("kri_mtp_default___from_", ((WEB,),)),),
)


def cases() -> dict[str, UnitInput]:
    """Inputs by name of golden; no resource name is used twice, so that one bootstrap holds them all."""
    return {
        **dict(_inbounds()),
        **dict(_outbounds()),
        **dict(_clusters()),
        **dict(_endpoints()),
        **dict(_edges()),
        **dict(_external_clusters()),
        **dict(_egress()),
        **dict(_ingress()),
        **dict(_passthrough()),
        **dict(_redirected()),
        "source_tags": SourceTags((("kuma.io/service", "web,web-api"), ("version", "v1"))),
        "admin_listener": AdminListener(
            "192.0.2.1", 9901, AdminTls(CERTIFICATE_PEM, KEY_PEM, CA_PEM), reuse_port=True
        ),
        "secret_ca": CaSecret("default", CA_PEM),
        "secret_identity": IdentitySecret("default", CERTIFICATE_PEM, KEY_PEM),
    }


def inbound(port: int, protocol: str, **changes: object) -> InboundListener:
    plain = InboundListener(
        address="192.0.2.1",
        port=port,
        mesh="default",
        service="backend",
        tags=(("kuma.io/protocol", protocol), ("kuma.io/service", "backend"), ("version", "v1")),
        protocol=protocol,
        local_port=8080,
        tls=None,
        rbac=None,
        reuse_port=True,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # names and types are the caller's


def outbound(port: int, protocol: str, **changes: object) -> OutboundListener:
    plain = OutboundListener(
        address="127.0.0.1",
        port=port,
        mesh="default",
        service="backend",
        tags=(("kuma.io/service", "backend"),),
        protocol=protocol,
        reuse_port=True,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # names and types are the caller's


def _inbounds() -> Iterator[tuple[str, UnitInput]]:
    ports = count(20000)
    for protocol in ("tcp", "http", "http2", "grpc", "kafka"):
        yield f"inbound_{protocol}_plain", inbound(next(ports), protocol)
    for protocol in ("tcp", "http"):
        for mode in TlsMode:
            name = f"inbound_{protocol}_{mode.value.lower()}"
            yield name, inbound(next(ports), protocol, tls=mode, rbac=TRAFFIC_PERMISSION)
    strict = {"tls": TlsMode.STRICT}
    yield "inbound_deny_all", inbound(next(ports), "tcp", **strict, rbac=PrincipalRbac(()))
    yield "inbound_http_deny_all", inbound(next(ports), "http", **strict, rbac=PrincipalRbac((), http=True))
    for protocol in ("tcp", "grpc"):
        for name, rbac in (
            ("from", MESH_TRAFFIC_PERMISSION),
            ("rules", RULES),
            ("rules_and_from", RULES_AND_FROM),
        ):
            yield f"inbound_{protocol}_{name}", inbound(next(ports), protocol, **strict, rbac=rbac)
    nobody = MatcherRbac((SpiffeRule("kri_mtp_default___nobody_"),))
    yield "inbound_tcp_rules_of_nobody", inbound(next(ports), "tcp", **strict, rbac=nobody)
    yield "inbound_http_ipv4_only", inbound(next(ports), "http", ipv6=False, reuse_port=False, tags=())
    yield "inbound_tcp_redirected", inbound(next(ports), "tcp", bind=False)


def _outbounds() -> Iterator[tuple[str, UnitInput]]:
    ports = count(21000)
    for protocol in ("tcp", "http", "http2", "grpc"):
        yield f"outbound_{protocol}", outbound(next(ports), protocol)
    tags = (("kuma.io/service", "backend"), ("version", "v1"))
    yield "outbound_http_with_tags", outbound(next(ports), "http", tags=tags)
    yield "outbound_http_ipv4_only", outbound(next(ports), "http", ipv6=False, reuse_port=False)
    yield "outbound_http_external", outbound(next(ports), "http", external=True)
    yield "outbound_tcp_redirected", outbound(next(ports), "tcp", bind=False)


def _clusters() -> Iterator[tuple[str, UnitInput]]:
    for protocol in ("tcp", "http", "http2", "grpc"):
        yield f"cluster_{protocol}", ServiceCluster("default", f"plain-{protocol}", protocol, tls=False)
        yield f"cluster_{protocol}_mtls", ServiceCluster("default", f"mtls-{protocol}", protocol, tls=True)
    yield (
        "cluster_http_mtls_with_tags",
        ServiceCluster("default", "backend", "http", tls=True, tags=(("version", "v1"),)),
    )
    for tls, name in ((False, "permissive"), (True, "mtls")):
        unit = ServiceCluster("default", f"edges-{name}", "http", tls=tls, edges=True)
        yield f"cluster_http_edges_{name}", unit
    yield "cluster_tcp_mtls_upper_case", ServiceCluster("default", "Backend_svc_80", "tcp", tls=True)
    yield "cluster_tcp_mtls_name_too_long", ServiceCluster("default", "long" * 80, "tcp", tls=True)
    for port, protocol in enumerate(("tcp", "http", "http2", "grpc"), start=8080):
        yield f"local_cluster_{protocol}", LocalCluster("127.0.0.1", port, protocol)
    yield "local_cluster_ipv6", LocalCluster("::1", 8090, "tcp")
    yield "local_cluster_redirected", LocalCluster("192.0.2.1", 8091, "http", "127.0.0.6")
    yield "admin_cluster", AdminCluster("127.0.0.1", 9901)
    yield "readiness_cluster_pipe", ReadinessCluster("/run/kuma/ready.sock", "", 0)


def _endpoints() -> Iterator[tuple[str, UnitInput]]:
    yield "endpoints_none", ServiceEndpoints("empty", (), "v")
    yield (
        "endpoints_of_zones",
        ServiceEndpoints(
            "backend",
            (
                Endpoint("192.0.2.9", 8080, tags=(("kuma.io/zone", "east"), ("version", "v1")), zone="east"),
                Endpoint("192.0.2.3", 10001, weight=3, zone="west", priority=1),
                Endpoint("192.0.2.1", 8081, tags=(("kuma.io/zone", "east"),), zone="east"),
                Endpoint("192.0.2.1", 8080, tags=(("kuma.io/zone", "east"),), zone="east"),
                Endpoint("2001:db8::1", 8080, weight=2),
            ),
            "v",
            tags=(("version", "v1"),),
        ),
    )


def _edges() -> Iterator[tuple[str, UnitInput]]:
    """Endpoints that lead out of the zone."""
    own = Endpoint("192.0.2.9", 8080, weight=2, tags=(("kuma.io/zone", "east"),), zone="east")
    edge = Endpoint("198.51.100.1", 10001, 3, (("kuma.io/zone", "west"),), "west", priority=1, edge=True)
    ways = (own, edge, replace(edge, address="198.51.100.2"))
    yield "endpoints_of_other_zones", ServiceEndpoints("far", ways, "v")
    egresses = tuple(Endpoint(f"192.0.2.{host}", 10002, weight=3, edge=True) for host in (20, 21))
    yield "endpoints_through_egresses", ServiceEndpoints("beyond", (own, *egresses), "v")


def external(host: str, tls: ExternalTls | None = None, port: int = 443, **tags: str) -> ExternalEndpoint:
    """`tags` as in a resource; the zone among them is that of the endpoint too."""
    return ExternalEndpoint(
        Endpoint(host, port, tags=tuple(sorted(tags.items())), zone=tags.get("kuma.io/zone", "")), tls
    )


def _external_clusters() -> Iterator[tuple[str, UnitInput]]:
    name = "kuma.io/external-service-name"
    mutual = ExternalTls(
        "sni.example", "sni.example", CA_PEM, CERTIFICATE_PEM, KEY_PEM, allow_renegotiation=True
    )
    yield (
        "external_http",
        ExternalCluster("external-http", "http", (external("httpbin.example", port=80),)),
    )
    yield "external_static", ExternalCluster("by-ip", "tcp", (external("192.0.2.7"), external("2001:db8::7")))
    yield "external_none", ExternalCluster("without-endpoint", "tcp", ())
    yield (
        "external_mixed_tls",
        ExternalCluster(
            "mixed",
            "grpc",
            (
                external("one.example", mutual, **{name: "one", "kuma.io/zone": "east"}),
                external("192.0.2.8", ExternalTls("", "192.0.2.8"), **{name: "two"}),
                external("three.example", ExternalTls("three.example", "", CA_PEM), **{name: "three"}),
                external("plain.example", port=80),
            ),
            system_ca=SYSTEM_CA_FILE,
            ipv6=True,
        ),
    )
    yield (
        "external_unverified_with_tags",
        ExternalCluster(
            "mixed",
            "http2",
            (external("x.example", ExternalTls("x.example", "x.example"), **{name: "x", "version": "v1"}),),
            tags=(("version", "v1"),),
        ),
    )


def _egress() -> Iterator[tuple[str, UnitInput]]:
    """What proxies and egresses have where services outside the mesh are reached through egresses."""
    v1 = (("version", "v1"),)
    yield "cluster_http_egress", ServiceCluster("default", "httpbin", "http", tls=True, peer="zone-egress")
    yield (
        "cluster_tcp_egress_with_tags",
        ServiceCluster("default", "database", "tcp", tls=True, tags=v1, peer="zone-egress"),
    )
    outside = partial(OutsideChain, mesh="default", service="httpbin", protocol="http")
    chains = (
        EdgeChain("backend{mesh=default}", "default:backend"),
        outside("httpbin{mesh=default}", rbacs=(TRAFFIC_PERMISSION,)),
        outside("httpbin{mesh=default,version=v1}", rbacs=(MESH_TRAFFIC_PERMISSION,), tags=v1),
        outside("httpbin{mesh=other}", mesh="other", protocol="grpc", rbacs=(RULES, PrincipalRbac(()))),
        outside(
            "database{mesh=default}", service="database", protocol="tcp", rbacs=(TRAFFIC_PERMISSION, RULES)
        ),
    )
    yield (
        "egress_listener",
        EdgeListener("192.0.2.1", 10002, chains, zone="east", proxy=".egress-1", reuse_port=True),
    )
    name = "kuma.io/external-service-name"
    tls = ExternalTls("httpbin.example", "httpbin.example", CA_PEM)
    yield (
        "egress_outside_cluster",
        OutsideCluster("default", "httpbin", "http", (external("192.0.2.7", tls, **{name: "httpbin"}),)),
    )
    trusting = ExternalTls("one.example", "one.example")
    yield (
        "egress_outside_cluster_with_tags",
        OutsideCluster(
            "default",
            "httpbin",
            "grpc",
            (external("one.example", trusting, **{name: "one"}), external("two.example", port=80)),
            tags=v1,
            system_ca=SYSTEM_CA_FILE,
            ipv6=True,
        ),
    )


def _ingress() -> Iterator[tuple[str, UnitInput]]:
    """What ingresses have."""
    v1, v2 = (("version", "v1"),), (("version", "v2"),)
    chains = (
        EdgeChain("backend{mesh=default}", "default:backend"),
        EdgeChain("backend{mesh=default,version=v1}", "default:backend", v1),
        EdgeChain("backend{mesh=default,team=a,version=v2}", "default:backend", (("team", "a"), *v2)),
        EdgeChain("backend{mesh=other}", "other:backend"),
    )
    listener = EdgeListener("192.0.2.1", 10001, chains, zone="east", proxy=".ingress-1", reuse_port=True)
    yield "ingress_listener", listener
    yield "ingress_listener_of_nothing", replace(listener, port=10003, chains=())
    yield "ingress_cluster", EdgeCluster("other", "backend")
    subsets = (("team", "version"), ("version",))
    yield "ingress_cluster_with_subsets", EdgeCluster("default", "backend", subsets=subsets)
    endpoint = Endpoint("192.0.2.9", 8080, tags=(("kuma.io/zone", "east"), *v1), zone="east")
    endpoints = (endpoint, replace(endpoint, port=8081, tags=(("kuma.io/zone", "east"), *v2)))
    yield "ingress_endpoints", EdgeEndpoints("default:backend", endpoints, "v")


def _passthrough() -> Iterator[tuple[str, UnitInput]]:
    yield "passthrough_outbound_cluster", PassthroughCluster("outbound:passthrough:ipv4")
    yield "passthrough_inbound_cluster", PassthroughCluster("inbound:passthrough:ipv4", "127.0.0.6")
    yield "passthrough_inbound_cluster_ipv6", PassthroughCluster("inbound:passthrough:ipv6", "::6")
    yield "no_destination_cluster", NoDestinationCluster()
    yield (
        "passthrough_outbound",
        PassthroughListener("outbound:passthrough:ipv4", "0.0.0.0", 15001, outbound=True, reuse_port=True),
    )
    yield (
        "passthrough_inbound",
        PassthroughListener("inbound:passthrough:ipv6", "::", 15006, outbound=False, reuse_port=False),
    )
    yield (
        "passthrough_inbound_strict",
        PassthroughListener(
            "inbound:passthrough:ipv4",
            "0.0.0.0",
            15006,
            outbound=False,
            reuse_port=True,
            ports=(8080, 9090, 49151),
        ),
    )


NAMES = name_table(
    [
        Record("backend.mesh", ("240.0.0.1", "::ffff:f000:1")),
        Record("echo-server.echo-example.svc.1010.mesh", ("240.0.0.0",)),
        Record("v6.mesh", ("fd00::7",)),
    ]
)


def _redirected() -> Iterator[tuple[str, UnitInput]]:
    """What only proxies behind redirection have, or those that answer names."""
    yield "outbound_http_vip", outbound(80, "http", address="240.0.0.1", bind=False)
    yield "outbound_http_vip_ipv6", outbound(80, "http", address="fd00:fd00::1", bind=False)
    yield "direct_access_cluster", DirectAccessCluster("direct_access", "default")
    yield "direct_access_cluster_plain", DirectAccessCluster("direct_access:plain", "")
    yield "direct_access_listener", DirectAccessListener("192.0.2.1", 8080, "direct_access", reuse_port=True)
    yield (
        "direct_access_listener_ipv6",
        DirectAccessListener("2001:db8::1", 8080, "direct_access:plain", reuse_port=False),
    )
    page = Page("/dns", NAMES.etag, NAMES.document)
    yield "dynamic_config", DynamicConfig("/run/kuma/kuma-mesh-metric-config.sock", (page,))
    yield "dns_listener", DnsListener(15054, NAMES, reuse_port=True)
