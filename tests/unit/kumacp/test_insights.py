"""What is told of proxies, services and meshes (kuma-cp 2.13; contract 9.3, 9.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from kumacp.insights import (
    as_seen_in,
    mesh_insight,
    not_ready,
    overview,
    service_insight_name,
    service_insights,
)
from kumacp.services import dataplane_status, service_insight
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import (
    Dataplane,
    Gateway,
    Health,
    Inbound,
    InboundState,
    Networking,
    Outbound,
)
from kumamesh.resources.insight import (
    DataplaneInsight,
    DataplaneInsightMtls,
    DiscoverySubscription,
    EnvoyVersion,
    KumaDpVersion,
    ServiceInsight,
    ServiceState,
    ServiceStatus,
    Version,
)
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import spec_to_json
from kumamesh.resources.zone import Zone

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def inbound(service: str = "web", state: InboundState = "Ready", zone: str = "", port: int = 80) -> Inbound:
    tags = {"kuma.io/service": service} | ({"kuma.io/zone": zone} if zone else {})
    return Inbound(port=port, tags=tags, state=state)


def proxy(name: str, *inbounds: Inbound, gateway: Gateway | None = None) -> Resource:
    networking = Networking(address="127.0.0.1", inbound=inbounds, gateway=gateway)
    return Resource(ResourceKey("Dataplane", "default", name), Dataplane(networking=networking))


def seen(
    name: str, *, online: bool = True, backend: str = "", supported: Sequence[str] = (), version: str = ""
) -> Resource:
    stream = DiscoverySubscription(
        connect_time=NOW,
        disconnect_time=None if online else NOW,
        version=Version(kuma_dp=KumaDpVersion(version=version), envoy=EnvoyVersion(version="1.40.0"))
        if version
        else None,
    )
    mtls = DataplaneInsightMtls(issued_backend=backend, supported_backends=tuple(supported))
    spec = DataplaneInsight(subscriptions=(stream,), m_tls=mtls if backend or supported else None)
    return Resource(ResourceKey("DataplaneInsight", "default", name), spec)


@pytest.mark.parametrize(
    ("dataplane", "insight", "status"),
    [
        (proxy("a", inbound()), seen("a"), "Online"),
        (proxy("a", inbound()), seen("a", online=False), "Offline"),
        (proxy("a", inbound()), None, "Offline"),
        (proxy("a", inbound(state="NotReady")), seen("a"), "Offline"),
        (proxy("a", inbound(), inbound(state="NotReady")), seen("a"), "Partially degraded"),
        (proxy("a", inbound(), inbound(state="Ignored")), seen("a"), "Online"),
        (proxy("a", inbound(state="Ignored")), seen("a"), "Online"),
        (proxy("a", Inbound(port=1, health=Health(ready=False))), seen("a"), "Offline"),
        (proxy("a", gateway=Gateway()), seen("a"), "Online"),
        (proxy("a", gateway=Gateway()), seen("a", online=False), "Offline"),
    ],
)
def test_the_status_of_a_proxy(dataplane: Resource, insight: Resource | None, status: str) -> None:
    assert dataplane_status(dataplane.spec, insight.spec if insight else None) == status


def test_the_reasons_of_a_degraded_proxy_name_port_and_service() -> None:
    dataplane = proxy("a", inbound(), inbound("api", "NotReady", port=81), inbound("x", "Ignored"))
    assert not_ready(dataplane.spec) == ("inbound[port=81,svc=api] is not ready",)


def test_an_overview_shows_the_proxy_and_its_insight() -> None:
    shown = overview(proxy("a", inbound()), seen("a", backend="ca-1"))
    assert list(shown.items()) == [
        ("type", "DataplaneOverview"),
        ("mesh", "default"),
        ("name", "a"),
        ("creationTime", "0001-01-01T00:00:00Z"),
        ("modificationTime", "0001-01-01T00:00:00Z"),
        ("kri", "kri_dp_default___a_"),
        (
            "dataplane",
            {
                "networking": {
                    "address": "127.0.0.1",
                    "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}],
                }
            },
        ),
        (
            "dataplaneInsight",
            {
                "subscriptions": [{"connectTime": "2026-01-02T03:04:05Z"}],
                "mTLS": {"issuedBackend": "ca-1"},
            },
        ),
    ]


def test_an_overview_without_an_insight_shows_the_resource_alone() -> None:
    zone = Resource(ResourceKey("Zone", "", "east"), Zone(enabled=True), {"a": "b"})
    assert overview(zone, None) == {
        "type": "ZoneOverview",
        "name": "east",
        "labels": {"a": "b"},
        "creationTime": "0001-01-01T00:00:00Z",
        "modificationTime": "0001-01-01T00:00:00Z",
        "zone": {"enabled": True},
    }


def test_a_service_counts_every_proxy_once() -> None:
    dataplanes = [
        proxy("a", inbound(zone="east"), inbound(port=81, zone="east")),
        proxy("b", inbound(zone="west")),
        proxy("c", inbound(), inbound("api", "NotReady")),
        proxy("d", inbound("idle", "Ignored")),
    ]
    insights = [seen("a", backend="ca-1"), seen("b", online=False, backend="ca-1"), seen("c", backend="ca-2")]
    assert spec_to_json(service_insight(dataplanes, insights))["services"] == {
        "api": {
            "status": "offline",
            "dataplanes": {"total": 1, "offline": 1},
            "issuedBackends": {"ca-2": 1},
        },
        "web": {
            "status": "partially_degraded",
            "dataplanes": {"total": 3, "online": 1, "offline": 2},
            "issuedBackends": {"ca-1": 2, "ca-2": 1},
            "zones": ["east", "west"],
        },
    }


@pytest.mark.parametrize(
    ("online", "status"),
    [([], "offline"), (["a"], "partially_degraded"), (["a", "b"], "online")],
)
def test_the_status_of_a_service(online: list[str], status: str) -> None:
    dataplanes = [proxy("a", inbound()), proxy("b", inbound())]
    found = service_insight(dataplanes, [seen(name) for name in online])
    assert found.services["web"].status == status


@pytest.mark.parametrize(
    ("gateway", "kind"),
    [
        (Gateway(tags={"kuma.io/service": "edge"}), "gateway_delegated"),
        (Gateway(tags={"kuma.io/service": "edge"}, type="BUILTIN"), "gateway_builtin"),
    ],
)
def test_a_gateway_is_a_service_of_its_own_kind(gateway: Gateway, kind: str) -> None:
    found = service_insight([proxy("a", gateway=gateway)], [seen("a")])
    assert found.services["edge"].service_type == kind


def test_services_are_listed_with_every_field() -> None:
    dataplanes = [proxy("b", inbound("web")), proxy("a", inbound("api"))]
    rows = service_insights("default", service_insight(dataplanes, [seen("a")]))
    assert [row["name"] for row in rows] == ["api", "web"]
    expected: dict[str, Any] = {
        "type": "ServiceInsight",
        "mesh": "default",
        "name": "api",
        "creationTime": "0001-01-01T00:00:00Z",
        "modificationTime": "0001-01-01T00:00:00Z",
        "status": "online",
        "dataplanes": {"total": 1, "online": 1, "offline": 0},
        "issuedBackends": {},
        "serviceType": "internal",
        "addressPort": "api.mesh:80",
        "zones": [],
    }
    assert rows[0] == expected
    assert service_insight_name("default") == "all-services-default"


def test_insights_of_other_meshes_do_not_count() -> None:
    other = Resource(ResourceKey("DataplaneInsight", "other", "a"), seen("a").spec)
    assert service_insight([proxy("a", inbound())], [other]).services["web"].status == "offline"


def external(name: str, **tags: str) -> Resource:
    spec = TYPES["ExternalService"].spec(tags={f"kuma.io/{tag}": value for tag, value in tags.items()})
    return Resource(ResourceKey("ExternalService", "default", name), spec)


def caller(name: str, *services: str) -> Resource:
    outbound = tuple(Outbound(port=9000, tags={"kuma.io/service": service}) for service in services)
    networking = Networking(address="127.0.0.1", inbound=(inbound(),), outbound=outbound)
    return Resource(ResourceKey("Dataplane", "default", name), Dataplane(networking=networking))


def test_services_outside_the_mesh_have_no_proxies_and_no_status() -> None:
    outside = [external("es-1", service="httpbin", zone="east"), external("es-2", service="httpbin")]
    services = service_insight([caller("a", "httpbin")], [seen("a")], outside).services
    assert spec_to_json(services["httpbin"]) == {
        "status": "not_available",
        "serviceType": "external",
        "zones": ["east"],
    }
    rows = service_insights("default", service_insight([], [], outside))
    assert [(row["name"], row["serviceType"], row["status"]) for row in rows] == [
        ("httpbin", "external", "not_available")
    ]


def test_a_service_that_proxies_offer_is_internal_whatever_else_has_its_name() -> None:
    found = service_insight([proxy("a", inbound())], [seen("a")], [external("es", service="web")])
    assert (found.services["web"].service_type, found.services["web"].status) == ("internal", "online")


def test_a_service_that_only_outbounds_name_is_offline() -> None:
    services = service_insight([caller("a", "beckend")], [seen("a")]).services
    assert (services["beckend"].status, services["beckend"].dataplanes.total) == ("offline", 0)


def test_a_mesh_counts_services_inside_and_outside() -> None:
    figures = mesh_insight([caller("a", "beckend")], [], [external("es", service="httpbin")], counts={})
    assert spec_to_json(figures.services) == {"total": 3, "internal": 2, "external": 1}


def test_the_figures_of_a_mesh() -> None:
    dataplanes = [
        proxy("a", inbound()),
        proxy("b", inbound(), inbound("api", "NotReady")),
        proxy("c", inbound()),
        proxy("e", gateway=Gateway(tags={"kuma.io/service": "edge"})),
        proxy("g", gateway=Gateway(tags={"kuma.io/service": "edge"}, type="BUILTIN")),
    ]
    insights = [
        seen("a", backend="ca-1", supported=["ca-1", "ca-2"], version="2.13.0"),
        seen("b", backend="ca-1", supported=["ca-1"], version="2.12.0"),
        seen("e", version="2.13.0"),
    ]
    counts = {"Dataplane": 5, "TrafficPermission": 1, "MeshTrafficPermission": 0, "Secret": 2}
    assert spec_to_json(mesh_insight(dataplanes, insights, counts=counts)) == {
        "dataplanes": {"total": 5, "online": 2, "offline": 2, "partiallyDegraded": 1},
        "dataplanesByType": {
            "standard": {"total": 3, "online": 1, "offline": 1, "partiallyDegraded": 1},
            "gateway": {"total": 2, "online": 1, "offline": 1},
            "gatewayBuiltin": {"total": 1, "offline": 1},
            "gatewayDelegated": {"total": 1, "online": 1},
        },
        "policies": {"TrafficPermission": {"total": 1}},
        "resources": {"Dataplane": {"total": 5}, "Secret": {"total": 2}, "TrafficPermission": {"total": 1}},
        "dpVersions": {
            "kumaDp": {
                "2.12.0": {"total": 1, "partiallyDegraded": 1},
                "2.13.0": {"total": 2, "online": 2},
                "unknown": {"total": 2, "offline": 2},
            },
            "envoy": {
                "1.40.0": {"total": 3, "online": 2, "partiallyDegraded": 1},
                "unknown": {"total": 2, "offline": 2},
            },
        },
        "mTLS": {
            "issuedBackends": {"ca-1": {"total": 2, "online": 1, "partiallyDegraded": 1}},
            "supportedBackends": {
                "ca-1": {"total": 2, "online": 1, "partiallyDegraded": 1},
                "ca-2": {"total": 1, "online": 1},
            },
        },
        "services": {"total": 3, "internal": 3},
    }


def test_an_empty_mesh_has_no_figures() -> None:
    assert spec_to_json(mesh_insight([], [], counts={})) == {}


def test_a_zone_knows_its_own_services_best_and_those_of_others_from_global() -> None:
    def state(*zones: str, status: ServiceStatus = "online") -> ServiceState:
        return ServiceState(zones=zones, status=status)

    own = ServiceInsight(
        services={"mine": state("z1"), "shared": state("z1"), "asked-for": state(status="offline")}
    )
    everywhere = ServiceInsight(
        services={
            "mine": state("z1", status="offline"),
            "was-mine": state("z1"),
            "shared": state("z1", "z2", status="partially_degraded"),
            "theirs": state("z2"),
            "asked-for": state(status="none"),
            "outside": state(status="not_available"),
        }
    )
    seen_here = as_seen_in("z1", own, everywhere).services
    assert {name: (state.status, state.zones) for name, state in seen_here.items()} == {
        "asked-for": ("offline", ()),
        "mine": ("online", ("z1",)),
        "outside": ("not_available", ()),
        "shared": ("partially_degraded", ("z1", "z2")),
        "theirs": ("online", ("z2",)),
    }
    assert list(seen_here) == sorted(seen_here)
