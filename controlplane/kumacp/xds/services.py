"""Cluster and assignment of every service in use: one of each per mesh, shared by all proxies that use it."""

from __future__ import annotations

from collections.abc import Iterable

from kumacp.xds.proxy import Proxy
from kumacp.xds.sidecar import service_cluster, service_endpoints
from kumacp.xds.units import Unit, UnitCache
from kumacp.xds.view import MeshView


class SharedService:
    """The built units of a service, and who subscribes to them."""

    __slots__ = ("assignment", "cluster", "protocol", "subscribers")

    def __init__(self, protocol: str, cluster: Unit, assignment: Unit) -> None:
        self.protocol = protocol
        self.cluster = cluster
        self.assignment = assignment
        self.subscribers: set[Proxy] = set()


class SharedServices:
    """Services of all meshes that at least one connected proxy uses."""

    def __init__(self, units: UnitCache) -> None:
        self._units = units
        self._services: dict[str, dict[str, SharedService]] = {}

    def used(self, mesh: str, services: Iterable[str]) -> list[str]:
        """Those of the services that somebody subscribes to."""
        in_use = self._services.get(mesh, {})
        return [service for service in services if service in in_use]

    def all_used(self, mesh: str) -> list[str]:
        return list(self._services.get(mesh, ()))

    def get(self, mesh: str, service: str) -> SharedService:
        return self._services[mesh][service]

    def subscribe(self, view: MeshView, service: str, proxy: Proxy) -> SharedService:
        """The units, built if the proxy is the first to use them; subscribing twice is subscribing once."""
        in_use = self._services.setdefault(view.name, {})
        shared = in_use.get(service)
        if shared is None:
            cluster_input = service_cluster(view, service)
            cluster = self._units.acquire(cluster_input)
            endpoints = service_endpoints(view, service, cluster.resource.version)
            shared = in_use[service] = SharedService(
                cluster_input.protocol, cluster, self._units.acquire(endpoints)
            )
        elif proxy not in shared.subscribers:
            self._units.reused += 2
        shared.subscribers.add(proxy)
        return shared

    def unsubscribe(self, mesh: str, service: str, proxy: Proxy) -> SharedService:
        """What the proxy has no more."""
        in_use = self._services[mesh]
        shared = in_use[service]
        shared.subscribers.remove(proxy)
        if not shared.subscribers:
            self._units.release(shared.cluster)
            self._units.release(shared.assignment)
            del in_use[service]
            if not in_use:
                del self._services[mesh]
        return shared

    def refresh(self, view: MeshView, service: str) -> None:
        """Bring the units of a service in use up to date. Another cluster gives its assignment another
        version, so that the one is never sent without the other (DESIGN.md 3.5)."""
        shared = self._services[view.name][service]
        cluster = service_cluster(view, service)
        shared.protocol = cluster.protocol
        shared.cluster = self._units.replace(shared.cluster, cluster)
        endpoints = service_endpoints(view, service, shared.cluster.resource.version)
        shared.assignment = self._units.replace(shared.assignment, endpoints)
