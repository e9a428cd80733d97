"""The driver of virtual addresses on real stores."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from kumacp.store.api import Change, Conflict, NotFound, Store, StoreUnavailable
from kumacp.store.memory import MemoryStore
from kumacp.vips.entry import parse, render
from kumacp.vips.vip_driver import VipDriver
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config
from kumamesh.resources.mesh import Mesh
from vip_stores import (
    CONFIG,
    MESH,
    PATIENCE_S,
    SETTINGS,
    STORES,
    addresses,
    dataplane,
    driving,
    opened,
    until,
    virtual,
)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param, tmp_path) as made:
        yield made


async def test_a_name_comes_and_goes_with_its_service(store: Store) -> None:
    async with driving(store) as driver:
        one = await store.create(dataplane("one", "backend"))
        assert await until(store, lambda names: names == {"backend"}) == {"backend": "240.0.0.0"}
        await store.create(dataplane("two", "a"))
        both = await until(store, lambda names: names == {"a", "backend"})
        assert both == {"backend": "240.0.0.0", "a": "240.0.0.1"}
        await store.delete(one.key)
        assert await until(store, lambda names: names == {"a"}) == {"a": "240.0.0.1"}
        await store.create(dataplane("three", "new"))
        assert (await until(store, lambda names: "new" in names))["new"] == "240.0.0.2"
        assert driver.figures.generations >= 4
        assert driver.figures.errors == 0


async def test_a_restart_takes_the_addresses_up(store: Store) -> None:
    for name in ("c", "b", "a"):
        async with driving(store):
            await store.create(dataplane(name, name))
            before = await until(store, lambda names, name=name: name in names)
    assert before == {"c": "240.0.0.0", "b": "240.0.0.1", "a": "240.0.0.2"}
    stored = await store.get(CONFIG)
    await store.delete(ResourceKey("Dataplane", "default", "b"))
    async with driving(store):
        after = await until(store, lambda names: names == {"a", "c"})
    assert after == {"c": "240.0.0.0", "a": "240.0.0.2"}
    assert (await store.get(CONFIG)).version == stored.version + 1


async def test_nothing_is_written_when_nothing_changes(store: Store) -> None:
    async with driving(store):
        await store.create(dataplane("one", "backend"))
        await until(store, lambda names: names == {"backend"})
        written = await store.get(CONFIG)
        for number in range(5):
            await store.create(dataplane(f"more-{number}", "backend"))
        await store.create(dataplane("last", "last"))
        await until(store, lambda names: "last" in names)
        assert (await store.get(CONFIG)).version == written.version + 1
    stored = await store.get(CONFIG)
    async with driving(store) as driver:
        await store.create(Resource(ResourceKey("Mesh", "", "other"), Mesh()))
        await store.create(dataplane("one", "there", mesh="other"))
        await until(store, lambda names: names == {"there"}, "other")
        assert driver.figures.generations >= 2
    assert await store.get(CONFIG) == stored


async def test_a_mesh_without_names_needs_no_config(store: Store) -> None:
    async with driving(store):
        await store.create(Resource(ResourceKey("Mesh", "", "other"), Mesh()))
        await store.create(dataplane("one", "there", mesh="other"))
        await until(store, lambda names: names == {"there"}, "other")
    assert await addresses(store) is None


async def test_the_config_goes_with_its_mesh_and_a_new_mesh_begins_anew(store: Store) -> None:
    async with driving(store) as driver:
        await store.create(dataplane("a", "a"))
        await until(store, lambda names: names == {"a"})
        await store.create(dataplane("b", "b"))
        await until(store, lambda names: names == {"a", "b"})
        await store.delete(MESH)
        assert await addresses(store) is None
        await store.create(Resource(MESH, Mesh()))
        await store.create(dataplane("b", "b"))
        assert await until(store, lambda names: names == {"b"}) == {"b": "240.0.0.0"}
        assert driver.figures.errors == 0


async def test_a_burst_is_few_writes(store: Store) -> None:
    async with driving(store, longest_rest_s=0.5):
        await asyncio.gather(*(store.create(dataplane(f"dp-{n}", f"s-{n}")) for n in range(300)))
        found = await until(store, lambda names: len(names) == 300)
        assert len(set(found.values())) == 300
        assert (await store.get(CONFIG)).version < 30


async def test_what_somebody_else_wrote_holds(store: Store) -> None:
    async with driving(store):
        await store.create(dataplane("a", "a"))
        await until(store, lambda names: names == {"a"})
        config = await store.get(CONFIG)
        moved = config.spec.config.replace("240.0.0.0", "240.0.0.9")
        await store.update(replace(config, spec=Config(config=moved)))
        await store.create(dataplane("b", "b"))
        assert await until(store, lambda names: "b" in names) == {"a": "240.0.0.9", "b": "240.0.0.0"}
        await store.delete(CONFIG)
        assert await until(store, lambda names: names == {"a", "b"}) == {"a": "240.0.0.9", "b": "240.0.0.0"}


async def test_a_write_that_comes_second_is_made_again_from_the_newest_state(store: Store) -> None:
    class Overtaken:
        """Somebody else writes just before the driver does, once."""

        def __init__(self) -> None:
            self.conflicts = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def update(self, resource: Resource) -> Resource:
            if resource.type == "Config" and not self.conflicts:
                self.conflicts += 1
                theirs = resource.spec.config.replace("240.0.0.0", "240.0.0.9")
                await store.update(replace(resource, spec=Config(config=theirs)))
            return await store.update(resource)

    await store.create(dataplane("a", "a"))
    overtaken = Overtaken()
    async with driving(overtaken):  # type: ignore[arg-type]  # all but one method is the store's
        await until(store, lambda names: names == {"a"})
        await store.create(dataplane("b", "b"))
        await until(store, lambda names: names == {"a", "b"})
        await store.create(dataplane("c", "c"))
        found = await until(store, lambda names: names == {"a", "b", "c"})
    assert overtaken.conflicts == 1
    assert found["a"] == "240.0.0.9"
    assert len(set(found.values())) == 3


class Late:
    """A store that tells of changes of Configs late: of no more than `allowed`, and before the next change of
    something else. `refused` are writes that came second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.allowed = 0
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def update(self, resource: Resource) -> Resource:
        try:
            return await self._store.update(resource)
        except (Conflict, NotFound):
            self.refused += 1
            raise

    @contextmanager
    def watch(self) -> Iterator[AsyncIterator[tuple[Change, ...]]]:
        with self._store.watch() as feed:
            yield self._follow(aiter(feed))

    async def _follow(self, feed: AsyncIterator[tuple[Change, ...]]) -> AsyncIterator[tuple[Change, ...]]:
        held: list[tuple[Change, ...]] = []
        async for batch in feed:
            is_config = any(change.key.type == "Config" for change in batch)
            if is_config:
                held.append(batch)
                continue
            while held and self.allowed:
                self.allowed -= 1
                yield held.pop(0)
            yield batch


