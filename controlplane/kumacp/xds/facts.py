"""What a Dataplane and a Mesh say that the configuration of other proxies depends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from kumacp.xds.model import Endpoint, Tags, TlsMode, freeze_tags
from kumamesh.names import NO_PORT, SERVICE_TAG, ZONE_TAG, builtin_ca_cert_secret
from kumamesh.resources.dataplane import Dataplane, Inbound
from kumamesh.resources.mesh import Mesh
from kumamesh.xds import content_version

DEFAULT_PROTOCOL = "tcp"
HTTP_PROTOCOLS = frozenset({"http", "http2", "grpc"})

_STACKS = {
    "grpc": ("grpc", "http2", "http", "tcp"),
    "http2": ("http2", "http", "tcp"),
    "http": ("http", "tcp"),
    "kafka": ("kafka", "tcp"),
    "tls": ("tls", "tcp"),
    "tcp": ("tcp",),
}
"""Each protocol with those that it can be carried as, the richest first."""


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """What a Mesh says for all its proxies. `mode` None: no mTLS. `ca` (PEM) is empty until it is stored.
    `zone_egress`: what is outside the zone is reached through its egresses, which takes mTLS."""

    mode: TlsMode | None = None
    backend: str = ""
    lifetime_s: float = 0.0
    ca: bytes = b""
    ca_version: str = ""
    passthrough: bool = True
    locality_aware: bool = False
    zone_egress: bool = False


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """How outbounds speak to a service: protocol common to all its inbounds, and whether with mTLS.
    `external`: it is outside the mesh, and the mesh's mTLS not for it. `edges`: with mTLS to
    instances of other zones in any case."""

    protocol: str = DEFAULT_PROTOCOL
    tls: bool = False
    external: bool = False
    edges: bool = False


At = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One inbound that serves a service, where it listens, and its tags without kuma.io/service. Unless it is
    healthy it has no endpoint."""

    protocol: str
    at: At
    tags: Tags
    endpoint: Endpoint | None


def mesh_settings(mesh: str, spec: Mesh | None, secrets: Mapping[str, bytes]) -> MeshSettings:
    """`secrets` are those of the mesh by name."""
    if spec is None:
        return MeshSettings()
    settings = MeshSettings(
        passthrough=spec.passthrough,
        locality_aware=spec.routing.locality_aware_load_balancing,
    )
    backend = spec.enabled_backend
    if backend is None:
        return settings
    ca = secrets.get(builtin_ca_cert_secret(mesh, backend.name), b"")
    return replace(
        settings,
        mode=TlsMode(backend.mode),
        backend=backend.name,
        lifetime_s=backend.certificate_lifetime_s,
        ca=ca,
        ca_version=content_version(ca) if ca else "",
        zone_egress=spec.routing.zone_egress,
    )


def serving_inbounds(dataplane: Dataplane) -> Iterator[Inbound]:
    """Inbounds that have a listener; those that are NotReady too, so that it is there when they are ready."""
    for inbound in dataplane.networking.inbound:
        if inbound.state != "Ignored" and inbound.port != NO_PORT:
            yield inbound


def offers(dataplane: Dataplane, zone: str) -> dict[str, tuple[Offer, ...]]:
    """What the proxy serves, by service. `zone` is that of inbounds without a zone tag."""
    found: dict[str, tuple[Offer, ...]] = {}
    for inbound in filter(lambda inbound: inbound.service, serving_inbounds(dataplane)):
        tags = freeze_tags({tag: value for tag, value in inbound.tags.items() if tag != SERVICE_TAG})
        endpoint = _endpoint(dataplane, inbound, tags, zone) if inbound.healthy else None
        at = (dataplane.networking.inbound_address(inbound), inbound.port)
        offer = Offer(inbound.protocol_name, at, tags, endpoint)
        found[inbound.service] = (*found.get(inbound.service, ()), offer)
    return found


def outbound_services(dataplane: Dataplane) -> frozenset[str]:
    """Services that outbounds refer to by kuma.io/service."""
    return frozenset(outbound.service for outbound in dataplane.networking.outbound if outbound.service)


def common_protocol(protocols: Iterable[str]) -> str:
    """The richest protocol that all can be spoken to with: grpc and http2 give http2, kafka and http tcp."""
    return reduce(_common, protocols)


def _common(one: str, other: str) -> str:
    if one == other:
        return one
    others = _STACKS.get(other, ())
    return next((protocol for protocol in _STACKS.get(one, ()) if protocol in others), DEFAULT_PROTOCOL)


def _endpoint(dataplane: Dataplane, inbound: Inbound, tags: Tags, zone: str) -> Endpoint:
    networking = dataplane.networking
    return Endpoint(
        address=networking.advertised_address or networking.inbound_address(inbound),
        port=inbound.port,
        tags=tags,
        zone=inbound.tags.get(ZONE_TAG, zone),
    )
