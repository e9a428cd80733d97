"""The zone's ingresses tell what services there are here, whoever else writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ads_client import WITHIN_S, AdsClient, node_metadata
from dp_plane import SETTINGS, Plane, dataplane, eventually, first_store, running
from kumacp.dpserver.available_driver import AvailableDriver
from kumacp.manager.resource_driver import ResourceManager
from kumacp.store.api import Change, Store, StoreUnavailable
from kumacp.store.memory import MemoryStore
from kumacp.xds.build import build
from kumacp.xds.hub import Hub
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest
from kumamesh.xds import LISTENER

STALE = {"tags": {"kuma.io/service": "gone"}, "instances": 7, "mesh": "default"}


def ingress(name: str = "ingress-1", *services: dict[str, Any], **networking: Any) -> dict[str, Any]:
    networking = {
        "address": "127.0.0.1",
        "port": 10001,
        "advertisedAddress": "192.0.2.1",
        "advertisedPort": 10001,
        **networking,
    }
    found: dict[str, Any] = {"type": "ZoneIngress", "name": name, "networking": networking}
    return {**found, "availableServices": list(services)} if services else found


def key(name: str = "ingress-1") -> ResourceKey:
    return ResourceKey("ZoneIngress", "", name)


def listed(resource: Resource | None) -> dict[str, int]:
    """Instances by service."""
    services = resource.spec.available_services if resource else ()
    return {one.tags["kuma.io/service"]: one.instances for one in services}


async def tells(store: Store, expected: dict[str, int], name: str = "ingress-1") -> None:
    async def told() -> bool:
        return listed(await store.get(key(name))) == expected

    await eventually(told)


async def connect(plane: Plane, document: dict[str, Any]) -> AdsClient:
    """The proxy of the ingress, with its listener."""
    kind = document["type"].removeprefix("Zone").lower()
    token = await plane.zone_token(scope=(kind,))
    metadata = node_metadata(document, **{"dataplane.proxyType": kind})
    client = plane.client(document, token, metadata=metadata)
    await client.ask_all()
    return client


@asynccontextmanager
async def history(store: Store) -> AsyncIterator[list[Resource]]:
    """Every version of every ZoneIngress that is written meanwhile."""
    seen: list[Resource] = []
    with store.watch() as feed:

        async def follow() -> None:
            async for batch in feed:
                seen.extend(change.new for change in batch if _of_ingress(change))

        follower = asyncio.create_task(follow())
        try:
            yield seen
            while store.behind:
                await asyncio.sleep(0)
        finally:
            follower.cancel()


def _of_ingress(change: Change) -> bool:
    return change.key.type == "ZoneIngress" and change.new is not None


async def test_instances_are_counted_as_they_come_and_go(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane, await connect(plane, ingress()):
        await plane.put(dataplane("b-1", "backend"))
        await tells(plane.store, {"backend": 1})
        await plane.put(dataplane("b-2", "backend", port=8081))
        await tells(plane.store, {"backend": 2})
        async with await plane.connect(dataplane("web-1", "web", port=8082)) as client:
            await tells(plane.store, {"backend": 2, "web": 1})
            await client.leave()
        await tells(plane.store, {"backend": 2})
        stored = await plane.store.get(key())
        (entry,) = stored.spec.available_services
        assert entry.tags["kuma.io/zone"] == "default"
        await plane.manager.delete(ResourceKey("Dataplane", "default", "b-1"))
        await tells(plane.store, {"backend": 1})


async def test_every_ingress_of_the_zone_tells_the_same_and_no_other(tmp_path: Path) -> None:
    store = await first_store()
    there = from_rest({**ingress("west", STALE), "zone": "west"})
    await store.create(there)
    async with running(store, tmp_path) as plane:
        await plane.put(ingress("ingress-1"))
        await plane.put(ingress("ingress-2", port=10002))
        await plane.put(dataplane("b-1", "backend"))
        await tells(store, {"backend": 1}, "ingress-1")
        await tells(store, {"backend": 1}, "ingress-2")
        assert listed(await store.get(key("west"))) == {"gone": 7}


async def test_what_an_earlier_control_plane_left_is_put_right_at_the_start(tmp_path: Path) -> None:
    store = await first_store()
    await store.create(from_rest({**ingress("ingress-1", STALE), "zone": "default"}))
    await store.create(from_rest(dataplane("b-1", "backend")))
    async with running(store, tmp_path):
        await tells(store, {"backend": 1})


async def test_a_restart_says_nothing_else(tmp_path: Path) -> None:
    store = await first_store()
    async with running(store, tmp_path) as plane:
        await plane.put(ingress())
        await plane.put(dataplane("b-1", "backend"))
        await tells(store, {"backend": 1})
    before = await store.get(key())
    async with running(store, tmp_path) as plane:
        await plane.put(ingress("ingress-2", port=10002))
        await tells(store, {"backend": 1}, "ingress-2")
        assert (await store.get(key())).version == before.version


async def test_who_edits_an_ingress_changes_nothing_of_that(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(ingress())
        await plane.put(dataplane("b-1", "backend"))
        await tells(plane.store, {"backend": 1})
        async with history(plane.store) as versions:
            await plane.put(ingress("ingress-1", advertisedPort=20001))
            await plane.put(ingress("ingress-1", STALE, advertisedPort=20002))
            await plane.put(dataplane("b-2", "backend", port=8081))
            await tells(plane.store, {"backend": 2})
        assert versions[0].spec.networking.advertised_port == 20001
        assert {listed(version)["backend"] for version in versions} == {1, 2}
        assert not any("gone" in listed(version) for version in versions)


async def test_a_proxy_that_registers_again_blanks_nothing(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, deregistration_delay=60.0) as plane:
        client = await connect(plane, ingress())
        await plane.put(dataplane("b-1", "backend"))
        await tells(plane.store, {"backend": 1})
        async with history(plane.store) as versions:
            await client.kill()
            async with await connect(plane, ingress("ingress-1", advertisedPort=20001)):
                await plane.put(dataplane("b-2", "backend", port=8081))
                await tells(plane.store, {"backend": 2})
        assert [listed(version) for version in versions] == [{"backend": 1}, {"backend": 2}]


async def test_what_somebody_writes_past_the_control_plane_is_put_right(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(ingress())
        await plane.put(dataplane("b-1", "backend"))
        await tells(plane.store, {"backend": 1})
        stored = await plane.store.get(key())
        spec = stored.spec.model_copy(update={"available_services": ()})
        await plane.store.update(replace(stored, spec=spec))
        await tells(plane.store, {"backend": 1})


class HeldStore(MemoryStore):
    """A store in which writes of ingresses wait for `free`, and fail as often as `failures` says."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.reached = asyncio.Event(), asyncio.Event()
        self.failures = 0
        self.tries = 0

    async def update(self, resource: Resource) -> Resource:
        if resource.type == "ZoneIngress":
            self.tries += 1
            self.reached.set()
            await self.free.wait()
            if self.tries <= self.failures:
                raise StoreUnavailable("the disk is full")
        return await super().update(resource)


