"""What can be told of a mesh from its Dataplanes and their insights (kuma-cp 2.13; contract 9.3, 9.4)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kumacp.services import dataplane_status, service_insight, service_kind
from kumamesh.resource import NEVER, Resource
from kumamesh.resources.base import format_time
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.insight import (
    DataplaneCount,
    DataplaneInsight,
    DataplanesByType,
    DpVersions,
    MeshInsight,
    MeshInsightMtls,
    ServiceCount,
    ServiceInsight,
    Total,
)
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import shown_head, spec_to_json

_UNKNOWN_VERSION = "unknown"


def not_ready(dataplane: Dataplane) -> tuple[str, ...]:
    """One sentence for each inbound that is not ready."""
    return tuple(
        f"inbound[port={inbound.port},svc={inbound.service}] is not ready"
        for inbound in dataplane.networking.inbound
        if inbound.state != "Ignored" and not inbound.healthy
    )


def overview(resource: Resource, insight: Resource | None) -> dict[str, Any]:
    """A proxy or zone together with its insight, as `_overview` shows it."""
    shown: dict[str, Any] = {**shown_head(resource), "type": f"{resource.type}Overview"}
    part = resource.type[0].lower() + resource.type[1:]
    shown[part] = spec_to_json(resource.spec)
    if insight is not None:
        shown[f"{part}Insight"] = spec_to_json(insight.spec)
    return shown


def service_insight_name(mesh: str) -> str:
    """Name of the one ServiceInsight of a mesh."""
    return f"all-services-{mesh}"


def as_seen_in(zone: str, own: ServiceInsight, everywhere: ServiceInsight) -> ServiceInsight:
    """The services of all zones as one of them knows them: what it computes of its own proxies, and what
    global told of services that others offer, too."""
    told = {
        service: state
        for service, state in everywhere.services.items()
        if set(state.zones) - {zone} or not (state.zones or service in own.services)
    }
    return ServiceInsight(services=dict(sorted({**own.services, **told}.items())))


def service_insights(mesh: str, insight: ServiceInsight) -> list[dict[str, Any]]:
    """The services of a mesh as `/meshes/<mesh>/service-insights` lists them."""
    never = format_time(NEVER)
    return [
        {
            "type": "ServiceInsight",
            "mesh": mesh,
            "name": service,
            "creationTime": never,
            "modificationTime": never,
            "status": state.status,
            "dataplanes": {
                "total": state.dataplanes.total,
                "online": state.dataplanes.online,
                "offline": state.dataplanes.offline,
            },
            "issuedBackends": dict(state.issued_backends),
            "serviceType": state.service_type,
            "addressPort": f"{service}.mesh:80",
            "zones": list(state.zones),
        }
        for service, state in insight.services.items()
    ]


def mesh_insight(
    dataplanes: Sequence[Resource],
    insights: Sequence[Resource],
    external: Sequence[Resource] = (),
    *,
    counts: Mapping[str, int],
) -> MeshInsight:
    """Figures of one mesh; `counts` are the numbers of its resources by type."""
    proxies = [
        (dataplane, insight, dataplane_status(dataplane, insight))
        for dataplane, insight in _pairs(dataplanes, insights)
    ]
    tallies: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for dataplane, insight, status in proxies:
        for group, name in _memberships(dataplane, insight):
            tallies[group][name][status] += 1
    groups = {
        group: {name: _dataplane_count(members[name]) for name in sorted(members)}
        for group, members in tallies.items()
    }
    services = service_insight(dataplanes, insights, external).services.values()
    outside = sum(service.service_type == "external" for service in services)
    return MeshInsight(
        dataplanes=_dataplane_count(Counter(status for *_, status in proxies)),
        dataplanes_by_type=DataplanesByType(**groups.get("type", {})),
        policies={name: Total(total=n) for name, n in sorted(counts.items()) if n and TYPES[name].policy},
        resources={name: Total(total=n) for name, n in sorted(counts.items()) if n},
        dp_versions=DpVersions(kuma_dp=groups.get("kumaDp", {}), envoy=groups.get("envoy", {})),
        m_tls=MeshInsightMtls(
            issued_backends=groups.get("issued", {}), supported_backends=groups.get("supported", {})
        ),
        services=ServiceCount(total=len(services), internal=len(services) - outside, external=outside),
    )


def _pairs(
    dataplanes: Iterable[Resource], insights: Iterable[Resource]
) -> list[tuple[Dataplane, DataplaneInsight | None]]:
    by_name = {(insight.mesh, insight.name): insight.spec for insight in insights}
    return [(dataplane.spec, by_name.get((dataplane.mesh, dataplane.name))) for dataplane in dataplanes]


def _memberships(dataplane: Dataplane, insight: DataplaneInsight | None) -> set[tuple[str, str]]:
    """Groups in which a MeshInsight counts the proxy, each with the name within the group."""
    subscription = insight.last_subscription if insight else None
    version = subscription.version if subscription else None
    found = {
        ("kumaDp", (version.kuma_dp.version if version else "") or _UNKNOWN_VERSION),
        ("envoy", (version.envoy.version if version else "") or _UNKNOWN_VERSION),
        ("type", service_kind(dataplane) if dataplane.networking.gateway else "standard"),
    }
    if dataplane.networking.gateway:
        found.add(("type", "gateway"))
    if insight and insight.m_tls:
        found.update(("supported", backend) for backend in insight.m_tls.supported_backends)
        if insight.m_tls.issued_backend:
            found.add(("issued", insight.m_tls.issued_backend))
    return found


def _dataplane_count(statuses: Counter[str]) -> DataplaneCount:
    return DataplaneCount(
        total=statuses.total(),
        online=statuses["Online"],
        offline=statuses["Offline"],
        partially_degraded=statuses["Partially degraded"],
    )
