"""One delta stream of one proxy: a reader that feeds the session, a single writer that sends what it lacks.

Whoever changes the configuration wakes the stream; it takes the latest state when it gets to run, so bursts
coalesce and a slow client delays nobody. The server ends a stream by `context.abort`, never by cancelling.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from kumacp.dpserver.clock import Clock
from kumacp.dpserver.insight import Certificate
from kumacp.dpserver.lifecycle import Ending
from kumacp.dpserver.node import ProxyNode
from kumacp.dpserver.refusal import Refused, Status, other_node
from kumacp.dpserver.stats import DpServerStats, short_type
from kumacp.dpserver.timer_driver import wait_until
from kumacp.dpserver.wire import decode_request, encode_response
from kumacp.front.peer import client_address
from kumamesh.delta import Ack, DeltaRequest, DeltaSession
from kumamesh.xds import LISTENER, SECRET

log = logging.getLogger(__name__)

_CANCELLATION_FOLLOWS_S = 0.05
"""A broken connection shows as the end of the requests first; gRPC cancels the handler right after."""

_SHOWN_ERROR_CHARS = 2_000

MAX_TYPES = 32
"""Envoy asks for six."""
MAX_NAMES = 200_000
"""What one stream may make this server remember: 20 MB."""


class ProxyStream:
    """`on_verdict` is called whenever the proxy has accepted or refused something, `on_first_ack` once, when
    it has accepted something, `on_open` once, when it has all that it needs to open its ports,
    `on_certificate` whenever it has accepted a certificate, and its CA."""

    def __init__(
        self,
        node: ProxyNode,
        subscription_id: str,
        *,
        control_plane_id: str,
        clock: Clock,
        stats: DpServerStats,
        on_first_ack: Callable[[], None],
        on_verdict: Callable[[], None],
        on_open: Callable[[], None],
        on_certificate: Callable[[Certificate], None],
    ) -> None:
        self.node = node
        self.subscription_id = subscription_id
        self.session: DeltaSession | None = None
        self.peer = ""
        self.refusal: Refused | None = None
        self.ending = Ending.LOST
        self._control_plane_id = control_plane_id
        self._clock = clock
        self._stats = stats
        self._on_first_ack = on_first_ack
        self._on_verdict = on_verdict
        self._on_open = on_open
        self._on_certificate = on_certificate
        self._certificate: Certificate | None = None
        self._acked = False
        self._open = False
        self._read_all = False
        self._wake = asyncio.Event()

    def touch(self, types: Mapping[str, frozenset[str]]) -> None:
        """Resources of the proxy changed."""
        if self.session is None:
            return
        now = self._clock.monotonic()
        for type_url, names in types.items():
            self.session.touch(type_url, names, now)
        self._stats.wakes += 1
        self._wake.set()

    def expect_certificate(self, certificate: Certificate | None) -> None:
        """What is among the secrets from now on; None when there is none any more."""
        self._certificate = certificate

    def end(self, refusal: Refused, ending: Ending) -> None:
        """Nothing is sent from now on; the proxy is told as soon as it reads."""
        if self.refusal is None:
            self.refusal, self.ending = refusal, ending
            self._wake.set()

    def raise_if_ended(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def serve(self, context: Any, session: DeltaSession, first: DeltaRequest) -> None:
        """Until the proxy leaves or `end` is called."""
        self.peer = client_address(context.peer())
        self.session = session
        self._take(first)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(context))
            try:
                await self._write(context)
            except grpc.aio.BaseError:
                return  # the connection is broken
            if self.refusal is not None:
                await abort(context, self.refusal, self._stats)
        if self.refusal is None:
            # A handler that is cancelled here leaves `ending` as it was.
            await asyncio.sleep(_CANCELLATION_FOLLOWS_S)
            self.ending = Ending.CLEAN

    async def _write(self, context: Any) -> None:
        assert self.session is not None
        while True:
            for response in self.session.poll(self._clock.monotonic()):
                self._stats.pushes[short_type(response.type_url)] += 1
                await context.write(encode_response(response, self._control_plane_id))
                if self.refusal is not None:
                    return
            if self._read_all or self.refusal is not None:
                return
            await wait_until(self.session.wake_at(), self._clock.monotonic, self._wake)
            if self.refusal is not None:
                return

    async def _read(self, context: Any) -> None:
        try:
            while (data := await context.read()) is not grpc.aio.EOF:
                incoming = decode_request(data, with_metadata=False)
                if incoming.node_id not in {"", self.node.id}:
                    raise other_node(self.node.id, incoming.node_id)
                self._take(incoming.request)
                self._wake.set()
        except Refused as refusal:
            self.end(refusal, Ending.LOST)
        except grpc.aio.BaseError:
            return  # the writer has ended the stream, or the connection is broken
        self._read_all = True
        self._wake.set()

    def _take(self, request: DeltaRequest) -> None:
        assert self.session is not None
        known = self.session.counters
        if request.type_url not in known and len(known) >= MAX_TYPES:
            raise _too_much(f"more than {MAX_TYPES} resource types")
        now = self._clock.monotonic()
        verdict = self.session.on_request(request, now)
        if self.session.size > MAX_NAMES:
            raise _too_much(f"more than {MAX_NAMES} resources")
        if verdict is None:
            return
        self._on_verdict()
        if isinstance(verdict, Ack):
            self._stats.acks[short_type(verdict.type_url)] += 1
            if verdict.changed_at is not None:
                self._stats.change_to_ack.observe(now - verdict.changed_at)
            if not self._acked:
                self._acked = True
                self._on_first_ack()
            self._note_accepted(self.session)
            return
        self._stats.nacks[short_type(verdict.type_url)] += 1
        log.warning(
            "the proxy refused its configuration: %s",
            " ".join(verdict.error[:_SHOWN_ERROR_CHARS].split()),
            extra={
                "proxy": self.node.id,
                "type": short_type(verdict.type_url),
                "names": ",".join(verdict.names),
            },
        )
        self._note_accepted(self.session)

    def _note_accepted(self, session: DeltaSession) -> None:
        """What the proxy can do with all that it has accepted by now. An outbound that it refuses, because
        its port is taken, keeps no traffic from its inbounds."""
        if not session.settled(SECRET):
            return
        if self._certificate is not None:
            certificate, self._certificate = self._certificate, None
            self._on_certificate(certificate)
        if not self._open and session.settled(LISTENER, _is_inbound):
            self._open = True
            self._on_open()


async def abort(context: Any, refusal: Refused, stats: DpServerStats) -> None:
    """End the stream with the status of the refusal, without raising."""
    stats.streams_refused[refusal.status.value.lower()] += 1
    if refusal.fault:
        stats.tokens_refused[refusal.fault] += 1
    try:
        await context.abort(grpc.StatusCode[refusal.status.value], refusal.message)
    except grpc.aio.BaseError:
        return  # told, or the proxy is gone already


def _is_inbound(listener: str) -> bool:
    return listener.startswith("inbound:")


def _too_much(what: str) -> Refused:
    return Refused(Status.RESOURCE_EXHAUSTED, f"the stream asks for {what}")
