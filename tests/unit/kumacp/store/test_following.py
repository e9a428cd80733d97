"""Following a store: nothing is missed, whatever is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from kumacp.store import feed, following_driver
from kumacp.store.api import Change, StoreUnavailable
from kumacp.store.following_driver import Following
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh


def mesh(name: str) -> Resource:
    return Resource(ResourceKey("Mesh", "", name), Mesh())


class Picture:
    """Names of meshes, as told by what is followed."""

    def __init__(self, store: MemoryStore) -> None:
        self.names: set[str] = set()
        self.reads = 0
        self.failures = 0
        self.seen = asyncio.Event()
        self.store = store
        self.following = Following(store, "meshes", read=self.read, take=self.take)

    async def read(self) -> None:
        self.reads += 1
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the disk is full")
        self.names = {each.name for each in await self.store.list("Mesh")}
        self.seen.set()

    def take(self, batch: Sequence[Change]) -> None:
        for change in batch:
            (self.names.add if change.new else self.names.discard)(change.key.name)
        self.seen.set()

    async def until(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while self.names != set(names):
                self.seen.clear()
                await self.seen.wait()


async def test_what_is_stored_and_what_changes_is_told_until_the_store_is_closed() -> None:
    store = MemoryStore()
    await store.create(mesh("a"))
    picture = Picture(store)
    assert not picture.following.begun
    await picture.following.begin()
    assert picture.following.begun
    running = asyncio.create_task(picture.following.run())
    await store.create(mesh("b"))
    await picture.until("a", "b")
    await store.delete(mesh("a").key)
    await picture.until("b")
    await store.close()
    await asyncio.wait_for(running, 10)
    assert picture.reads == 1


async def test_changes_during_the_first_read_come_after_it() -> None:
    store = MemoryStore()
    picture = Picture(store)
    before = picture.read

    async def read() -> None:
        await before()
        await store.create(mesh("late"))

    picture.following = Following(store, "meshes", read=read, take=picture.take)
    await picture.following.begin()
    running = asyncio.create_task(picture.following.run())
    await picture.until("late")
    await store.close()
    await running


async def test_a_first_read_that_fails_is_the_callers() -> None:
    store = MemoryStore()
    picture = Picture(store)
    picture.failures = 1
    with pytest.raises(StoreUnavailable):
        await picture.following.begin()
    assert not picture.following.begun
    await picture.following.begin()
    assert picture.following.begun
    await store.close()


async def test_everything_is_read_again_after_a_loss_until_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_BEHIND", 3)
    monkeypatch.setattr(following_driver, "_RETRY_S", 0.001)
    store = MemoryStore()
    picture = Picture(store)
    await picture.following.begin()
    for number in range(6):
        await store.create(mesh(f"m{number}"))
    await store.delete(mesh("m0").key)
    picture.failures = 2
    running = asyncio.create_task(picture.following.run())
    await picture.until("m1", "m2", "m3", "m4", "m5")
    assert picture.reads == 4
    await store.create(mesh("after"))
    await picture.until("m1", "m2", "m3", "m4", "m5", "after")
    await store.close()
    await running
