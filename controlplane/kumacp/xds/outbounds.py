"""The outbounds that a Dataplane declares (contract 5.3). They are bound; a proxy that gets the virtual
addresses of its mesh has none of them."""

from __future__ import annotations

from collections.abc import Iterator

from kumacp.xds.destinations import Destination
from kumacp.xds.model import OutboundListener, ProxyMetadata, UnitInput, freeze_tags, usable
from kumacp.xds.sight import sight
from kumacp.xds.transparent import REUSE_PORT
from kumacp.xds.units import UnitKey
from kumacp.xds.view import MeshView
from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane, Outbound


def destinations(dataplane: Dataplane, metadata: ProxyMetadata) -> frozenset[Destination]:
    return frozenset(destination for destination, _ in _outbounds(dataplane, metadata))


def outbound_units(
    view: MeshView, dataplane: Resource, metadata: ProxyMetadata, only: str | None = None
) -> dict[UnitKey, UnitInput]:
    """Listeners of all outbounds, or of those that lead to the service `only`.

    An outbound to a service that nobody offers yet has its listener too.
    """
    units: dict[UnitKey, UnitInput] = {}
    for destination, outbound in _outbounds(dataplane.spec, metadata):
        service = destination.service
        if only is not None and service != only:
            continue
        facts = view.facts(service)
        listener = OutboundListener(
            address=outbound.address,
            port=outbound.port,
            mesh=view.name,
            service=service,
            tags=freeze_tags(outbound.tags),
            protocol=facts.protocol,
            reuse_port=REUSE_PORT in metadata.features,
            ipv6=metadata.ipv6_enabled,
            external=facts.external,
        )
        units[listener.type_url, listener.name] = listener
    return units


def _outbounds(dataplane: Dataplane, metadata: ProxyMetadata) -> Iterator[tuple[Destination, Outbound]]:
    """Outbounds and where they lead. Of two on one address the first counts, and of two destinations with
    one cluster name."""
    if sight(dataplane, metadata) is not None:
        return
    seen: set[tuple[str, int]] = set()
    clusters: dict[str, Destination] = {}
    ipv6 = ":" in dataplane.networking.address
    for outbound in dataplane.networking.outbound:
        at = (outbound.address, outbound.port)
        if at in seen or not usable(outbound.service):
            continue
        destination = _destination(outbound, metadata.system_ca, ipv6=ipv6)
        if clusters.setdefault(destination.cluster, destination) == destination:
            seen.add(at)
            yield destination, outbound


def _destination(outbound: Outbound, system_ca: str, *, ipv6: bool) -> Destination:
    further = {tag: value for tag, value in outbound.tags.items() if tag != SERVICE_TAG}
    return Destination(outbound.service, freeze_tags(further), system_ca, ipv6)
