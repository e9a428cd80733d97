"""What the control plane adds to Dataplane, ZoneIngress and ZoneEgress (contract 3.3)."""

from __future__ import annotations

from dataclasses import replace

from kumacp.manager.labels import Place, of_zone
from kumamesh import names
from kumamesh.resource import Resource, Violation
from kumamesh.resources.base import FrozenMap
from kumamesh.resources.dataplane import Dataplane, Networking
from kumamesh.resources.zone import ZoneEgress, ZoneIngress

PROXY_TYPES = ("Dataplane", "ZoneIngress", "ZoneEgress")


def placed(resource: Resource, place: Place) -> Resource:
    """The proxy resource with the zone and the computed labels; raises InvalidResource when it claims to be
    of another zone or origin."""
    labelled = of_zone(resource, place, {names.PROXY_TYPE_LABEL: _proxy_type(resource.spec)})
    return replace(labelled, spec=_in_zone(resource.spec, place.zone))


def gateway_violations(spec: Dataplane) -> tuple[Violation, ...]:
    """Gateways that this control plane has no configuration for: none may seem to be served that is not."""
    gateway = spec.networking.gateway
    if gateway is None or gateway.type != "BUILTIN":
        return ()
    text = (
        "BUILTIN is not served by this version; use DELEGATED, with a gateway of your own behind its sidecar"
    )
    return (Violation("networking.gateway.type", text),)


def identity_violations(spec: Dataplane) -> tuple[Violation, ...]:
    """Services named like the zone egress: a workload of one would have its identity, and could answer in its
    place for whatever is outside the mesh."""
    text = f"{names.ZONE_EGRESS_SERVICE!r} is the name that zone egresses have in certificates; use another"
    gateway = spec.networking.gateway
    of_gateway = [("networking.gateway", gateway.tags)] if gateway else []
    of_inbounds = [
        (f"networking.inbound[{index}]", inbound.tags)
        for index, inbound in enumerate(spec.networking.inbound)
    ]
    return tuple(
        Violation(f'{path}.tags["{names.SERVICE_TAG}"]', text)
        for path, tags in (*of_gateway, *of_inbounds)
        if tags.get(names.SERVICE_TAG) == names.ZONE_EGRESS_SERVICE
    )


def registered_as_before(old: Resource, new: Resource) -> Resource:
    """A proxy that is here because it connected stays so when somebody edits its resource: it still goes when
    the proxy goes."""
    if old.labels.get(names.MANAGED_BY_LABEL) != names.MANAGED_BY_CONNECTION:
        return new
    return replace(new, labels={**new.labels, names.MANAGED_BY_LABEL: names.MANAGED_BY_CONNECTION})


def offering_as_before(old: Resource | None, new: Resource) -> Resource:
    """What services a ZoneIngress offers is written by the control plane alone, which knows: whoever writes
    the rest of it, people or the proxy that registers, changes nothing of that."""
    if not isinstance(new.spec, ZoneIngress):
        return new
    services = old.spec.available_services if old else ()
    return replace(new, spec=new.spec.model_copy(update={"available_services": services}))


def _proxy_type(spec: Dataplane | ZoneIngress | ZoneEgress) -> str:
    match spec:
        case ZoneIngress():
            return "zoneingress"
        case ZoneEgress():
            return "zoneegress"
        case Dataplane():
            return "gateway" if spec.networking.gateway is not None else "sidecar"


def _in_zone(spec: Dataplane | ZoneIngress | ZoneEgress, zone: str) -> Dataplane | ZoneIngress | ZoneEgress:
    if isinstance(spec, Dataplane):
        return spec.model_copy(update={"networking": _tagged(spec.networking, zone)})
    return spec.model_copy(update={"zone": zone})


def _tagged(networking: Networking, zone: str) -> Networking:
    tag = {names.ZONE_TAG: zone}
    update: dict[str, object] = {
        "inbound": tuple(
            inbound.model_copy(update={"tags": FrozenMap({**inbound.tags, **tag})})
            for inbound in networking.inbound
        )
    }
    if networking.gateway is not None:
        tags = FrozenMap({**networking.gateway.tags, **tag})
        update["gateway"] = networking.gateway.model_copy(update={"tags": tags})
    return networking.model_copy(update=update)
