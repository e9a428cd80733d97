"""Direct access: a plain program calls the address of an instance, and its connection has mTLS (contract 5.1,
kuma-cp 3.1).

Without it such a connection passes through as it is. In a PERMISSIVE mesh instances of a service that is not
ready for TLS are called in plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kumacp.xds.direct import (
    DIRECT_ACCESS,
    DIRECT_ACCESS_PLAIN,
    DirectAccessCluster,
    DirectAccessListener,
)
from kumacp.xds.facts import At
from kumacp.xds.model import ProxyMetadata, TlsMode, UnitInput
from kumacp.xds.sight import sight
from kumacp.xds.transparent import REUSE_PORT, redirection
from kumacp.xds.units import UnitKey
from kumacp.xds.view import MeshView
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.rules.common import is_ip

_EVERY = "*"


def directly_accessed(dataplane: Dataplane, metadata: ProxyMetadata) -> frozenset[str]:
    """The services whose instances the workload reaches at their own addresses; `*` is all of the mesh."""
    proxying = dataplane.networking.transparent_proxying
    if proxying is None or redirection(dataplane, metadata) is None:
        return frozenset()
    return frozenset(proxying.direct_access_services)


def direct_clusters(view: MeshView, dataplane: Dataplane, metadata: ProxyMetadata) -> Iterator[UnitInput]:
    mode = view.settings.mode
    if not directly_accessed(dataplane, metadata):
        return
    yield DirectAccessCluster(DIRECT_ACCESS, view.name if mode is not None else "")
    if mode is TlsMode.PERMISSIVE:
        yield DirectAccessCluster(DIRECT_ACCESS_PLAIN, "")


def direct_listeners(
    view: MeshView, dataplane: Dataplane, metadata: ProxyMetadata, only: Iterable[At] | None = None
) -> dict[UnitKey, UnitInput]:
    """Of all instances, or of those at the addresses `only`."""
    services = directly_accessed(dataplane, metadata)
    if not services:
        return {}
    if only is None:
        only = view.instances if _EVERY in services else _instances(view, services)
    own = {
        (dataplane.networking.inbound_address(inbound), inbound.port)
        for inbound in dataplane.networking.inbound
    }
    units: dict[UnitKey, UnitInput] = {}
    for at in only:
        listener = None if at in own else _listener(view, dataplane, metadata, at)
        if listener is not None:
            units[listener.type_url, listener.name] = listener
    return units


def listener_key(at: At) -> UnitKey:
    """Of the listener for the instance at an address."""
    listener = DirectAccessListener(*at, cluster="", reuse_port=False)
    return listener.type_url, listener.name


def _instances(view: MeshView, services: frozenset[str]) -> set[At]:
    return {at for service in services for at in view.instances_of(service)}


def _listener(
    view: MeshView, dataplane: Dataplane, metadata: ProxyMetadata, at: At
) -> DirectAccessListener | None:
    """None if nobody of interest listens there, or if it is among the proxy's outbounds already."""
    services, redirected = directly_accessed(dataplane, metadata), redirection(dataplane, metadata)
    there = view.instances.get(at, frozenset())
    wanted = there if _EVERY in services else there & services
    if not wanted or redirected is None or not is_ip(at[0]) or (":" in at[0] and not redirected.ipv6):
        return None
    seen, port = sight(dataplane, metadata), view.vips.ports.get(at)
    if seen is not None and port is not None and seen.sees(port):
        return None
    plain = view.settings.mode is TlsMode.PERMISSIVE and not view.facts(min(wanted)).tls
    cluster = DIRECT_ACCESS_PLAIN if plain else DIRECT_ACCESS
    return DirectAccessListener(*at, cluster=cluster, reuse_port=REUSE_PORT in metadata.features)
