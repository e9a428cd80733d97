"""A started Envoy and what it needs on this host, supervised to the exit code.

The agent imports this while Envoy boots.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from kumadp.background_worker import beside
from kumadp.envoy.admin import AdminClient, AdminError
from kumadp.envoy.process import EnvoyProcess
from kumadp.lifecycle.driver import Driver, WorldError
from kumadp.lifecycle.exit import Exit
from kumadp.lifecycle.machine import (
    Configured,
    DrainSignal,
    EnvoyExited,
    Event,
    Machine,
    Named,
    Phase,
    Refused,
    Step,
    StopSignal,
    Timing,
)
from kumadp.names_driver import Names
from kumadp.page_server import PageServer
from kumadp.preparation_driver import Prepared
from kumadp.readiness import Readiness
from kumadp.readiness_server import ReadinessServer
from kumadp.relay.server import Relay

log = logging.getLogger(__name__)

SILENCE_S = 10.0
"""An Envoy that starts asks for its configuration within a tenth of a second."""
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Proxy:
    """Takes over an Envoy that was just started, and a relay that is bound."""

    def __init__(self, prepared: Prepared, envoy: EnvoyProcess, relay: Relay, admin: tuple[str, int]) -> None:
        self._prepared = prepared
        self._envoy = envoy
        self._relay = relay
        host, port = admin
        self._admin = AdminClient(_ANY_ADDRESS.get(host, host), port)
        self._readiness = ReadinessServer()
        names = prepared.names
        self._machine = Machine(
            Timing(drain=prepared.settings.drain_time),
            names_awaited=names is not None and names.serving.awaited,
        )
        listening = self._admin.addresses if prepared.settings.bind_outbounds else None
        self._names = Names(names.server, names.started, self._named, listening) if names else None
        self._driver = Driver(self._machine, self)

    def stop_signal(self) -> None:
        self._post(StopSignal())

    def drain_signal(self) -> None:
        self._post(DrainSignal())

    async def run(self) -> Exit:
        """To the end of Envoy."""
        paths, settings = self._prepared.plan.paths, self._prepared.settings
        unix_path = None if settings.readiness_unix_socket_disabled else paths.readiness_socket
        self._envoy.on_exit(lambda code: self._post(EnvoyExited(code)))
        await self._relay.start(self, self._names)
        alarm = asyncio.get_running_loop().call_later(SILENCE_S, self._warn_if_silent)
        try:
            async with (
                self._readiness.serving(self._prepared.readiness_listener, unix_path),
                self._naming(),
            ):
                end = await self._driver.run()
                if self._machine.phase in (Phase.STOPPING, Phase.KILLED):
                    await self._relay.leave()
                return end
        finally:
            alarm.cancel()

    @contextlib.asynccontextmanager
    async def _naming(self) -> AsyncIterator[None]:
        """Name tables are taken over, and figures told."""
        async with contextlib.AsyncExitStack() as held:
            if self._names and self._prepared.names:
                await held.enter_async_context(beside(self._names.run(), "the taking over of names"))
                if self._prepared.names.metrics_listener:
                    figures = PageServer("/metrics", self._names.metrics)
                    await held.enter_async_context(figures.serving(self._prepared.names.metrics_listener))
            yield

    def _warn_if_silent(self) -> None:
        if not self._relay.reached and self._machine.phase is Phase.STARTING:
            log.warning(
                "Envoy runs for %.0f s and has not asked for its configuration at %s, so this proxy is not "
                "ready: see Envoy's own log lines; a --binary-path that is a script must pass its arguments "
                "on, and Envoy's user must be allowed to open that socket",
                SILENCE_S,
                self._prepared.plan.paths.relay_socket,
            )

    def _named(self) -> None:
        self._tell_names_missing(False)
        self._post(Named())

    def _tell_names_missing(self, missing: bool) -> None:
        self._readiness.remark = "without the names of the mesh" if missing else ""
        if self._names:
            self._names.first.nameless = missing

    def _post(self, event: Event) -> None:
        self._driver.post(event)

    # What the relay says

    def configured(self) -> None:
        self._post(Configured())

    def refused(self, reason: str) -> bool:
        if self._machine.phase is not Phase.STARTING:
            return False
        self._post(Refused(reason))
        return True

    # What the life cycle wants done

    def set_readiness(self, state: Readiness) -> None:
        self._readiness.state = state
        if state is Readiness.READY:
            log.info("ready %.2f s after Envoy's start", time.monotonic() - self._envoy.started)
        else:
            log.info("stopping")

    def tell_nameless(self) -> None:
        self._tell_names_missing(True)
        log.warning(
            "ready without the names of the mesh, which have not come within %.0f s: programs cannot resolve "
            "them yet; see above for what Envoy refuses, and the log of the control plane",
            self._machine.timing.names,
        )

    def signal_envoy(self, number: int) -> None:
        self._envoy.send(number)

    async def live(self) -> bool:
        try:
            return await self._admin.live()
        except AdminError as error:
            raise WorldError(str(error)) from error

    async def active_connections(self) -> int:
        try:
            return await self._admin.active_connections()
        except AdminError as error:
            raise WorldError(str(error)) from error

    async def perform(self, step: Step) -> None:
        try:
            match step:
                case Step.FAIL_HEALTHCHECK:
                    await self._admin.fail_healthcheck()
                case Step.LEAVE_CONTROL_PLANE:
                    await self._relay.leave()
                case Step.DRAIN_LISTENERS:
                    await self._admin.drain_listeners()
                case Step.DRAIN_INBOUND:
                    await self._admin.drain_listeners(inbound_only=True)
                    log.info("inbound listeners are draining")
        except AdminError as error:
            raise WorldError(str(error)) from error
