"""Services of other zones have names and virtual addresses too, whether they can be reached or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hub_world as world
from kumacp.store.api import Store
from kumacp.vips.vip_driver import VipDriver
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh
from vip_stores import PATIENCE_S, SETTINGS, STORES, addresses, dataplane, driving, opened, until, virtual


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param, tmp_path) as made:
        yield made


async def change(store: Store, ingress: Resource) -> None:
    await store.update(replace(await store.get(ingress.key), spec=ingress.spec))


def west(*services: str, name: str = "i1", **more: Any) -> Resource:
    return world.zone_ingress(name, *(world.available(service) for service in services), **more)


async def test_names_come_and_go_with_the_services_of_an_ingress(store: Store) -> None:
    async with driving(store):
        await store.create(west("a", "b"))
        await until(store, lambda names: names == {"a", "b"})
        await store.create(west("b", name="i2", zone="north"))
        await change(store, west("c"))
        await until(store, lambda names: names == {"b", "c"})
        await store.delete(west().key)
        await until(store, lambda names: names == {"b"})


async def test_what_is_stored_before_the_start_counts(store: Store) -> None:
    await store.create(west("a"))
    async with driving(store):
        await until(store, lambda names: names == {"a"})


async def test_neither_the_zones_own_ingress_nor_what_is_outside_the_mesh_gives_names(store: Store) -> None:
    async with driving(store):
        await store.create(west("own", name="own", zone="east"))
        await store.create(west("unreachable", name="nowhere", at=("", 0)))
        await store.create(world.zone_ingress("outside", world.available("httpbin", external=True)))
        await store.create(world.zone_ingress("none", world.available("none", 0)))
        await store.create(west("a"))
        await until(store, lambda names: names == {"a"})


async def test_a_service_here_and_elsewhere_keeps_its_address_until_both_are_gone(store: Store) -> None:
    async with driving(store):
        here = await store.create(dataplane("one", "backend"))
        there = await store.create(west("backend", "other"))
        both = await until(store, lambda names: names == {"backend", "other"})
        await store.delete(here.key)
        await store.create(dataplane("two", "marker"))
        assert (await until(store, lambda names: "marker" in names))["backend"] == both["backend"]
        await store.delete(there.key)
        await until(store, lambda names: names == {"marker"})


async def test_meshes_have_names_of_their_own_services_only(store: Store) -> None:
    await store.create(Resource(ResourceKey("Mesh", "", "m2"), Mesh()))
    offered = [world.available("a"), world.available("b", mesh="m2"), world.available("c", mesh="unknown")]
    async with driving(store):
        await store.create(world.zone_ingress("i1", *offered))
        await until(store, lambda names: names == {"a"})
        await until(store, lambda names: names == {"b"}, "m2")
        assert await addresses(store, "unknown") is None


async def test_a_mesh_that_comes_later_or_again_finds_what_was_said(store: Store) -> None:
    async with driving(store):
        await store.create(world.zone_ingress("i1", world.available("b", mesh="m2")))
        for _ in range(2):
            await store.create(Resource(ResourceKey("Mesh", "", "m2"), Mesh()))
            await until(store, lambda names: names == {"b"}, "m2")
            await store.delete(ResourceKey("Mesh", "", "m2"))


async def test_virtual_outbounds_see_the_tags_of_other_zones(store: Store) -> None:
    async with driving(store):
        await store.create(virtual("{{.service}}.far"))
        await store.create(west("a"))
        await until(store, lambda names: names == {"a", "a.far"})


async def test_a_driver_that_falls_behind_knows_other_zones_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kumacp.store.feed.MAX_BEHIND", 3)
    await store.create(west("a", "b"))
    driver = VipDriver(store, SETTINGS, zone="east", longest_rest_s=0.0, grace_s=0.0)
    await driver.load()
    await change(store, west("b", "c"))
    for number in range(9):
        await store.create(dataplane(f"dp-{number}", "local"))
    task = asyncio.create_task(driver.run())
    async with asyncio.timeout(PATIENCE_S):
        while set(await addresses(store) or ()) != {"b", "c", "local"}:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
