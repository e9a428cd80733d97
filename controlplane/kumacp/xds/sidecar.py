"""What one sidecar needs, as a pure function of its mesh, its Dataplane and what it said of itself.

Contract 3.7, 5.1-5.6; kuma-cp 3.2-3.4. Clusters and assignments of services are the same for every proxy of a
mesh, so a plan names the destinations only; `service_cluster` and `service_endpoints` are their inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from kumacp.xds.facts import HTTP_PROTOCOLS, serving_inbounds
from kumacp.xds.model import (
    AdminCluster,
    AdminListener,
    CaSecret,
    IdentityRequest,
    IdentitySecret,
    InboundListener,
    LocalCluster,
    OutboundListener,
    ProxyMetadata,
    Rbac,
    ReadinessCluster,
    ServiceCluster,
    ServiceEndpoints,
    Tags,
    UnitInput,
    cluster_name,
    freeze_tags,
)
from kumacp.xds.outside import ExternalCluster, ExternalEndpoint
from kumacp.xds.transparent import REUSE_PORT, passthrough_units, redirection, workload_source
from kumacp.xds.units import UnitKey
from kumacp.xds.view import MeshView
from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Inbound, Outbound
from kumamesh.resources.rules.common import is_ip

READINESS_UNIX_SOCKET = "feature-readiness-unix-socket"

_OWN_CLUSTERS = ("kuma:", "localhost:", "inbound:", "outbound:", "self_transparentproxy_")
"""What names of clusters of the proxy itself begin with."""

ADMIN_ADDRESSES = {
    "": "127.0.0.1",
    "127.0.0.1": "127.0.0.1",
    "0.0.0.0": "127.0.0.1",
    "::1": "::1",
    "::": "::1",
}
"""Where Envoy's admin may listen, and how Envoy itself reaches it (contract 3.4)."""


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


