"""A store that is watched: how long its operations take, by operation and type, and who loses a race."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from kumacp.figures import Histograms
from kumacp.store.api import Conflict, Feed, Store
from kumamesh.resource import Resource, ResourceKey


class MeteredStore:
    """Passes everything on to another store. Conflicts are counted by type."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.durations = Histograms()
        self.conflicts: Counter[str] = Counter()

    async def get(self, key: ResourceKey) -> Resource:
        with self._measured("get", key.type):
            return await self._store.get(key)

    async def list(self, type_: str, mesh: str | None = None) -> list[Resource]:
        with self._measured("list", type_):
            return await self._store.list(type_, mesh)

    async def create(self, resource: Resource, *, owner: ResourceKey | None = None) -> Resource:
        with self._measured("create", resource.type):
            return await self._store.create(resource, owner=owner)

    async def create_all(self, resources: Sequence[Resource]) -> Sequence[Resource]:
        with self._measured("create", resources[0].type if resources else ""):
            return await self._store.create_all(resources)

    async def update(self, resource: Resource) -> Resource:
        with self._measured("update", resource.type):
            return await self._store.update(resource)

    async def delete(self, key: ResourceKey, *, version: int = 0) -> None:
        with self._measured("delete", key.type):
            await self._store.delete(key, version=version)

    def watch(self) -> AbstractContextManager[Feed]:
        return self._store.watch()

    @property
    def writes(self) -> Mapping[str, int]:
        return self._store.writes

    @property
    def behind(self) -> int:
        return self._store.behind

    @property
    def size(self) -> int:
        return self._store.size

    async def close(self) -> None:
        await self._store.close()

    @contextmanager
    def _measured(self, operation: str, type_: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        except Conflict:
            self.conflicts[type_] += 1
            raise
        finally:
            self.durations.observe((operation, type_), time.perf_counter() - start)
