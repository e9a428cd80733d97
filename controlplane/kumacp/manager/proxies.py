"""What the control plane adds to Dataplane, ZoneIngress and ZoneEgress (contract 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kumamesh import names
from kumamesh.resource import InvalidResource, Resource, Violation
from kumamesh.resources.base import FrozenMap
from kumamesh.resources.dataplane import Dataplane, Networking
from kumamesh.resources.zone import ZoneEgress, ZoneIngress

PROXY_TYPES = ("Dataplane", "ZoneIngress", "ZoneEgress")
_ORIGIN = "zone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where this control plane is."""

    zone: str
    environment: str


def placed(resource: Resource, place: Place) -> Resource:
    """The proxy resource with the zone and the computed labels; raises InvalidResource when it claims to be
    of another zone or origin."""
    computed = {
        names.DISPLAY_NAME_LABEL: resource.name,
        names.ENV_LABEL: place.environment,
        names.ORIGIN_LABEL: _ORIGIN,
        names.PROXY_TYPE_LABEL: _proxy_type(resource.spec),
        names.ZONE_LABEL: place.zone,
    }
    if resource.mesh:
        computed[names.MESH_LABEL] = resource.mesh
    _refuse_other(resource.labels, computed)
    spec = _in_zone(resource.spec, place.zone)
    return replace(resource, spec=spec, labels={**resource.labels, **computed})


def gateway_violations(spec: Dataplane) -> tuple[Violation, ...]:
    """Gateways that this control plane has no configuration for: none may seem to be served that is not."""
    gateway = spec.networking.gateway
    if gateway is None or gateway.type != "BUILTIN":
        return ()
    text = (
        "BUILTIN is not served by this version; use DELEGATED, with a gateway of your own behind its sidecar"
    )
    return (Violation("networking.gateway.type", text),)


def registered_as_before(old: Resource, new: Resource) -> Resource:
    """A proxy that is here because it connected stays so when somebody edits its resource: it still goes when
    the proxy goes."""
    if old.labels.get(names.MANAGED_BY_LABEL) != names.MANAGED_BY_CONNECTION:
        return new
    return replace(new, labels={**new.labels, names.MANAGED_BY_LABEL: names.MANAGED_BY_CONNECTION})


def _refuse_other(given: Mapping[str, str], computed: Mapping[str, str]) -> None:
    violations = tuple(
        Violation(f'labels["{label}"]', f"must be {computed[label]!r}, which is set by this control plane")
        for label in (names.ORIGIN_LABEL, names.ZONE_LABEL)
        if given.get(label, computed[label]) != computed[label]
    )
    if violations:
        raise InvalidResource(violations)


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
