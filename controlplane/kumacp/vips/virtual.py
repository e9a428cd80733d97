"""What VirtualOutbounds make of the tags of services (kuma-cp 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kumacp.policy.selector import matches, rank
from kumacp.vips.entry import VipOutbound
from kumacp.vips.names import canonical
from kumacp.xds.model import Tags, freeze_tags
from kumamesh.resource import Resource


@dataclass(frozen=True, slots=True)
class Hit:
    """A name and one port of it."""

    host: str
    outbound: VipOutbound


@dataclass(frozen=True, slots=True)
class Miss:
    """A VirtualOutbound that selects tags of which it can make no name or port."""

    virtual_outbound: str
    reason: str


Expansion = tuple[Hit | Miss, ...]


def in_order(virtual: Iterable[Resource], tags: Mapping[str, str]) -> list[Resource]:
    """Those that select the tags: the most specific first, then the youngest, then by name."""
    ranked = []
    for resource in virtual:
        found = [
            rank(selector.match) for selector in resource.spec.selectors if matches(selector.match, tags)
        ]
        if found:
            exactness, exact = max(found)
            ranked.append((-exactness, -exact, -resource.creation_time.timestamp(), resource.name, resource))
    return [resource for *_, resource in sorted(ranked, key=lambda each: each[:4])]


def expand(tags: Tags, virtual: Sequence[Resource]) -> Expansion:
    """What all VirtualOutbounds together make of the tags of one service, in their order."""
    plain = dict(tags)
    return tuple(_hit(resource, plain) for resource in in_order(virtual, plain))


def misses(expansions: Iterable[Expansion]) -> Iterator[tuple[str, str]]:
    """One line for each VirtualOutbound that made nothing of some tags, by its name."""
    counts: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for expansion in expansions:
        for found in expansion:
            if isinstance(found, Miss):
                counts[found.virtual_outbound] = counts.get(found.virtual_outbound, 0) + 1
                reason = reasons.setdefault(found.virtual_outbound, found.reason)
                reasons[found.virtual_outbound] = min(reason, found.reason)
    for name, count in sorted(counts.items()):
        what = f"the VirtualOutbound {name}"
        yield what, f"{what} makes no name of {count} services that it selects: {reasons[name]}"


def _hit(resource: Resource, tags: Mapping[str, str]) -> Hit | Miss:
    conf = resource.spec.conf
    try:
        host, port = conf.host_of(tags), conf.port_of(tags)
    except ValueError as error:
        return Miss(resource.name, str(error))
    origin = f"virtual-outbound:{resource.name}"
    return Hit(canonical(host), VipOutbound(port, freeze_tags(conf.selected(tags)), origin))
