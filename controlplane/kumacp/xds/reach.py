"""The endpoints of a service as sidecars see them: instances of this zone, and ways to those of others
(contract 5.10).

Envoy keeps only the first of several endpoints with one address and port: there is one per way, for all the
tag sets that it leads to, with the tags that these have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from kumacp.xds.facts import At
from kumacp.xds.model import Endpoint, Tags
from kumacp.xds.remote import RemoteInstances
from kumacp.xds.weights import Group, weights


class Way(NamedTuple):
    """An address and port behind which instances of one other zone are."""

    zone: str
    address: str
    port: int
    tags: Tags
    instances: int


def ways(remote: Iterable[RemoteInstances], wanted: Tags = ()) -> tuple[Way, ...]:
    """Those that lead to instances with the tags, sorted by zone, address and port, as `remote` is. An
    address and port that two zones claim is of the first."""
    asked = set(wanted)
    found: dict[At, Way] = {}
    for one in remote:
        if not asked.issubset(one.tags):
            continue
        at = (one.address, one.port)
        known = found.get(at)
        if known is None:
            found[at] = Way(one.zone, *at, one.tags, one.instances)
        elif known.zone == one.zone:
            tags = tuple(pair for pair in known.tags if pair in one.tags)
            found[at] = known._replace(tags=tags, instances=known.instances + one.instances)
    return tuple(found.values())


def remote_endpoints(found: Sequence[Way], local: int = 0, *, priority: int = 0) -> tuple[Endpoint, ...]:
    """One per way, weighted beside so many endpoints of this zone."""
    zones = _zones(found)
    weight = dict(zip(zones, weights(local, list(zones.values())).ways, strict=True))
    return tuple(
        Endpoint(way.address, way.port, weight[way.zone], way.tags, way.zone, priority, edge=True)
        for way in found
    )


def outbound_endpoints(
    local: tuple[Endpoint, ...],
    found: Sequence[Way],
    egresses: Sequence[Endpoint] | None,
    *,
    locality_aware: bool,
) -> tuple[Endpoint, ...]:
    """`egresses` None: each way is called itself; else instances of other zones are reached through these, if
    there are any. Locality-aware, they are called when those of this zone fail."""
    if not found or egresses == ():
        return local
    groups = list(_zones(found).values())
    if egresses is not None:
        groups = [Group(sum(group.instances for group in groups), len(egresses))]
    share = weights(len(local), groups)
    priority = 1 if locality_aware else 0
    if egresses is None:
        remote = remote_endpoints(found, len(local), priority=priority)
    else:
        tags = _common(way.tags for way in found)
        remote = tuple(
            replace(egress, weight=share.ways[0], tags=tags, priority=priority) for egress in egresses
        )
    return (*(_weighted(endpoint, share.local) for endpoint in local), *remote)


def _zones(found: Iterable[Way]) -> dict[str, Group]:
    """What each zone has, by what the way says that knows of most, and the number of ways to it."""
    zones: dict[str, Group] = {}
    for way in found:
        known = zones.get(way.zone, Group(0, 0))
        zones[way.zone] = Group(max(known.instances, way.instances), known.ways + 1)
    return zones


def _common(many: Iterable[Tags]) -> Tags:
    sets = [set(tags) for tags in many]
    return tuple(sorted(set.intersection(*sets)))


def _weighted(endpoint: Endpoint, weight: int) -> Endpoint:
    return endpoint if endpoint.weight == weight else replace(endpoint, weight=weight)
