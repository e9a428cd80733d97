"""What one kind of zone proxy does with a mesh, as pure functions of it. Everything else, for ingress and
egress alike, is done by `kumacp.xds.edge.edge`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from kumacp.xds.edge.units import Chain
from kumacp.xds.model import Endpoint, IdentityRequest, ProxyMetadata, UnitInput
from kumacp.xds.view import MeshDelta, MeshView
from kumamesh.resource import ResourceKey


@dataclass(frozen=True, slots=True)
class Backing:
    """A cluster that all proxies have in common, and its endpoints. With `endpoints` None the cluster has
    them in itself, and is fitted to each proxy."""

    cluster: UnitInput
    endpoints: tuple[Endpoint, ...] | None


@dataclass(frozen=True, slots=True)
class Carriage:
    """How a service is carried: server names that lead to it, and what stands behind them."""

    chains: tuple[Chain, ...]
    backings: tuple[Backing, ...]


class Carrier(Protocol):
    """One kind of zone proxy. A service is named by kuma.io/service."""

    @property
    def type(self) -> str:
        """ZoneIngress or ZoneEgress."""

    @property
    def always_listens(self) -> bool:
        """Whether it has a listener that tells what it is while nothing is carried."""

    def services(self, view: MeshView) -> Iterable[str]:
        """All services that it may carry of the mesh."""

    def concerned(self, view: MeshView, delta: MeshDelta) -> Iterable[str]:
        """Services to be asked for again. When the settings of the mesh changed, all are anyway."""

    def carry(self, view: MeshView, service: str) -> Carriage | None:
        """None for a service that it does not carry."""

    def fitted(self, cluster: UnitInput, address: str, metadata: ProxyMetadata) -> UnitInput:
        """A cluster that has its endpoints in itself, as the proxy at `address` needs it."""

    def trusted(self, view: MeshView) -> Iterable[UnitInput]:
        """What every proxy of the kind needs of the mesh beside its services: the CA that it trusts."""

    def identity(self, view: MeshView, proxy: ResourceKey) -> IdentityRequest | None:
        """The certificate that the proxy should have in the mesh."""
