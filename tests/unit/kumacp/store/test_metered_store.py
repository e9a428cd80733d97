"""The store that is watched is a store, and tells what was done with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

pytest.register_assert_rewrite("store_contract")

from kumacp.store.api import Conflict, NotFound  # noqa: E402
from kumacp.store.memory import MemoryStore  # noqa: E402
from kumacp.store.metered_store import MeteredStore  # noqa: E402
from kumamesh.resource import ResourceKey  # noqa: E402
from store_contract import StoreContract, mesh, secret  # noqa: E402


class TestMeteredStore(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[MeteredStore]:
        store = MeteredStore(MemoryStore())
        yield store
        await store.close()


async def test_operations_are_counted_by_type_also_those_that_fail() -> None:
    store = MeteredStore(MemoryStore())
    made = await store.create(mesh())
    with pytest.raises(Conflict):
        await store.create(mesh())
    with pytest.raises(NotFound):
        await store.get(ResourceKey("Secret", "default", "none"))
    await store.create_all([secret("a"), secret("b")])
    await store.list("Secret")
    with pytest.raises(Conflict):
        await store.update(replace(made, version=7, labels={"a": "b"}))
    await store.delete(secret("a").key)
    assert {labels: each.count for labels, each in store.durations.by_labels.items()} == {
        ("create", "Mesh"): 2,
        ("get", "Secret"): 1,
        ("create", "Secret"): 1,
        ("list", "Secret"): 1,
        ("update", "Mesh"): 1,
        ("delete", "Secret"): 1,
    }
    assert store.conflicts == {"Mesh": 2}
    assert store.writes == {"create": 3, "delete": 1}


async def test_what_followers_have_yet_to_take() -> None:
    store = MeteredStore(MemoryStore())
    assert (store.behind, store.size) == (0, 0)
    with store.watch() as quick, store.watch():
        await store.create(mesh())
        await store.create_all([secret("a"), secret("b")])
        assert store.behind == 3
        await anext(quick)
        assert store.behind == 3
    assert store.behind == 0
