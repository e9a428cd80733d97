"""What of the virtual addresses of a mesh a proxy sees, and in which form (contract 4.3, 5.3, 6.1).

Proxies with equal sight have equal listeners, destinations and names for them, so these exist once for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from kumacp.vips.names import VipSettings, ipv6_of, owners
from kumacp.xds.destinations import Destination
from kumacp.xds.model import OutboundListener, ProxyMetadata
from kumacp.xds.name_table import NameTable, Record, name_table
from kumacp.xds.transparent import BIND_OUTBOUNDS, REUSE_PORT, redirection
from kumacp.xds.view import MeshView
from kumacp.xds.vips import VirtualPort
from kumamesh.resources.dataplane import Dataplane

_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class Sight:
    """`services` None: all of them. `bind`: the addresses are bound, connections to them are not redirected.
    `ipv6`: those to IPv6 addresses are redirected too. The rest is as in OutboundListener and Destination."""

    services: frozenset[str] | None
    bind: bool
    ipv6: bool
    reuse_port: bool
    host_ipv6: bool
    system_ca: str
    ipv6_names: bool

    def sees(self, port: VirtualPort) -> bool:
        reachable = self.services is None or port.service in self.services
        return reachable and (self.ipv6 or ":" not in port.address)

    def destination(self, port: VirtualPort) -> Destination:
        return Destination(port.service, port.further, self.system_ca, self.ipv6_names)


def sight(dataplane: Dataplane, metadata: ProxyMetadata) -> Sight | None:
    """None for a proxy that has the outbounds that its Dataplane declares, and no others."""
    redirected = redirection(dataplane, metadata)
    bind = BIND_OUTBOUNDS in metadata.features
    if redirected is None and not bind:
        return None
    proxying = dataplane.networking.transparent_proxying
    reachable = frozenset(proxying.reachable_services) if proxying else frozenset()
    return Sight(
        services=reachable or None,
        bind=bind,
        # Bound are the IPv4 addresses, which a host has without further ado.
        ipv6=redirected is not None and redirected.ipv6 and metadata.ipv6_enabled,
        # The kernel would spread connections over all proxies of a host that have bound an address.
        reuse_port=REUSE_PORT in metadata.features and not bind,
        host_ipv6=metadata.ipv6_enabled,
        system_ca=metadata.system_ca,
        ipv6_names=":" in dataplane.networking.address,
    )


def vip_listeners(view: MeshView, seen: Sight, port: VirtualPort) -> Iterator[OutboundListener]:
    """Of one port of a virtual address: at each form of the address that is not redirected as another one."""
    facts = view.facts(port.service)
    addresses = [port.address]
    if seen.ipv6 and view.vips.settings.ipv6_cidr:
        addresses += _ipv6(port.address, view.vips.settings)
    for address in addresses:
        yield OutboundListener(
            address=address,
            port=port.port,
            mesh=view.name,
            service=port.service,
            tags=port.tags,
            protocol=facts.protocol,
            reuse_port=seen.reuse_port,
            ipv6=seen.host_ipv6,
            external=facts.external,
            bind=seen.bind,
        )


@lru_cache(2**16)
def _ipv6_form(address: str, settings: VipSettings) -> str:
    """All names are written anew when one changes."""
    return ipv6_of(address, settings)


def _ipv6(address: str, settings: VipSettings) -> list[str]:
    """Connections to the mapped form are those of IPv4."""
    other = _ipv6_form(address, settings)
    return [] if other == address or other.startswith(_MAPPED) else [other]


def names_seen(view: MeshView, seen: Sight) -> NameTable:
    """The names of the addresses that have at least one port for the proxy."""
    vips = view.vips
    reachable = {address for (address, _), port in vips.ports.items() if seen.sees(port)}
    entries = [entry for entry in vips.entries.values() if entry.address in reachable]
    records = (
        Record(name, _addresses(entry.address, seen, vips.settings))
        for name, entry in sorted(owners(entries, vips.settings.domain).items())
    )
    return name_table(records, vips.settings.domain)


def _addresses(address: str, seen: Sight, settings: VipSettings) -> tuple[str, ...]:
    other = _ipv6_form(address, settings)
    return (address, other) if seen.ipv6 and other != address else (address,)
