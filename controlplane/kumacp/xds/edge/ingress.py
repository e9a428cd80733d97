"""What a zone ingress carries: connections from other zones to the instances of its own (contract 5.7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from kumacp.xds.edge.carrier import Backing, Carriage
from kumacp.xds.edge.exposure import asked, key_sets, relevant, server_name, unreachable
from kumacp.xds.edge.units import EdgeChain, EdgeCluster, edge_cluster
from kumacp.xds.model import Endpoint, IdentityRequest, ProxyMetadata, Tags, UnitInput
from kumacp.xds.outside import ExternalEndpoint
from kumacp.xds.view import MeshDelta, MeshView
from kumamesh.names import SERVICE_TAG
from kumamesh.resource import ResourceKey


class Ingress:
    """TLS of the mesh passes through it as it is, so it needs no certificate. A service has its server names
    as long as somebody offers it, whether ready or not: what comes and goes are its endpoints."""

    type = "ZoneIngress"
    always_listens = True

    def services(self, view: MeshView) -> Iterable[str]:
        return view.services

    def concerned(self, view: MeshView, delta: MeshDelta) -> Iterable[str]:
        return delta.exposed | delta.endpoints | delta.vips.services

    def carry(self, view: MeshView, service: str) -> Carriage | None:
        if view.settings.mode is None or unreachable(view.name, service):
            return None
        tag_sets = [_further(tags) for tags in view.exposed().get(service, ())]
        if tag_sets:
            return _carriage(view, service, tag_sets, view.endpoints(service))
        outside = [endpoint.at.tags for endpoint in external_here(view, service)]
        return _carriage(view, service, outside, view.egresses) if outside else None

    def trusted(self, _: MeshView) -> Iterable[UnitInput]:
        return ()

    def identity(self, _view: MeshView, _proxy: ResourceKey) -> IdentityRequest | None:
        return None

    def fitted(self, cluster: UnitInput, _address: str, _metadata: ProxyMetadata) -> UnitInput:
        return cluster


def external_here(view: MeshView, service: str) -> tuple[ExternalEndpoint, ...]:
    """The ExternalServices of this zone that others reach through an ingress and an egress of it, if nobody
    offers the service in the mesh."""
    if not (view.settings.zone_egress and view.egresses and view.facts(service).external):
        return ()
    return tuple(one for one in view.external_endpoints(service) if one.at.zone == view.zone)


def _carriage(
    view: MeshView, service: str, tag_sets: Collection[Tags], endpoints: tuple[Endpoint, ...]
) -> Carriage:
    cluster = edge_cluster(view.name, service)
    chains: dict[str, EdgeChain] = {}
    for wanted in asked(view, service, tag_sets):
        name = server_name(view.name, service, wanted)
        if name:
            # Tags may differ in nothing but case, which server names do not. With another chain connections
            # would be cut, so it is the same whatever tags others have; one that all have needs no subset.
            chains.setdefault(name, EdgeChain(name, cluster, wanted))
    subsets = key_sets(chain.subset for chain in chains.values() if relevant(chain.subset, tag_sets))
    backing = Backing(EdgeCluster(view.name, service, subsets=subsets), endpoints)
    return Carriage(tuple(chains.values()), (backing,))


def _further(tags: Tags) -> Tags:
    return tuple(tag for tag in tags if tag[0] != SERVICE_TAG)
