"""Carries out what was decided on a received response. Writes that go together share transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from kumacp.kds.exchange.incoming import Writes
from kumacp.store.api import NotFound, Store
from kumamesh.resource import Resource, ResourceKey

_AT_ONCE = 256
"""As many as the store puts into one transaction."""

_Item = TypeVar("_Item")


async def write(
    store: Store, writes: Writes, stored: Mapping[ResourceKey, Resource], owner: ResourceKey | None
) -> None:
    """What is new is owned by `owner`. Raises Conflict or NotFound when somebody else has written since
    `stored` was read, StoreUnavailable; then part of it may be written."""

    async def put(resource: Resource) -> None:
        present = stored.get(resource.key)
        if present is None:
            await store.create(resource, owner=owner)
        else:
            await store.update(replace(resource, version=present.version))

    await _each(writes.puts, put)
    await delete(store, writes.deletes)


async def delete(store: Store, keys: Iterable[ResourceKey]) -> None:
    """Also what is gone already, with an owner that was deleted before it."""

    async def drop(key: ResourceKey) -> None:
        try:
            await store.delete(key)
        except NotFound:
            return

    await _each(keys, drop)


async def _each(items: Iterable[_Item], act: Callable[[_Item], Awaitable[None]]) -> None:
    """Many at once; raises the first error when those that had begun are over."""
    everything = list(items)
    for start in range(0, len(everything), _AT_ONCE):
        errors: list[Exception] = []

        async def one(item: _Item, errors: list[Exception] = errors) -> None:
            try:
                await act(item)
            except Exception as error:  # noqa: BLE001  # raised below
                errors.append(error)

        async with asyncio.TaskGroup() as group:
            for item in everything[start : start + _AT_ONCE]:
                group.create_task(one(item))
        if errors:
            raise errors[0]
