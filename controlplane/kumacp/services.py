"""The state of every service of a mesh (kuma-cp 2.13), kept current proxy by proxy: a change costs what it
changed, however many proxies there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kumamesh.names import SERVICE_TAG, ZONE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.base import FrozenMap
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.external_service import ExternalService
from kumamesh.resources.insight import (
    DataplaneInsight,
    ServiceDataplanes,
    ServiceInsight,
    ServiceKind,
    ServiceState,
    ServiceStatus,
)

DataplaneStatus = Literal["Online", "Offline", "Partially degraded"]
_At = tuple[str, str]
"""Mesh and name."""

SOURCES = frozenset({"Dataplane", "DataplaneInsight", "ExternalService"})
"""Types that say which services there are, and how they are."""

_KINDS: tuple[ServiceKind, ...] = ("internal", "gateway_delegated", "gateway_builtin")
"""Of a service that proxies of several kinds offer, the first counts."""


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


def service_kind(dataplane: Dataplane) -> ServiceKind:
    gateway = dataplane.networking.gateway
    if gateway is None:
        return "internal"
    return "gateway_builtin" if gateway.type == "BUILTIN" else "gateway_delegated"


def service_insight(
    dataplanes: Iterable[Resource], insights: Iterable[Resource], external: Iterable[Resource] = ()
) -> ServiceInsight:
    """The state of every service of one mesh; `external` are its ExternalServices."""
    services = Services()
    # Insights first, so that every proxy is counted once.
    for resources in (insights, dataplanes, external):
        for resource in resources:
            services.put(resource.key, resource.spec)
    return services.insight()


@dataclass(slots=True)
class _Tally:
    """What is counted of one service. `outside`: ExternalServices by zone, "" without one."""

    kinds: Counter[ServiceKind] = field(default_factory=Counter)
    online: int = 0
    backends: Counter[str] = field(default_factory=Counter)
    zones: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    callers: int = 0

    @property
    def known(self) -> bool:
        return bool(self.kinds.total() or self.outside.total() or self.callers)

    def state(self) -> ServiceState:
        """An ExternalService is one as long as no proxy of the mesh offers a service of that name."""
        total = self.kinds.total()
        is_outside = not total and self.outside.total() > 0
        return ServiceState(
            status="not_available" if is_outside else self._status(total),
            dataplanes=ServiceDataplanes(total=total, online=self.online, offline=total - self.online),
            issued_backends=FrozenMap(sorted((+self.backends).items())),
            service_type="external" if is_outside else self._kind(),
            zones=tuple(sorted(filter(None, +self.outside if is_outside else +self.zones))),
        )

    def _kind(self) -> ServiceKind:
        return next((kind for kind in _KINDS if self.kinds[kind]), "internal")

    def _status(self, total: int) -> ServiceStatus:
        if not self.online:
            return "offline"
        return "online" if self.online == total else "partially_degraded"


class Services:
    """Of one mesh. A proxy counts once for each of its services; one that is partially degraded counts as
    offline. A service that outbounds refer to and nobody offers is offline."""

    def __init__(self) -> None:
        self._dataplanes: dict[_At, Dataplane] = {}
        self._insights: dict[_At, DataplaneInsight] = {}
        self._external: dict[_At, ExternalService] = {}
        self._tallies: dict[str, _Tally] = {}
        self._states: dict[str, ServiceState] = {}
        self._touched: set[str] = set()

    @property
    def changed(self) -> bool:
        """Whether `insight` may say something else than the last time."""
        return bool(self._touched)

    def put(self, key: ResourceKey, spec: Any) -> None:
        """A resource of one of the SOURCES is this now; None when it is gone."""
        at = (key.mesh, key.name)
        match key.type:
            case "Dataplane":
                self._put_dataplane(at, spec)
            case "DataplaneInsight":
                self._put_insight(at, spec)
            case "ExternalService":
                self._put_external(at, spec)

    def insight(self) -> ServiceInsight:
        for service in self._touched:
            tally = self._tallies.get(service)
            if tally is not None and tally.known:
                self._states[service] = tally.state()
            else:
                self._tallies.pop(service, None)
                self._states.pop(service, None)
        self._touched.clear()
        return ServiceInsight(services={name: self._states[name] for name in sorted(self._states)})

    def _put_dataplane(self, at: _At, new: Dataplane | None) -> None:
        old, insight = self._dataplanes.get(at), self._insights.get(at)
        if old is not None:
            self._count_proxy(old, insight, -1)
            self._count_callers(old, -1)
        if new is not None:
            self._count_proxy(new, insight, 1)
            self._count_callers(new, 1)
        _put(self._dataplanes, at, new)

    def _put_insight(self, at: _At, new: DataplaneInsight | None) -> None:
        dataplane, old = self._dataplanes.get(at), self._insights.get(at)
        _put(self._insights, at, new)
        if dataplane is not None and _observed(dataplane, old) != _observed(dataplane, new):
            self._count_proxy(dataplane, old, -1)
            self._count_proxy(dataplane, new, 1)

    def _put_external(self, at: _At, new: ExternalService | None) -> None:
        for spec, sign in ((self._external.get(at), -1), (new, 1)):
            if spec is not None and (service := spec.tags.get(SERVICE_TAG)):
                self._tally(service).outside[spec.tags.get(ZONE_TAG, "")] += sign
        _put(self._external, at, new)

    def _count_proxy(self, dataplane: Dataplane, insight: DataplaneInsight | None, sign: int) -> None:
        status, backend = _observed(dataplane, insight)
        for service, zones in _zones_by_service(dataplane).items():
            tally = self._tally(service)
            tally.kinds[service_kind(dataplane)] += sign
            tally.online += sign * (status == "Online")
            if backend:
                tally.backends[backend] += sign
            for zone in zones:
                tally.zones[zone] += sign

    def _count_callers(self, dataplane: Dataplane, sign: int) -> None:
        for service in {outbound.service for outbound in dataplane.networking.outbound}:
            if service:
                self._tally(service).callers += sign

    def _tally(self, service: str) -> _Tally:
        self._touched.add(service)
        tally = self._tallies.get(service)
        if tally is None:
            tally = self._tallies[service] = _Tally()
        return tally


def _put(held: dict[_At, Any], at: _At, spec: Any) -> None:
    if spec is None:
        held.pop(at, None)
    else:
        held[at] = spec


def _observed(dataplane: Dataplane, insight: DataplaneInsight | None) -> tuple[DataplaneStatus, str]:
    backend = insight.m_tls.issued_backend if insight and insight.m_tls else ""
    return dataplane_status(dataplane, insight), backend


def _zones_by_service(dataplane: Dataplane) -> Mapping[str, set[str]]:
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
