"""Figures over all meshes (kuma-cp 8.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kumacp.services import dataplane_status, service_insight
from kumamesh.resource import Resource
from kumamesh.resources.registry import TYPES

Document = dict[str, Any]
Everything = Mapping[str, Sequence[Resource]]
"""All resources by type."""

_FLAVOURS = ("standard", "gatewayBuiltin", "gatewayDelegated")
_SERVICE_FLAVOURS = {
    "internal": "internal",
    "gateway_builtin": "gatewayBuiltin",
    "gateway_delegated": "gatewayDelegated",
}
_STATUS = {"Online": "online", "Offline": "offline", "Partially degraded": "partiallyDegraded"}
_SERVICE_STATUS = {"online": "online", "partially_degraded": "partiallyDegraded"}


def global_insight(everything: Everything, created_at: str) -> Document:
    """The document of `/global-insight`."""
    counted = {name: len(everything[name]) for name in sorted(TYPES) if not TYPES[name].read_only}
    return {
        "createdAt": created_at,
        "meshes": {"total": counted["Mesh"]},
        "zones": {
            "controlPlanes": _online(everything, "Zone"),
            "zoneIngresses": _online(everything, "ZoneIngress"),
            "zoneEgresses": _online(everything, "ZoneEgress"),
        },
        "dataplanes": _dataplanes(everything),
        "services": _services(everything),
        "policies": {"total": sum(n for name, n in counted.items() if TYPES[name].policy)},
        "resources": {name: {"total": number} for name, number in counted.items()},
    }


def global_insights(everything: Everything, created_at: str) -> Document:
    """The document of `/global-insights`: numbers of resources that belong to no mesh."""
    return {
        "type": "GlobalInsights",
        "creationTime": created_at,
        "resources": {
            name: {"total": len(everything[name])}
            for name in sorted(TYPES)
            if not (TYPES[name].mesh_scoped or TYPES[name].read_only)
        },
    }


def zone_statuses(everything: Everything) -> list[Document]:
    """The document of `/status/zones`."""
    active = _connected(everything, "Zone")
    return [{"name": zone.name, "url": "", "active": zone.name in active} for zone in everything["Zone"]]


def _online(everything: Everything, type_: str) -> Document:
    return {"online": len(_connected(everything, type_)), "total": len(everything[type_])}


def _connected(everything: Everything, type_: str) -> set[str]:
    """Names of those that are online. A zone that is disabled is not, whatever is connected."""
    online = {insight.name for insight in everything[f"{type_}Insight"] if insight.spec.online}
    return {
        each.name
        for each in everything[type_]
        if each.name in online and (type_ != "Zone" or each.spec.is_enabled)
    }


def _dataplanes(everything: Everything) -> Document:
    insights = {(each.mesh, each.name): each.spec for each in everything["DataplaneInsight"]}
    tallies: dict[str, Counter[str]] = {flavour: Counter() for flavour in _FLAVOURS}
    for dataplane in everything["Dataplane"]:
        gateway = dataplane.spec.networking.gateway
        flavour = f"gateway{gateway.type.capitalize()}" if gateway else "standard"
        status = dataplane_status(dataplane.spec, insights.get((dataplane.mesh, dataplane.name)))
        tallies[flavour][_STATUS[status]] += 1
    return {flavour: _full(tally) for flavour, tally in tallies.items()}


def _services(everything: Everything) -> Document:
    tallies: dict[str, Counter[str]] = {flavour: Counter() for flavour in _SERVICE_FLAVOURS.values()}
    external = 0
    for mesh in everything["Mesh"]:
        proxies = [each for each in everything["Dataplane"] if each.mesh == mesh.name]
        insights = [each for each in everything["DataplaneInsight"] if each.mesh == mesh.name]
        outside = [each for each in everything["ExternalService"] if each.mesh == mesh.name]
        for service in service_insight(proxies, insights, outside).services.values():
            flavour = _SERVICE_FLAVOURS.get(service.service_type)
            if flavour is None:
                external += 1
            else:
                tallies[flavour][_SERVICE_STATUS.get(service.status, "offline")] += 1
    total = external + sum(tally.total() for tally in tallies.values())
    return {
        "total": total,
        "external": {"total": external},
        **{flavour: _full(tally) for flavour, tally in tallies.items()},
    }


def _full(tally: Counter[str]) -> Document:
    return {"total": tally.total(), **{status: tally[status] for status in _STATUS.values()}}
