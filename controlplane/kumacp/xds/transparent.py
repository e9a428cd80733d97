"""What a transparent proxy needs besides its inbounds and outbounds (contract 5.3; kuma-cp 3.4).

The host redirects connections to two ports. There Envoy looks up which address each was meant for: where a
listener of the proxy has this address the connection is handed to it, so those need no port of their own. The
rest passes through, unless the mesh or the strictness of the inbound ports closes that way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kumacp.xds.facts import MeshSettings
from kumacp.xds.model import ProxyMetadata, TlsMode, UnitInput
from kumacp.xds.outside import NoDestinationCluster, PassthroughCluster, PassthroughListener
from kumamesh.resources.dataplane import Dataplane, TransparentProxying

BIND_OUTBOUNDS = "feature-bind-outbounds"
REUSE_PORT = "feature-reuse-port"
STRICT_INBOUND_PORTS = "feature-strict-inbound-ports"


class _Family(NamedTuple):
    """`source`: connections from it are not redirected (the rules of the host leave it out)."""

    name: str
    any_address: str
    source: str


_IPV4 = _Family("ipv4", "0.0.0.0", "127.0.0.6")
_IPV6 = _Family("ipv6", "::", "::6")


def redirection(dataplane: Dataplane, metadata: ProxyMetadata) -> TransparentProxying | None:
    """How connections of the workload are redirected to the proxy; None if they are not."""
    proxying = dataplane.networking.transparent_proxying
    if proxying is None or not proxying.redirect_port_outbound or BIND_OUTBOUNDS in metadata.features:
        return None
    return proxying


def workload_source(address: str) -> str:
    """Where the proxy connects to the workload from, so that this is not redirected again; "" where it needs
    nothing: what goes to loopback never is."""
    if address == "::1" or address.startswith("127."):
        return ""
    return (_IPV6 if ":" in address else _IPV4).source


def passthrough_units(
    settings: MeshSettings, dataplane: Dataplane, metadata: ProxyMetadata
) -> Iterator[UnitInput]:
    """Nothing for a proxy without redirection."""
    proxying = redirection(dataplane, metadata)
    if proxying is None:
        return
    yield NoDestinationCluster()
    ports = _strict_ports(settings, dataplane, metadata)
    both = proxying.ip_family_mode != "IPv4" and metadata.ipv6_enabled
    for family in (_IPV4, _IPV6) if both else (_IPV4,):
        outbound, inbound = f"outbound:passthrough:{family.name}", f"inbound:passthrough:{family.name}"
        # Without its cluster the listener closes whatever it would have passed through.
        if settings.passthrough:
            yield PassthroughCluster(outbound)
        yield PassthroughListener(
            name=outbound,
            address=family.any_address,
            port=proxying.redirect_port_outbound,
            outbound=True,
            reuse_port=REUSE_PORT in metadata.features,
        )
        if proxying.redirect_port_inbound:
            yield PassthroughCluster(inbound, family.source)
            yield PassthroughListener(
                name=inbound,
                address=family.any_address,
                port=proxying.redirect_port_inbound,
                outbound=False,
                reuse_port=REUSE_PORT in metadata.features,
                ports=ports,
            )


def _strict_ports(settings: MeshSettings, dataplane: Dataplane, metadata: ProxyMetadata) -> tuple[int, ...]:
    """The only ports that inbound traffic may be meant for; empty for any. In a STRICT mesh everything else
    would get past mTLS."""
    if settings.mode is not TlsMode.STRICT or STRICT_INBOUND_PORTS not in metadata.features:
        return ()
    return tuple(sorted({inbound.port for inbound in dataplane.networking.inbound}))
