"""The zone's own ingresses and egresses; they are of no mesh, and for all of them."""

from __future__ import annotations

from collections.abc import Mapping

from kumacp.xds.held import put, same
from kumacp.xds.model import Endpoint
from kumamesh.resource import Resource, ResourceKey

EDGE_TYPES = ("ZoneIngress", "ZoneEgress")


class OwnEdges:
    """Resources by name; `egress_endpoints` are where the egresses are, sorted and each once."""

    def __init__(self) -> None:
        self.egress_endpoints: tuple[Endpoint, ...] = ()
        self._held: dict[str, dict[str, Resource]] = {type_: {} for type_ in EDGE_TYPES}
        self._changed: set[ResourceKey] = set()

    @property
    def ingresses(self) -> Mapping[str, Resource]:
        return self._held["ZoneIngress"]

    @property
    def egresses(self) -> Mapping[str, Resource]:
        return self._held["ZoneEgress"]

    def of(self, key: ResourceKey) -> Resource | None:
        return self._held.get(key.type, {}).get(key.name)

    def note(self, key: ResourceKey, resource: Resource | None) -> bool:
        """The resource as it is now; whether egresses are somewhere else with that."""
        held = self._held[key.type]
        if same(held.get(key.name), resource):
            return False
        put(held, key.name, resource)
        self._changed.add(key)
        before, self.egress_endpoints = self.egress_endpoints, self._endpoints()
        return self.egress_endpoints != before

    def take_changed(self) -> frozenset[ResourceKey]:
        """Those that are new, others or gone, each told once."""
        changed, self._changed = self._changed, set()
        return frozenset(changed)

    def _endpoints(self) -> tuple[Endpoint, ...]:
        at = [resource.spec.networking for resource in self.egresses.values()]
        distinct = sorted({(one.address, one.port) for one in at if one.address and one.port})
        return tuple(Endpoint(address, port, edge=True) for address, port in distinct)