async def test_old_news_of_its_own_writes_changes_nothing(store: Store) -> None:
    late = Late(store)
    async with driving(late):  # type: ignore[arg-type]  # the rest is the store's
        for name in "abc":
            await store.create(dataplane(name, name))
            await until(store, lambda names, name=name: name in names)
        await store.delete(dataplane("a").key)
        await until(store, lambda names: names == {"b", "c"})
        await store.create(dataplane("d", "d"))
        before = await until(store, lambda names: "d" in names)
        late.allowed = 1
        await store.create(dataplane("e", "e"))
        after = await until(store, lambda names: "e" in names)
    assert {name: after[name] for name in before} == before
    assert late.refused == 0


async def test_what_somebody_else_wrote_is_taken_up_before_it_is_told(store: Store) -> None:
    late = Late(store)
    async with driving(late):  # type: ignore[arg-type]  # the rest is the store's
        await store.create(dataplane("a", "a"))
        await until(store, lambda names: names == {"a"})
        config = await store.get(CONFIG)
        moved = config.spec.config.replace("240.0.0.0", "240.0.0.9")
        await store.update(replace(config, spec=Config(config=moved)))
        await store.create(dataplane("b", "b"))
        assert await until(store, lambda names: "b" in names) == {"a": "240.0.0.9", "b": "240.0.0.0"}
        await store.delete(CONFIG)
        await store.create(dataplane("c", "c"))
        found = await until(store, lambda names: "c" in names)
    assert found == {"a": "240.0.0.9", "b": "240.0.0.0", "c": "240.0.0.1"}
    assert late.refused == 2


async def test_a_store_that_cannot_write_is_tried_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def __init__(self) -> None:
            self.left = 1

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def create(self, resource: Resource, *, owner: ResourceKey | None = None) -> Resource:
            if resource.type == "Config" and self.left:
                self.left -= 1
                raise StoreUnavailable("the disk is full")
            return await store.create(resource, owner=owner)

    await store.create(dataplane("a", "a"))
    async with driving(Full()) as driver:  # type: ignore[arg-type]  # all but one method is the store's
        await until(store, lambda names: names == {"a"})
        assert driver.figures.errors == 1
    assert "the disk is full" in caplog.text


