"""One health discovery stream with time and the wire in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from envoy.service.health.v3.hds_pb2 import HealthCheckSpecifier

from ads_client import WITHIN_S
from dp_plane import dataplane
from hds_client import clusters, report
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.hds_stream_driver import HealthStream
from kumacp.dpserver.health import Report, health_settings, vantage
from kumacp.dpserver.node import parse_node
from kumacp.dpserver.stats import DpServerStats
from kumacp.settings import CpSettings
from kumamesh.resource import Resource
from kumamesh.resources.rest import from_rest
from kumamesh.settings import Seconds

PAUSE_S = 10.0


class Wire:
    """A servicer context, the clock, and what was judged."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.judged: list[Report] = []
        self.written: list[HealthCheckSpecifier] = []
        self.changed = asyncio.Event()
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self._asked = self._said = 0
        self.stream = HealthStream(
            node := parse_node("default.web-1", {"dataplane.admin.port": "9901"}),
            vantage(node),
            health_settings(CpSettings(hds_refresh_interval=Seconds(PAUSE_S))),
            clock=Clock(monotonic=lambda: self.now),
            stats=DpServerStats(),
            on_report=self._judge,
        )

    async def read(self) -> Any:
        self._asked += 1
        self.changed.set()
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        self.written.append(HealthCheckSpecifier.FromString(data))
        self.changed.set()

    async def told(self, number: int) -> None:
        """That many specifiers were written."""
        await self._until(lambda: len(self.written) >= number)

    async def say(self, data: Any) -> None:
        """A message that is read, and dealt with: the next one is asked for."""
        self._incoming.put_nowait(data)
        self._said += 1
        await self._until(lambda: self._asked > self._said)

    def checking(self, port: int) -> Resource:
        """The Dataplane now has its workload at this port, and the stream knows."""
        document = dataplane()
        document["networking"]["inbound"][0].update(servicePort=port, serviceProbe={"tcp": {}})
        resource = from_rest(document)
        self.stream.update(resource)
        return resource

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def _judge(self, _: HealthStream, report_: Report) -> None:
        self.judged.append(report_)


@asynccontextmanager
async def served() -> AsyncIterator[Wire]:
    wire = Wire()
    async with asyncio.TaskGroup() as group:
        group.create_task(wire.stream.serve(wire))
        yield wire
        wire._incoming.put_nowait(grpc.aio.EOF)


def ports(wire: Wire) -> list[str]:
    return [clusters(specifier)[-1].removeprefix("localhost:") for specifier in wire.written]


async def test_changes_that_follow_each_other_closely_are_told_as_one() -> None:
    async with served() as wire:
        wire.checking(7000)
        await wire.told(1)
        for port in (7001, 7002):
            wire.checking(port)
            # The writer has been woken, and has looked at the clock, when a message has been dealt with.
            await wire.say(b"")
        assert ports(wire) == ["7000"]
        wire.now += PAUSE_S
        wire.checking(7003)
        await wire.told(2)
        wire.now += PAUSE_S
        wire.checking(7003)
        wire.checking(7004)
        await wire.told(3)
    assert ports(wire) == ["7000", "7003", "7004"]


async def test_what_changed_back_within_the_pause_is_not_told() -> None:
    async with served() as wire:
        wire.checking(7000)
        await wire.told(1)
        wire.checking(7001)
        await wire.say(b"")
        wire.checking(7000)
        wire.now += PAUSE_S
        await wire.say(b"")
        wire.checking(7002)
        await wire.told(2)
    assert ports(wire) == ["7000", "7002"]


async def test_a_deleted_dataplane_leaves_the_proxy_checking_what_it_did() -> None:
    async with served() as wire:
        wire.checking(7000)
        await wire.told(1)
        wire.now += PAUSE_S
        wire.stream.update(None)
        await wire.say(b"")
        wire.checking(7001)
        await wire.told(2)
    assert ports(wire) == ["7000", "7001"]


async def test_a_repeated_report_is_looked_at_once() -> None:
    async with served() as wire:
        wire.checking(7000)
        well, sick = report({9901: True, 7000: True}), report({9901: True, 7000: False})
        for data in (well, well, well, sick, sick, well):
            await wire.say(data)
        assert [found["127.0.0.1", 7000] for found in wire.judged] == [True, False, True]


async def test_a_repeated_report_counts_again_for_another_dataplane() -> None:
    async with served() as wire:
        well = report({9901: True, 7000: True})
        for _ in range(2):
            wire.checking(7000)
            await wire.say(well)
            await wire.say(well)
        assert len(wire.judged) == 2
