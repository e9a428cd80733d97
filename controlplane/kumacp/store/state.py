"""What a store holds, and what a write does to it: pure, shared by all stores.

A write is planned on a `Draft`, which sees the state and the writes planned before it. Only a commit changes
the state, so that readers never see what is not durable yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kumacp.store.api import Change, Conflict, NotFound, Operation
from kumamesh.resource import Resource, ResourceKey


@dataclass(frozen=True, slots=True)
class Record:
    """A resource and the one it is deleted with, besides its Mesh."""

    resource: Resource
    owner: ResourceKey | None = None


class State:
    """Committed records, indexed by type, mesh and owner."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._tables: dict[str, dict[str, dict[str, Record]]] = {}
        self._owned: dict[ResourceKey, set[ResourceKey]] = {}
        for record in records:
            self.set(record.resource.key, record)

    def record(self, key: ResourceKey) -> Record | None:
        return self._tables.get(key.type, {}).get(key.mesh, {}).get(key.name)

    def get(self, key: ResourceKey) -> Resource:
        record = self.record(key)
        if record is None:
            raise NotFound(key)
        return record.resource

    def list(self, type_: str, mesh: str | None) -> list[Resource]:
        """Sorted by mesh and name."""
        by_mesh = self._tables.get(type_, {})
        found = []
        for each in sorted(by_mesh) if mesh is None else [mesh]:
            records = by_mesh.get(each, {})
            found += [records[name].resource for name in sorted(records)]
        return found

    def owned_by(self, key: ResourceKey) -> Iterator[ResourceKey]:
        yield from self._owned.get(key, ())
        if key.type == "Mesh":
            for table in self._tables.values():
                for record in table.get(key.name, {}).values():
                    yield record.resource.key

    def set(self, key: ResourceKey, record: Record | None) -> None:
        """Put a record in the place of the present one; None takes it away."""
        old = self.record(key)
        if old is not None and old.owner is not None:
            self._owned[old.owner].discard(key)
            if not self._owned[old.owner]:
                del self._owned[old.owner]
        if record is None:
            self._tables.get(key.type, {}).get(key.mesh, {}).pop(key.name, None)
            return
        self._tables.setdefault(key.type, {}).setdefault(key.mesh, {})[key.name] = record
        if record.owner is not None:
            self._owned.setdefault(record.owner, set()).add(key)

    def commit(self, written: Iterable[tuple[ResourceKey, Record | None]]) -> None:
        for key, record in written:
            self.set(key, record)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one write returns to its caller, and what it changed."""

    resources: Sequence[Resource] = ()
    changes: tuple[Change, ...] = ()


@dataclass(slots=True)
class Draft:
    """Writes planned on top of a state. A write that raises leaves the draft as it was."""

    state: State
    now: datetime
    written: dict[ResourceKey, Record | None] = field(default_factory=dict)

    def record(self, key: ResourceKey) -> Record | None:
        return self.written[key] if key in self.written else self.state.record(key)

    def create(self, resources: Sequence[Resource], owner: ResourceKey | None = None) -> Outcome:
        if owner is not None and self.record(owner) is None:
            raise NotFound(owner)
        fresh = {}
        for resource in resources:
            if resource.key in fresh or self.record(resource.key) is not None:
                raise Conflict(resource.key)
            fresh[resource.key] = replace(
                resource,
                labels=dict(resource.labels),
                creation_time=self.now,
                modification_time=self.now,
                version=1,
            )
        self.written |= {key: Record(resource, owner) for key, resource in fresh.items()}
        changes = tuple(Change(Operation.CREATE, key, None, resource) for key, resource in fresh.items())
        return Outcome(tuple(fresh.values()), changes)

    def update(self, resource: Resource) -> Outcome:
        record = self.record(resource.key)
        if record is None:
            raise NotFound(resource.key)
        old = record.resource
        if old.version != resource.version:
            raise Conflict(resource.key)
        if old.spec == resource.spec and old.labels == dict(resource.labels):
            return Outcome((old,))
        new = replace(
            old,
            spec=resource.spec,
            labels=dict(resource.labels),
            modification_time=self.now,
            version=old.version + 1,
        )
        self.written[new.key] = Record(new, record.owner)
        return Outcome((new,), (Change(Operation.UPDATE, new.key, old, new),))

    def delete(self, key: ResourceKey, version: int = 0) -> Outcome:
        """Delete with all that is owned, directly or not; the named resource is the last of the changes.
        Version 0 is whatever is there."""
        present = self.record(key)
        if present is None:
            raise NotFound(key)
        if version and present.resource.version != version:
            raise Conflict(key)
        living = [record for record in self.written.values() if record is not None]
        doomed = [key]
        seen = {key}
        for each in doomed:  # grows while it is walked
            for owned in self._owned_by(each, living):
                if owned not in seen:
                    seen.add(owned)
                    doomed.append(owned)
        changes = []
        for each in [*sorted(doomed[1:]), key]:
            if (record := self.record(each)) is not None:
                changes.append(Change(Operation.DELETE, each, record.resource, None))
                self.written[each] = None
        return Outcome((), tuple(changes))

    def _owned_by(self, key: ResourceKey, living: Sequence[Record]) -> Iterator[ResourceKey]:
        yield from (each for each in self.state.owned_by(key) if each not in self.written)
        for record in living:
            owned = record.resource.key
            if record.owner == key or (key.type == "Mesh" and owned.mesh == key.name):
                yield owned


Write = Callable[[Draft], Outcome]
"""A planned write: performed on a draft; raises NotFound or Conflict."""
