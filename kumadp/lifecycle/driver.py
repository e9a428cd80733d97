"""Performs the machine's commands and brings it what happens: timers, admin calls, signals, Envoy's end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from kumadp.lifecycle.exit import Exit
from kumadp.lifecycle.machine import (
    AskLive,
    Command,
    Connections,
    CountConnections,
    Event,
    Live,
    Machine,
    Perform,
    SetReadiness,
    SignalEnvoy,
    Step,
    StepDone,
    TellNameless,
    Tick,
    WakeAt,
)
from kumadp.readiness import Readiness

log = logging.getLogger(__name__)

_MAX_EVENTS = 256


class World(Protocol):
    """What the driver can do to the world. The asynchronous calls are bounded in time by themselves."""

    def set_readiness(self, state: Readiness) -> None: ...

    def tell_nameless(self) -> None: ...

    def signal_envoy(self, number: int) -> None: ...

    async def live(self) -> bool: ...

    async def active_connections(self) -> int: ...

    async def perform(self, step: Step) -> None: ...


class WorldError(Exception):
    """A call did not do what it should; the way out goes on all the same."""


class Driver:
    """Runs one machine to its Exit."""

    def __init__(self, machine: Machine, world: World) -> None:
        self._machine = machine
        self._world = world
        self._events: asyncio.Queue[Event] = asyncio.Queue(_MAX_EVENTS)

    def post(self, event: Event) -> None:
        """Tell the machine; safe from signal handlers and callbacks of the loop."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("too many events at once; dropped %s", type(event).__name__)

    async def run(self) -> Exit:
        """Until the machine says Exit."""
        loop = asyncio.get_running_loop()
        timers: set[asyncio.TimerHandle] = set()
        try:
            async with asyncio.TaskGroup() as group:
                calls: set[asyncio.Task[None]] = set()
                while True:
                    event = await self._events.get()
                    timers = {timer for timer in timers if timer.when() > loop.time()}
                    for command in self._machine.handle(event, loop.time()):
                        if isinstance(command, Exit):
                            for call in calls:
                                call.cancel()
                            return command
                        if isinstance(command, WakeAt):
                            timers.add(loop.call_at(command.moment, self.post, Tick()))
                            continue
                        call_ = self._start(command)
                        if call_ is not None:
                            task = group.create_task(self._settle(*call_))
                            calls.add(task)
                            task.add_done_callback(calls.discard)
        finally:
            for timer in timers:
                timer.cancel()

    def _start(self, command: Command) -> tuple[Callable[[], Awaitable[Event]], Event, str] | None:
        """Do it at once, or give (call, event to post when the call fails, what it is for the log)."""
        match command:
            case SetReadiness():
                self._world.set_readiness(command.state)
            case TellNameless():
                self._world.tell_nameless()
            case SignalEnvoy():
                self._world.signal_envoy(command.number)
            case AskLive():
                return self._ask_live, Live(False), ""
            case CountConnections():
                return self._count, Connections(None), "count the connections"
            case Perform():
                return self._performing(command.step), StepDone(command.step), command.step.value
        return None

    async def _settle(self, call: Callable[[], Awaitable[Event]], otherwise: Event, what: str) -> None:
        try:
            event = await call()
        except WorldError as error:
            if what:
                log.warning("could not %s: %s", what, error)
            event = otherwise
        self.post(event)

    async def _ask_live(self) -> Event:
        return Live(await self._world.live())

    async def _count(self) -> Event:
        return Connections(await self._world.active_connections())

    def _performing(self, step: Step) -> Callable[[], Awaitable[Event]]:
        async def perform() -> Event:
            await self._world.perform(step)
            return StepDone(step)

        return perform
