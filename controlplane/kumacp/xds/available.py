"""What the zone's ingresses tell other zones: which services there are here, and how many instances of each
(contract 5.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from kumacp.xds.edge.exposure import unreachable
from kumacp.xds.edge.ingress import external_here
from kumacp.xds.reports import report_unexposed
from kumacp.xds.view import MeshDelta, MeshView
from kumamesh.names import SERVICE_TAG
from kumamesh.resources.base import FrozenMap
from kumamesh.resources.zone import AvailableService


class Available:
    """Current change by change. `on_change` is called when other services are available, or there are other
    ingresses to say so."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = _nobody
        self._entries: dict[str, dict[str, tuple[AvailableService, ...]]] = {}
        self._listed: tuple[AvailableService, ...] | None = None
        self._changed = False

    @property
    def services(self) -> tuple[AvailableService, ...]:
        """Sorted by mesh and tags. Equal as long as nothing changes."""
        if self._listed is None:
            every = chain.from_iterable(services.values() for services in self._entries.values())
            self._listed = tuple(sorted(chain.from_iterable(every), key=_rank))
        return self._listed

    def refresh(self, view: MeshView, delta: MeshDelta) -> None:
        """A mesh is different, or gone."""
        held = self._entries.setdefault(view.name, {})
        for service in delta.exposed | delta.endpoints | delta.facts:
            entries = tuple(_entries(view, service))
            if entries == held.get(service, ()):
                continue
            if entries:
                held[service] = entries
            else:
                del held[service]
            self._listed, self._changed = None, True
        if not held:
            del self._entries[view.name]

    def settle(self, *, moved: bool) -> None:
        """All meshes of a batch are taken over; `moved`: there are other ingresses, or they tell
        other things."""
        if self._changed or moved:
            self._changed = False
            self.on_change()


def _entries(view: MeshView, service: str) -> Iterator[AvailableService]:
    """Instances that can be called now, by full set of tags."""
    exposed = view.exposed().get(service)
    outside = external_here(view, service) if exposed is None else ()
    if not (exposed or outside):
        return
    if reason := unreachable(view.name, service):
        report_unexposed(view.name, service, reason)
        return
    for tags, instances in (exposed or {}).items():
        if instances:
            yield AvailableService(tags=FrozenMap(tags), instances=instances, mesh=view.name)
    for endpoint in outside:
        told = FrozenMap({SERVICE_TAG: service, **dict(endpoint.at.tags)})
        yield AvailableService(tags=told, instances=1, mesh=view.name, external_service=True)


def _rank(available: AvailableService) -> tuple[str, str]:
    return available.mesh, ",".join(f"{key}={value}" for key, value in sorted(available.tags.items()))


def _nobody() -> None:
    return None
