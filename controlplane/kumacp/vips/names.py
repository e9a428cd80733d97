"""Under which names and ports an entry is found, and where its document lies (contract 6.1, kuma-cp 4.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from kumacp.vips.entry import Kind, VipEntry
from kumacp.xds.model import Tags
from kumamesh.resources.rules.common import is_dns_name, is_ip

_PREFIX, _SUFFIX = "kuma-", "-dns-vips"
_LONGEST = 253
_QUESTION = re.compile(r"[a-zA-Z0-9_-]{1,63}(\.[a-zA-Z0-9_-]{1,63})*")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class VipSettings:
    """`domain` ends the names of services, `cidr` is the range of the addresses. `ipv6_cidr` "": the IPv6
    address of an entry is its IPv4 address in the mapped form. `port` 0: entries have only the ports that
    they declare."""

    domain: str = "mesh"
    cidr: str = "240.0.0.0/4"
    ipv6_cidr: str = ""
    port: int = 80


def config_name(mesh: str) -> str:
    """The Config that keeps the addresses of a mesh."""
    return f"{_PREFIX}{mesh}{_SUFFIX}"


def mesh_of(config: str) -> str | None:
    """The mesh whose addresses a Config keeps; None for a Config that keeps something else."""
    if not (config.startswith(_PREFIX) and config.endswith(_SUFFIX)):
        return None
    return config[len(_PREFIX) : -len(_SUFFIX)] or None


def hostnames(entry: VipEntry, domain: str) -> tuple[str, ...]:
    """The names of an entry. A service with underscores has a second one, in which they are dots, for clients
    that take RFC 1123 at its word. What nobody can ask for is no name: Envoy refuses a table of names as a
    whole for a colon in one of them."""
    if entry.kind is Kind.SERVICE:
        forms = {f"{entry.name}.{domain}": None, f"{entry.name.replace('_', '.')}.{domain}": None}
        return tuple(name for name in forms if len(name) <= _LONGEST and _QUESTION.fullmatch(name))
    return (entry.name,) if _is_name(entry.name) else ()


def owners(entries: Iterable[VipEntry], domain: str) -> dict[str, VipEntry]:
    """The entry that each name, in lower case, leads to. Of several that claim a name the last one by kind
    and name has it, as in Kuma."""
    return {name: claims[-1] for name, claims in _claims(entries, domain).items()}


def collisions(entries: Iterable[VipEntry], domain: str) -> Iterator[tuple[str, str]]:
    """One line for each name that several entries claim, for each service that can have no name, and for each
    host of an ExternalService that is the virtual address of something else; by what it has come to."""
    known = list(entries)
    for name, claims in sorted(_claims(known, domain).items()):
        if len(claims) > 1:
            outcome = f"the name {name} leads to {_title(claims[-1])}"
            others = ", ".join(_title(entry) for entry in claims[:-1][:_SHOWN])
            more = f" and {len(claims) - 1 - _SHOWN} others" if len(claims) - 1 > _SHOWN else ""
            yield outcome, f"{outcome}, and no more to {others}{more}; rename all but one"
    holders = {entry.address: entry for entry in known if not _is_own(entry)}
    for entry in known:
        if entry.kind is Kind.SERVICE and not hostnames(entry, domain):
            line = f"{_title(entry)} has no name, because {entry.name[:_LONGEST]}.{domain} is none"
            yield line, f"{line}; use letters, digits, - and _, in labels of at most 63"
        if _is_own(entry) and (holder := holders.get(entry.address)):
            line = f"{entry.address}, the host of {_title(entry)}, is the virtual address of {_title(holder)}"
            yield line, f"{line}; choose another KUMA_DNS_SERVER_CIDR"


def destinations(entry: VipEntry, settings: VipSettings) -> tuple[tuple[int, Tags], ...]:
    """The ports of the address and where they lead: those that are declared, then the common one. What a
    VirtualOutbound makes, and what is its own address, has only the declared ones."""
    found: dict[int, Tags] = {}
    for outbound in entry.outbounds:
        if outbound.port:
            found.setdefault(outbound.port, outbound.tags)
    has_common = entry.kind is Kind.SERVICE or (entry.kind is Kind.HOST and _is_name(entry.name))
    if has_common and settings.port and entry.outbounds:
        found.setdefault(settings.port, entry.outbounds[0].tags)
    return tuple(found.items())


def ipv6_of(address: str, settings: VipSettings) -> str:
    """The IPv6 address of an entry: in the range of its own at the place that the IPv4 address has in the
    other one, without such a range in Kuma's mapped form. An IPv6 address is its own."""
    if ":" in address:
        return address
    number = int(IPv4Address(address))
    network = IPv4Network(settings.cidr)
    if settings.ipv6_cidr and number in range(int(network[0]), int(network[-1]) + 1):
        base = int(IPv6Network(settings.ipv6_cidr).network_address)
        return str(IPv6Address(base + number - int(network.network_address)))
    return f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}"


def own_address(host: str) -> str:
    """The address that a host is already, "" for a name."""
    return str(ip_address(host)) if is_ip(host) else ""


def canonical(host: str) -> str:
    """How a host is written of which there are several spellings: case, the dot at its end, zeros."""
    may_be_address = ":" in host or host[-1:].isdigit()
    return (own_address(host) if may_be_address else "") or host.removesuffix(".").lower()


def _is_own(entry: VipEntry) -> bool:
    return entry.kind is Kind.HOST and entry.address == own_address(entry.name)


def _is_name(host: str) -> bool:
    return is_dns_name(host) and not is_ip(host)


def _claims(entries: Iterable[VipEntry], domain: str) -> dict[str, list[VipEntry]]:
    claims: dict[str, list[VipEntry]] = {}
    for entry in sorted(entries, key=lambda one: (one.kind, one.name)):
        for name in hostnames(entry, domain):
            claims.setdefault(name.lower(), []).append(entry)
    return claims


def _title(entry: VipEntry) -> str:
    if entry.kind is Kind.SERVICE:
        return f"the service {entry.name}"
    return ", ".join(sorted({_origin(item.origin) for item in entry.outbounds}))


def _origin(origin: str) -> str:
    kind, _, name = origin.partition(":")
    known = {"virtual-outbound": "VirtualOutbound", "external-service": "ExternalService"}
    return f"the {known.get(kind, kind)} {name}"
