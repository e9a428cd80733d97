"""Inputs of the units by which a workload reaches instances of services at their own addresses."""

from __future__ import annotations

from dataclasses import dataclass

from kumamesh import xds
from kumamesh.names import format_address

DIRECT_ACCESS = "direct_access"
DIRECT_ACCESS_PLAIN = "direct_access:plain"


@dataclass(frozen=True, slots=True)
class DirectAccessCluster:
    """Cluster of whatever instance a redirected connection was meant for: with mTLS of `mesh`, or in plain
    text if it is ""."""

    name: str
    mesh: str

    @property
    def type_url(self) -> str:
        return xds.CLUSTER


@dataclass(frozen=True, slots=True)
class DirectAccessListener:
    """Listener for redirected connections to one instance, which go to it through `cluster`."""

    address: str
    port: int
    cluster: str
    reuse_port: bool

    @property
    def type_url(self) -> str:
        return xds.LISTENER

    @property
    def name(self) -> str:
        return f"{DIRECT_ACCESS}_{format_address(self.address, self.port)}"
