"""Inputs of xDS units: frozen, hashable values, one class per kind of unit (DESIGN.md 3.8).

Two proxies whose plans hold equal inputs share one built and serialised resource. Every input knows its
`type_url` and `name`, so that a plan can be compared and wired up before anything is built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from kumamesh import names, xds
from kumamesh.resource import ResourceKey

Tags = tuple[tuple[str, str], ...]
"""Tags in a hashable form: pairs sorted by key."""


def freeze_tags(tags: Mapping[str, str]) -> Tags:
    return tuple(sorted(tags.items()))


def cluster_name(service: str, tags: Tags = ()) -> str:
    """Cluster of a service, or of those of its endpoints that have the further tags (contract 5.2)."""
    if not tags:
        return service
    digest = hashlib.sha256("".join(key + value for key, value in tags).encode())
    return f"{service}-{digest.digest()[:8].hex()}"


_OWN_CLUSTERS = ("kuma:", "localhost:", "inbound:", "outbound:", "direct_access:", "self_transparentproxy_")
"""What names of clusters of the proxy itself begin with."""


def usable(service: str) -> bool:
    """Whether a service can have outbounds: named like one of the proxy's own clusters it cannot, for the
    cluster would not be what it means."""
    return bool(service) and service != "direct_access" and not service.startswith(_OWN_CLUSTERS)


class TlsMode(Enum):
    """How an inbound of a mesh with mTLS treats plain text (contract 5.4)."""

    STRICT = "STRICT"
    PERMISSIVE = "PERMISSIVE"


class UnitInput(Protocol):
    """What every input has; `kumacp.xds.build.build(input)` makes the resource."""

    @property
    def type_url(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that serves a service. `tags` are without kuma.io/service; `weight` >= 1. `edge`: it leads
    out of the zone, through an ingress or egress, and is spoken to with mTLS only."""

    address: str
    port: int
    weight: int = 1
    tags: Tags = ()
    zone: str = ""
    priority: int = 0
    edge: bool = False


@dataclass(frozen=True, slots=True)
class ServiceCluster:
    """EDS cluster of a kuma.io/service as outbounds of the mesh see it; with mTLS if `tls`. `edges`: some of
    its endpoints lead out of the zone, and these always have mTLS.

    `tags` are what an outbound asks for beyond kuma.io/service: they go into name and SNI, and the
    ClusterLoadAssignment of the same tags holds only the endpoints that have them. `peer` is the service
    whose identity answers, "" if that is the service itself.
    """

    mesh: str
    service: str
    protocol: str
    tls: bool
    tags: Tags = ()
    peer: str = ""
    edges: bool = False

    @property
    def type_url(self) -> str:
        return xds.CLUSTER

    @property
    def name(self) -> str:
        return cluster_name(self.service, self.tags)


@dataclass(frozen=True, slots=True)
class ServiceEndpoints:
    """ClusterLoadAssignment of a cluster. `cluster_version` is the version of the built cluster: a changed
    cluster must be followed by its assignment, or Envoy warms it for 15 s (DESIGN.md 3.5). `tags` are those
    of the cluster; `endpoints` are already chosen by them."""

    service: str
    endpoints: tuple[Endpoint, ...]
    cluster_version: str
    tags: Tags = ()

    @property
    def type_url(self) -> str:
        return xds.ENDPOINT

    @property
    def name(self) -> str:
        return cluster_name(self.service, self.tags)


@dataclass(frozen=True, slots=True)
class OutboundListener:
    """Listener through which the application reaches a service. `tags` are the outbound's, kuma.io/service
    included. `ipv6`: the host has IPv6 (Envoy refuses IPv6 ranges on a host without it). `external`: the
    service is outside the mesh. `bind` False: connections come redirected only. Nothing of the proxy itself
    is in it, so that all proxies share it: with http protocols it has the proxy's SourceTags sent on."""

    address: str
    port: int
    mesh: str
    service: str
    tags: Tags
    protocol: str
    reuse_port: bool
    ipv6: bool = True
    external: bool = False
    bind: bool = True

    @property
    def type_url(self) -> str:
        return xds.LISTENER

    @property
    def name(self) -> str:
        return names.outbound_listener(self.address, self.port)

    @property
    def cluster(self) -> str:
        """Name of the cluster that it needs."""
        return cluster_name(self.service, self.cluster_tags)

    @property
    def cluster_tags(self) -> Tags:
        """`tags` of the cluster that it needs."""
        return tuple((key, value) for key, value in self.tags if key != names.SERVICE_TAG)


