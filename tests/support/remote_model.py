"""What other zones have, and the endpoints that lead there, worked out naively (contract 5.10)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import lcm

from kumacp.xds.model import Endpoint, freeze_tags
from kumacp.xds.remote import RemoteInstances
from kumamesh.names import SERVICE_TAG
from kumamesh.resources.zone import ZoneIngress


def remote_instances(
    ingresses: Iterable[ZoneIngress], mesh: str, service: str, *, external: bool = False
) -> list[RemoteInstances]:
    """Each tag set at each address and port with the most that an ingress of another zone than east says."""
    most: dict[RemoteInstances, int] = {}
    for ingress in ingresses:
        at = (ingress.networking.advertised_address, ingress.networking.advertised_port)
        for entry in ingress.available_services if ingress.zone not in {"", "east"} and at[1] else ():
            tags = dict(entry.tags)
            named = tags.pop(SERVICE_TAG) == service and (entry.mesh or "default") == mesh
            if named and entry.instances and entry.external_service is external:
                one = RemoteInstances(ingress.zone, *at, freeze_tags(tags), 1, external)
                most[one] = max(entry.instances, most.get(one, 0))
    return [replace(one, instances=number) for one, number in most.items()]


def endpoints(
    local: Sequence[Endpoint],
    remote: Sequence[RemoteInstances],
    egresses: Sequence[Endpoint] | None,
    *,
    near_first: bool,
) -> tuple[Endpoint, ...]:
    """Those of this zone, and ways to others; `egresses` if all ways lead through these."""
    owners: dict[tuple[str, int], str] = {}
    for one in sorted(remote, key=lambda one: one.zone):
        owners.setdefault((one.address, one.port), one.zone)
    at_ways = {
        at: [one for one in remote if (one.zone, one.address, one.port) == (zone, *at)]
        for at, zone in owners.items()
    }
    zones = {
        zone: max(sum(one.instances for one in many) for at, many in at_ways.items() if owners[at] == zone)
        for zone in owners.values()
    }
    ways = {zone: list(owners.values()).count(zone) for zone in zones}
    unit = lcm(*ways.values()) if egresses is None else len(egresses)
    if not remote or not unit:
        return tuple(local)
    found = [
        Endpoint(*at, zones[zone] * unit // ways[zone], _common(at_ways[at]), zone, edge=True)
        for at, zone in sorted(owners.items(), key=lambda item: (item[1], item[0]))
    ]
    if egresses is not None:
        total, tags = sum(zones.values()), _common([one for many in at_ways.values() for one in many])
        found = [replace(egress, weight=total, tags=tags) for egress in egresses]
    return (
        *(replace(one, weight=unit) for one in local),
        *(replace(one, priority=1 if near_first else 0) for one in found),
    )


def _common(many: Sequence[RemoteInstances]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in many[0].tags if all(pair in one.tags for one in many))
