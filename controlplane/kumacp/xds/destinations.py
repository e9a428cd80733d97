"""Where outbounds lead, and what stands behind that: the same for every proxy of a mesh."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from kumacp.xds.model import ServiceCluster, ServiceEndpoints, Tags, cluster_name
from kumacp.xds.outside import ExternalCluster, ExternalEndpoint
from kumacp.xds.view import MeshView
from kumamesh.names import ZONE_EGRESS_SERVICE
from kumamesh.resources.rules.common import is_ip


class Destination(NamedTuple):
    """Where outbounds lead: a service, or those of its endpoints that have all of `tags`. How a proxy reaches
    a service outside the mesh also depends on what its host trusts, and on whether it has IPv6."""

    service: str
    tags: Tags
    system_ca: str = ""
    ipv6: bool = False

    @property
    def cluster(self) -> str:
        """Name of its cluster and its assignment."""
        return cluster_name(self.service, self.tags)


def service_cluster(view: MeshView, destination: Destination) -> ServiceCluster:
    facts = view.facts(destination.service)
    return ServiceCluster(
        mesh=view.name,
        service=destination.service,
        protocol=facts.protocol,
        tls=facts.tls,
        tags=destination.tags,
        edges=facts.edges,
    )


def service_endpoints(view: MeshView, destination: Destination, cluster_version: str) -> ServiceEndpoints:
    """Empty while nobody offers the service: its cluster stays."""
    return ServiceEndpoints(
        service=destination.service,
        endpoints=view.outbound_endpoints(destination.service, destination.tags),
        cluster_version=cluster_version,
        tags=destination.tags,
    )


def egress_cluster(view: MeshView, destination: Destination) -> ServiceCluster:
    """For a service outside the mesh that is reached through the egresses of the zone: with mTLS of the mesh
    up to there."""
    return ServiceCluster(
        mesh=view.name,
        service=destination.service,
        protocol=view.facts(destination.service).protocol,
        tls=True,
        tags=destination.tags,
        peer=ZONE_EGRESS_SERVICE,
    )


def egress_endpoints(view: MeshView, destination: Destination, cluster_version: str) -> ServiceEndpoints:
    """The egresses, which choose among the endpoints of the service themselves."""
    return ServiceEndpoints(
        service=destination.service,
        endpoints=view.egresses,
        cluster_version=cluster_version,
        tags=destination.tags,
    )


def external_cluster(view: MeshView, destination: Destination) -> ExternalCluster:
    """For a service outside the mesh that proxies call themselves; what its endpoints do not depend on is
    left out."""
    endpoints = tuple(
        _placed(view, endpoint)
        for endpoint in view.external_endpoints(destination.service)
        if set(destination.tags).issubset(endpoint.at.tags)
    )
    return ExternalCluster(
        service=destination.service,
        protocol=view.facts(destination.service).protocol,
        endpoints=endpoints,
        tags=destination.tags,
        system_ca=destination.system_ca if any(one.tls and not one.tls.ca for one in endpoints) else "",
        ipv6=destination.ipv6 and not all(is_ip(one.at.address) for one in endpoints),
    )


def _placed(view: MeshView, endpoint: ExternalEndpoint) -> ExternalEndpoint:
    """One that belongs to another zone is second choice in a mesh that prefers what is near."""
    if not view.settings.locality_aware or endpoint.at.zone in {"", view.zone}:
        return endpoint
    return replace(endpoint, at=replace(endpoint.at, priority=1))
