from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

pytest.register_assert_rewrite("store_contract")

from kumacp.store.memory import MemoryStore  # noqa: E402
from kumamesh.resource import ResourceKey  # noqa: E402
from store_contract import StoreContract, mesh, secret  # noqa: E402


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2025, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[MemoryStore]:
        store = MemoryStore(now=Clock())
        yield store
        await store.close()


async def test_ten_thousand_resources_are_written_listed_and_deleted() -> None:
    store = MemoryStore()
    await store.create(mesh())
    for number in range(10_000):
        await store.create(secret(f"s-{number:05}"))
    assert [each.name for each in await store.list("Secret", "default")] == [
        f"s-{number:05}" for number in range(10_000)
    ]
    await store.delete(ResourceKey("Mesh", "", "default"))
    assert await store.list("Secret") == []
