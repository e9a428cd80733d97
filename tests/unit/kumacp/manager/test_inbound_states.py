"""Who decides whether an inbound takes traffic."""

from __future__ import annotations

from typing import Any

import pytest

from kumacp.manager.inbound_states import as_restarted, as_returned, as_started, as_written, with_readiness
from kumacp.manager.resource_driver import ResourceManager
from kumacp.settings import CpSettings
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Inbound
from kumamesh.resources.rest import from_rest

PROBE = {"tcp": {}}
KEY = ResourceKey("Dataplane", "default", "web-1")


def dataplane(*inbounds: dict[str, Any]) -> Dataplane:
    return Dataplane.model_validate({"networking": {"address": "10.0.0.1", "inbound": inbounds}})


def states(spec: Dataplane) -> list[tuple[str, bool]]:
    """State and health of every inbound; the two never contradict each other."""
    return [(inbound.state, inbound.healthy) for inbound in spec.networking.inbound]


def found(spec: Dataplane, ready: bool) -> Dataplane:
    """With the state that a proxy reported."""
    inbounds = tuple(with_readiness(inbound, ready) for inbound in spec.networking.inbound)
    networking = spec.networking.model_copy(update={"inbound": inbounds})
    return spec.model_copy(update={"networking": networking})


PROBED = dataplane({"port": 80, "serviceProbe": PROBE})
PLAIN = dataplane({"port": 80})


@pytest.mark.parametrize("rule", [as_written, as_started])
def test_a_new_probed_inbound_is_not_ready_until_it_was_found_so(rule: Any) -> None:
    new = dataplane({"port": 80, "serviceProbe": PROBE}, {"port": 81}, {"port": 82, "serviceProbe": {}})
    assert states(rule(None, new)) == [("NotReady", False), ("Ready", True), ("Ready", True)]


@pytest.mark.parametrize("rule", [as_written, as_started, as_returned])
def test_ignored_stays_ignored(rule: Any) -> None:
    ignored = dataplane({"port": 80, "state": "Ignored", "serviceProbe": PROBE})
    assert rule(found(PROBED, True), ignored) is ignored
    assert as_restarted(ignored) is ignored


@pytest.mark.parametrize("ready", [True, False])
def test_what_was_found_of_a_probed_inbound_outlives_a_write(ready: bool) -> None:
    for given in ("Ready", "NotReady"):
        new = dataplane({"port": 80, "state": given, "serviceProbe": {**PROBE, "interval": "3s"}})
        assert states(as_written(found(PROBED, ready), new)) == [("Ready" if ready else "NotReady", ready)]


def test_without_a_probe_a_write_counts_until_the_proxy_says_otherwise() -> None:
    assert states(as_written(found(PLAIN, False), PLAIN)) == [("Ready", True)]
    assert states(as_written(PLAIN, dataplane({"port": 80, "state": "NotReady"}))) == [("NotReady", False)]


@pytest.mark.parametrize("before", [PROBED, PLAIN])
def test_a_proxy_that_comes_back_keeps_what_was_found_of_it(before: Dataplane) -> None:
    assert states(as_returned(found(before, False), before)) == [("NotReady", False)]
    assert states(as_returned(found(before, True), before)) == [("Ready", True)]


def test_a_proxy_that_comes_back_to_an_empty_store_goes_on_serving() -> None:
    assert states(as_returned(None, PROBED)) == [("Ready", True)]
    assert states(as_returned(None, found(PLAIN, False))) == [("NotReady", False)]


def test_a_proxy_that_started_has_to_be_found_ready_anew() -> None:
    assert states(as_started(found(PROBED, True), PROBED)) == [("NotReady", False)]
    assert states(as_started(found(PLAIN, False), PLAIN)) == [("Ready", True)]
    assert states(as_restarted(found(PROBED, True))) == [("NotReady", False)]
    assert states(as_restarted(found(PLAIN, False))) == [("Ready", True)]


