"""What to write when a response of the other side has come (contract 8.5, docs/decisions/0017)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from kumacp.identity.signing_keys import stays_here
from kumacp.kds.exchange.pinning import pinned
from kumacp.kds.protocol.catalog import FLOWS, made_in_zones
from kumacp.kds.protocol.hashing import synced_name
from kumacp.kds.protocol.messages import Received
from kumamesh import names
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rules.common import name_problem


@dataclass(frozen=True, slots=True)
class Writes:
    """`puts` are stored as they are, without the rules for people: with `version` 0 they are new. `withheld`
    would have been deleted, were the other side's list trusted. `refused` are lines for the NACK."""

    puts: tuple[Resource, ...] = ()
    deletes: tuple[ResourceKey, ...] = ()
    withheld: tuple[ResourceKey, ...] = ()
    refused: tuple[str, ...] = ()


def from_global(received: Received, stored: Sequence[Resource], *, full: bool, zone: str) -> Writes:
    """What the zone writes. `full` tells that the response is all that global has of the type; then `stored`
    are all resources of it, else at least those that the response names."""
    keeps_own = made_in_zones(received.type)

    def foreign(resource: Resource) -> bool:
        return not keeps_own or resource.labels.get(names.ORIGIN_LABEL) == "global"

    def refusal(old: Resource | None, new: Resource) -> str | None:
        if new.type == "GlobalSecret" and stays_here(new.name):
            return "is never taken from another control plane"
        if old is None or foreign(old) or (FLOWS[new.type].keeps_name and old.spec == new.spec):
            return None
        return "exists in the zone, which made it itself; to get that of global, delete it in the zone"

    resources = [
        replace(resource, labels={**resource.labels, names.ORIGIN_LABEL: "global"})
        for resource in received.resources
        if resource.labels.get(names.ZONE_LABEL) != zone
    ]
    take = _Take(resources, received.removed, received.unread)
    return _writes(take, stored, foreign, refusal, full=full, trusted=True)


def from_zone(
    received: Received, stored: Sequence[Resource], *, full: bool, zone: str, hashed: bool, trusted: bool
) -> Writes:
    """What global writes; `stored` as above. A zone cannot touch, nor pretend to be, another one. `hashed`
    tells that names come with a suffix that makes them unique among all zones; others get the name of the
    zone before them. What is absent from a list that is not `trusted` is not deleted yet."""

    def of_zone(resource: Resource) -> bool:
        labels = resource.labels
        return labels.get(names.ZONE_LABEL) == zone and labels.get(names.ORIGIN_LABEL) == "zone"

    def refusal(old: Resource | None, new: Resource) -> str | None:
        if old is None:
            return name_problem(new.name) or _misnamed(new, zone, hashed=hashed)
        if of_zone(old):
            return None
        owner = old.labels.get(names.ZONE_LABEL)
        return "has the name of one that " + (f"zone {owner!r}" if owner else "global") + " made"

    def placed(key: ResourceKey) -> ResourceKey:
        return key if hashed else key._replace(name=f"{zone}.{key.name}")

    resources = [_of_zone(resource, placed(resource.key), zone) for resource in received.resources]
    take = _Take(resources, tuple(map(placed, received.removed)), frozenset(map(placed, received.unread)))
    return _writes(take, stored, of_zone, refusal, full=full, trusted=trusted)


def _misnamed(resource: Resource, zone: str, *, hashed: bool) -> str | None:
    """Whether the zone could take the name of something that another zone has not told of yet."""
    display_name = resource.labels[names.DISPLAY_NAME_LABEL]
    if not hashed or resource.name == synced_name(resource.mesh, display_name, resource.labels):
        return None
    return f"has not the suffix that names of zone {zone!r} have"


def _of_zone(resource: Resource, key: ResourceKey, zone: str) -> Resource:
    labels = {names.DISPLAY_NAME_LABEL: resource.name, **resource.labels}
    labels |= {names.ORIGIN_LABEL: "zone", names.ZONE_LABEL: zone}
    return replace(resource, key=key, labels=labels, spec=pinned(resource.spec, zone))


@dataclass(frozen=True, slots=True)
class _Take:
    """A response as this side sees it."""

    resources: Sequence[Resource]
    removed: Iterable[ResourceKey]
    unread: frozenset[ResourceKey]


def _writes(
    take: _Take,
    stored: Sequence[Resource],
    foreign: Callable[[Resource], bool],
    refusal: Callable[[Resource | None, Resource], str | None],
    *,
    full: bool,
    trusted: bool,
) -> Writes:
    """`foreign` tells which stored resources are the other side's to delete; `refusal` why one must not be
    written, over the one that is stored."""
    held = {resource.key: resource for resource in stored}
    told = {resource.key: resource for resource in take.resources}
    puts, refused = [], []
    for new in told.values():
        old = held.get(new.key)
        problem = refusal(old, new)
        if problem:
            refused.append(f'{new.type} "{new.name}.{new.mesh}" {problem}')
        elif old is None or differs(old, new):
            puts.append(_over(old, new))
    deletes = [key for key in take.removed if key in held and key not in told and foreign(held[key])]
    withheld: list[ResourceKey] = []
    if full:
        present = told.keys() | take.unread | set(deletes)
        absent = [key for key, resource in held.items() if key not in present and foreign(resource)]
        (deletes if trusted else withheld).extend(absent)
    return Writes(tuple(puts), tuple(deletes), tuple(withheld), tuple(refused))


def differs(old: Resource, new: Resource) -> bool:
    """Whether they say different things."""
    return bool(old.spec != new.spec) or dict(old.labels) != dict(new.labels)


def _over(old: Resource | None, new: Resource) -> Resource:
    """The new content in the place of the old one."""
    if old is None:
        return new
    return replace(
        new,
        creation_time=old.creation_time,
        modification_time=old.modification_time,
        version=old.version,
    )
