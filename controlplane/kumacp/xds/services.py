"""Cluster and assignment of every destination in use: one of each per mesh, shared by all who use it."""

from __future__ import annotations

from collections.abc import Iterable

from kumacp.xds.proxy import Proxy
from kumacp.xds.sidecar import Destination, service_cluster, service_endpoints
from kumacp.xds.units import Unit, UnitCache
from kumacp.xds.view import MeshView


class SharedDestination:
    """The built units of a destination, and who subscribes to them."""

    __slots__ = ("assignment", "cluster", "destination", "protocol", "subscribers")

    def __init__(self, destination: Destination, protocol: str, cluster: Unit, assignment: Unit) -> None:
        self.destination = destination
        self.protocol = protocol
        self.cluster = cluster
        self.assignment = assignment
        self.subscribers: set[Proxy] = set()


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

    def subscribe(self, view: MeshView, destination: Destination, proxy: Proxy) -> SharedDestination:
        """The units, built if the proxy is the first to use them; subscribing twice is subscribing once."""
        used = self._used.setdefault(view.name, {}).setdefault(destination.service, {})
        shared = used.get(destination)
        if shared is None:
            cluster = service_cluster(view, destination)
            unit = self._units.acquire(cluster)
            endpoints = service_endpoints(view, destination, unit.resource.version)
            shared = SharedDestination(destination, cluster.protocol, unit, self._units.acquire(endpoints))
            used[destination] = shared
        elif proxy not in shared.subscribers:
            self._units.reused += 2
        shared.subscribers.add(proxy)
        return shared

    def unsubscribe(self, mesh: str, destination: Destination, proxy: Proxy) -> SharedDestination:
        """What the proxy has no more."""
        services = self._used[mesh]
        used = services[destination.service]
        shared = used[destination]
        shared.subscribers.remove(proxy)
        if not shared.subscribers:
            self._units.release(shared.cluster)
            self._units.release(shared.assignment)
            del used[destination]
            if not used:
                del services[destination.service]
            if not services:
                del self._used[mesh]
        return shared

    def refresh(self, view: MeshView, shared: SharedDestination) -> None:
        """Bring the units up to date. Another cluster gives its assignment another version, so that the one
        is never sent without the other (DESIGN.md 3.5)."""
        cluster = service_cluster(view, shared.destination)
        shared.protocol = cluster.protocol
        shared.cluster = self._units.replace(shared.cluster, cluster)
        endpoints = service_endpoints(view, shared.destination, shared.cluster.resource.version)
        shared.assignment = self._units.replace(shared.assignment, endpoints)