async def test_a_range_that_is_full_is_one_error_and_a_figure(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    small = replace(SETTINGS, cidr="10.9.0.0/30")
    async with driving(store, small) as driver:
        await store.create(dataplane("one", "a", "b", "c", "d", "e"))
        await until(store, lambda names: names == set("abcd"))
        assert driver.figures.exhausted == {"default": 1.0}
        await store.create(dataplane("two", "f"))
        await store.update(replace(await store.get(dataplane("one").key), spec=dataplane("", *"cde").spec))
        found = await until(store, lambda names: names == set("cdef"))
        assert len(set(found.values())) == 4
        assert driver.figures.exhausted == {}
    errors = [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR]
    assert errors == [
        "mesh default has 1 names more than 10.9.0.0/30 has addresses, the others work; give the control"
        " plane a wider KUMA_DNS_SERVER_CIDR"
    ]


async def test_a_broken_document_is_healed_and_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await store.create(dataplane("one", "a", "b", "c"))
    async with driving(store):
        await until(store, lambda names: names == set("abc"))
    document = json.loads((await store.get(CONFIG)).spec.config)
    document["0:a"]["address"] = "nonsense"
    document["0:b"]["address"] = document["0:c"]["address"] = "240.0.0.7"
    broken = replace(await store.get(CONFIG), spec=Config(config=json.dumps(document)))
    await store.update(broken)
    caplog.clear()
    async with driving(store):
        await store.create(dataplane("two", "d"))
        found = await until(store, lambda names: names == set("abcd"))
    assert found["b"] == "240.0.0.7"
    assert len(set(found.values())) == 4
    told = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert len(told) == 2
    assert "has the address 'nonsense'" in told[0]
    assert "b and c both had 240.0.0.7; c gets another one" in told[1]
    text = (await store.get(CONFIG)).spec.config
    assert render(parse(text)) == text


async def test_nothing_in_a_document_keeps_the_next_one_from_being_written(store: Store) -> None:
    outbound = {"Port": 0, "TagSet": {"kuma.io/service": "\ud800"}, "Origin": "\ud800"}
    many = product(
        range(4),
        ("\ud800", "\x00", "x" * 10_000, "\u2028", "10.0.0.1"),
        ("240.0.0.1", "fd00::1", "255.255.255.255"),
        ([], [outbound]),
    )
    strange = {
        f"{kind}:{name}{number}": {"address": address, "outbounds": outbounds, "released": 1}
        for number, (kind, name, address, outbounds) in enumerate(many)
    }
    await store.create(Resource(CONFIG, Config(config=json.dumps(strange))), owner=MESH)
    await store.create(dataplane("one", "b"))
    async with driving(store) as driver:
        assert await until(store, lambda names: names == {"b"})
        assert driver.figures.errors == 0


async def test_names_that_collide_are_told_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async with driving(store) as driver:
        await store.create(dataplane("one", "a_b", "a.b"))
        await until(store, lambda names: names == {"a_b", "a.b"})
        await store.create(dataplane("two", "c"))
        await until(store, lambda names: "c" in names)
        assert driver.figures.conflicts == {"default": 1.0}
    assert caplog.text.count("the name a.b.mesh leads to the service a_b") == 1


async def test_a_conflict_that_grows_is_told_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await store.create(virtual("all.east"))
    async with driving(store):
        for name in "abcdef":
            await store.create(dataplane(name, name))
            await until(store, lambda names, name=name: name in names)
    assert caplog.text.count("all.east:80 leads to") == 1


async def test_a_virtual_outbound_makes_names_and_takes_them_back(store: Store) -> None:
    await store.create(dataplane("one", "a", "b"))
    async with driving(store):
        vo = await store.create(virtual("{{.service}}.east"))
        found = await until(store, lambda names: {"a.east", "b.east"} <= names)
        await store.update(replace(vo, spec=virtual("{{.service}}.west").spec))
        moved = await until(store, lambda names: {"a.west", "b.west"} <= names)
        assert {name: moved[name] for name in "ab"} == {name: found[name] for name in "ab"}
        assert "a.east" not in moved
        await store.delete(vo.key)
        await until(store, lambda names: names == {"a", "b"})


@pytest.mark.parametrize(("grace_s", "names"), [(0.0, 9), (3600.0, 10)])
async def test_a_driver_that_falls_behind_begins_again(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    grace_s: float,
    names: int,
) -> None:
    monkeypatch.setattr("kumacp.store.feed.MAX_BEHIND", 3)
    await store.create(dataplane("dp-0", "s-0"))
    driver = VipDriver(store, SETTINGS, longest_rest_s=0.0, grace_s=grace_s)
    await driver.load()
    for number in range(1, 10):
        await store.create(dataplane(f"dp-{number}", f"s-{number}"))
    await store.delete(dataplane("dp-0").key)
    task = asyncio.create_task(driver.run())
    async with asyncio.timeout(PATIENCE_S):
        while len(await addresses(store) or ()) != names:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "the change feed overran" in caplog.text


async def test_the_driver_ends_with_the_store() -> None:
    opened = MemoryStore()
    driver = VipDriver(opened, SETTINGS)
    await driver.load()
    task = asyncio.create_task(driver.run())
    await opened.close()
    async with asyncio.timeout(PATIENCE_S):
        await task
