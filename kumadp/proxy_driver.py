"""Envoy and what it needs on this host: relay, readiness, admin client, supervised to the exit code.

Importing this takes longer than anything else in the agent (grpc, h11), so it is done while the control plane
makes the bootstrap.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time

from kumadp.envoy.admin import AdminClient, AdminError
from kumadp.envoy.argv import envoy_environment
from kumadp.envoy.process import EnvoyProcess
from kumadp.lifecycle.driver import Driver, WorldError
from kumadp.lifecycle.machine import (
    Configured,
    EnvoyExited,
    Event,
    Exit,
    Machine,
    Phase,
    Refused,
    Step,
    Timing,
)
from kumadp.preparation_driver import Prepared
from kumadp.readiness import Readiness
from kumadp.readiness_server import ReadinessServer
from kumadp.relay.server import Relay
from kumadp_bootstrap.rewrite import Upstream

log = logging.getLogger(__name__)

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Proxy:
    """One Envoy. `post` takes events from the moment it is made."""

    def __init__(self, prepared: Prepared, upstream: Upstream, admin: tuple[str, int]) -> None:
        self._prepared = prepared
        host, port = admin
        self._admin = AdminClient(_ANY_ADDRESS.get(host, host), port)
        self._readiness = ReadinessServer()
        self._machine = Machine(Timing(drain=prepared.settings.drain_time))
        self._driver = Driver(self._machine, self)
        self._relay = Relay(
            upstream, prepared.token.read, self, system_ca_path=prepared.plan.facts.system_ca_path
        )
        self._envoy: EnvoyProcess | None = None
        self._spawned = 0.0

    def post(self, event: Event) -> None:
        self._driver.post(event)

    async def run(self) -> Exit:
        """From binding the relay's socket to the end of Envoy; nothing is left running."""
        paths, settings = self._prepared.plan.paths, self._prepared.settings
        unix_path = None if settings.readiness_unix_socket_disabled else paths.readiness_socket
        async with contextlib.AsyncExitStack() as held:
            self._relay.bind(paths.relay_socket)
            held.push_async_callback(self._relay.stop)
            await self._relay.start()
            # Envoy would wait up to half a second before it tries again, so the relay answers first.
            self._envoy = self._spawn()
            held.callback(self._envoy.close)
            await held.enter_async_context(
                self._readiness.serving(self._prepared.readiness_listener, unix_path)
            )
            end = await self._driver.run()
            if self._machine.phase in (Phase.STOPPING, Phase.KILLED):
                await self._relay.leave()
            return end

    def _spawn(self) -> EnvoyProcess:
        plan = self._prepared.plan
        envoy = EnvoyProcess(plan.envoy_argv, envoy_environment(os.environ))
        envoy.on_exit(lambda code: self.post(EnvoyExited(code)))
        self._spawned = time.monotonic()
        log.info("started Envoy %s, process %d", plan.facts.envoy_version.version, envoy.pid)
        return envoy

    # What the relay says

    def configured(self) -> None:
        self.post(Configured())

    def refused(self, reason: str) -> bool:
        if self._machine.phase is not Phase.STARTING:
            return False
        self.post(Refused(reason))
        return True

    # What the life cycle wants done

    def set_readiness(self, state: Readiness) -> None:
        self._readiness.state = state
        if state is Readiness.READY:
            log.info("ready %.2f s after Envoy's start", time.monotonic() - self._spawned)
        else:
            log.info("stopping")

    def signal_envoy(self, number: int) -> None:
        if self._envoy:
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
        except AdminError as error:
            raise WorldError(str(error)) from error
