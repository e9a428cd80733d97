"""The store that forgets: for tests and for control planes that are thrown away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from kumacp.store.api import Feed, StoreUnavailable
from kumacp.store.feed import ChangeFeed
from kumacp.store.state import Draft, Outcome, State, Write
from kumamesh.resource import Resource, ResourceKey


def utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """Nothing is awaited inside a write, so every write is a transaction."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._state = State()
        self._feed = ChangeFeed()
        self._closed = False

    async def get(self, key: ResourceKey) -> Resource:
        return self._state.get(key)

    async def list(self, type_: str, mesh: str | None = None) -> list[Resource]:
        return self._state.list(type_, mesh)

    async def create(self, resource: Resource, *, owner: ResourceKey | None = None) -> Resource:
        return self._write(lambda draft: draft.create((resource,), owner)).resources[0]

    async def create_all(self, resources: Sequence[Resource]) -> Sequence[Resource]:
        return self._write(lambda draft: draft.create(resources)).resources

    async def update(self, resource: Resource) -> Resource:
        return self._write(lambda draft: draft.update(resource)).resources[0]

    async def delete(self, key: ResourceKey, *, version: int = 0) -> None:
        self._write(lambda draft: draft.delete(key, version))

    def watch(self) -> AbstractContextManager[Feed]:
        return self._feed.watch()

    @property
    def writes(self) -> Mapping[str, int]:
        return self._feed.published

    @property
    def behind(self) -> int:
        return self._feed.behind

    @property
    def size(self) -> int:
        return 0

    async def close(self) -> None:
        self._closed = True
        self._feed.close()

    def _write(self, write: Write) -> Outcome:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        draft = Draft(self._state, self._now())
        outcome = write(draft)
        self._state.commit(draft.written.items())
        self._feed.publish(outcome.changes)
        return outcome
