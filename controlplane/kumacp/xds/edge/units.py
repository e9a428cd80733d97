"""Inputs of the units that only zone proxies have; see `kumacp.xds.model`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kumacp.xds.model import Endpoint, Tags, cluster_name
from kumamesh import names, xds

KeySet = tuple[str, ...]
"""Sorted keys of tags."""


def edge_cluster(mesh: str, service: str, tags: Tags = ()) -> str:
    """Cluster of a service, or of those of its endpoints that have the tags, as zone proxies see it, who
    carry several meshes."""
    return f"{mesh}:{cluster_name(service, tags)}"


class Chain(Protocol):
    """What happens to connections that ask for a server name. A frozen value; how it becomes a filter chain
    is registered in `kumacp.xds.build.edge`."""

    @property
    def sni(self) -> str: ...
    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class EdgeChain:
    """TLS is passed on as it comes, to the endpoints of the cluster that have all tags of `subset`, if it
    tells endpoints apart by their keys."""

    sni: str
    cluster: str
    subset: Tags = ()

    def __hash__(self) -> int:
        """An ingress has thousands, which differ in this already."""
        return hash(self.sni)


@dataclass(frozen=True, slots=True)
class EdgeCluster:
    """EDS cluster that passes TLS on. Its endpoints are chosen by `tags` already, or are told apart by the
    keys of tags in `subsets`."""

    mesh: str
    service: str
    tags: Tags = ()
    subsets: tuple[KeySet, ...] = ()

    @property
    def type_url(self) -> str:
        return xds.CLUSTER

    @property
    def name(self) -> str:
        return edge_cluster(self.mesh, self.service, self.tags)


@dataclass(frozen=True, slots=True)
class EdgeEndpoints:
    """ClusterLoadAssignment of the cluster of that name; `cluster_version` as in ServiceEndpoints."""

    name: str
    endpoints: tuple[Endpoint, ...]
    cluster_version: str

    @property
    def type_url(self) -> str:
        return xds.ENDPOINT


@dataclass(frozen=True, slots=True)
class EdgeListener:
    """The listener of a zone proxy. No two chains have one SNI. Without chains it answers with what it is:
    the node id `proxy` and the zone."""

    address: str
    port: int
    chains: tuple[Chain, ...]
    zone: str
    proxy: str
    reuse_port: bool

    def __hash__(self) -> int:
        """Without the thousands of chains: few listeners are alike in all else."""
        return hash((self.proxy, self.address, self.port, len(self.chains)))

    @property
    def type_url(self) -> str:
        return xds.LISTENER

    @property
    def name(self) -> str:
        return names.inbound_listener(self.address, self.port)
