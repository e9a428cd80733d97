"""What is known after changes were dropped because there were too many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from kumacp.dpserver.feed_driver import FeedDriver
from kumacp.identity.signing_keys import KeyRing
from kumacp.policy.permission import inbound_rbac
from kumacp.store import feed as store_feed
from kumacp.store.api import Change
from kumacp.store.memory import MemoryStore
from kumacp.xds.build import build
from kumacp.xds.hub import Hub
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.secret import Secret

SECRET = ResourceKey("Secret", "default", "ca")


class Followed:
    """A store with a driver on it that has read all."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.batches: list[Sequence[Change]] = []
        hub = Hub("default", build, inbound_rbac)
        self.feed = FeedDriver(
            self.store,
            hub,
            key_ring=KeyRing,
            place=lambda change: change,
            on_batch=lambda batch, touched, keys: self.batches.append(batch),
        )

    async def put(self, data: bytes) -> Resource:
        return await self.store.create(Resource(SECRET, Secret(data=data)))


@pytest.fixture
async def followed(monkeypatch: pytest.MonkeyPatch) -> Followed:
    monkeypatch.setattr(store_feed, "MAX_BEHIND", 3)
    made = Followed()
    await made.store.create(Resource(ResourceKey("Mesh", "", "default"), Mesh()))
    return made


async def _overrun(followed: Followed) -> None:
    for number in range(4):
        key = ResourceKey("Secret", "default", f"other-{number}")
        await followed.store.create(Resource(key, Secret(data=b"x")))


async def test_a_resource_that_was_deleted_and_made_again_is_another_one(followed: Followed) -> None:
    """Both have version 1."""
    await followed.put(b"old")
    await followed.feed.load()
    await followed.store.delete(SECRET)
    await followed.put(b"new")
    await _overrun(followed)
    await followed.store.close()
    await followed.feed.run()
    assert followed.feed.secret("Secret", "default", "ca") == b"new"
    assert len(followed.batches) == 1


async def test_nobody_waits_for_what_was_made_and_deleted_meanwhile(followed: Followed) -> None:
    await followed.feed.load()
    version = (await followed.put(b"short")).version
    await followed.store.delete(SECRET)
    await _overrun(followed)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(followed.feed.applied(SECRET, version))
        await asyncio.sleep(0)
        await followed.store.close()
        await followed.feed.run()
    assert waiting.result() is False
