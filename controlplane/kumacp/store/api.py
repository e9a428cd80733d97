"""What every store promises (DESIGN.md 3.9). The contract suite is tests/support/store_contract.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from kumamesh.resource import Resource, ResourceKey


class Operation(Enum):
    """What happened to a resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. `old` is None for a creation, `new` is None for a deletion."""

    operation: Operation
    key: ResourceKey
    old: Resource | None
    new: Resource | None


class NotFound(Exception):
    """No resource has this key."""

    def __init__(self, key: ResourceKey) -> None:
        super().__init__(
            f"{key.type} {key.name!r} not found" + (f" in mesh {key.mesh!r}" if key.mesh else "")
        )
        self.key = key


class Conflict(Exception):
    """The resource was written by somebody else since it was read, or exists already."""

    def __init__(self, key: ResourceKey) -> None:
        super().__init__(f"{key.type} {key.name!r} was changed by another writer; read it again and retry")
        self.key = key


class StoreUnavailable(Exception):
    """Nothing was written: the disk is full or broken, or the store is closed."""


class Feed(Protocol):
    """Committed changes in commit order, one subscriber's own copy. Bounded: see `Store.watch`. It ends when
    the store is closed."""

    def __aiter__(self) -> AsyncIterator[tuple[Change, ...]]: ...


class Store(Protocol):
    """Resources with optimistic concurrency, cascading ownership and a change feed."""

    async def get(self, key: ResourceKey) -> Resource:
        """The resource; raises NotFound."""

    async def list(self, type_: str, mesh: str | None = None) -> list[Resource]:
        """All resources of a type, of one mesh or of all (None), sorted by mesh and name."""

    async def create(self, resource: Resource, *, owner: ResourceKey | None = None) -> Resource:
        """Store a new resource; raises Conflict when it exists, NotFound when the named owner does not.
        Deleted with its owner. A Mesh owns, without being named, every resource of its mesh."""

    async def create_all(self, resources: Sequence[Resource]) -> Sequence[Resource]:
        """Store new resources in one transaction, all or none; raises Conflict for the first that exists."""

    async def update(self, resource: Resource) -> Resource:
        """Replace spec and labels of the version that `resource.version` names; raises Conflict or NotFound.
        A write that changes nothing commits nothing and tells nobody."""

    async def delete(self, key: ResourceKey, *, version: int = 0) -> None:
        """Delete the resource and all that it owns, in one transaction; raises NotFound. With a version, only
        that one is deleted, and Conflict is raised when it is not the present one."""

    def watch(self) -> AbstractContextManager[Feed]:
        """Everything committed from now on, in batches of one transaction. A subscriber that falls more than
        10,000 changes behind gets FeedOverrun and must list again."""

    @property
    def writes(self) -> Mapping[str, int]:
        """Committed changes so far, by operation."""

    @property
    def behind(self) -> int:
        """Committed changes that the slowest subscriber has yet to take."""

    @property
    def size(self) -> int:
        """Bytes on disk."""

    async def close(self) -> None:
        """Flush and release; the store is not used after that."""


class FeedOverrun(Exception):
    """The subscriber was too slow; changes were dropped and it must start again from a list."""