class InboundRbac(Protocol):
    """`kumacp.policy.permission.inbound_rbac`: who may call an inbound."""

    def __call__(
        self,
        mesh: str,
        dataplane: Resource,
        inbound: Inbound,
        *,
        traffic_permissions: Sequence[Resource],
        mesh_traffic_permissions: Sequence[Resource],
        http: bool,
    ) -> Rbac: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Inputs of a proxy's own units, of its outbound listeners, and the destinations they lead to.

    `own` depends on the Dataplane, the permissions and mTLS of the mesh, `outbounds` on the Dataplane and on
    the facts of its services. What stands behind each of `destinations` completes the plan.
    """

    own: Mapping[UnitKey, UnitInput]
    outbounds: Mapping[UnitKey, UnitInput]
    destinations: frozenset[Destination]


def plan(
    view: MeshView,
    dataplane: Resource,
    metadata: ProxyMetadata,
    permission: InboundRbac,
    identity: IdentitySecret | None = None,
) -> Plan:
    """The whole plan of a proxy; its identity is absent until it is issued."""
    return Plan(
        own=own_units(view, dataplane, metadata, permission, identity),
        outbounds=outbound_units(view, dataplane, metadata),
        destinations=frozenset(
            destination for destination, _ in _outbounds(dataplane.spec, metadata.system_ca)
        ),
    )


def own_units(
    view: MeshView,
    dataplane: Resource,
    metadata: ProxyMetadata,
    permission: InboundRbac,
    identity: IdentitySecret | None,
) -> dict[UnitKey, UnitInput]:
    """Everything that no service stands behind: admin, readiness, passthrough, inbounds, secrets."""
    return _by_key(
        (
            *_admin_units(dataplane.spec, metadata),
            *passthrough_units(view.settings, dataplane.spec, metadata),
            *_inbound_units(view, dataplane, metadata, permission),
            *_secrets(view, identity),
        )
    )


def outbound_units(
    view: MeshView, dataplane: Resource, metadata: ProxyMetadata, only: str | None = None
) -> dict[UnitKey, UnitInput]:
    """Listeners of all outbounds, or of those that lead to the service `only`.

    An outbound to a service that nobody offers yet has its listener too.
    """
    source_tags = _joined_tags(dataplane.spec)
    reuse_port = REUSE_PORT in metadata.features
    units: dict[UnitKey, UnitInput] = {}
    bind = redirection(dataplane.spec, metadata) is None
    for destination, outbound in _outbounds(dataplane.spec, metadata.system_ca):
        service = destination.service
        if only is not None and service != only:
            continue
        facts = view.facts(service)
        carries_tags = facts.protocol in HTTP_PROTOCOLS and not facts.external
        listener = OutboundListener(
            address=outbound.address,
            port=outbound.port,
            mesh=view.name,
            service=service,
            tags=freeze_tags(outbound.tags),
            protocol=facts.protocol,
            # Only http carries them, and only sidecars may read them. Without them proxies of different
            # services share the listener.
            source_tags=source_tags if carries_tags else (),
            reuse_port=reuse_port,
            ipv6=metadata.ipv6_enabled,
            external=facts.external,
            bind=bind,
        )
        units[listener.type_url, listener.name] = listener
    return units


def service_cluster(view: MeshView, destination: Destination) -> ServiceCluster:
    facts = view.facts(destination.service)
    return ServiceCluster(
        mesh=view.name,
        service=destination.service,
        protocol=facts.protocol,
        tls=facts.tls,
        tags=destination.tags,
    )


def service_endpoints(view: MeshView, destination: Destination, cluster_version: str) -> ServiceEndpoints:
    """Empty while nobody offers the service: its cluster stays."""
    endpoints = view.endpoints(destination.service)
    if destination.tags:
        wanted = set(destination.tags)
        endpoints = tuple(endpoint for endpoint in endpoints if wanted.issubset(endpoint.tags))
    return ServiceEndpoints(
        service=destination.service,
        endpoints=endpoints,
        cluster_version=cluster_version,
        tags=destination.tags,
    )


def external_cluster(view: MeshView, destination: Destination) -> ExternalCluster:
    """For a service outside the mesh; what its endpoints do not depend on is left out."""
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


def identity_request(view: MeshView, proxy: ResourceKey, dataplane: Dataplane) -> IdentityRequest | None:
    """The certificate that the proxy should have; None without mTLS, or while the CA is not stored."""
    settings = view.settings
    if settings.mode is None or not settings.ca:
        return None
    return IdentityRequest(
        proxy=proxy,
        mesh=view.name,
        backend=settings.backend,
        services=dataplane.services(),
        tags=tuple((tag, value) for tag, values in dataplane.tag_values().items() for value in values),
        ca_version=settings.ca_version,
        lifetime_s=settings.lifetime_s,
    )


def _by_key(inputs: Iterable[UnitInput]) -> dict[UnitKey, UnitInput]:
    """Of two inputs of one name the first counts."""
    units: dict[UnitKey, UnitInput] = {}
    for input_ in inputs:
        units.setdefault((input_.type_url, input_.name), input_)
    return units


def _outbounds(dataplane: Dataplane, system_ca: str) -> Iterator[tuple[Destination, Outbound]]:
    """Outbounds and where they lead. Of two on one address the first counts, and of two destinations with
    one cluster name. A service that is named like one of the proxy's own clusters has no outbound, for the
    cluster would not be what it means."""
    seen: set[tuple[str, int]] = set()
    clusters: dict[str, Destination] = {}
    for outbound in dataplane.networking.outbound:
        at = (outbound.address, outbound.port)
        if at in seen or not outbound.service or outbound.service.startswith(_OWN_CLUSTERS):
            continue
        destination = _destination(outbound, system_ca, ipv6=":" in dataplane.networking.address)
        if clusters.setdefault(destination.cluster, destination) == destination:
            seen.add(at)
            yield destination, outbound


def _destination(outbound: Outbound, system_ca: str, *, ipv6: bool) -> Destination:
    further = {tag: value for tag, value in outbound.tags.items() if tag != SERVICE_TAG}
    return Destination(outbound.service, freeze_tags(further), system_ca, ipv6)


def _joined_tags(dataplane: Dataplane) -> Tags:
    return tuple((tag, ",".join(values)) for tag, values in dataplane.tag_values().items())


def _admin_units(dataplane: Dataplane, metadata: ProxyMetadata) -> Iterator[UnitInput]:
    admin_address = ADMIN_ADDRESSES.get(metadata.admin_address)
    if admin_address is None or not metadata.admin_port:
        return
    yield AdminCluster(address=admin_address, port=metadata.admin_port)
    if READINESS_UNIX_SOCKET in metadata.features:
        pipe = f"{metadata.workdir}/kuma-readiness-reporter.sock"
        yield ReadinessCluster(pipe=pipe, address="", port=0)
    elif metadata.readiness_port:
        yield ReadinessCluster(pipe="", address=admin_address, port=metadata.readiness_port)
    address = dataplane.networking.address
    # Bound to all addresses, admin already holds the port on the proxy's own.
    taken = metadata.admin_address in {"0.0.0.0", "::", address}
    if metadata.admin_tls is not None and not taken and address != admin_address:
        yield AdminListener(
            address=address,
            port=metadata.admin_port,
            tls=metadata.admin_tls,
            reuse_port=REUSE_PORT in metadata.features,
            ipv6=metadata.ipv6_enabled,
        )


def _inbound_units(
    view: MeshView, dataplane: Resource, metadata: ProxyMetadata, permission: InboundRbac
) -> Iterator[UnitInput]:
    spec: Dataplane = dataplane.spec
    mode = view.settings.mode
    redirected = redirection(spec, metadata) is not None
    for inbound in serving_inbounds(spec):
        protocol = inbound.protocol_name
        address, port = spec.networking.workload(inbound)
        rbac = None
        if mode is not None:
            rbac = permission(
                view.name,
                dataplane,
                inbound,
                traffic_permissions=view.traffic_permissions,
                mesh_traffic_permissions=view.mesh_traffic_permissions,
                http=protocol in HTTP_PROTOCOLS,
            )
        source = workload_source(address) if redirected else ""
        yield LocalCluster(address=address, port=port, protocol=protocol, source=source)
        yield InboundListener(
            address=spec.networking.inbound_address(inbound),
            port=inbound.port,
            mesh=view.name,
            service=inbound.service,
            tags=freeze_tags(inbound.tags),
            protocol=protocol,
            local_port=port,
            tls=mode,
            rbac=rbac,
            reuse_port=REUSE_PORT in metadata.features,
            ipv6=metadata.ipv6_enabled,
            bind=not redirected,
        )


def _secrets(view: MeshView, identity: IdentitySecret | None) -> Iterator[UnitInput]:
    if view.settings.mode is None:
        return
    if view.settings.ca:
        yield CaSecret(mesh=view.name, ca=view.settings.ca)
    if identity is not None:
        yield identity
