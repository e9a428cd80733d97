"""Resources of a zone name that zone and no other, whatever they say (contract 8.5)."""

from __future__ import annotations

from typing import TypeVar

from kumamesh.names import ZONE_TAG
from kumamesh.resources.base import FrozenMap, Spec
from kumamesh.resources.dataplane import Dataplane, Gateway, Inbound
from kumamesh.resources.zone import AvailableService, ZoneEgress, ZoneIngress

T = TypeVar("T", Inbound, Gateway, AvailableService)


def pinned(spec: Spec, zone: str) -> Spec:
    """The spec with the zone in it; tags that name a zone name this one, those that name none stay so."""
    match spec:
        case ZoneIngress():
            services = tuple(_retagged(service, zone) for service in spec.available_services)
            return spec.model_copy(update={"zone": zone, "available_services": services})
        case ZoneEgress():
            return spec.model_copy(update={"zone": zone})
        case Dataplane():
            networking = spec.networking
            inbound = tuple(_retagged(inbound, zone) for inbound in networking.inbound)
            gateway = _retagged(networking.gateway, zone) if networking.gateway is not None else None
            if (inbound, gateway) == (networking.inbound, networking.gateway):
                return spec  # as of every honest zone; ten thousand copies would take their room
            update = {"inbound": inbound, "gateway": gateway}
            return spec.model_copy(update={"networking": networking.model_copy(update=update)})
        case _:
            return spec


def _retagged(item: T, zone: str) -> T:
    if item.tags.get(ZONE_TAG, zone) == zone:
        return item
    return item.model_copy(update={"tags": FrozenMap({**item.tags, ZONE_TAG: zone})})
