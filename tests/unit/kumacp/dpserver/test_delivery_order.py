"""Who is told of a change first: an egress that opens a way, and the sidecars when one is closed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from kumacp.dpserver.delivery_driver import Delivery
from kumamesh.resource import ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER

EGRESS, OTHER_EGRESS = (ResourceKey("ZoneEgress", "", f"egress-{number}") for number in (1, 2))
WEB, SHOP = (ResourceKey("Dataplane", "default", name) for name in ("web", "shop"))
FOR_EVER = 3600.0
BACKEND = frozenset({"backend"})


class Told:
    """Streams that remember what they are told; `satisfied` are proxies that took over all of it."""

    def __init__(self, *, patience_s: float = FOR_EVER, opened: bool = True) -> None:
        self.log: list[tuple[ResourceKey, str, frozenset[str]]] = []
        self.satisfied: set[ResourceKey] = set()
        self.opened = opened
        self.streams: dict[ResourceKey, Any] = {
            key: _Stream(self, key) for key in (EGRESS, OTHER_EGRESS, WEB, SHOP)
        }
        self.delivery = Delivery(self.streams, lambda: self.opened, patience_s=patience_s)

    def deliver(self, *touched: tuple[ResourceKey, str]) -> None:
        self.delivery.deliver({key: {type_url: BACKEND} for key, type_url in touched})

    @property
    def proxies(self) -> list[ResourceKey]:
        return [key for key, _, _ in self.log]

    def accept(self, key: ResourceKey) -> None:
        self.satisfied.add(key)
        self.delivery.heard(key)

    async def hears(self, key: ResourceKey) -> None:
        async with asyncio.timeout(20):
            while key not in self.proxies:
                await asyncio.sleep(0)


class _Stream:
    def __init__(self, told: Told, key: ResourceKey) -> None:
        self._told, self._key, self.session = told, key, self

    @property
    def satisfied(self) -> bool:
        return self._key in self._told.satisfied

    def touch(self, types: dict[str, frozenset[str]]) -> None:
        self._told.log += [(self._key, type_url, names) for type_url, names in types.items() if names]


async def test_sidecars_wait_for_all_egresses_that_open_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kumacp.dpserver.delivery_driver._REST_S", 0.0)
    told = Told()
    told.deliver((WEB, ENDPOINT), (EGRESS, LISTENER), (OTHER_EGRESS, LISTENER))
    assert told.proxies == [EGRESS, OTHER_EGRESS]
    told.accept(EGRESS)
    told.delivery.heard(OTHER_EGRESS)
    for _ in range(10):
        await asyncio.sleep(0)
    assert WEB not in told.proxies
    told.accept(OTHER_EGRESS)
    await told.hears(WEB)


async def test_what_comes_meanwhile_waits_too_and_nothing_is_lost() -> None:
    told = Told()
    told.deliver((WEB, ENDPOINT), (EGRESS, LISTENER))
    told.deliver((WEB, CLUSTER), (SHOP, ENDPOINT))
    assert told.proxies == [EGRESS]
    told.accept(EGRESS)
    await told.hears(SHOP)
    assert {(WEB, ENDPOINT, BACKEND), (WEB, CLUSTER, BACKEND), (SHOP, ENDPOINT, BACKEND)} <= set(told.log)


async def test_without_a_new_way_nobody_waits() -> None:
    told = Told()
    told.deliver((WEB, ENDPOINT), (EGRESS, ENDPOINT))
    assert set(told.proxies) == {EGRESS, WEB}


async def test_an_egress_that_is_gone_is_not_waited_for() -> None:
    told = Told()
    told.deliver((WEB, ENDPOINT), (EGRESS, LISTENER))
    del told.streams[EGRESS]
    told.delivery.forget(EGRESS)
    await told.hears(WEB)
    told.deliver((SHOP, ENDPOINT), (EGRESS, LISTENER))
    assert SHOP in told.proxies


async def test_an_egress_that_does_not_answer_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    told = Told(patience_s=0.01)
    told.deliver((WEB, ENDPOINT), (EGRESS, LISTENER))
    assert WEB not in told.proxies
    await told.hears(WEB)
    assert "nobody waits for it any more" in caplog.text
    told.deliver((SHOP, ENDPOINT), (EGRESS, LISTENER))
    assert SHOP in told.proxies
    told.accept(EGRESS)
    told.satisfied.clear()
    told.log.clear()
    told.deliver((SHOP, ENDPOINT), (EGRESS, LISTENER))
    assert SHOP not in told.proxies


async def test_an_egress_with_ever_more_to_take_over_is_waited_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told(patience_s=0.01)
    told.deliver((WEB, ENDPOINT), (EGRESS, LISTENER))
    told.delivery.heard(EGRESS)
    await told.hears(WEB)
    told.deliver((SHOP, ENDPOINT), (EGRESS, LISTENER))
    assert SHOP not in told.proxies
    assert not caplog.records


async def test_ways_are_closed_after_the_sidecars_were_told() -> None:
    told = Told(patience_s=0.01, opened=False)
    told.delivery.deliver(
        {EGRESS: {LISTENER: BACKEND, ENDPOINT: frozenset({"orders"})}, WEB: {ENDPOINT: BACKEND}}
    )
    # Endpoints of what stays do not wait.
    assert told.log == [(EGRESS, ENDPOINT, frozenset({"orders"})), (WEB, ENDPOINT, BACKEND)]
    async with asyncio.timeout(20):
        while (EGRESS, LISTENER, BACKEND) not in told.log:
            await asyncio.sleep(0)


async def test_what_an_egress_closes_goes_with_what_it_opens() -> None:
    told = Told(opened=False)
    told.deliver((EGRESS, CLUSTER), (OTHER_EGRESS, LISTENER))
    told.deliver((EGRESS, LISTENER))
    assert (EGRESS, LISTENER, BACKEND) not in told.log
    told.opened = True
    told.delivery.deliver({EGRESS: {LISTENER: frozenset({"other"})}, WEB: {ENDPOINT: BACKEND}})
    assert (EGRESS, LISTENER, BACKEND) in told.log
    assert (EGRESS, LISTENER, frozenset({"other"})) in told.log
    assert WEB not in told.proxies
