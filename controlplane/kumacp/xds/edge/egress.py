"""What a zone egress carries: connections from its own zone to other zones, and to services outside the mesh
(contract 5.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from kumacp.xds.edge.carrier import Backing, Carriage
from kumacp.xds.edge.exposure import asked, relevant, server_name, unreachable
from kumacp.xds.edge.outside import OutsideChain, OutsideCluster
from kumacp.xds.edge.units import EdgeChain, EdgeCluster
from kumacp.xds.facts import HTTP_PROTOCOLS
from kumacp.xds.model import CaSecret, IdentityRequest, ProxyMetadata, Rbac, Tags, UnitInput
from kumacp.xds.outside import ExternalEndpoint
from kumacp.xds.reach import remote_endpoints, ways
from kumacp.xds.remote import RemoteInstances
from kumacp.xds.view import MeshDelta, MeshView
from kumamesh.names import EXTERNAL_SERVICE_TAG, SERVICE_TAG, ZONE_EGRESS_SERVICE
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rules.common import is_ip


class OutsideRbac(Protocol):
    """`kumacp.policy.permission.outside_rbac`: who may call a service outside the mesh."""

    def __call__(
        self,
        mesh: str,
        tags: Mapping[str, str],
        zone: str,
        *,
        traffic_permissions: Sequence[Resource],
        mesh_traffic_permissions: Sequence[Resource],
        http: bool,
    ) -> Rbac: ...


class Egress:
    """TLS to other zones passes through it as it is. For a service outside the mesh it is the server: there
    the mTLS of the mesh ends, and there it is decided who may call."""

    type = "ZoneEgress"
    always_listens = False

    def __init__(self, permission: OutsideRbac) -> None:
        self._permission = permission

    def services(self, view: MeshView) -> Iterable[str]:
        return {*view.remote_services(), *view.external_services}

    def concerned(self, view: MeshView, delta: MeshDelta) -> Iterable[str]:
        changed = delta.remote | delta.endpoints | delta.facts | delta.vips.services
        return changed.union(view.external_services) if delta.permissions else changed

    def carry(self, view: MeshView, service: str) -> Carriage | None:
        if not view.settings.zone_egress or unreachable(view.name, service):
            return None
        if outside := outside_here(view, service):
            return self._to_outside(view, service, outside)
        external = view.facts(service).external
        remote = [one for one in view.remote(service) if one.external is external]
        return _to_zones(view, service, remote) if remote else None

    def fitted(self, cluster: UnitInput, address: str, metadata: ProxyMetadata) -> UnitInput:
        """What the host of the proxy trusts, and whether it has IPv6, matter only where servers are verified
        with that, or have names."""
        assert isinstance(cluster, OutsideCluster)
        verified = any(one.tls and not one.tls.ca for one in cluster.endpoints)
        named = not all(is_ip(one.at.address) for one in cluster.endpoints)
        return replace(
            cluster, system_ca=metadata.system_ca if verified else "", ipv6=named and ":" in address
        )

    def trusted(self, view: MeshView) -> Iterable[UnitInput]:
        if view.settings.zone_egress and view.settings.ca:
            yield CaSecret(mesh=view.name, ca=view.settings.ca)

    def identity(self, view: MeshView, proxy: ResourceKey) -> IdentityRequest | None:
        settings = view.settings
        if not view.settings.zone_egress or not settings.ca:
            return None
        return IdentityRequest(
            proxy=proxy,
            mesh=view.name,
            backend=settings.backend,
            services=(ZONE_EGRESS_SERVICE,),
            tags=((SERVICE_TAG, ZONE_EGRESS_SERVICE),),
            ca_version=settings.ca_version,
            lifetime_s=settings.lifetime_s,
        )

    def _to_outside(self, view: MeshView, service: str, outside: Sequence[ExternalEndpoint]) -> Carriage:
        protocol = view.facts(service).protocol
        chains: list[OutsideChain] = []
        backings: dict[Tags, Backing] = {}
        tag_sets = [_declared(one) for one in outside]
        for wanted in asked(view, service, tag_sets):
            tags = relevant(wanted, tag_sets)
            chosen = tuple(one for one in outside if set(tags).issubset(one.at.tags))
            if sni := server_name(view.name, service, wanted):
                rbacs = self._rbacs(view, service, protocol, chosen)
                chains.append(OutsideChain(sni, view.name, service, protocol, rbacs, tags))
                backings[tags] = Backing(OutsideCluster(view.name, service, protocol, chosen, tags), None)
        return Carriage(tuple(chains), tuple(backings.values()))

    def _rbacs(
        self, view: MeshView, service: str, protocol: str, chosen: Iterable[ExternalEndpoint]
    ) -> tuple[Rbac, ...]:
        """Of all ExternalServices behind a server name: whoever may call one of them only, may not call."""
        return tuple(
            dict.fromkeys(
                self._permission(
                    view.name,
                    {SERVICE_TAG: service, **dict(_declared(one))},
                    view.zone,
                    traffic_permissions=view.traffic_permissions,
                    mesh_traffic_permissions=view.mesh_traffic_permissions,
                    http=protocol in HTTP_PROTOCOLS,
                )
                for one in chosen
            )
        )


def outside_here(view: MeshView, service: str) -> tuple[ExternalEndpoint, ...]:
    """The endpoints of a service outside the mesh that are called from this zone; empty for a service inside.
    A tag kuma.io/zone says that an ExternalService is for the egresses of that zone only."""
    if not view.facts(service).external:
        return ()
    return tuple(one for one in view.external_endpoints(service) if one.at.zone in {"", view.zone})


def _declared(endpoint: ExternalEndpoint) -> Tags:
    """The tags of the ExternalService, without the one by which its TLS is told from that of others."""
    return tuple((key, value) for key, value in endpoint.at.tags if key != EXTERNAL_SERVICE_TAG)


def _to_zones(view: MeshView, service: str, remote: Sequence[RemoteInstances]) -> Carriage:
    """A cluster for each choice by tags, for one way into a zone may lead to instances of several."""
    chains: list[EdgeChain] = []
    backings: dict[Tags, Backing] = {}
    tag_sets = [one.tags for one in remote]
    for wanted in asked(view, service, tag_sets):
        tags = relevant(wanted, tag_sets)
        cluster = EdgeCluster(view.name, service, tags=tags)
        if sni := server_name(view.name, service, wanted):
            chains.append(EdgeChain(sni, cluster.name))
            backings[tags] = Backing(cluster, remote_endpoints(ways(remote, tags)))
    return Carriage(tuple(chains), tuple(backings.values()))
