"""Which type of resource goes where between a global control plane and its zones (contract 8.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kumamesh.resources.registry import TYPES


@dataclass(frozen=True, slots=True)
class Flow:
    """Directions of one type.

    `to_zones`: what global made goes to all zones. `to_global`: what a zone made goes to global. `across`:
    and from there to the other zones. `keeps_name`: a zone stores it under the name that it has on global;
    others get a suffix (kumacp.kds.protocol.hashing).
    """

    to_zones: bool = False
    to_global: bool = False
    across: bool = False
    keeps_name: bool = False

    @property
    def to_some_zone(self) -> bool:
        return self.to_zones or self.across


_DOWN = Flow(to_zones=True)
_DOWN_BY_NAME = Flow(to_zones=True, keeps_name=True)
_UP = Flow(to_global=True)
_UP_AND_ACROSS = Flow(to_global=True, across=True)
_BOTH = Flow(to_zones=True, to_global=True)
_EVERYWHERE = Flow(to_zones=True, to_global=True, across=True)
_NOWHERE = Flow()

_TYPES_OF = {
    _DOWN_BY_NAME: "Mesh Config Secret GlobalSecret",
    _DOWN: "CircuitBreaker ExternalService FaultInjection HealthCheck MeshGatewayRoute MeshMultiZoneService "
    "ProxyTemplate RateLimit Retry ServiceInsight Timeout TrafficLog TrafficPermission TrafficRoute "
    "TrafficTrace VirtualOutbound",
    _UP: "Dataplane DataplaneInsight ZoneEgress ZoneEgressInsight ZoneIngressInsight Workload",
    _UP_AND_ACROSS: "ZoneIngress MeshService",
    _BOTH: "MeshGateway HostnameGenerator MeshExternalService MeshIdentity MeshTrust",
    _EVERYWHERE: "MeshAccessLog MeshCircuitBreaker MeshFaultInjection MeshHTTPRoute MeshHealthCheck "
    "MeshLoadBalancingStrategy MeshMetric MeshPassthrough MeshProxyPatch MeshRateLimit MeshRetry "
    "MeshTCPRoute MeshTLS MeshTimeout MeshTrace MeshTrafficPermission",
    _NOWHERE: "Zone ZoneInsight MeshInsight",
}
FLOWS: Mapping[str, Flow] = MappingProxyType(
    {name: flow for flow, names in _TYPES_OF.items() for name in names.split()}
)
"""By name of type; also types that this control plane does not store."""

_FIRST = ("Config", "GlobalSecret", "Secret", "TrafficPermission", "MeshTrafficPermission", "Mesh")
"""The Config says which global this is. A Mesh that turns mTLS on needs its CA, and denies everything that
no permission allows."""


def from_global() -> tuple[str, ...]:
    """Types that a zone asks its global for: what is referred to comes first."""
    return _stored(lambda flow: flow.to_some_zone)


def from_zone() -> tuple[str, ...]:
    """Types that global asks a zone for: a proxy comes before what is observed of it."""
    return _stored(lambda flow: flow.to_global)


def made_in_zones(type_: str) -> bool:
    """Whether a zone may have resources of the type that its global did not give it: they stay."""
    flow = FLOWS[type_]
    return flow.to_global or type_ in ("Config", "Secret", "GlobalSecret")


def _stored(wanted: Callable[[Flow], bool]) -> tuple[str, ...]:
    found = [name for name in TYPES if wanted(FLOWS[name])]
    return tuple(sorted(found, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)))
