"""What one sidecar needs, as a pure function of its mesh, its Dataplane and what it said of itself.

Contract 3.7, 5.1-5.6; kuma-cp 3.2-3.4. Clusters and assignments of services are the same for every proxy of a
mesh, so a plan names the destinations only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kumacp.xds.admin import admin_units
from kumacp.xds.destinations import Destination
from kumacp.xds.direct_access import direct_clusters, direct_listeners
from kumacp.xds.facts import HTTP_PROTOCOLS, serving_inbounds
from kumacp.xds.model import (
    CaSecret,
    IdentityRequest,
    IdentitySecret,
    InboundListener,
    LocalCluster,
    ProxyMetadata,
    Rbac,
    SourceTags,
    Tags,
    UnitInput,
    freeze_tags,
)
from kumacp.xds.outbounds import destinations, outbound_units
from kumacp.xds.sight import Sight, sight
from kumacp.xds.transparent import REUSE_PORT, passthrough_units, redirection, workload_source
from kumacp.xds.units import UnitKey, by_key
from kumacp.xds.view import MeshView
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Inbound


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
    the facts of its services, `direct` on where instances are too. What stands behind each of `destinations`
    completes the plan, and for a proxy with `sight` what all proxies of equal sight have.
    """

    own: Mapping[UnitKey, UnitInput]
    outbounds: Mapping[UnitKey, UnitInput]
    direct: Mapping[UnitKey, UnitInput]
    destinations: frozenset[Destination]
    sight: Sight | None


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
        direct=direct_listeners(view, dataplane.spec, metadata),
        destinations=destinations(dataplane.spec, metadata),
        sight=sight(dataplane.spec, metadata),
    )


def own_units(
    view: MeshView,
    dataplane: Resource,
    metadata: ProxyMetadata,
    permission: InboundRbac,
    identity: IdentitySecret | None,
) -> dict[UnitKey, UnitInput]:
    """Everything that no service stands behind: admin, readiness, passthrough, inbounds, tags, secrets."""
    return by_key(
        (
            *admin_units(dataplane.spec.networking.address, metadata),
            SourceTags(_joined_tags(dataplane.spec)),
            *direct_clusters(view, dataplane.spec, metadata),
            *passthrough_units(view.settings, dataplane.spec, metadata),
            *_inbound_units(view, dataplane, metadata, permission),
            *_secrets(view, identity),
        )
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


def _joined_tags(dataplane: Dataplane) -> Tags:
    return tuple((tag, ",".join(values)) for tag, values in dataplane.tag_values().items())


def _inbound_units(
    view: MeshView, dataplane: Resource, metadata: ProxyMetadata, permission: InboundRbac
) -> Iterator[UnitInput]:
    spec: Dataplane = dataplane.spec
    mode = view.settings.mode
    redirected = redirection(spec, metadata)
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
        source = workload_source(address) if redirected is not None else ""
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
            bind=redirected is None or not redirected.inbound,
        )


def _secrets(view: MeshView, identity: IdentitySecret | None) -> Iterator[UnitInput]:
    if view.settings.mode is None:
        return
    if view.settings.ca:
        yield CaSecret(mesh=view.name, ca=view.settings.ca)
    if identity is not None:
        yield identity
