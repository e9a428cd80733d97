"""Workload certificates: issued when the hub asks, renewed at 4/5 of their life, retried when they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm

from kumacp.dpserver.clock import Clock
from kumacp.dpserver.orders import Orders
from kumacp.dpserver.renewal import Order
from kumacp.dpserver.stats import DpServerStats
from kumacp.dpserver.timer_driver import Timer
from kumacp.figures import count
from kumacp.identity.ca import CertificateAuthority, Identity, KeyType, issue_identity
from kumacp.xds.hub import Hub, Touched
from kumacp.xds.model import IdentityRequest, IdentitySecret
from kumamesh.names import builtin_ca_cert_secret, builtin_ca_key_secret, node_id
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
        self._orders = Orders()
        self._first: dict[ResourceKey, dict[str, asyncio.Event]] = {}
        self._timer = Timer(self._next_at, self._work, clock.wall)

    async def run(self) -> None:
        await self._timer.run()

    def collect(self) -> None:
        """Take over what the hub wants issued since the last time."""
        requests = self._hub.identity_requests()
        for request in requests:
            self._orders.place(Order(request))
            self._first.setdefault(request.proxy, {}).setdefault(request.mesh, asyncio.Event())
        if requests:
            self._timer.changed()

    def retry(self, mesh: str) -> None:
        """The CA of the mesh changed: what failed may succeed now."""
        self._orders.retry(mesh)
        self._timer.changed()

    def withdraw(self, mesh: str) -> None:
        """The mesh is gone, or has no mTLS any more."""
        for request in self._orders.withdraw(mesh):
            self._done(request)

    async def attempted(self, proxy: ResourceKey) -> None:
        """Wait until all that was wanted for the proxy has been tried once."""
        for event in tuple(self._first.get(proxy, {}).values()):
            await event.wait()

    def forget(self, proxy: ResourceKey) -> None:
        self._orders.forget(proxy)
        for event in self._first.pop(proxy, {}).values():
            event.set()

    def _next_at(self) -> float | None:
        return self._orders.next_at(self._clock.wall())

    async def _work(self) -> None:
        now = self._clock.wall()
        ripe = self._orders.due(now)[:_CHUNK]
        authorities = {(order.request.mesh, order.request.backend): None for order in ripe}
        found = {at: self._authority(*at) for at in authorities}
        made = await asyncio.to_thread(self._make, ripe, found)
        for order, result in zip(ripe, made, strict=True):
            if self._orders.stands(order):
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
            self._orders.place(order.failed(self._clock.wall()))
            count(self._stats.certificates_failed, request.mesh)
            log.error("no certificate for %s.%s: %s", request.mesh, request.proxy.name, result)
        else:
            secret = IdentitySecret(request.mesh, result.certificate, result.private_key)
            touched = self._hub.set_identity(request.proxy, secret, request)
            if touched:
                self._orders.place(order.made(result, self._clock.wall()))
                count(self._stats.certificates_issued, request.mesh)
                _log_issued(order, result)
                self._on_issued(request, result, touched)
            else:
                self._orders.drop(request)  # wanted no longer
        self._done(request)

    def _done(self, request: IdentityRequest) -> None:
        """It has been tried, or is not wanted any more."""
        waited_for = self._first.get(request.proxy, {})
        event = waited_for.pop(request.mesh, None)
        if not waited_for:
            self._first.pop(request.proxy, None)
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
            "proxy": node_id(request.proxy.mesh, request.proxy.name),
            "mesh": request.mesh,
            "backend": request.backend,
            "expires": identity.not_after.isoformat(),
        },
    )
