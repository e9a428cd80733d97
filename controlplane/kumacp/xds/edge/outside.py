"""Inputs of the units by which zone egresses lead out of the mesh; see `kumacp.xds.model`."""

from __future__ import annotations

from dataclasses import dataclass

from kumacp.xds.edge.units import edge_cluster
from kumacp.xds.model import Rbac, Tags, cluster_name
from kumacp.xds.outside import ExternalEndpoint
from kumamesh import xds


@dataclass(frozen=True, slots=True)
class OutsideChain:
    """The mTLS of the mesh ends here. Who passes all of `rbacs` reaches a service outside the mesh, or those
    of its endpoints that have all of `tags`."""

    sni: str
    mesh: str
    service: str
    protocol: str
    rbacs: tuple[Rbac, ...]
    tags: Tags = ()

    @property
    def cluster(self) -> str:
        """Name of the cluster that it needs."""
        return edge_cluster(self.mesh, cluster_name(self.service, self.tags))

    @property
    def name(self) -> str:
        return f"{cluster_name(self.service, self.tags)}_{self.mesh}"


@dataclass(frozen=True, slots=True)
class OutsideCluster:
    """Cluster of a service outside the mesh, as egresses see it; the rest is as in ExternalCluster."""

    mesh: str
    service: str
    protocol: str
    endpoints: tuple[ExternalEndpoint, ...]
    tags: Tags = ()
    system_ca: str = ""
    ipv6: bool = False

    @property
    def type_url(self) -> str:
        return xds.CLUSTER

    @property
    def name(self) -> str:
        return edge_cluster(self.mesh, cluster_name(self.service, self.tags))
