"""What one sidecar needs, as a pure function of its mesh, its Dataplane and what it said of itself.

Contract 3.7, 5.1-5.6; kuma-cp 3.2-3.4. Clusters and assignments of services are the same for every proxy of a
mesh, so a plan names the services only; `service_cluster` and `service_endpoints` are their inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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
    freeze_tags,
)
from kumacp.xds.units import UnitKey
from kumacp.xds.view import MeshView
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Inbound, Outbound

REUSE_PORT = "feature-reuse-port"
READINESS_UNIX_SOCKET = "feature-readiness-unix-socket"

_ADMIN_ADDRESSES = {
    "": "127.0.0.1",
    "127.0.0.1": "127.0.0.1",
    "0.0.0.0": "127.0.0.1",
    "::1": "::1",
    "::": "::1",
}
"""Where Envoy's admin may listen, and how Envoy itself reaches it (contract 3.4)."""


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
    """Inputs of a proxy's own units, of its outbound listeners, and the services they lead to.

    `own` depends on the Dataplane, the permissions and mTLS of the mesh, `outbounds` on the Dataplane and on
    the facts of `services`. The cluster and the assignment of each of `services` complete the plan.
    """

    own: Mapping[UnitKey, UnitInput]
    outbounds: Mapping[UnitKey, UnitInput]
    services: frozenset[str]


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
        services=frozenset(service for service, _ in _outbounds(dataplane.spec)),
    )


def own_units(
    view: MeshView,
    dataplane: Resource,
    metadata: ProxyMetadata,
    permission: InboundRbac,
    identity: IdentitySecret | None,
) -> dict[UnitKey, UnitInput]:
    """Everything that no service stands behind: admin, readiness, inbounds, secrets."""
    return _by_key(
        (
            *_admin_units(dataplane.spec, metadata),
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
    for service, outbound in _outbounds(dataplane.spec):
        if only is not None and service != only:
            continue
        protocol = view.facts(service).protocol
        listener = OutboundListener(
            address=outbound.address,
            port=outbound.port,
            mesh=view.name,
            service=service,
            tags=freeze_tags(outbound.tags),
            protocol=protocol,
            # Only http carries them: without them proxies of different services share the listener.
            source_tags=source_tags if protocol in HTTP_PROTOCOLS else (),
            reuse_port=reuse_port,
        )
        units[listener.type_url, listener.name] = listener
    return units


def service_cluster(view: MeshView, service: str) -> ServiceCluster:
    facts = view.facts(service)
    return ServiceCluster(mesh=view.name, service=service, protocol=facts.protocol, tls=facts.tls)


def service_endpoints(view: MeshView, service: str, cluster_version: str) -> ServiceEndpoints:
    """Empty while nobody offers the service: its cluster stays."""
    return ServiceEndpoints(
        service=service, endpoints=view.endpoints(service), cluster_version=cluster_version
    )


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


def _outbounds(dataplane: Dataplane) -> Iterator[tuple[str, Outbound]]:
    """Outbounds with their services. Of two on one address the first counts; a service that is named like one
    of the proxy's own clusters has none, for the cluster would not be what the outbound means."""
    seen: set[tuple[str, int]] = set()
    for outbound in dataplane.networking.outbound:
        at = (outbound.address, outbound.port)
        service = outbound.service
        if service and at not in seen and not service.startswith(("kuma:", "localhost:")):
            seen.add(at)
            yield service, outbound


def _joined_tags(dataplane: Dataplane) -> Tags:
    return tuple((tag, ",".join(values)) for tag, values in dataplane.tag_values().items())


def _admin_units(dataplane: Dataplane, metadata: ProxyMetadata) -> Iterator[UnitInput]:
    admin_address = _ADMIN_ADDRESSES.get(metadata.admin_address)
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
        )


def _inbound_units(
    view: MeshView, dataplane: Resource, metadata: ProxyMetadata, permission: InboundRbac
) -> Iterator[UnitInput]:
    spec: Dataplane = dataplane.spec
    mode = view.settings.mode
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
        yield LocalCluster(address=address, port=port, protocol=protocol)
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
        )


def _secrets(view: MeshView, identity: IdentitySecret | None) -> Iterator[UnitInput]:
    if view.settings.mode is None:
        return
    if view.settings.ca:
        yield CaSecret(mesh=view.name, ca=view.settings.ca)
    if identity is not None:
        yield identity
