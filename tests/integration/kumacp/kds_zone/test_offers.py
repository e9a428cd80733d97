"""What peers are offered, kept current from a real store's feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from kumacp.kds.exchange import offers_driver
from kumacp.kds.exchange.offers_driver import EncodedCache, Offers, OffersDriver, Touched
from kumacp.kds.protocol.codec import decode_response, encode_response
from kumacp.store import following_driver
from kumacp.store.api import Store, StoreUnavailable
from kumacp.store.feed import MAX_BEHIND
from kumacp.store.memory import MemoryStore
from kumamesh.delta import DeltaResponse
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh
from kumamesh.xds import XdsResource
from permissions import dataplane

TYPES = ("Mesh", "Dataplane")
PATIENCE_S = 20.0


def mesh(name: str, **labels: str) -> Resource:
    return Resource(ResourceKey("Mesh", "", name), Mesh(), labels=labels)


class Peer:
    """Sees what `sees` lets through; counts what it was told."""

    def __init__(
        self,
        cache: EncodedCache,
        sees: Callable[[Resource], Resource | None] = lambda r: r,
        *,
        keeps: bool = False,
    ) -> None:
        self.offers = Offers(sees, TYPES, cache, keeps=keeps)
        self.touched: list[Touched] = []
        self._told = asyncio.Event()

    def on_touched(self, touched: Touched) -> None:
        if touched:
            self.touched.append(touched)
            self._told.set()

    def names(self, type_: str = "Mesh") -> set[str]:
        return set(self.offers.source[type_])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._told.clear()
                await self._told.wait()


class FlakyStore(MemoryStore):
    """Cannot be read `failures` times."""

    failures = 0

    async def list(self, type_: str, mesh: str | None = None) -> list[Resource]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the disk is gone")
        return await super().list(type_, mesh)


@asynccontextmanager
async def driving(store: Store, cache: EncodedCache) -> AsyncIterator[OffersDriver]:
    driver = OffersDriver(store, TYPES, cache)
    await driver.load()
    running = asyncio.get_running_loop().create_task(driver.run())
    try:
        yield driver
    finally:
        await store.close()
        await running


@pytest.fixture
def cache() -> EncodedCache:
    return EncodedCache(10_000)


async def test_a_change_touches_what_changed(cache: EncodedCache) -> None:
    store = MemoryStore()
    one = await store.create(mesh("one"))
    await store.create(mesh("two"))
    async with driving(store, cache) as driver:
        peer = Peer(cache)
        await driver.add(peer.offers, peer.on_touched)
        assert peer.names() == {"one.", "two."}
        peer.touched.clear()
        await store.create(dataplane("dp"))
        await store.update(replace(one, labels={"a": "b"}))
        await store.delete(mesh("two").key)
        await store.create(Resource(ResourceKey("Zone", "", "z"), one.spec))
        await peer.until(lambda: len(peer.touched) == 3)
        assert peer.touched == [
            {"Dataplane": frozenset({"dp.default"})},
            {"Mesh": frozenset({"one."})},
            {"Mesh": frozenset({"two."})},
        ]
        driver.remove(peer.offers)
        peer.touched.clear()
        other = Peer(cache)
        await driver.add(other.offers, other.on_touched)
        await store.create(mesh("three"))
        await other.until(lambda: "three." in other.names())
        assert peer.touched == []


async def test_what_looks_the_same_to_a_peer_touches_nothing(cache: EncodedCache) -> None:
    store = MemoryStore()
    one = await store.create(mesh("one"))
    async with driving(store, cache) as driver:
        peer = Peer(cache, lambda resource: replace(resource, labels={}))
        await driver.add(peer.offers, peer.on_touched)
        peer.touched.clear()
        await store.update(replace(one, labels={"hidden": "1"}))
        await store.create(mesh("two"))
        await peer.until(lambda: "two." in peer.names())
        assert peer.touched == [{"Mesh": frozenset({"two."})}]


async def test_peers_that_see_the_same_share_it(cache: EncodedCache, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    real = offers_driver.encode_resource

    def counted(resource: Resource) -> XdsResource:
        encoded.append(resource.name)
        return real(resource)

    monkeypatch.setattr(offers_driver, "encode_resource", counted)
    store = MemoryStore()
    await store.create(mesh("one"))
    async with driving(store, cache) as driver:
        peers = [Peer(cache), Peer(cache), Peer(cache, lambda resource: replace(resource, labels={"x": "y"}))]
        for peer in peers:
            await driver.add(peer.offers, peer.on_touched)
        assert encoded == ["one", "one"]
        first, second, third = (peer.offers.source["Mesh"]["one."] for peer in peers)
        assert first is second
        assert third.version != first.version
        stored = await store.get(mesh("one").key)
        for number in range(20):
            stored = await store.update(replace(stored, labels={"number": str(number)}))
        await peers[0].until(lambda: len(peers[0].touched) == 21)
        encoded.clear()
        late = Peer(cache)
        await driver.add(late.offers, late.on_touched)
        assert encoded == []


async def test_another_view_is_taken_when_asked_for(cache: EncodedCache) -> None:
    store = MemoryStore()
    await store.create(mesh("one", zone="a"))
    await store.create(mesh("two", zone="b"))
    hidden: set[str] = set()
    async with driving(store, cache) as driver:
        peer = Peer(cache, lambda item: None if item.labels["zone"] in hidden else item)
        await driver.add(peer.offers, peer.on_touched)
        peer.touched.clear()
        hidden.add("a")
        driver.reconsider(lambda resource: resource.labels.get("zone") == "a")
        assert peer.names() == {"two."}
        hidden.clear()
        driver.reconsider(lambda resource: resource.labels.get("zone") == "a")
        assert peer.names() == {"one.", "two."}
        assert peer.touched == [{"Mesh": frozenset({"one."})}] * 2


async def test_too_many_changes_at_once_are_read_again_and_a_failed_read_takes_nothing(
    cache: EncodedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_driver, "_RETRY_S", 0.01)
    store = FlakyStore()
    await store.create(mesh("kept"))
    await store.create(mesh("going"))
    async with driving(store, cache) as driver:
        peer = Peer(cache)
        await driver.add(peer.offers, peer.on_touched)
        peer.touched.clear()
        await store.delete(mesh("going").key)
        await store.create_all([dataplane(f"dp-{number}") for number in range(MAX_BEHIND)])
        store.failures = 3
        await peer.until(lambda: bool(peer.touched))
        assert store.failures == 0
        assert peer.names() == {"kept."}
        assert len(peer.touched) == 1
        assert len(peer.names("Dataplane")) == MAX_BEHIND


async def test_nothing_is_offered_before_it_was_read(cache: EncodedCache) -> None:
    store = FlakyStore()
    store.failures = 1
    driver, peer = OffersDriver(store, TYPES, cache), Peer(cache)
    with pytest.raises(StoreUnavailable):
        await driver.load()
    with pytest.raises(StoreUnavailable):
        await driver.add(peer.offers, peer.on_touched)


async def test_changes_while_a_peer_is_filled_are_not_lost(cache: EncodedCache) -> None:
    store = MemoryStore()
    await store.create_all([mesh(f"m-{number}") for number in range(500)])
    async with driving(store, cache) as driver:
        peer = Peer(cache)
        filling = asyncio.get_running_loop().create_task(driver.add(peer.offers, peer.on_touched))
        await asyncio.sleep(0)
        for number in range(500):
            await store.delete(mesh(f"m-{number}").key)
        await store.create(mesh("last"))
        await filling
        await peer.until(lambda: peer.names() == {"last."})


async def test_what_cannot_be_shown_leaves_what_the_peer_has(
    cache: EncodedCache, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    one = await store.create(mesh("one"))
    two = await store.create(mesh("two"))
    faulty = False

    def sees(resource: Resource) -> Resource:
        if faulty and resource.name == "two":
            raise RuntimeError("a fault")
        return resource

    async with driving(store, cache) as driver:
        peer = Peer(cache, sees)
        await driver.add(peer.offers, peer.on_touched)
        before = dict(peer.offers.source["Mesh"])
        faulty = True
        await store.update(replace(one, labels={"large": "x" * 20_000}))
        await store.update(replace(two, labels={"a": "b"}))
        await store.create(mesh("three"))
        await peer.until(lambda: "three." in peer.names())
        assert {name: peer.offers.source["Mesh"][name] for name in before} == before
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "a message at most 10000" in caplog.records[0].getMessage()


@pytest.mark.parametrize("keeps", [True, False])
async def test_what_does_not_fit_is_still_in_the_list_of_a_peer_that_keeps_what_it_has(
    cache: EncodedCache, *, keeps: bool
) -> None:
    """A list without it would have the peer delete what it got when the resource was smaller."""
    store = MemoryStore()
    one = await store.create(replace(mesh("one"), labels={"large": "x" * 20_000}))
    await store.create(mesh("two"))
    async with driving(store, cache) as driver:
        peer = Peer(cache, keeps=keeps)
        await driver.add(peer.offers, peer.on_touched)
        listed = tuple(peer.offers.source["Mesh"].values())
        received = decode_response(encode_response(DeltaResponse("Mesh", "1", listed, ()), "global"))
        assert [resource.name for resource in received.resources] == ["two"]
        assert received.unread == (frozenset({one.key}) if keeps else frozenset())
        await store.update(replace(one, labels={}))
        await peer.until(lambda: {"one."} in [set(touched["Mesh"]) for touched in peer.touched[1:]])
        assert len(peer.offers.source["Mesh"]["one."].body) < 100
