"""What the names of a mesh are made of, kept change by change; a further instance changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from kumacp.vips.desired import External, Facts, external, offered
from kumacp.vips.virtual import Expansion
from kumacp.xds.model import Tags
from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Resource, ResourceKey

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

TYPES = ("Mesh", "Dataplane", "ExternalService", "VirtualOutbound")
"""What a mesh's names depend on."""


class MeshFacts:
    """One mesh. Whatever changes it tells whether the facts are others."""

    def __init__(self) -> None:
        self.exists = False
        self.edition = 0
        """Counts changes of VirtualOutbounds."""
        self.expansions: Mapping[Tags, Expansion] = {}
        """What VirtualOutbounds made of tags, as far as somebody has worked it out for this edition."""
        self._offers: dict[ResourceKey, frozenset[Tags]] = {}
        self._tag_sets: Counter[Tags] = Counter()
        self._services: Counter[str] = Counter()
        self._external: dict[str, External] = {}
        self._virtual: dict[str, Resource] = {}

    def note(self, key: ResourceKey, resource: Resource | None) -> bool:
        """One of TYPES as it is now, None for one that is gone."""
        match key.type:
            case "Mesh":
                changed = self.exists is not (resource is not None)
                self.exists = resource is not None
                return changed
            case "Dataplane":
                return self.offer(key, offered(resource.spec) if resource else frozenset())
            case "ExternalService":
                return _put(self._external, key.name, external(resource) if resource else None)
        before = self._virtual.get(key.name)
        if before is not None and resource is not None and _content(before) == _content(resource):
            return False
        self.edition += 1
        self.expansions = {}
        return _put(self._virtual, key.name, resource)

    def offer(self, source: ResourceKey, tag_sets: frozenset[Tags]) -> bool:
        """The services that a proxy has, or that an ingress leads to, by their tags."""
        before = self._offers.get(source, frozenset())
        if tag_sets:
            self._offers[source] = tag_sets
        else:
            self._offers.pop(source, None)
        is_new, is_gone = tag_sets - before, before - tag_sets
        tags_changed = _recount(self._tag_sets, is_new, is_gone)
        services_changed = _recount(self._services, map(_service, is_new), map(_service, is_gone))
        return services_changed or (tags_changed and bool(self._virtual))

    def snapshot(self) -> Facts:
        return Facts(
            services=frozenset(self._services),
            tag_sets=frozenset(self._tag_sets) if self._virtual else frozenset(),
            external=_by_name(self._external),
            virtual=_by_name(self._virtual),
        )


def _content(resource: Resource) -> tuple[object, datetime]:
    """What of a VirtualOutbound decides on names."""
    return resource.spec, resource.creation_time


def _service(tags: Tags) -> str:
    return next(value for key, value in tags if key == SERVICE_TAG)


def _by_name(held: Mapping[str, V]) -> tuple[V, ...]:
    return tuple(held[name] for name in sorted(held))


def _put(held: dict[str, V], name: str, value: V | None) -> bool:
    if held.get(name) == value:
        return False
    if value is None:
        del held[name]
    else:
        held[name] = value
    return True


def _recount(counts: Counter[K], more: Iterable[K], fewer: Iterable[K]) -> bool:
    """Whether other things are counted than before."""
    touched: dict[K, bool] = {}
    for things, step in ((more, 1), (fewer, -1)):
        for thing in things:
            touched.setdefault(thing, thing in counts)
            counts[thing] += step
    for thing in touched:
        if not counts[thing]:
            del counts[thing]
    return any(before is not (thing in counts) for thing, before in touched.items())
