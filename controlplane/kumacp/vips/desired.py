"""Which names a mesh should have, and where they lead (kuma-cp 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from kumacp.vips.entry import Kind, VipEntry, VipKey, VipOutbound, Vips
from kumacp.vips.names import canonical, own_address
from kumacp.vips.virtual import Expansion, Hit, expand, misses
from kumacp.xds.model import Tags
from kumacp.xds.remote import RemoteInstances
from kumamesh.names import NO_PORT, SERVICE_TAG
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.external_service import split_address

ORIGIN_SERVICE = "service"


@dataclass(frozen=True, slots=True)
class External:
    """An ExternalService; `has_host` tells that its host is a name of its own."""

    name: str
    service: str
    host: str
    port: int
    has_host: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the names of a mesh are made of: the services that proxies of this zone and ingresses of others
    offer or have just offered, their tags if there is a VirtualOutbound that may select them (`leaving`: of
    those that nobody offers any more), and the rest sorted by name."""

    services: frozenset[str] = frozenset()
    tag_sets: frozenset[Tags] = frozenset()
    leaving: frozenset[Tags] = frozenset()
    external: tuple[External, ...] = ()
    virtual: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """Entries, with an address only where that is their name; `conflicts` are lines for people, each by what
    it is about, which stays the same while more is wanted; `expansions` save the work for next time."""

    entries: Vips
    conflicts: Mapping[str, str]
    expansions: Mapping[Tags, Expansion]


def offered(dataplane: Dataplane) -> frozenset[Tags]:
    """The tags under which a Dataplane offers services."""
    return frozenset(
        tuple(sorted(inbound.tags.items()))
        for inbound in dataplane.networking.inbound
        if inbound.state != "Ignored" and inbound.port != NO_PORT and inbound.service
    )


def offered_elsewhere(service: str, many: Iterable[RemoteInstances]) -> frozenset[Tags]:
    """The tags under which another zone offers a service of the mesh."""
    return frozenset(tuple(sorted(((SERVICE_TAG, service), *one.tags))) for one in many if not one.external)


def external(resource: Resource) -> External | None:
    """None for one whose address is none; rules refuse it when it is written."""
    spec = resource.spec
    try:
        host, port = split_address(spec.networking.address)
        number = int(port)
    except ValueError:
        return None
    has_host = not spec.networking.disable_host_dns_entry
    return External(resource.name, spec.service, canonical(host), number, has_host)


def desired(
    facts: Facts, *, service_vips: bool = True, known: Mapping[Tags, Expansion] | None = None
) -> Desired:
    """`known` are the expansions of the last time, as long as the VirtualOutbounds are the same."""
    book = _Book()
    expansions = _expansions(facts, known or {})
    for service in sorted(facts.services) if service_vips else ():
        book.add_service(service, 0)
    for tags in sorted(facts.tag_sets):
        book.add_hits(expansions.get(tags, ()))
    for item in facts.external:
        tags = ((SERVICE_TAG, item.service),)
        if service_vips:
            book.add_service(item.service, item.port)
        if item.has_host:
            book.add(Kind.HOST, item.host, VipOutbound(item.port, tags, f"external-service:{item.name}"))
        book.add_hits(expansions.get(tags, ()))
    for tags in sorted(facts.leaving):
        book.add_hits(expansions.get(tags, ()), last=True)
    conflicts = dict(chain(book.conflicts(), misses(expansions.values())))
    return Desired(dict(book.entries()), conflicts, expansions)


def _expansions(facts: Facts, known: Mapping[Tags, Expansion]) -> dict[Tags, Expansion]:
    if not facts.virtual:
        return {}
    of_external = {((SERVICE_TAG, item.service),) for item in facts.external}
    wanted: Iterable[Tags] = facts.tag_sets | facts.leaving | of_external
    return {tags: known[tags] if tags in known else expand(tags, facts.virtual) for tags in wanted}


class _Book:
    """Entries while they are collected: what comes first keeps its port."""

    def __init__(self) -> None:
        self._outbounds: dict[VipKey, dict[int, VipOutbound]] = {}
        self._lost: dict[tuple[VipKey, int], dict[VipOutbound, None]] = {}

    def add_service(self, service: str, port: int) -> None:
        self.add(Kind.SERVICE, service, VipOutbound(port, ((SERVICE_TAG, service),), ORIGIN_SERVICE))

    def add_hits(self, expansion: Expansion, *, last: bool = False) -> None:
        """`last`: what finds its port taken has no claim to it."""
        for found in expansion:
            if isinstance(found, Hit):
                self.add(Kind.FQDN, found.host, found.outbound, last=last)

    def add(self, kind: Kind, name: str, outbound: VipOutbound, *, last: bool = False) -> None:
        first = self._outbounds.setdefault((kind, name), {}).setdefault(outbound.port, outbound)
        if first != outbound and not last:
            self._lost.setdefault(((kind, name), outbound.port), {})[outbound] = None

    def entries(self) -> Iterator[tuple[VipKey, VipEntry]]:
        for (kind, name), outbounds in self._outbounds.items():
            address = own_address(name) if kind is Kind.HOST else ""
            in_order = tuple(outbounds[port] for port in sorted(outbounds))
            yield (kind, name), VipEntry(kind, name, address, in_order)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """One line for each port that is wanted more than once, by what it has come to."""
        for (key, port), lost in self._lost.items():
            other, more = next(iter(lost)), len(lost) - 1
            outcome = f"{key[1]}:{port} leads to {_title(self._outbounds[key][port])}"
            yield (
                outcome,
                f"{outcome}, and not to {_title(other)}"
                + (f" and {more} others" if more else "")
                + (_REMEDY if key[0] is Kind.HOST else ""),
            )


_REMEDY = "; set networking.disableHostDNSEntry in all but one of them"


def _title(outbound: VipOutbound) -> str:
    kind, _, name = outbound.origin.partition(":")
    if kind == "external-service":
        return f"the ExternalService {name}"
    tags = " ".join(f"{key}={value}" for key, value in outbound.tags)
    return f"{tags} (VirtualOutbound {name})"