@dataclass(frozen=True, slots=True)
class SourceTags:
    """What every outbound with an http protocol sends of its proxy as x-kuma-tags: each tag with its
    comma-joined values. The listeners refer to it by its name."""

    tags: Tags

    @property
    def type_url(self) -> str:
        return xds.EXTENSION

    @property
    def name(self) -> str:
        return names.SOURCE_TAGS_FILTER


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Static cluster of the application's own port (contract 5.3). `source`: the address that connections to
    it come from; "" for any."""

    address: str
    port: int
    protocol: str
    source: str = ""

    @property
    def type_url(self) -> str:
        return xds.CLUSTER

    @property
    def name(self) -> str:
        return names.local_cluster(self.port)


@dataclass(frozen=True, slots=True)
class UriMatch:
    """A matcher on the URI SANs of the client certificate; one of them must match, with `negated` none may.
    `server_name`, only in rules, is an SNI that the client must have asked for too; an empty `value` is any
    client."""

    value: str
    prefix: bool = False
    negated: bool = False
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class NotAll:
    """Holds unless every one of the matchers holds."""

    matches: tuple[UriMatch, ...]


Principal = tuple[UriMatch | NotAll, ...]
"""Matchers that must all hold; empty means any client."""


@dataclass(frozen=True, slots=True)
class PrincipalPolicy:
    """A named set of clients: any of the principals."""

    name: str
    principals: tuple[Principal, ...]


@dataclass(frozen=True, slots=True)
class PrincipalRbac:
    """Allow what a policy names, deny the rest; from TrafficPermission (network) and from the `from` form of
    MeshTrafficPermission (http if the chain has HTTP). `shadow_deny` only counts (contract 5.6)."""

    allow: tuple[PrincipalPolicy, ...]
    shadow_deny: tuple[PrincipalPolicy, ...] = ()
    http: bool = False


@dataclass(frozen=True, slots=True)
class SpiffeRule:
    """One rule of the `rules` form of MeshTrafficPermission; `name` is the policy's KRI."""

    name: str
    deny: tuple[UriMatch, ...] = ()
    allow: tuple[UriMatch, ...] = ()
    allow_with_shadow_deny: tuple[UriMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class MatcherRbac:
    """The `rules` form of MeshTrafficPermission: any deny wins over every allow, no match denies. `deny`,
    `allow` and `shadow_deny` are what policies of the `from` form for the same inbound say beside it."""

    rules: tuple[SpiffeRule, ...]
    http: bool = False
    deny: tuple[PrincipalPolicy, ...] = ()
    allow: tuple[PrincipalPolicy, ...] = ()
    shadow_deny: tuple[PrincipalPolicy, ...] = ()


Rbac = PrincipalRbac | MatcherRbac


@dataclass(frozen=True, slots=True)
class InboundListener:
    """Listener in front of one port of the application. `tls` None: the mesh has no mTLS (then no RBAC);
    with mTLS, `rbac` None denies everything. `ipv6` and `bind` as in OutboundListener."""

    address: str
    port: int
    mesh: str
    service: str
    tags: Tags
    protocol: str
    local_port: int
    tls: TlsMode | None
    rbac: Rbac | None
    reuse_port: bool
    ipv6: bool = True
    bind: bool = True

    @property
    def type_url(self) -> str:
        return xds.LISTENER

    @property
    def name(self) -> str:
        return names.inbound_listener(self.address, self.port)


@dataclass(frozen=True, slots=True)
class AdminTls:
    """PEM texts with which a proxy's admin listener lets only the control plane in (contract 3.7)."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    client_ca: bytes


@dataclass(frozen=True, slots=True)
class AdminCluster:
    """Cluster of Envoy's own admin endpoint."""

    address: str
    port: int

    @property
    def type_url(self) -> str:
        return xds.CLUSTER

    @property
    def name(self) -> str:
        return "kuma:envoy:admin"


@dataclass(frozen=True, slots=True)
class ReadinessCluster:
    """Cluster of the agent's readiness reporter: a Unix socket (`pipe`), or address and port."""

    pipe: str
    address: str
    port: int

    @property
    def type_url(self) -> str:
        return xds.CLUSTER

    @property
    def name(self) -> str:
        return "kuma:readiness"


@dataclass(frozen=True, slots=True)
class AdminListener:
    """Admin on the proxy's routable address: `/ready` in plain text, all of it with mTLS (contract 3.7)."""

    address: str
    port: int
    tls: AdminTls
    reuse_port: bool
    ipv6: bool = True

    @property
    def type_url(self) -> str:
        return xds.LISTENER

    @property
    def name(self) -> str:
        return "kuma:envoy:admin"


@dataclass(frozen=True, slots=True)
class CaSecret:
    """What proxies of the mesh trust; PEM bundle."""

    mesh: str
    ca: bytes

    @property
    def type_url(self) -> str:
        return xds.SECRET

    @property
    def name(self) -> str:
        return names.mesh_ca_secret(self.mesh)


@dataclass(frozen=True, slots=True)
class IdentitySecret:
    """What one proxy presents; PEM chain and key."""

    mesh: str
    certificate: bytes
    private_key: bytes = field(repr=False)

    @property
    def type_url(self) -> str:
        return xds.SECRET

    @property
    def name(self) -> str:
        return names.identity_secret(self.mesh)


@dataclass(frozen=True, slots=True)
class Redirection:
    """How the host redirects connections of the workload, to the port `outbound`, and connections from
    elsewhere, to `inbound`; 0 for a way that is not redirected. `ipv6`: those of IPv6 too."""

    outbound: int
    inbound: int = 0
    ipv6: bool = True


@dataclass(frozen=True, slots=True)
class ProxyMetadata:
    """What a proxy said of itself in its node metadata, as far as its configuration depends on it
    (contract 2.1). `system_ca` is the file with the authorities that its host trusts, "" if it knows none.
    `admin_tls` is issued by the control plane when the proxy connects. `dns_port` 0: it answers no names;
    `redirection` counts only for a proxy with the feature, None stands for what its Dataplane says."""

    features: frozenset[str] = frozenset()
    admin_address: str = "127.0.0.1"
    admin_port: int = 0
    readiness_port: int = 0
    workdir: str = ""
    ipv6_enabled: bool = True
    system_ca: str = ""
    admin_tls: AdminTls | None = None
    dns_port: int = 0
    redirection: Redirection | None = None


@dataclass(frozen=True, slots=True)
class IdentityRequest:
    """A certificate that a proxy should have; equal requests need no new certificate until renewal is due.

    `services` are the kuma.io/service values of the proxy, `tags` all its tag pairs (contract 5.4).
    """

    proxy: ResourceKey
    mesh: str
    backend: str
    services: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    ca_version: str
    lifetime_s: float
