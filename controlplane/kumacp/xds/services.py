"""What stands behind every destination in use: built once per mesh, shared by all who use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kumacp.xds.destinations import (
    Destination,
    egress_cluster,
    egress_endpoints,
    external_cluster,
    service_cluster,
    service_endpoints,
)
from kumacp.xds.model import ServiceCluster
from kumacp.xds.outside import ExternalCluster
from kumacp.xds.proxy import TouchedRecord
from kumacp.xds.units import Unit, UnitCache, UnitKey
from kumacp.xds.view import MeshView
from kumamesh.xds import CLUSTER, ENDPOINT


class Subscriber(Protocol):
    """A proxy, or what several have in common."""

    def put(self, unit: Unit, touched: TouchedRecord) -> None: ...
    def drop(self, key: UnitKey, touched: TouchedRecord) -> None: ...


class SharedDestination:
    """The built units of a destination, and who subscribes to them: a cluster, and its assignment unless the
    service is outside the mesh and proxies call it themselves."""

    __slots__ = ("destination", "subscribers", "units")

    def __init__(self, destination: Destination, units: tuple[Unit, ...]) -> None:
        self.destination = destination
        self.units = units
        self.subscribers: set[Subscriber] = set()

    @property
    def manner(self) -> tuple[str, bool]:
        """What outbound listeners depend on: the protocol, and whether the service is outside the mesh."""
        cluster = self.units[0].input
        assert isinstance(cluster, ServiceCluster | ExternalCluster)
        return cluster.protocol, isinstance(cluster, ExternalCluster) or bool(cluster.peer)

    def put(self, subscriber: Subscriber, touched: TouchedRecord) -> None:
        """Give the subscriber the units, and take from it what they have replaced."""
        for unit in self.units:
            subscriber.put(unit, touched)
        if len(self.units) == 1:
            subscriber.drop(self._assignment, touched)

    def drop(self, subscriber: Subscriber, touched: TouchedRecord) -> None:
        subscriber.drop((CLUSTER, self.destination.cluster), touched)
        subscriber.drop(self._assignment, touched)

    @property
    def _assignment(self) -> UnitKey:
        return ENDPOINT, self.destination.cluster


class SharedDestinations:
    """Destinations of all meshes that at least one connected proxy uses."""

    def __init__(self, units: UnitCache) -> None:
        self._units = units
        self._used: dict[str, dict[str, dict[Destination, SharedDestination]]] = {}

    def of(self, mesh: str, services: Iterable[str]) -> list[SharedDestination]:
        """Those that lead to one of the services."""
        used = self._used.get(mesh, {})
        return [shared for service in services for shared in used.get(service, {}).values()]

    def all(self, mesh: str) -> list[SharedDestination]:
        return self.of(mesh, self._used.get(mesh, ()))

    def subscribe(
        self, view: MeshView, destination: Destination, subscriber: Subscriber
    ) -> SharedDestination:
        """The units, built if nobody used them before; subscribing twice is subscribing once."""
        used = self._used.setdefault(view.name, {}).setdefault(destination.service, {})
        shared = used.get(destination)
        if shared is None:
            shared = used[destination] = SharedDestination(
                destination, destination_units(self._units, view, destination)
            )
        elif subscriber not in shared.subscribers:
            self._units.reused += len(shared.units)
        shared.subscribers.add(subscriber)
        return shared

    def unsubscribe(self, mesh: str, destination: Destination, subscriber: Subscriber) -> SharedDestination:
        """What the subscriber has no more."""
        services = self._used[mesh]
        used = services[destination.service]
        shared = used[destination]
        shared.subscribers.remove(subscriber)
        if not shared.subscribers:
            for unit in shared.units:
                self._units.release(unit)
            del used[destination]
            if not used:
                del services[destination.service]
            if not services:
                del self._used[mesh]
        return shared

    def refresh(self, view: MeshView, shared: SharedDestination) -> None:
        """Bring the units up to date."""
        shared.units = destination_units(self._units, view, shared.destination, *shared.units)


def destination_units(
    units: UnitCache,
    view: MeshView,
    destination: Destination,
    cluster: Unit | None = None,
    assignment: Unit | None = None,
) -> tuple[Unit, ...]:
    """What stands behind the destination, in exchange for the units that are given; to be released. Another
    cluster gives its assignment another version, so that the one is never sent without the other (DESIGN.md
    3.5)."""
    external = view.facts(destination.service).external
    if external and not view.settings.zone_egress:
        if assignment is not None:
            units.release(assignment)
        return (units.replace(cluster, external_cluster(view, destination)),)
    of_cluster, of_endpoints = (
        (egress_cluster, egress_endpoints) if external else (service_cluster, service_endpoints)
    )
    cluster = units.replace(cluster, of_cluster(view, destination))
    return cluster, units.replace(assignment, of_endpoints(view, destination, cluster.resource.version))
