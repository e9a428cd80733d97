"""Services that go, and those that come back, on real stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kumacp.store.api import Store
from vip_stores import CONFIG, PATIENCE_S, STORES, addresses, dataplane, driving, opened, until, virtual


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param, tmp_path) as made:
        yield made


async def test_a_service_that_comes_back_never_lost_its_name(store: Store) -> None:
    async with driving(store, grace_s=3600.0):
        await store.create(dataplane("one", "a", "b"))
        before = await until(store, lambda names: names == {"a", "b"})
        written = await store.get(CONFIG)
        for _ in range(20):
            await store.delete(dataplane("one").key)
            await store.create(dataplane("one", "a", "b"))
        await store.delete(dataplane("one").key)
        await store.create(dataplane("two", "0"))
        after = await until(store, lambda names: "0" in names)
        assert after == {**before, "0": "240.0.0.2"}
        assert (await store.get(CONFIG)).version == written.version + 1


async def test_a_name_goes_when_its_time_is_over_and_nobody_else_gets_its_address(store: Store) -> None:
    async with driving(store, grace_s=0.2):
        await store.create(dataplane("one", "a"))
        await until(store, lambda names: names == {"a"})
        await store.delete(dataplane("one").key)
        await until(store, lambda names: names == set())
        await store.create(dataplane("two", "b"))
        assert await until(store, lambda names: names == {"b"}) == {"b": "240.0.0.1"}
    async with driving(store):
        await store.create(dataplane("three", "c"))
        assert await until(store, lambda names: names == {"b", "c"}) == {"b": "240.0.0.1", "c": "240.0.0.2"}
        await store.create(dataplane("one", "a"))
        assert (await until(store, lambda names: "a" in names))["a"] == "240.0.0.0"


async def test_names_go_also_while_others_keep_coming(store: Store) -> None:
    async with driving(store, grace_s=0.05):
        await store.create(dataplane("one", "a"))
        await until(store, lambda names: "a" in names)
        await store.delete(dataplane("one").key)
        async with asyncio.timeout(PATIENCE_S):
            number = 0
            while "a" in (await addresses(store) or {}):
                await store.create(dataplane(f"dp-{number}", f"s-{number}"))
                await asyncio.sleep(0)
                number += 1


async def test_what_virtual_outbounds_made_goes_at_once(store: Store) -> None:
    await store.create(dataplane("one", "a"))
    vo = await store.create(virtual("{{.service}}.east"))
    async with driving(store, grace_s=3600.0):
        await until(store, lambda names: names == {"a", "a.east"})
        await store.delete(vo.key)
        await until(store, lambda names: names == {"a"})
