"""Workload certificates: issued when the hub asks, renewed at 4/5 of their life, retried when they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm

from kumacp.dpserver.clock import Clock
from kumacp.dpserver.renewal import Order
from kumacp.dpserver.stats import DpServerStats
from kumacp.dpserver.timer_driver import Timer
from kumacp.figures import count
from kumacp.identity.ca import CertificateAuthority, Identity, KeyType, issue_identity
from kumacp.xds.hub import Hub, Touched
from kumacp.xds.model import IdentityRequest, IdentitySecret
from kumamesh.names import builtin_ca_cert_secret, builtin_ca_key_secret
from kumamesh.resource import ResourceKey

log = logging.getLogger(__name__)

_CHUNK = 16
"""Certificates made in one go outside the event loop."""


class IdentityDriver:
    """`on_issued` is called with what the hub says is different then, `secret` gives data of a Secret by mesh
    and name."""

    def __init__(
        self,
        hub: Hub,
        *,
        secret: Callable[[str, str], bytes | None],
        on_issued: Callable[[IdentityRequest, Identity, Touched], None],
        clock: Clock,
        stats: DpServerStats,
        key_type: KeyType,
    ) -> None:
        self._hub = hub
        self._secret = secret
        self._on_issued = on_issued
        self._clock = clock
        self._stats = stats
        self._key_type = key_type
        self._orders: dict[ResourceKey, Order] = {}
        self._first: dict[ResourceKey, asyncio.Event] = {}
        self._timer = Timer(self._next_at, self._work, clock.wall)

    async def run(self) -> None:
        await self._timer.run()

    def collect(self) -> None:
        """Take over what the hub wants issued since the last time."""
        requests = self._hub.identity_requests()
        for request in requests:
            self._orders[request.proxy] = Order(request)
            self._first.setdefault(request.proxy, asyncio.Event())
        if requests:
            self._timer.changed()

    def retry(self, mesh: str) -> None:
        """The CA of the mesh changed: what failed may succeed now."""
        for proxy, order in self._orders.items():
            if proxy.mesh == mesh and order.failures:
                self._orders[proxy] = order.at_once()
        self._timer.changed()

    async def attempted(self, proxy: ResourceKey) -> None:
        """Wait until what was wanted for the proxy has been tried once."""
        event = self._first.get(proxy)
        if event is not None:
            await event.wait()

    def forget(self, proxy: ResourceKey) -> None:
        self._orders.pop(proxy, None)
        self._done(proxy)

    def _next_at(self) -> float | None:
        now = self._clock.wall()
        moments = (now if order.due(now) else order.moment for order in self._orders.values())
        return min(moments, default=None)

    async def _work(self) -> None:
        now = self._clock.wall()
        ripe = [order for order in self._orders.values() if order.due(now)][:_CHUNK]
        authorities = {(order.request.mesh, order.request.backend): None for order in ripe}
        found = {at: self._authority(*at) for at in authorities}
        made = await asyncio.to_thread(self._make, ripe, found)
        for order, result in zip(ripe, made, strict=True):
            if self._orders.get(order.request.proxy) is order:
                self._settle(order, result)

    def _make(
        self, orders: list[Order], authorities: Mapping[tuple[str, str], CertificateAuthority | None]
    ) -> list[Identity | str]:
        """An identity for each order, or why there is none. Runs in a thread."""
        results: list[Identity | str] = []
        now = self._clock.utc()
        for order in orders:
            mesh, backend = order.request.mesh, order.request.backend
            authority = authorities[mesh, backend]
            if authority is None:
                results.append(
                    f"the mesh {mesh!r} lacks a secret of its CA, {builtin_ca_cert_secret(mesh, backend)} or "
                    f"{builtin_ca_key_secret(mesh, backend)}; apply it again"
                )
                continue
            try:
                results.append(issue_identity(authority, order.request, now=now, key_type=self._key_type))
            except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
                # Whatever stands in the secrets and the Mesh, other proxies must get their certificates.
                results.append(str(error))
        return results

    def _settle(self, order: Order, result: Identity | str) -> None:
        request = order.request
        if isinstance(result, str):
            self._orders[request.proxy] = order.failed(self._clock.wall())
            count(self._stats.certificates_failed, request.mesh)
            log.error("no certificate for %s.%s: %s", request.mesh, request.proxy.name, result)
        else:
            secret = IdentitySecret(request.mesh, result.certificate, result.private_key)
            touched = self._hub.set_identity(request.proxy, secret, request)
            if touched:
                self._orders[request.proxy] = order.made(result, self._clock.wall())
                count(self._stats.certificates_issued, request.mesh)
                _log_issued(order, result)
                self._on_issued(request, result, touched)
            else:
                del self._orders[request.proxy]  # wanted no longer
        self._done(request.proxy)

    def _done(self, proxy: ResourceKey) -> None:
        event = self._first.pop(proxy, None)
        if event is not None:
            event.set()

    def _authority(self, mesh: str, backend: str) -> CertificateAuthority | None:
        certificate = self._secret(mesh, builtin_ca_cert_secret(mesh, backend))
        key = self._secret(mesh, builtin_ca_key_secret(mesh, backend))
        return CertificateAuthority(certificate, key) if certificate and key else None


def _log_issued(order: Order, identity: Identity) -> None:
    """A thousand proxies that connect get a thousand certificates; that is no news, but a renewal is."""
    level, what = (logging.INFO, "renewed") if order.renewal else (logging.DEBUG, "issued")
    request = order.request
    log.log(
        level,
        "certificate %s",
        what,
        extra={
            "proxy": f"{request.mesh}.{request.proxy.name}",
            "backend": request.backend,
            "expires": identity.not_after.isoformat(),
        },
    )
