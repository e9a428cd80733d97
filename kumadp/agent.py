"""`kuma-dp run`: plan, bootstrap, relay, Envoy, in this order, and the signals (DESIGN.md 4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING

from kumadp.bootstrap_client import BootstrapClient
from kumadp.bootstrap_edit import Document, with_admin_port, with_quick_reconnect
from kumadp.envoy.argv import envoy_environment
from kumadp.envoy.process import EnvoyProcess, reap_orphans
from kumadp.envoy.version_process import VersionProbe
from kumadp.lifecycle.exit import Exit
from kumadp.preparation_driver import Inputs, Prepared, prepared
from kumadp.retry import RetryPolicy
from kumadp.settings import DpSettings
from kumadp.thread_worker import in_thread
from kumadp.work_dir_disk import write_private
from kumadp_bootstrap import yamltext
from kumadp_bootstrap.rewrite import admin_address, rewrite
from kumamesh.settings import Resolved

if TYPE_CHECKING:
    from kumadp.proxy_driver import Proxy
    from kumadp.relay.server import Relay

log = logging.getLogger(__name__)


class Agent:
    """One run."""

    def __init__(self, resolved: Resolved[DpSettings], probe: VersionProbe, inputs: Inputs) -> None:
        self._resolved = resolved
        self._probe = probe
        self._inputs = inputs
        self._task: asyncio.Task[None] | None = None
        self._proxy: Proxy | None = None
        self._stopped_early = False

    async def run(self) -> Exit:
        """Raises UserError for everything that keeps Envoy from being started."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # A program started by nohup(1) goes on when its terminal is closed.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGUSR2, self._on_drain)
        try:
            async with prepared(self._resolved, self._probe, self._inputs) as ready:
                return await self._run(ready)
        except asyncio.CancelledError:
            if self._stopped_early:
                return Exit(0)
            raise

    async def _run(self, ready: Prepared) -> Exit:
        plan = ready.plan
        relay_module = in_thread(_import_relay)
        bootstrap = yamltext.load(await _fetch(ready), "the control plane's bootstrap")
        rewritten = rewrite(bootstrap, str(plan.paths.relay_socket))
        document = _with_free_admin_port(with_quick_reconnect(rewritten.document), ready)
        write_private(plan.paths.bootstrap, yamltext.dump(document))
        async with contextlib.AsyncExitStack() as held:
            relay = (await relay_module)(
                rewritten.upstream, ready.token.read, system_ca_path=plan.facts.system_ca_path
            )
            # An Envoy that finds no relay waits up to half a second before it tries again.
            relay.bind(plan.paths.relay_socket)
            held.push_async_callback(relay.stop)
            envoy = EnvoyProcess(plan.envoy_argv, envoy_environment(os.environ))
            held.callback(envoy.close)
            if os.getpid() == 1:
                names = ready.names
                asyncio.get_running_loop().add_signal_handler(
                    signal.SIGCHLD,
                    reap_orphans,
                    lambda: (envoy.pid, names.server.pid if names else None),
                )
            log.info("started Envoy %s, process %d", plan.facts.envoy_version.version, envoy.pid)
            proxy = await in_thread(_import_proxy)
            self._proxy = proxy(ready, envoy, relay, admin_address(document))
            return await self._proxy.run()

    def _on_stop(self) -> None:
        if self._proxy:
            self._proxy.stop_signal()
        elif self._task:
            self._stopped_early = True
            self._task.cancel()

    def _on_drain(self) -> None:
        if self._proxy:
            self._proxy.drain_signal()


def run(resolved: Resolved[DpSettings], probe: VersionProbe, inputs: Inputs) -> Exit:
    # gRPC must neither meddle with the starting of Envoy nor write its own lines to our log.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # The host's own resolver, as for the bootstrap: gRPC's reads neither nsswitch.conf nor mDNS names.
    os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
    return asyncio.run(Agent(resolved, probe, inputs).run())


async def _fetch(ready: Prepared) -> str:
    settings, plan = ready.settings, ready.plan
    client = BootstrapClient(
        plan.bootstrap_url,
        ca_pem=plan.facts.ca_pem,
        ca_source=ready.ca_source,
        verify=not settings.skip_verify,
    )
    policy = RetryPolicy(settings.retry_backoff, settings.retry_max_duration)
    return await client.fetch(lambda: plan.request(ready.token.read()), policy)


def _with_free_admin_port(document: Document, ready: Prepared) -> Document:
    """Without a resource of ours the control plane chose the port, not knowing what is free here."""
    if ready.plan.resource:
        return document
    _, port = admin_address(document)
    claimed = ready.claims.claim(port)
    if claimed == port:
        return document
    log.info("port %d is taken; Envoy's admin interface gets %d", port, claimed)
    return with_admin_port(document, claimed)


def _import_relay() -> type[Relay]:
    """gRPC takes a quarter of all the time until Envoy runs: imported while the control plane answers."""
    from kumadp.relay.server import Relay

    return Relay


def _import_proxy() -> type[Proxy]:
    """What is needed once Envoy runs: imported while Envoy boots."""
    from kumadp.proxy_driver import Proxy

    return Proxy
