"""What a proxy has of virtual addresses, names and instances, worked out naively."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import hub_world as world
from kumacp.vips.entry import Vips
from kumacp.vips.names import VipSettings, destinations, ipv6_of, owners
from kumacp.xds.direct import DirectAccessCluster, DirectAccessListener
from kumacp.xds.model import ProxyMetadata, Redirection, TlsMode, UnitInput
from kumacp.xds.name_table import DnsListener, DynamicConfig, Page, Record, name_table
from kumamesh.names import SERVICE_TAG
from kumamesh.resources.dataplane import Dataplane

SETTINGS = VipSettings(ipv6_cidr="fd00:fd00::/64")


class Way(NamedTuple):
    """One outbound: where the application finds it, and what it asks for."""

    address: str
    port: int
    tags: Mapping[str, str]


def redirection(spec: Dataplane, metadata: ProxyMetadata) -> Redirection | None:
    if world.BIND in metadata.features:
        return None
    found = metadata.redirection if world.IN_METADATA in metadata.features else None
    proxying = spec.networking.transparent_proxying
    if found is None and proxying is not None:
        found = Redirection(proxying.redirect_port_outbound, proxying.redirect_port_inbound)
    return found if found is not None and found.outbound else None


def uses_vips(spec: Dataplane, metadata: ProxyMetadata) -> bool:
    return redirection(spec, metadata) is not None or world.BIND in metadata.features


def ways(spec: Dataplane, metadata: ProxyMetadata, vips: Vips) -> list[Way]:
    if not uses_vips(spec, metadata):
        return [Way(one.address, one.port, one.tags) for one in spec.networking.outbound]
    found = []
    for address, port, tags in _seen(spec, metadata, vips):
        found.append(Way(address, port, tags))
        other = ipv6_of(address, SETTINGS)
        if other != address and not other.startswith("::ffff:") and _ipv6(spec, metadata):
            found.append(Way(other, port, tags))
    return found


def name_inputs(spec: Dataplane, metadata: ProxyMetadata, vips: Vips) -> Iterator[UnitInput]:
    if not (uses_vips(spec, metadata) and metadata.dns_port):
        return
    addresses = {way.address for way in _seen(spec, metadata, vips)}
    seen = [entry for entry in vips.values() if entry.address in addresses]
    records = []
    for name, entry in sorted(owners(seen, SETTINGS.domain).items()):
        ips = {entry.address: None, ipv6_of(entry.address, SETTINGS): None}
        records.append(Record(name, tuple(ips) if _ipv6(spec, metadata) else (entry.address,)))
    table = name_table(records, SETTINGS.domain)
    if world.EMBEDDED in metadata.features:
        page = Page("/dns", table.etag, table.document)
        pipe = "/run/kuma/kuma-mesh-metric-config.sock"
        yield DynamicConfig(pipe, (page,), metadata.ipv6_enabled)
    elif world.BIND not in metadata.features:
        yield DnsListener(metadata.dns_port, table, reuse_port=True)


def direct_inputs(
    dataplane: Dataplane,
    metadata: ProxyMetadata,
    others: Iterable[Dataplane],
    taken: Iterable[Way],
    mesh: str,
    mode: TlsMode | None,
    ready: Iterable[str],
) -> Iterator[UnitInput]:
    proxying = dataplane.networking.transparent_proxying
    if proxying is None or not proxying.direct_access_services or redirection(dataplane, metadata) is None:
        return
    yield DirectAccessCluster("direct_access", mesh if mode else "")
    if mode is TlsMode.PERMISSIVE:
        yield DirectAccessCluster("direct_access:plain", "")
    wanted = set(proxying.direct_access_services)
    own = {(dataplane.networking.address, inbound.port) for inbound in dataplane.networking.inbound}
    there: dict[tuple[str, int], set[str]] = {}
    for other in others:
        for inbound in other.networking.inbound:
            if inbound.state != "Ignored" and wanted & {"*", inbound.service}:
                there.setdefault((other.networking.address, inbound.port), set()).add(inbound.service)
    for at in there.keys() - own - {(way.address, way.port) for way in taken}:
        plain = mode is TlsMode.PERMISSIVE and min(there[at]) not in ready
        yield DirectAccessListener(*at, "direct_access:plain" if plain else "direct_access", reuse_port=True)


def _seen(spec: Dataplane, metadata: ProxyMetadata, vips: Vips) -> list[Way]:
    proxying = spec.networking.transparent_proxying
    reachable = set(proxying.reachable_services) if proxying else set()
    return [
        way
        for way in _ports(vips)
        if (not reachable or way.tags[SERVICE_TAG] in reachable)
        and (":" not in way.address or _ipv6(spec, metadata))
    ]


def services(vips: Vips) -> set[str]:
    """To which virtual addresses lead."""
    return {way.tags[SERVICE_TAG] for way in _ports(vips)}


def _ports(vips: Vips) -> list[Way]:
    found: dict[tuple[str, int], Way] = {}
    for _, entry in sorted(vips.items()):
        for port, tags in destinations(entry, SETTINGS):
            found.setdefault((entry.address, port), Way(entry.address, port, dict(tags)))
    return list(found.values())


def _ipv6(spec: Dataplane, metadata: ProxyMetadata) -> bool:
    redirected = redirection(spec, metadata)
    return redirected is not None and redirected.ipv6 and metadata.ipv6_enabled
