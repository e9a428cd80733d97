"""What can be told of a mesh from its Dataplanes and their insights (kuma-cp 2.13; contract 9.3, 9.4)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from kumamesh.names import SERVICE_TAG, ZONE_TAG
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
    ServiceDataplanes,
    ServiceInsight,
    ServiceKind,
    ServiceState,
    ServiceStatus,
    Total,
)
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import shown_head, spec_to_json

DataplaneStatus = Literal["Online", "Offline", "Partially degraded"]
_UNKNOWN_VERSION = "unknown"


def dataplane_status(dataplane: Dataplane, insight: DataplaneInsight | None) -> DataplaneStatus:
    """Online: connected, and every inbound that counts is ready. A gateway has none to be ready."""
    if insight is None or not insight.online:
        return "Offline"
    counting = [inbound for inbound in dataplane.networking.inbound if inbound.state != "Ignored"]
    if dataplane.networking.gateway is not None or not counting:
        return "Online"
    ready = sum(inbound.healthy for inbound in counting)
    if ready == len(counting):
        return "Online"
    return "Partially degraded" if ready else "Offline"


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


def service_insight(
    dataplanes: Iterable[Resource], insights: Iterable[Resource], external: Iterable[Resource] = ()
) -> ServiceInsight:
    """The state of every service of one mesh; `external` are its ExternalServices. A proxy counts once for
    each of its services. A service that outbounds refer to and nobody offers is offline."""
    tallies: dict[str, _ServiceTally] = defaultdict(_ServiceTally)
    pairs = _pairs(dataplanes, insights)
    for dataplane, insight in pairs:
        status = dataplane_status(dataplane, insight)
        backend = insight.m_tls.issued_backend if insight and insight.m_tls else ""
        for service, zones in _zones_by_service(dataplane).items():
            tallies[service].count(_service_kind(dataplane), status, backend, zones)
    for resource in external:
        tags = resource.spec.tags
        if service := tags.get(SERVICE_TAG):
            tallies[service].outside(zone=tags.get(ZONE_TAG, ""))
    for service in {each.service for dataplane, _ in pairs for each in dataplane.networking.outbound}:
        if service:
            tallies.setdefault(service, _ServiceTally())
    return ServiceInsight(services={service: tallies[service].state() for service in sorted(tallies)})


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


class _ServiceTally:
    """What is counted of one service."""

    def __init__(self) -> None:
        self._kind: ServiceKind = "internal"
        self._outside = False
        self._online = 0
        self._total = 0
        self._backends: Counter[str] = Counter()
        self._zones: set[str] = set()

    def count(self, kind: ServiceKind, status: DataplaneStatus, backend: str, zones: set[str]) -> None:
        """One more proxy; one that is partially degraded counts as offline."""
        if not self._total:
            self._kind = kind
        self._total += 1
        self._online += status == "Online"
        if backend:
            self._backends[backend] += 1
        self._zones |= zones

    def outside(self, *, zone: str) -> None:
        """It is an ExternalService, unless a proxy of the mesh offers a service of that name."""
        if not self._total:
            self._kind, self._outside = "external", True
            if zone:
                self._zones.add(zone)

    def state(self) -> ServiceState:
        return ServiceState(
            status=self._status(),
            dataplanes=ServiceDataplanes(
                total=self._total, online=self._online, offline=self._total - self._online
            ),
            issued_backends=dict(sorted(self._backends.items())),
            service_type=self._kind,
            zones=tuple(sorted(self._zones)),
        )

    def _status(self) -> ServiceStatus:
        if self._outside:
            return "not_available"
        if not self._online:
            return "offline"
        return "online" if self._online == self._total else "partially_degraded"


def _pairs(
    dataplanes: Iterable[Resource], insights: Iterable[Resource]
) -> list[tuple[Dataplane, DataplaneInsight | None]]:
    by_name = {(insight.mesh, insight.name): insight.spec for insight in insights}
    return [(dataplane.spec, by_name.get((dataplane.mesh, dataplane.name))) for dataplane in dataplanes]


def _service_kind(dataplane: Dataplane) -> ServiceKind:
    gateway = dataplane.networking.gateway
    if gateway is None:
        return "internal"
    return "gateway_builtin" if gateway.type == "BUILTIN" else "gateway_delegated"


def _zones_by_service(dataplane: Dataplane) -> dict[str, set[str]]:
    """Services of the proxy with the zones they are in; an ignored inbound serves nobody."""
    networking = dataplane.networking
    serving = [inbound.tags for inbound in networking.inbound if inbound.state != "Ignored"]
    if networking.gateway is not None:
        serving.append(networking.gateway.tags)
    zones: dict[str, set[str]] = {}
    for tags in serving:
        if tags.get(SERVICE_TAG):
            zones.setdefault(tags[SERVICE_TAG], set()).update({tags[ZONE_TAG]} if tags.get(ZONE_TAG) else ())
    return zones


def _memberships(dataplane: Dataplane, insight: DataplaneInsight | None) -> set[tuple[str, str]]:
    """Groups in which a MeshInsight counts the proxy, each with the name within the group."""
    subscription = insight.last_subscription if insight else None
    version = subscription.version if subscription else None
    found = {
        ("kumaDp", (version.kuma_dp.version if version else "") or _UNKNOWN_VERSION),
        ("envoy", (version.envoy.version if version else "") or _UNKNOWN_VERSION),
        ("type", _service_kind(dataplane) if dataplane.networking.gateway else "standard"),
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
