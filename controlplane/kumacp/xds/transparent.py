"""Redirected connections: whether a proxy gets them, and what it needs for them besides its inbounds and
outbounds (contract 5.3; kuma-cp 3.4).

The host redirects connections to two ports. There Envoy looks up which address each was meant for: where a
listener of the proxy has this address the connection is handed to it, so those need no port of their own. The
rest passes through, unless the mesh or the strictness of the inbound ports closes that way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kumacp.xds.facts import MeshSettings
from kumacp.xds.model import ProxyMetadata, Redirection, TlsMode, UnitInput
from kumacp.xds.outside import NoDestinationCluster, PassthroughCluster, PassthroughListener
from kumamesh.resources.dataplane import Dataplane

BIND_OUTBOUNDS = "feature-bind-outbounds"
IN_METADATA = "feature-transparent-proxy-in-dataplane-metadata"
REUSE_PORT = "feature-reuse-port"
STRICT_INBOUND_PORTS = "feature-strict-inbound-ports"

DEFAULT_REDIRECTION = Redirection(outbound=15001, inbound=15006)
"""Of a proxy that says only that it is redirected."""

_MAX_PORT = 65_535


class _Family(NamedTuple):
    """`source`: connections from it are not redirected (the rules of the host leave it out)."""

    name: str
    any_address: str
    source: str


_IPV4 = _Family("ipv4", "0.0.0.0", "127.0.0.6")
_IPV6 = _Family("ipv6", "::", "::6")


def redirection(dataplane: Dataplane, metadata: ProxyMetadata) -> Redirection | None:
    """How connections of the workload are redirected to the proxy; None if they are not. What the proxy says
    of itself wins over what its Dataplane says."""
    if BIND_OUTBOUNDS in metadata.features:
        return None
    found = metadata.redirection if IN_METADATA in metadata.features else None
    found = found or _declared(dataplane)
    if found is None or not found.outbound:
        return None
    # As Kuma: its listeners at an IPv6 address would wait for what is never redirected to them.
    return found if found.ipv6 or ":" not in dataplane.networking.address else None


def _declared(dataplane: Dataplane) -> Redirection | None:
    proxying = dataplane.networking.transparent_proxying
    if proxying is None:
        return None
    return Redirection(
        outbound=proxying.redirect_port_outbound,
        inbound=proxying.redirect_port_inbound,
        ipv6=proxying.ip_family_mode != "IPv4",
    )


def parse_redirection(value: Any) -> Redirection:
    """What a proxy says of itself: `{ipFamilyMode, redirect: {inbound, outbound: {enabled, port}}}` (contract
    1.2), or nothing for the defaults; raises ValueError with the path of what is wrong."""
    if value in (None, {}):
        return DEFAULT_REDIRECTION
    settings = _object(value, "dataplaneConfig")
    mode = _default(settings.get("ipFamilyMode"), "dualstack")
    if mode not in ("dualstack", "ipv4"):
        raise ValueError("dataplaneConfig.ipFamilyMode: must be dualstack or ipv4")
    redirect = _object(settings.get("redirect"), "dataplaneConfig.redirect")
    outbound, inbound = _port(redirect, "outbound"), _port(redirect, "inbound")
    # Not used: where names are answered, `dnsPort` says.
    _port(redirect, "dns", lowest=0)
    if outbound and outbound == inbound:
        raise ValueError("dataplaneConfig.redirect.inbound.port: must differ from that of outbound")
    return Redirection(outbound, inbound, ipv6=mode == "dualstack")


def _port(redirect: Mapping[str, Any], way: str, lowest: int = 1) -> int:
    """0 for a way that is not redirected."""
    path = f"dataplaneConfig.redirect.{way}"
    flow = _object(redirect.get(way), path)
    enabled, port = _default(flow.get("enabled"), False), _default(flow.get("port"), 0)
    if not isinstance(enabled, bool):
        raise ValueError(f"{path}.enabled: must be true or false")
    # Numbers of protobuf's Struct, in which metadata travels, are floats.
    if isinstance(port, bool) or not isinstance(port, int | float) or port != port // 1:
        raise ValueError(f"{path}.port: must be a whole number")
    if not enabled:
        return 0
    if not lowest <= port <= _MAX_PORT:
        raise ValueError(f"{path}.port: must be in the range [{lowest}, {_MAX_PORT}]")
    return int(port)


def _default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{path}: must be an object")
    return value


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
    redirected = redirection(dataplane, metadata)
    if redirected is None:
        return
    yield NoDestinationCluster()
    ports = _strict_ports(settings, dataplane, metadata)
    both = redirected.ipv6 and metadata.ipv6_enabled
    for family in (_IPV4, _IPV6) if both else (_IPV4,):
        outbound, inbound = f"outbound:passthrough:{family.name}", f"inbound:passthrough:{family.name}"
        # Without its cluster the listener closes whatever it would have passed through.
        if settings.passthrough:
            yield PassthroughCluster(outbound)
        yield PassthroughListener(
            name=outbound,
            address=family.any_address,
            port=redirected.outbound,
            outbound=True,
            reuse_port=REUSE_PORT in metadata.features,
        )
        if redirected.inbound:
            yield PassthroughCluster(inbound, family.source)
            yield PassthroughListener(
                name=inbound,
                address=family.any_address,
                port=redirected.inbound,
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
