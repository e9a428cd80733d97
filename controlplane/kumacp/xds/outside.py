"""Inputs of xDS units that lead out of the mesh: external services, and what no listener of the proxy is for.

As those in `kumacp.xds.model` they are frozen and hashable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kumacp.xds.model import Endpoint, Tags, cluster_name
from kumamesh import names, xds


@dataclass(frozen=True, slots=True)
class ExternalTls:
    """TLS to a server outside the mesh. `server_name` is the SNI, "" for an IP; `expected` the name or IP
    that the server's certificate must state, "" for any; `ca` (PEM) signs it, b"" for what the host of the
    proxy trusts. `certificate` and `private_key` (PEM) are the client's, both or none."""

    server_name: str
    expected: str
    ca: bytes = b""
    certificate: bytes = b""
    private_key: bytes = field(default=b"", repr=False)
    allow_renegotiation: bool = False


@dataclass(frozen=True, slots=True)
class ExternalEndpoint:
    """What one ExternalService stands for; `at.address` is an IP or a DNS name."""

    at: Endpoint
    tls: ExternalTls | None = None


@dataclass(frozen=True, slots=True)
class ExternalCluster:
    """Cluster of a service outside the mesh, with its endpoints: names cannot come by EDS.

    `system_ca` is the file with what the host of the proxy trusts, "" if none is known; `ipv6`: names may be
    resolved to IPv6 addresses. `tags` as in ServiceCluster.
    """

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
        return cluster_name(self.service, self.tags)


@dataclass(frozen=True, slots=True)
class PassthroughCluster:
    """Cluster of whatever address a redirected connection was meant for. `source`: the address that it then
    comes from, by which it is not redirected again; "" for any."""

    name: str
    source: str = ""

    @property
    def type_url(self) -> str:
        return xds.CLUSTER


@dataclass(frozen=True, slots=True)
class PassthroughListener:
    """Where redirected connections arrive. What is meant for another listener goes there, the rest to the
    cluster of the same name: all of it, or with `ports` only what is meant for one of them."""

    name: str
    address: str
    port: int
    outbound: bool
    reuse_port: bool
    ports: tuple[int, ...] = ()

    @property
    def type_url(self) -> str:
        return xds.LISTENER


@dataclass(frozen=True, slots=True)
class NoDestinationCluster:
    """Cluster without an endpoint, for the port that stands for "no port"."""

    @property
    def type_url(self) -> str:
        return xds.CLUSTER

    @property
    def name(self) -> str:
        return names.NO_DESTINATION_CLUSTER
