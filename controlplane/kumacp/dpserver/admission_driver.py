"""The way of a proxy in and out: authenticated, registered, planned, certified, served, forgotten."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from kumacp.dpserver.auth import AuthModes
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.delivery_driver import Delivery
from kumacp.dpserver.feed_driver import FeedDriver
from kumacp.dpserver.gate_driver import Gate
from kumacp.dpserver.identity_driver import IdentityDriver
from kumacp.dpserver.insight_driver import InsightDriver
from kumacp.dpserver.lifecycle import Ending, ending_for
from kumacp.dpserver.node import ProxyNode, ProxyType, parse_node
from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.registration_driver import Registrar, carried_resource
from kumacp.dpserver.stats import DpServerStats
from kumacp.dpserver.stream_driver import ProxyStream
from kumacp.dpserver.wire import IncomingRequest
from kumacp.identity.admin_ca import ADMIN_CA_SECRET, admin_tls, from_secret_data
from kumacp.identity.signing_keys import GLOBAL_SECRET
from kumacp.xds.hub import Hub, Touched
from kumacp.xds.model import AdminTls
from kumamesh.delta import DeltaSession, Dialect
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.zone import ZoneEgress, ZoneIngress

log = logging.getLogger(__name__)


class Admission:
    """All streams that are open."""

    def __init__(
        self,
        *,
        hub: Hub,
        feed: FeedDriver,
        registrar: Registrar,
        identities: IdentityDriver,
        insights: InsightDriver,
        modes: AuthModes,
        zone: str,
        control_plane_id: str,
        nack_backoff_s: float,
        discovers_health: bool,
        clock: Clock,
        stats: DpServerStats,
    ) -> None:
        self._hub = hub
        self._feed = feed
        self._registrar = registrar
        self._identities = identities
        self._insights = insights
        self._gate = Gate(feed, modes, zone=zone, clock=clock, expel=self._expel)
        self._control_plane_id = control_plane_id
        self._nack_backoff_s = nack_backoff_s
        self._discovers_health = discovers_health
        self._clock = clock
        self._stats = stats
        self._streams: dict[ResourceKey, ProxyStream] = {}
        self._delivery = Delivery(self._streams, hub.take_opened)
        self._closing: Refused | None = None

    async def run(self) -> None:
        await self._gate.run()

    def stream(self, proxy: ResourceKey) -> ProxyStream | None:
        return self._streams.get(proxy)

    def deliver(self, touched: Touched) -> None:
        """Wake the streams whose configuration is different now."""
        self._delivery.deliver(touched)

    def review_tokens(self) -> None:
        """Keys or revocations changed."""
        self._gate.review()

    def end_all(self, refusal: Refused) -> None:
        """This control plane stops: no stream goes on, none begins, nothing is deregistered."""
        self._closing = refusal
        for stream in self._streams.values():
            stream.end(refusal, Ending.SHUTDOWN)

    async def serve(self, context: Any, incoming: IncomingRequest, tokens: Sequence[str]) -> None:
        """One stream from its first request to its end; raises Refused when it cannot begin."""
        node = parse_node(incoming.node_id, incoming.metadata)
        keys = self._feed.keys
        # Before strangers can have a resource parsed, or ask which ones there are.
        self._gate.prove(node, tokens)
        carried = carried_resource(node)
        resource = carried or await self._registrar.stored(node)
        credential = self._gate.authenticate(node, resource, tokens)
        if carried is not None and credential is not None:
            await self._registrar.check_override(node, credential)
        # An Envoy that knows nothing has just started; one that comes back goes on serving.
        starting = not incoming.request.initial_versions
        stream = self._open(node)
        try:
            if self._feed.keys is not keys:  # changed before the token was watched
                credential = self._gate.authenticate(node, resource, tokens)
            self._gate.watch(node.key, credential)
            if starting:
                self.deliver(self._hub.set_warming(node.key, True))
            if carried is not None:
                resource = await self._registrar.register(node, carried, starting=starting)
                stream.raise_if_ended()
            elif starting and self._discovers_health and node.proxy_type is ProxyType.DATAPLANE:
                await self._registrar.restart(node)
            token = credential.token if credential else ""
            self._insights.open(stream, token, mtls=self._feed.has_mtls(node.key.mesh))
            session = await self._plan(stream, resource)
            log.info("connected", extra={"proxy": node.id})
            await stream.serve(context, session, incoming.request)
        finally:
            if starting and stream.session is None:  # turned away: what is stored has another proxy, or none
                self.deliver(self._hub.set_warming(node.key, False))
            self._close(stream)

    def _open(self, node: ProxyNode) -> ProxyStream:
        if self._closing is not None:
            raise self._closing
        subscription_id = str(uuid.uuid4())
        self._registrar.connect(node.key, subscription_id)
        stream = ProxyStream(
            node,
            subscription_id,
            control_plane_id=self._control_plane_id,
            clock=self._clock,
            stats=self._stats,
            on_first_ack=lambda: self._insights.flush(subscription_id),
            on_verdict=partial(self._delivery.heard, node.key),
            on_open=lambda: self.deliver(self._hub.set_warming(node.key, False)),
            on_certificate=partial(self._insights.certificate_accepted, subscription_id),
        )
        self._streams[node.key] = stream
        self._stats.streams_active += 1
        self._stats.streams_total += 1
        return stream

    async def _plan(self, stream: ProxyStream, resource: Resource) -> DeltaSession:
        """A session on the proxy's configuration. It begins when that is complete: a proxy that comes back
        would take what is not there yet for removed."""
        proxy = stream.node.key
        if not await self._feed.applied(proxy, resource.version):
            raise Refused(Status.UNAVAILABLE, f'resource "{stream.node.id}" was deleted just now, try again')
        metadata = stream.node.proxy
        tls = await self._admin_tls(resource, admin_port=metadata.admin_port)
        stream.raise_if_ended()
        self._hub.connect(proxy, replace(metadata, admin_tls=tls))
        self._identities.collect()
        await self._identities.attempted(proxy)
        stream.raise_if_ended()
        return DeltaSession(self._hub.desired(proxy), Dialect.ENVOY, nack_backoff_s=self._nack_backoff_s)

    async def _admin_tls(self, resource: Resource, *, admin_port: int) -> AdminTls | None:
        """For proxies that are reachable from outside their host (contract 3.7)."""
        addresses = _reached_at(resource.spec)
        if not admin_port or "127.0.0.1" in addresses[:1]:
            return None
        data = self._feed.secret(GLOBAL_SECRET, "", ADMIN_CA_SECRET)
        try:
            authority = from_secret_data(data or b"")
        except ValueError as error:
            log.error("no admin listener for %s: %s", resource.name, error)
            return None
        return await asyncio.to_thread(admin_tls, authority, addresses, now=self._clock.utc())

    def _expel(self, proxy: ResourceKey, refusal: Refused) -> None:
        """The token of a connected proxy holds no longer: its stream ends at once, whether it reads that or
        not. One that is on its way in notices by itself."""
        stream = self._streams[proxy]
        stream.end(refusal, ending_for(refusal.fault))
        if stream.session is not None:
            self._close(stream)

    def _close(self, stream: ProxyStream) -> None:
        """Forget the stream; it is no matter when that happened before."""
        proxy = stream.node.key
        if self._streams.get(proxy) is not stream:
            return
        del self._streams[proxy]
        self._delivery.forget(proxy)
        self._stats.streams_active -= 1
        self._gate.forget(proxy)
        self._identities.forget(proxy)
        self._hub.disconnect(proxy)
        self._insights.close(stream.subscription_id)
        self._registrar.disconnect(proxy, stream.subscription_id, stream.ending)
        log.info("disconnected", extra={"proxy": stream.node.id, "ending": stream.ending.value})


def _reached_at(spec: Dataplane | ZoneIngress | ZoneEgress) -> tuple[str, ...]:
    """Addresses of a proxy, its own first."""
    advertised = "" if isinstance(spec, ZoneEgress) else spec.networking.advertised_address
    return tuple(dict.fromkeys(filter(None, (spec.networking.address, advertised))))
