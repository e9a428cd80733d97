"""What the names of a mesh are made of, kept change by change; a further instance changes nothing.

What the last instance of a service offered stays for a while: a service that is restarted or moved keeps its
names, and nobody else is told of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from itertools import takewhile
from typing import TypeVar

from kumacp.vips.desired import External, Facts, external, offered
from kumacp.vips.virtual import Expansion
from kumacp.xds.model import Tags
from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Resource, ResourceKey

V = TypeVar("V")

TYPES = ("Mesh", "Dataplane", "ExternalService", "VirtualOutbound")
"""What a mesh's names depend on."""


class MeshFacts:
    """One mesh. Whatever changes it tells whether the facts are others. `grace_s`: how long what nobody
    offers any more stays. `now` is in seconds of a clock that is never set."""

    def __init__(self, grace_s: float = 0.0) -> None:
        self.exists = False
        self.edition = 0
        """Counts changes of VirtualOutbounds."""
        self.expansions: Mapping[Tags, Expansion] = {}
        """What VirtualOutbounds made of tags, as far as somebody has worked it out for this edition."""
        self._grace_s = grace_s
        self._offers: dict[Hashable, frozenset[Tags]] = {}
        self._offered: Counter[Tags] = Counter()
        self._leaving: dict[Tags, float] = {}
        self._services: Counter[str] = Counter()
        self._external: dict[str, External] = {}
        self._virtual: dict[str, Resource] = {}

    def note(self, key: ResourceKey, resource: Resource | None, now: float = 0.0) -> bool:
        """One of TYPES as it is now, None for one that is gone."""
        match key.type:
            case "Mesh":
                changed = self.exists is not (resource is not None)
                self.exists = resource is not None
                return changed
            case "Dataplane":
                return self.offer(key, offered(resource.spec) if resource else frozenset(), now)
            case "ExternalService":
                return _put(self._external, key.name, external(resource) if resource else None)
        before = self._virtual.get(key.name)
        if before is not None and resource is not None and _content(before) == _content(resource):
            return False
        self.edition += 1
        self.expansions = {}
        return _put(self._virtual, key.name, resource)

    def offer(self, source: Hashable, tag_sets: frozenset[Tags], now: float = 0.0) -> bool:
        """The services that a proxy has, or what an ingress leads to of one service, by their tags; `source`
        says so."""
        before = self._offers.get(source, frozenset())
        if tag_sets:
            self._offers[source] = tag_sets
        else:
            self._offers.pop(source, None)
        come = [tags for tags in tag_sets - before if self._count(tags, 1) == 1]
        gone = [tags for tags in before - tag_sets if not self._count(tags, -1)]
        new = [tags for tags in come if self._leaving.pop(tags, None) is None]
        if self._grace_s > 0:
            self._leaving.update(dict.fromkeys(gone, now + self._grace_s))
        changed = self._recount(new, () if self._grace_s > 0 else gone)
        return changed or (bool(self._virtual) and bool(come or gone))

    def inherit(self, before: MeshFacts, now: float) -> None:
        """What stays of facts that these, made anew, take the place of."""
        if self._grace_s > 0:
            missing = (before._offered.keys() | before._leaving.keys()) - self._offered.keys()
            self._leaving.update(dict.fromkeys(sorted(missing), now + self._grace_s))
            self._recount(missing, ())

    def expire(self, now: float) -> bool:
        """Forget what has stayed long enough."""
        gone = [tags for tags, _ in takewhile(lambda item: item[1] <= now, self._leaving.items())]
        for tags in gone:
            del self._leaving[tags]
        return self._recount((), gone) or (bool(self._virtual) and bool(gone))

    @property
    def next_expiry(self) -> float | None:
        return next(iter(self._leaving.values()), None)

    def snapshot(self) -> Facts:
        matter = bool(self._virtual)
        return Facts(
            services=frozenset(self._services),
            tag_sets=frozenset(self._offered) if matter else frozenset(),
            leaving=frozenset(self._leaving) if matter else frozenset(),
            external=_by_name(self._external),
            virtual=_by_name(self._virtual),
        )

    def _count(self, tags: Tags, step: int) -> int:
        """How many offer them now."""
        self._offered[tags] += step
        return self._offered[tags] or self._offered.pop(tags)

    def _recount(self, come: Iterable[Tags], gone: Iterable[Tags]) -> bool:
        """Count the services of tags that are new or gone; whether there are others than before."""
        touched: dict[str, bool] = {}
        for many, step in ((come, 1), (gone, -1)):
            for service in map(_service, many):
                touched.setdefault(service, service in self._services)
                self._services[service] += step
        for service in touched:
            if not self._services[service]:
                del self._services[service]
        return any(before is not (service in self._services) for service, before in touched.items())


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
