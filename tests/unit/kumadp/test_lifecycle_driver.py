"""The driver performs commands, survives failing calls and ends with the machine's Exit."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

from kumadp.lifecycle.driver import Driver, WorldError
from kumadp.lifecycle.exit import Exit
from kumadp.lifecycle.machine import Configured, EnvoyExited, Machine, Step, StopSignal, Timing
from kumadp.readiness import Readiness


class World:
    """Envoy ends when it gets a signal; what the sets name fails or never returns."""

    def __init__(
        self, failing: frozenset[Step] = frozenset(), hanging: frozenset[Step] = frozenset()
    ) -> None:
        self.driver: Driver
        self.failing, self.hanging = failing, hanging
        self.readiness: list[Readiness] = []
        self.signals: list[int] = []
        self.steps: list[Step] = []
        self.connections = [3, 0]
        self.cancelled = False
        self.nameless = False

    def set_readiness(self, state: Readiness) -> None:
        self.readiness.append(state)
        if state is Readiness.READY:
            self.driver.post(StopSignal())

    def tell_nameless(self) -> None:
        self.nameless = True

    def signal_envoy(self, number: int) -> None:
        self.signals.append(number)
        self.driver.post(EnvoyExited(0))

    async def live(self) -> bool:
        return True

    async def active_connections(self) -> int:
        if len(self.connections) > 1:
            return self.connections.pop(0)
        return self.connections[0]

    async def perform(self, step: Step) -> None:
        self.steps.append(step)
        if step in self.failing:
            raise WorldError("no")
        if step in self.hanging:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled = True


FAST = Timing(drain=0.05, min_drain=0.0, grace=1.0, live_poll=0.001, drain_poll=0.001)
IN_ORDER = [Step.FAIL_HEALTHCHECK, Step.LEAVE_CONTROL_PLANE, Step.DRAIN_LISTENERS]


async def run(world: World, timing: Timing = FAST, *, names_awaited: bool = False) -> Exit:
    world.driver = Driver(Machine(timing, names_awaited), world)
    world.driver.post(Configured())
    async with asyncio.timeout(10):
        return await world.driver.run()


async def test_the_whole_way() -> None:
    world = World()
    assert await run(world) == Exit(0)
    assert world.readiness == [Readiness.READY, Readiness.TERMINATING]
    assert world.steps == IN_ORDER
    assert world.signals == [signal.SIGTERM]


async def test_failing_steps_do_not_end_the_drain_early() -> None:
    world = World(failing=frozenset(IN_ORDER))
    assert await run(world) == Exit(0)
    assert world.steps == IN_ORDER
    assert world.connections == [0]


async def test_a_hanging_step_is_bounded_by_the_drain_time_and_cancelled() -> None:
    world = World(hanging=frozenset({Step.FAIL_HEALTHCHECK}))
    assert await run(world) == Exit(0)
    assert Step.DRAIN_LISTENERS not in world.steps
    assert world.signals == [signal.SIGTERM]
    assert world.cancelled


async def test_a_proxy_that_is_ready_without_its_names_says_so() -> None:
    world = World()
    assert await run(world, replace(FAST, names=0.01), names_awaited=True) == Exit(0)
    assert world.nameless
    assert world.readiness == [Readiness.READY, Readiness.TERMINATING]
