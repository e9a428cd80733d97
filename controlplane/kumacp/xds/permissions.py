"""The permissions of one mesh, current change by change."""

from __future__ import annotations

from kumacp.xds.held import put, same
from kumamesh.resource import Resource

PERMISSION_TYPES = ("TrafficPermission", "MeshTrafficPermission")


class Permissions:
    """Noted one by one; `commit` says whether there are others than at the last commit."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Resource]] = {type_: {} for type_ in PERMISSION_TYPES}
        self._sorted: dict[str, tuple[Resource, ...]] = dict.fromkeys(PERMISSION_TYPES, ())
        self._before: dict[tuple[str, str], Resource | None] = {}

    def __bool__(self) -> bool:
        return any(self._held.values())

    def of(self, type_: str) -> tuple[Resource, ...]:
        """Sorted by name."""
        return self._sorted[type_]

    def note(self, type_: str, name: str, resource: Resource | None) -> None:
        held = self._held[type_]
        self._before.setdefault((type_, name), held.get(name))
        put(held, name, resource)

    def commit(self) -> bool:
        noted, self._before = self._before, {}
        for type_ in {type_ for type_, _ in noted}:
            self._sorted[type_] = tuple(resource for _, resource in sorted(self._held[type_].items()))
        return any(not same(before, self._held[type_].get(name)) for (type_, name), before in noted.items())
