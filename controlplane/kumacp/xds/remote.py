"""What the ingresses of other zones say that their zones offer, current change by change (contract 5.7).

Several ingresses with one advertised address and port are one way into their zone, and count once: with the
most that one of them says, for they are told of a change one after the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from kumacp.xds.facts import DEFAULT_PROTOCOL
from kumacp.xds.held import put
from kumacp.xds.model import Tags, freeze_tags
from kumamesh.names import DEFAULT_MESH, PROTOCOL_TAG, SERVICE_TAG
from kumamesh.resources.zone import AvailableService, ZoneEgress, ZoneIngress


@dataclass(frozen=True, slots=True)
class RemoteInstances:
    """So many `instances` (>= 1) of a service with these `tags` (without kuma.io/service) are in another
    zone, behind the ingress at this address and port. `external`: they are outside the mesh, behind its
    egress."""

    zone: str
    address: str
    port: int
    tags: Tags
    instances: int
    external: bool = False

    @property
    def protocol(self) -> str:
        return next((value for key, value in self.tags if key == PROTOCOL_TAG), DEFAULT_PROTOCOL)


MeshService = tuple[str, str]
"""Mesh and service."""
_Entry = tuple[Hashable, ...]
"""An entry of availableServices and where its ingress is: equal ones mean the same."""


def is_remote(spec: ZoneIngress | ZoneEgress, zone: str) -> bool:
    """Whether it belongs to another zone than this one. One that says of no zone is of this one."""
    return spec.zone not in {"", zone}


class Ingresses:
    """What other zones than `zone` offer through their ingresses, entry by entry: an entry that stays costs
    next to nothing. What cannot be reached, because nobody knows where the ingress is, is not offered."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._entries: dict[str, dict[_Entry, MeshService]] = {}
        self._offers: dict[str, dict[MeshService, dict[_Entry, RemoteInstances]]] = {}

    def note(self, name: str, ingress: ZoneIngress | None) -> dict[MeshService, tuple[RemoteInstances, ...]]:
        """An ingress as it is now, None for one that is gone. Tells the services of which it offers something
        else with that, and all that it offers of these."""
        before, offers = self._entries.pop(name, {}), self._offers.pop(name, {})
        entries = _entries(ingress) if ingress and is_remote(ingress, self._zone) else {}
        now: dict[_Entry, MeshService] = {}
        changed: dict[MeshService, None] = {}
        for entry, available in entries.items():
            known = before.pop(entry, None)
            now[entry] = known or _mesh_service(available)
            if ingress and known is None:
                offers.setdefault(now[entry], {})[entry] = _instances(ingress, available)
                changed[now[entry]] = None
        for entry, service in before.items():
            del offers[service][entry]
            changed[service] = None
        told = {service: tuple(offers[service].values()) for service in changed}
        for service in [service for service, many in told.items() if not many]:
            del offers[service]
        if now:
            self._entries[name], self._offers[name] = now, offers
        return told

    def of_mesh(self, mesh: str) -> Iterator[tuple[str, str, tuple[RemoteInstances, ...]]]:
        """Ingress, service, and what the one offers of the other."""
        for name, offers in self._offers.items():
            for (of, service), many in offers.items():
                if of == mesh:
                    yield name, service, tuple(many.values())


def _entries(ingress: ZoneIngress) -> dict[_Entry, AvailableService]:
    if not ingress.has_public_address:
        return {}
    at = (ingress.zone, ingress.networking.advertised_address, ingress.networking.advertised_port)
    return {
        (at, one.mesh, one.instances, one.external_service, *one.tags.items()): one
        for one in ingress.available_services
        if one.instances > 0 and one.tags.get(SERVICE_TAG)
    }


def _mesh_service(available: AvailableService) -> MeshService:
    return available.mesh or DEFAULT_MESH, available.tags[SERVICE_TAG]


def _instances(ingress: ZoneIngress, available: AvailableService) -> RemoteInstances:
    return RemoteInstances(
        zone=ingress.zone,
        address=ingress.networking.advertised_address,
        port=ingress.networking.advertised_port,
        tags=freeze_tags({tag: value for tag, value in available.tags.items() if tag != SERVICE_TAG}),
        instances=available.instances,
        external=available.external_service,
    )


class RemoteServices:
    """Of one mesh. What an ingress says of a service is noted; `commit` tells the services of which there is
    something else now. `services` are those that there are."""

    def __init__(self) -> None:
        self.services: dict[str, tuple[RemoteInstances, ...]] = {}
        self._said: dict[str, dict[str, tuple[RemoteInstances, ...]]] = {}
        self._before: dict[str, tuple[RemoteInstances, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self.services)

    def of(self, service: str) -> tuple[RemoteInstances, ...]:
        """Sorted by zone, address, port and tags."""
        return self.services.get(service, ())

    def note(self, ingress: str, service: str, many: tuple[RemoteInstances, ...]) -> None:
        """All that an ingress offers of a service now."""
        self._before.setdefault(service, self.of(service))
        said = self._said.setdefault(service, {})
        put(said, ingress, many or None)
        if said:
            self.services[service] = _merged(one for others in said.values() for one in others)
        else:
            del self._said[service]
            self.services.pop(service, None)

    @property
    def noted(self) -> Iterable[str]:
        """Services of which an ingress said something else since the last commit."""
        return self._before.keys()

    def commit(self) -> frozenset[str]:
        before, self._before = self._before, {}
        return frozenset(service for service, many in before.items() if self.of(service) != many)


def _merged(many: Iterable[RemoteInstances]) -> tuple[RemoteInstances, ...]:
    most: dict[RemoteInstances, int] = {}
    for one in many:
        key = replace(one, instances=1)
        most[key] = max(one.instances, most.get(key, 0))
    ordered = sorted(most, key=lambda one: (one.zone, one.address, one.port, one.tags, one.external))
    return tuple(replace(one, instances=most[one]) for one in ordered)