async def test_what_changes_while_it_is_written_is_written_once_more(tmp_path: Path) -> None:
    store = HeldStore()
    await store.create_all([item for type_ in ("Mesh", "Secret") for item in await _first(type_)])
    async with running(store, tmp_path) as plane:
        await plane.store.create(from_rest({**ingress(), "zone": "default"}))
        await plane.put(dataplane("b-1", "backend"))
        async with asyncio.timeout(WITHIN_S):
            await store.reached.wait()
        for number in range(2, 40):
            await plane.put(dataplane(f"b-{number}", "backend", port=9000 + number))
        await eventually(_counted(plane.hub, 39))
        store.free.set()
        await tells(store, {"backend": 39})
        assert store.tries == 2


async def test_a_store_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = HeldStore()
    store.failures = 1
    store.free.set()
    hub = Hub("default", build, _nobody)  # type: ignore[arg-type]  # no sidecar is connected
    manager = ResourceManager(store, SETTINGS)
    await manager.put(from_rest({"type": "Mesh", "name": "default"}))
    for document in (ingress(), dataplane("b-1", "backend")):
        await manager.put(from_rest(document))
    hub.load([item for type_ in ("Mesh", "ZoneIngress", "Dataplane") for item in await store.list(type_)])
    driver = asyncio.create_task(AvailableDriver(store, hub, longest_rest_s=0.05).run())
    try:
        await tells(store, {"backend": 1})
    finally:
        driver.cancel()
    assert "the disk is full" in caplog.text


async def test_zone_proxies_have_an_admin_listener_where_they_are_reached(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        egress = {
            "type": "ZoneEgress",
            "name": "egress-1",
            "networking": {"address": "192.0.2.2", "port": 10002},
        }
        for document in (ingress("ingress-1", address="192.0.2.1"), egress):
            async with await connect(plane, document) as client:
                assert "kuma:envoy:admin" in client.held[LISTENER]
        async with await connect(plane, ingress("ingress-2")) as client:
            assert "kuma:envoy:admin" not in client.held[LISTENER]


async def test_an_ingress_may_listen_at_a_name_and_be_known_by_one_that_means_nothing_here(
    tmp_path: Path,
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        document = ingress("ingress-1", address="localhost", advertisedAddress="ingress.invalid")
        async with await connect(plane, document) as client:
            await client.until(lambda: "inbound:127.0.0.1:10001" in client.held[LISTENER])
            await plane.put(dataplane("b-1", "backend"))
            await tells(plane.store, {"backend": 1})
            networking = (await plane.store.get(key())).spec.networking
            assert (networking.address, networking.advertised_address) == ("localhost", "ingress.invalid")


async def test_an_ingress_that_no_zone_can_reach_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        nowhere = ingress("ingress-1", advertisedAddress="", advertisedPort=0)
        async with await connect(plane, nowhere), await connect(plane, ingress("ingress-2", port=10002)):
            told = [record.proxy for record in caplog.records if "advertisedAddress" in record.message]
            assert told == [".ingress-1"]


async def _first(type_: str) -> list[Resource]:
    return list(await (await first_store()).list(type_))


def _counted(hub: Hub, number: int) -> Any:
    async def counted() -> bool:
        return sum(entry.instances for entry in hub.available.services) == number

    return counted


def _nobody(*_: Any, **__: Any) -> None:
    raise AssertionError("nobody asks")
