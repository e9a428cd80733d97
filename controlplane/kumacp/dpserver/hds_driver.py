"""Health discovery: proxies check workloads and themselves, inbounds get the state that was found
(contract 3.6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import chain
from typing import Any

from kumacp.dpserver.auth import AuthModes
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.feed_driver import FeedDriver
from kumacp.dpserver.gate_driver import Gate
from kumacp.dpserver.hds_stream_driver import HealthStream
from kumacp.dpserver.hds_wire import Introduction, decode_introduction
from kumacp.dpserver.health import HealthSettings, Report, StateChange, decide, vantage
from kumacp.dpserver.lifecycle import SECOND_STREAM
from kumacp.dpserver.node import ProxyNode, ProxyType, parse_node
from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.stats import DpServerStats
from kumacp.manager.resource_driver import ResourceManager
from kumacp.store.api import Change, Conflict, NotFound, Store, StoreUnavailable
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane

log = logging.getLogger(__name__)

ARRIVAL_S = 30.0
"""Envoy asks what to check while it is still being registered over its other stream."""


class HealthDiscovery:
    """All health discovery streams that are open."""

    def __init__(
        self,
        settings: HealthSettings,
        store: Store,
        manager: ResourceManager,
        feed: FeedDriver,
        modes: AuthModes,
        *,
        zone: str,
        clock: Clock,
        stats: DpServerStats,
    ) -> None:
        self._settings = settings
        self._store = store
        self._manager = manager
        self._clock = clock
        self._stats = stats
        self._gate = Gate(feed, modes, zone=zone, clock=clock, expel=self._expel)
        self._streams: dict[ResourceKey, HealthStream] = {}
        self._arrivals: dict[ResourceKey, list[asyncio.Event]] = {}
        self._closing: Refused | None = None

    async def run(self) -> None:
        await self._gate.run()

    def review_tokens(self) -> None:
        """Keys or revocations changed."""
        self._gate.review()

    def on_batch(self, batch: Sequence[Change]) -> None:
        """What was committed."""
        for change in batch:
            stream = self._streams.get(change.key)
            if stream is not None:
                stream.update(change.new)
            for arrival in self._arrivals.get(change.key, ()):
                arrival.set()

    def end_all(self, refusal: Refused) -> None:
        """This control plane stops."""
        self._closing = refusal
        for stream in self._streams.values():
            stream.end(refusal)
        for arrival in chain.from_iterable(self._arrivals.values()):
            arrival.set()

    async def serve(self, context: Any, data: bytes, tokens: Sequence[str]) -> None:
        """One stream from its first message to its end; raises Refused."""
        introduction = decode_introduction(data)
        try:
            await self._serve(context, introduction, tokens)
        except Refused as refusal:
            refusal.proxy = introduction.node_id
            raise

    async def _serve(self, context: Any, introduction: Introduction, tokens: Sequence[str]) -> None:
        node = parse_node(introduction.node_id, introduction.metadata)
        if node.proxy_type is not ProxyType.DATAPLANE:
            text = f"health is discovered of data plane proxies only, not of an {node.proxy_type.value}"
            raise Refused(Status.INVALID_ARGUMENT, text)
        self._gate.prove(node, tokens)
        dataplane = await self._arrival(node)
        credential = self._gate.authenticate(node, dataplane, tokens)
        stream = self._open(node)
        try:
            self._gate.watch(node.key, credential)
            # It may have changed before the stream was there to be told.
            stream.begin(await self._find(node.key) or dataplane)
            await stream.serve(context)
        finally:
            self._gate.forget(node.key)
            del self._streams[node.key]
            self._stats.hds_streams_active -= 1

    def _open(self, node: ProxyNode) -> HealthStream:
        self._raise_if_closing()
        if node.key in self._streams:
            raise Refused(Status.ALREADY_EXISTS, SECOND_STREAM)
        stream = HealthStream(
            node,
            vantage(node),
            self._settings,
            clock=self._clock,
            stats=self._stats,
            on_report=self._judge,
        )
        self._streams[node.key] = stream
        self._stats.hds_streams_active += 1
        return stream

    def _raise_if_closing(self) -> None:
        if self._closing is not None:
            raise self._closing

    async def _arrival(self, node: ProxyNode) -> Resource:
        """The Dataplane of the proxy, as soon as it is stored; raises Refused when that takes too long."""
        arrival = asyncio.Event()
        self._arrivals.setdefault(node.key, []).append(arrival)
        try:
            async with asyncio.timeout(ARRIVAL_S):
                while (dataplane := await self._find(node.key)) is None:
                    self._raise_if_closing()
                    await arrival.wait()
                    arrival.clear()
            return dataplane
        except TimeoutError:
            text = f'Dataplane "{node.id}" was not registered within {ARRIVAL_S:.0f} s'
            raise Refused(Status.NOT_FOUND, text) from None
        finally:
            self._arrivals[node.key].remove(arrival)
            if not self._arrivals[node.key]:
                del self._arrivals[node.key]

    async def _judge(self, stream: HealthStream, report: Report) -> None:
        """Write what a report makes different. If that fails, the stream ends: the next one begins with a
        report, while on this one the same may not come again soon. Raises Refused."""
        changes: tuple[StateChange, ...] = ()

        def judged(dataplane: Dataplane) -> Dataplane:
            nonlocal changes
            result, changes = decide(dataplane, stream.at.admin, report)
            return result

        try:
            if not await self._manager.change_dataplane(stream.node.key, judged):
                return
        except (Conflict, StoreUnavailable) as error:
            raise Refused(Status.UNAVAILABLE, f"states of inbounds were not written: {error}") from None
        for change in changes:
            state = "Ready" if change.ready else "NotReady"
            self._stats.inbound_state_changes[state] += 1
            write = log.info if change.ready else log.warning
            write(
                "inbound %s is %s: %s", change.inbound, state, change.reason, extra={"proxy": stream.node.id}
            )

    def _expel(self, proxy: ResourceKey, refusal: Refused) -> None:
        self._streams[proxy].end(refusal)

    async def _find(self, key: ResourceKey) -> Resource | None:
        try:
            return await self._store.get(key)
        except NotFound:
            return None
