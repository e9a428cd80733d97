"""Zone proxies of a hub, and what they are told, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hub_world as world
from kumacp.store.api import Change
from kumacp.xds.edge.egress import Egress
from kumacp.xds.edge.ingress import Ingress
from kumacp.xds.edge.units import EdgeChain, EdgeEndpoints, EdgeListener
from kumacp.xds.hub import Hub
from kumacp.xds.model import PrincipalPolicy, PrincipalRbac, Rbac, UnitInput
from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, XdsResource

ZONE = "east"
KINDS = {"i": "ZoneIngress", "e": "ZoneEgress"}


def permission(
    mesh: str,
    tags: Mapping[str, str],
    zone: str,
    *,
    traffic_permissions: Sequence[Resource],
    mesh_traffic_permissions: Sequence[Resource],
    http: bool,
) -> Rbac:
    """Told from others by the names of the TrafficPermissions to the service."""
    allow = tuple(
        PrincipalPolicy(resource.name, ((),))
        for resource in traffic_permissions
        if any(one.match[SERVICE_TAG] in {tags[SERVICE_TAG], "*"} for one in resource.spec.destinations)
    )
    return PrincipalRbac(allow, http=http)


def key(name: str) -> ResourceKey:
    """Of the zone proxy with that name: `i1` is an ingress, `e1` an egress."""
    return ResourceKey(KINDS[name[0]], "", name)


class Built:
    """Builds like `hub_world.build`, and remembers of what."""

    def __init__(self) -> None:
        self.inputs: dict[str, UnitInput] = {}

    def __call__(self, input_: UnitInput) -> XdsResource:
        resource = world.build(input_)
        self.inputs[resource.version] = input_
        return resource


class EdgeWorld:
    """A hub of the zone `east`."""

    def __init__(self, *resources: Resource) -> None:
        self.built = Built()
        carriers = (Ingress(), Egress(permission))
        self.hub = Hub(ZONE, self.built, world.permission, carriers=carriers)
        self.writer = world.Writer()
        self.put(*resources)

    def put(self, *resources: Resource) -> Mapping[ResourceKey, Mapping[str, frozenset[str]]]:
        return self.hub.apply([self.writer.put(resource) for resource in resources])

    def delete(self, *keys: ResourceKey) -> Mapping[ResourceKey, Mapping[str, frozenset[str]]]:
        changes: list[Change | None] = [self.writer.delete(each) for each in keys]
        return self.hub.apply([change for change in changes if change is not None])

    def connect(self, name: str = "i1") -> None:
        """Its resource is stored before."""
        if key(name) not in self.writer.resources:
            zone_proxy = world.zone_ingress if name.startswith("i") else world.zone_egress
            self.put(zone_proxy(name, zone=ZONE))
        self.hub.connect(key(name), world.METADATA)

    def inputs(self, type_url: str, name: str = "i1") -> dict[str, Any]:
        """What the resources of a zone proxy are made of, by name."""
        desired = self.hub.desired(key(name))[type_url]
        return {each: self.built.inputs[resource.version] for each, resource in desired.items()}

    def listener(self, name: str = "i1") -> EdgeListener:
        found = [one for one in self.inputs(LISTENER, name).values() if isinstance(one, EdgeListener)]
        assert len(found) == 1
        return found[0]

    def chains(self, name: str = "i1") -> dict[str, EdgeChain]:
        """By server name."""
        return {chain.sni: chain for chain in self.listener(name).chains if isinstance(chain, EdgeChain)}

    def clusters(self, name: str = "i1") -> dict[str, Any]:
        """Without the proxy's own."""
        found = self.inputs(CLUSTER, name).items()
        return {each: cluster for each, cluster in found if not each.startswith("kuma:")}

    def endpoints(self, cluster: str, name: str = "i1") -> list[tuple[str, int]]:
        assignment = self.inputs(ENDPOINT, name)[cluster]
        assert isinstance(assignment, EdgeEndpoints)
        return [(endpoint.address, endpoint.port) for endpoint in assignment.endpoints]
