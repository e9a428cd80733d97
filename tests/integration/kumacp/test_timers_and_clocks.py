"""Timers that go by a clock which somebody sets, or which goes on while the host sleeps."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dp_plane import dataplane, eventually, first_store, running
from kumacp.dpserver import timer_driver
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.timer_driver import Timer
from kumamesh.xds import SECRET

IDENTITY = "identity_cert:secret:default"
HOUR = 3_600.0


class SetClock:
    """The wall clock, as far ahead or behind as somebody has set it."""

    offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer_driver, "RECHECK_S", 0.01)


async def test_a_timer_fires_when_the_clock_jumps_over_its_moment_and_not_before() -> None:
    clock, fired = SetClock(), asyncio.Event()
    planned: list[float] = [clock() + HOUR]
    looked = asyncio.Event()

    def next_at() -> float | None:
        looked.set()
        return min(planned, default=None)

    async def fire() -> None:
        planned.clear()
        fired.set()

    timer = Timer(next_at, fire, clock)
    async with asyncio.TaskGroup() as group:
        running_timer = group.create_task(timer.run())
        clock.offset = -HOUR
        for _ in range(3):
            looked.clear()
            await looked.wait()
        assert not fired.is_set()
        clock.offset = HOUR
        await asyncio.wait_for(fired.wait(), 10.0)
        running_timer.cancel()


async def test_a_token_and_a_certificate_end_although_the_host_slept(tmp_path: Path) -> None:
    clock = SetClock()
    async with running(await first_store(mtls=True), tmp_path, clock=Clock(wall=clock)) as plane:
        patient = await plane.token("web-1", valid_for_s=48 * HOUR)
        short = await plane.token("web-2", valid_for_s=12 * HOUR)
        async with (
            await plane.connect(dataplane(), patient) as client,
            await plane.connect(dataplane("web-2"), short) as other,
        ):
            await client.ask_secrets()
            await client.until(lambda: IDENTITY in client.held.get(SECRET, {}))
            first = client.held[SECRET][IDENTITY]
            clock.offset = 30 * HOUR
            await client.until(lambda: client.held[SECRET][IDENTITY] != first)
            _, details = await other.ended()
            assert "token is expired" in details


async def test_a_certificate_of_a_clock_that_was_ahead_is_replaced(tmp_path: Path) -> None:
    clock = SetClock()
    async with running(await first_store(mtls=True), tmp_path, clock=Clock(wall=clock)) as plane:
        token = await plane.token("web-1", valid_for_s=1000 * HOUR)
        clock.offset = 2 * HOUR
        async with await plane.connect(dataplane(), token) as client:
            await client.ask_secrets()
            await client.until(lambda: IDENTITY in client.held.get(SECRET, {}))
            first = client.held[SECRET][IDENTITY]
            clock.offset = 0.0
            await client.until(lambda: client.held[SECRET][IDENTITY] != first)

            async def renewed() -> bool:
                insight = await plane.insight()
                mtls = insight.m_tls if insight else None
                return bool(mtls and mtls.certificate_regenerations == 2)

            await eventually(renewed)
