"""The resolver between the store's changes and the hub."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import hub_world as world
from kumacp.dpserver import resolver_driver
from kumacp.dpserver.resolver_driver import ResolverDriver
from kumacp.store.api import Change, Operation
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Networking

KEY = ResourceKey("Dataplane", "default", "web-1")


class Names:
    """What the host's resolver answers; `asked` counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)
        monkeypatch.setattr(resolver_driver, "REFRESH_S", 0.01)

    def _answer(self, name: str, *_: Any, **__: Any) -> list[Any]:
        self.asked += 1
        if name not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(0, 0, 0, "", (address, 0)) for address in self.answers[name]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def _change(address: str) -> Change:
    resource = Resource(KEY, Dataplane(networking=Networking(address=address)))
    return Change(Operation.CREATE, KEY, None, resource)


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[ResolverDriver, asyncio.Queue[Sequence[Change]]]]:
    told: asyncio.Queue[Sequence[Change]] = asyncio.Queue()
    driver = ResolverDriver(told.put_nowait, "east")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(driver.run())
        yield driver, told
        task.cancel()


async def _next(told: asyncio.Queue[Sequence[Change]]) -> str | None:
    """The address in the next change, None when the proxy is gone."""
    async with asyncio.timeout(10):
        (change,) = await told.get()
    return change.new.spec.networking.address if change.new else None


async def test_an_address_passes_and_nobody_is_asked(names: Names) -> None:
    async with _running() as (driver, _):
        change = _change("10.0.0.1")
        assert driver.place(change) is change
        await asyncio.sleep(0)
    assert names.asked == 0


async def test_a_name_is_there_once_it_is_resolved(names: Names) -> None:
    names.answers["web.example"] = ["10.0.0.2", "10.0.0.1", "fd00::1"]
    async with _running() as (driver, told):
        assert driver.place(_change("web.example")).new is None
        assert await _next(told) == "10.0.0.1"
        known = driver.place(_change("web.example")).new
        assert known is not None
        assert known.spec.networking.address == "10.0.0.1"


async def test_a_new_answer_is_told_and_a_lost_one_is_not(names: Names) -> None:
    names.answers["web.example"] = ["10.0.0.1"]
    async with _running() as (driver, told):
        driver.place(_change("web.example"))
        assert await _next(told) == "10.0.0.1"
        names.answers["web.example"] = ["10.0.0.9"]
        assert await _next(told) == "10.0.0.9"
        del names.answers["web.example"]
        asked = names.asked
        async with asyncio.timeout(10):
            while names.asked < asked + 3:
                await asyncio.sleep(0)
        assert told.empty()


async def test_nobody_is_asked_for_a_proxy_that_is_gone(names: Names) -> None:
    names.answers["web.example"] = ["10.0.0.1"]
    async with _running() as (driver, told):
        driver.place(_change("web.example"))
        await _next(told)
        driver.place(Change(Operation.DELETE, KEY, None, None))
        assert not driver._named


def _ingress(*, advertised: str = "public.example") -> Change:
    ingress = world.zone_ingress("i1", world.available("a"), at=(advertised, 10001))
    return Change(Operation.CREATE, ingress.key, None, ingress)


async def test_an_ingress_of_another_zone_is_of_use_once_its_name_is_resolved(
    names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    async with _running() as (driver, told):
        unknown = driver.place(_ingress()).new
        assert unknown is not None
        assert not unknown.spec.has_public_address
        async with asyncio.timeout(10):
            while names.asked < 3:
                await asyncio.sleep(0)
        (line,) = caplog.messages
        assert "the address public.example of a zone ingress cannot be resolved" in line
        (record,) = caplog.records
        assert (vars(record)["proxy"], vars(record)["zone"]) == (".i1", "west")
        names.answers["public.example"] = ["192.0.2.1"]
        async with asyncio.timeout(10):
            (change,) = await told.get()
        assert change.new is not None
        assert change.new.spec.networking.advertised_address == "192.0.2.1"
        names.answers["public.example"] = ["192.0.2.2"]
        async with asyncio.timeout(10):
            (change,) = await told.get()
        assert change.new is not None
        assert change.new.spec.networking.advertised_address == "192.0.2.2"