@pytest.mark.parametrize(
    "moved", [{"port": 81}, {"port": 80, "servicePort": 81}, {"port": 80, "address": "::1"}]
)
def test_an_inbound_elsewhere_is_another_one(moved: dict[str, Any]) -> None:
    new = dataplane({**moved, "serviceProbe": PROBE})
    assert states(as_returned(found(PROBED, True), new)) == [("NotReady", False)]


def test_an_inbound_that_was_ignored_is_a_new_one() -> None:
    ignored = dataplane({"port": 80, "state": "Ignored", "serviceProbe": PROBE})
    assert states(as_returned(ignored, PROBED)) == [("NotReady", False)]


def test_what_is_stored_follows_the_proxy_and_not_the_document() -> None:
    """A rule that changes nothing gives the very object, so that nothing is written."""
    once = as_written(None, PROBED)
    assert as_restarted(once) is once


async def stored(manager: ResourceManager, store: MemoryStore) -> Dataplane:
    await store.create(from_rest({"type": "Mesh", "name": "default"}))
    inbound = {"port": 80, "tags": {"kuma.io/service": "web"}, "serviceProbe": PROBE}
    document = {"type": "Dataplane", "mesh": "default", "name": "web-1"}
    networking = {"address": "10.0.0.1", "inbound": [inbound]}
    await manager.put(from_rest({**document, "networking": networking}))
    spec: Dataplane = (await store.get(KEY)).spec
    return spec


async def test_the_manager_makes_probed_inbounds_wait() -> None:
    store = MemoryStore()
    assert states(await stored(ResourceManager(store, CpSettings()), store)) == [("NotReady", False)]


async def test_without_health_discovery_nobody_waits() -> None:
    store = MemoryStore()
    manager = ResourceManager(store, CpSettings(hds_enabled=False))
    assert states(await stored(manager, store)) == [("Ready", True)]


class Racing(MemoryStore):
    """Somebody else writes, or deletes, between a read and the write that follows it."""

    def __init__(self, times: int = 0, *, deletes: bool = False) -> None:
        super().__init__()
        self.times, self.deletes, self.updates = times, deletes, 0

    async def update(self, resource: Resource) -> Resource:
        if self.times:
            self.times -= 1
            if self.deletes:
                await super().delete(resource.key)
            else:
                other = await self.get(resource.key)
                labels = {**other.labels, "round": str(self.times)}
                await super().update(Resource(other.key, other.spec, labels, version=other.version))
        self.updates += 1
        return await super().update(resource)


def ready(spec: Dataplane) -> Dataplane:
    return found(spec, True)


async def test_a_narrow_write_loses_nobodys_change() -> None:
    store = Racing()
    manager = ResourceManager(store, CpSettings())
    await stored(manager, store)
    store.times = 3
    assert await manager.change_dataplane(KEY, ready)
    resource = await store.get(KEY)
    assert resource.labels["round"] == "0"
    assert states(resource.spec) == [("Ready", True)]


async def test_a_narrow_write_brings_back_nobody_who_is_gone() -> None:
    store = Racing(deletes=True)
    manager = ResourceManager(store, CpSettings())
    await stored(manager, store)
    store.times = 1
    assert not await manager.change_dataplane(KEY, ready)
    assert await store.list("Dataplane") == []
    assert not await manager.change_dataplane(KEY, ready)
    assert await store.list("Dataplane") == []


async def test_a_change_that_changes_nothing_writes_nothing() -> None:
    store = Racing()
    manager = ResourceManager(store, CpSettings())
    await stored(manager, store)
    assert not await manager.change_dataplane(KEY, lambda spec: spec)
    assert store.updates == 0


def test_both_forms_of_the_state_are_written() -> None:
    inbound = Inbound(port=80)
    assert with_readiness(inbound, False).model_dump(exclude_defaults=True, by_alias=True) == {
        "port": 80,
        "state": "NotReady",
        "health": {},
    }
    assert with_readiness(with_readiness(inbound, False), True).healthy
