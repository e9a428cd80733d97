"""Resources as people and proxies write them, for tests of what control planes tell each other."""

from __future__ import annotations

from kumamesh.names import ORIGIN_LABEL, ZONE_LABEL, ZONE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.base import FrozenMap, Spec
from kumamesh.resources.dataplane import Dataplane, Inbound, Networking
from kumamesh.resources.permission import (
    From,
    FromDefault,
    MeshTrafficPermission,
    Selector,
    TargetRef,
    TrafficPermission,
)
from kumamesh.resources.registry import TYPES
from kumamesh.resources.secret import Secret
from kumamesh.resources.zone import ZoneIngress, ZoneIngressNetworking


def spec_of(type_: str, zone: str, variant: int, *, valid: bool = True) -> Spec:
    """Like what people and proxies write; an ingress that is not valid has no port."""
    match type_:
        case "Secret":
            return Secret(data=bytes([variant]))
        case "Dataplane":
            tags = FrozenMap({"kuma.io/service": "web", ZONE_TAG: zone})
            inbound = Inbound(port=8080 + variant, tags=tags)
            return Dataplane(networking=Networking(address="10.0.0.1", inbound=(inbound,)))
        case "ZoneIngress":
            networking = ZoneIngressNetworking(address="10.0.0.1", port=10001 + variant if valid else 0)
            return ZoneIngress(zone=zone, networking=networking)
        case "MeshTrafficPermission":
            allow = From(target_ref=TargetRef(kind="Mesh"), default=FromDefault(action="Allow"))
            return MeshTrafficPermission(target_ref=TargetRef(kind="Mesh"), from_=(allow,))
        case "TrafficPermission":
            everybody = (Selector(match=FrozenMap({"kuma.io/service": "*"})),)
            return TrafficPermission(sources=everybody, destinations=everybody)
        case _:
            return TYPES[type_].spec()


def resource_of(
    type_: str, name: str, variant: int, origin: str, zone: str = "", *, valid: bool = True
) -> Resource:
    mesh = "default" if TYPES[type_].mesh_scoped else ""
    labels = {ORIGIN_LABEL: origin, "variant": str(variant), **({ZONE_LABEL: zone} if zone else {})}
    return Resource(ResourceKey(type_, mesh, name), spec_of(type_, zone, variant, valid=valid), labels)
