"""The server that zones dial: gRPC in front, sync and questions to proxies behind (contract 8.1, 8.2)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from kumacp.dpserver.clock import Clock
from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.kds.at_global.admission import caller_of
from kumacp.kds.at_global.remote_proxies_driver import ANSWER_S, RemoteProxies
from kumacp.kds.at_global.zone_insight import StreamKind
from kumacp.kds.at_global.zone_insight_driver import ZoneInsights
from kumacp.kds.at_global.zone_stream_driver import ZoneStream, abort
from kumacp.kds.at_global.zone_sync_driver import PATIENCE_S, ZoneSync
from kumacp.kds.at_global.zones_driver import Zones
from kumacp.kds.exchange.traffic import Traffic
from kumacp.kds.protocol import streams
from kumacp.kds.protocol.admin_codec import encode_health
from kumacp.kds.protocol.messages import ZONE_PING_HEALTH
from kumacp.settings import CpSettings
from kumacp.store.api import Conflict, NotFound, Store, StoreUnavailable
from kumamesh.errors import UserError
from kumamesh.line_budget import LineBudget

log = logging.getLogger(__name__)

_Act = Callable[[ZoneStream], Awaitable[None]]
_Handler = Callable[[Any, Any], Awaitable[None]]

MAX_CONNECTIONS = 4_096
MAX_STREAMS_PER_CONNECTION = 16
"""A zone has five, and as many while it opens them again."""
REPEATED_S = 60.0
"""How often the log repeats a refusal: each stream of a zone is refused for itself, and opened again soon."""
_SHUTTING_DOWN = Refused(Status.UNAVAILABLE, "the global control plane is shutting down")
_CLIENTS_PING_MS = 10_000
"""How often zones may ping."""
_ADMIN = (
    (streams.XDS_CONFIGS, StreamKind.CONFIG_DUMP),
    (streams.STATS, StreamKind.STATS),
    (streams.CLUSTERS, StreamKind.CLUSTERS),
)


@dataclass(frozen=True, slots=True)
class Patience:
    """Times in seconds: a silent connection is asked after `ping_s` and dead `ping_timeout_s` later; proxies
    have `answer_s`, and a zone whose store may be lost has `deletion_s` to tell of what it still has."""

    ping_s: float = 15.0
    ping_timeout_s: float = 15.0
    answer_s: float = ANSWER_S
    deletion_s: float = PATIENCE_S


class GlobalServer:
    """`start`, then `run` until `stop`. Without a certificate it speaks plain text."""

    def __init__(
        self,
        settings: CpSettings,
        store: Store,
        *,
        certificate: CertificateFiles | None,
        instance_id: str,
        clock: Clock | None = None,
        patience: Patience = Patience(),
    ) -> None:
        self.lines = LineBudget()
        self._repeated = LineBudget(lines=1, interval=REPEATED_S)
        self.refused: Counter[str] = Counter()
        """Streams that were refused or ended by this side, by reason."""
        self._settings = settings
        self._certificate = certificate
        self._clock = clock or Clock()
        self._stopped = asyncio.Event()
        self.zones = Zones(
            store,
            tokens_required=settings.kds_auth_type != "none",
            clock=self._clock,
            on_switched=self._on_switched,
        )
        self._insights = ZoneInsights(
            store,
            instance_id=instance_id,
            interval_s=settings.zone_insight_flush_interval,
            clock=self._clock,
        )
        self._sync = ZoneSync(
            settings,
            store,
            self.zones,
            self._insights,
            instance_id=instance_id,
            patience_s=patience.deletion_s,
        )
        self.proxies = RemoteProxies(self.zones.newest, dict(_ADMIN), answer_s=patience.answer_s)
        self._server = grpc.aio.server(options=_options(settings.kds_max_message_bytes, patience))
        self._server.add_generic_rpc_handlers((_Services(self._methods(), self._check_health),))

    @property
    def traffic(self) -> Traffic:
        return self._sync.traffic

    async def start(self, address: str) -> int:
        """Read the store and listen on `host:port`; the port, for port 0 the one chosen. Raises UserError."""
        try:
            await self._insights.adopt()
            await self.zones.load()
            await self._sync.load()
        except StoreUnavailable as error:
            raise UserError(f"the zones cannot be read: {error}") from None
        try:
            if self._certificate is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._certificate.credentials())
        except RuntimeError:
            raise UserError(
                f"the server for zones cannot listen on {address}: stop what uses the port, or set"
                " KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT to a free one"
            ) from None
        await self._server.start()
        return int(port)

    async def run(self) -> None:
        """Everything that happens without being asked, until `stop`."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job.run()) for job in (self.zones, self._sync, self._insights)]
                tasks.append(group.create_task(self._watch_health()))
                await self._stopped.wait()
                for task in tasks:
                    task.cancel()
        finally:
            # Without `stop`, when another part of the control plane fails; gRPC must not outlive the loop.
            await self._server.stop(None)

    async def stop(self, grace_s: float) -> None:
        """End all streams; zones keep what they have, and come back."""
        self.zones.end_all(_SHUTTING_DOWN)
        await self._server.stop(grace_s)
        try:
            async with asyncio.timeout(grace_s):
                await self._insights.drained()
        except TimeoutError:
            log.error("some insights of zones were not written before the end")
        self._stopped.set()

    def _on_switched(self, zone: str) -> None:
        self._sync.reconsider(zone)

    def _methods(self) -> Mapping[str, _Handler]:
        methods = {
            streams.GLOBAL_TO_ZONE: self._handler(StreamKind.GLOBAL_TO_ZONE, self._sync.send),
            streams.ZONE_TO_GLOBAL: self._handler(StreamKind.ZONE_TO_GLOBAL, self._sync.receive),
        }
        for method, kind in _ADMIN:
            methods[method] = self._handler(kind, partial(self.proxies.serve, method))
        return methods

    def _handler(self, kind: StreamKind, act: _Act) -> _Handler:
        async def handle(_: Any, context: Any) -> None:
            try:
                caller = caller_of(context.invocation_metadata() or ())
            except Refused as refusal:
                self._report(refusal, "", streams.peer_of(context.peer()))
                await abort(context, refusal)
                return
            limit, now = self._settings.kds_max_message_bytes, self._clock.wall()
            stream = ZoneStream(context, kind, caller, limit=limit, opened_at=now)
            await stream.run(lambda: self._serve(stream, act))

        return handle

    async def _serve(self, stream: ZoneStream, act: _Act) -> None:
        """Never raises: what goes wrong ends the stream."""
        try:
            with self.zones.admitted(stream), self._observed(stream):
                await act(stream)
        except ConnectionError:
            return
        except Exception as error:  # noqa: BLE001 - the driver: every error ends its own stream only
            stream.end(self._refusal(error))
        finally:
            if (refusal := stream.refusal) is not None and refusal is not _SHUTTING_DOWN:
                self._report(refusal, stream.zone, stream.peer)

    @contextmanager
    def _observed(self, stream: ZoneStream) -> Iterator[None]:
        shown = {"zone": stream.zone, "peer": stream.peer, "stream": stream.kind.value}
        log.debug("a zone opened a stream", extra=shown)
        self._insights.stream_opened(stream)
        try:
            yield
        finally:
            self._insights.stream_closed(stream)
            log.debug("a stream of a zone is over", extra=shown)

    def _refusal(self, error: Exception) -> Refused:
        match error:
            case Refused():
                return error
            case ValueError():
                return Refused(Status.INVALID_ARGUMENT, str(error))
            case StoreUnavailable():
                return Refused(Status.UNAVAILABLE, f"the store of global is not available: {error}")
            case Conflict() | NotFound():
                return Refused(Status.UNAVAILABLE, f"failed to store {error.key.type} resources")
        if line := self.lines.admit("fault", "a fault ended a stream", self._clock.monotonic()):
            log.exception("%s", line, exc_info=error)
        return Refused(Status.INTERNAL, "stream failed")

    async def _check_health(self, _: bytes, context: Any) -> bytes:
        """A zone's control plane says that it is well, and is told when to say so again."""
        zone = ""
        try:
            caller = caller_of(context.invocation_metadata() or ())
            zone = caller.zone
            self.zones.check_caller(caller)
        except Refused as refusal:
            self._report(refusal, zone, streams.peer_of(context.peer()))
            await abort(context, refusal)
            return b""
        self._insights.healthy(caller.zone)
        return encode_health(self._settings.zone_health_check_poll_interval)

    async def _watch_health(self) -> None:
        """Ends the streams of zones that should call themselves healthy and do not, if that is wanted."""
        timeout = self._settings.zone_health_check_timeout
        every = self._settings.zone_health_check_poll_interval
        if not (timeout and every):
            return
        while True:
            await asyncio.sleep(every)
            for stream in self.zones.silent(timeout, self._insights.healthy_at, ZONE_PING_HEALTH):
                stream.end(Refused(Status.CANCELLED, "stream canceled - zone hc failed"))

    def _report(self, refusal: Refused, zone: str, peer: str) -> None:
        reason = refusal.fault or refusal.status.value.lower()
        self.refused[reason] += 1
        now, host = self._clock.monotonic(), peer.rpartition(":")[0]
        line = self._repeated.admit(
            f"{zone} {host} {refusal}", f"a stream of a zone was ended: {refusal}", now
        )
        if line and (line := self.lines.admit(reason, line, now)):
            named = {"zone": zone} if zone else {}
            log.warning("%s", line, extra={**named, "peer": peer, "reason": reason})


class _Services(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no stubs
    """The services of the port. Messages stay bytes."""

    def __init__(self, methods: Mapping[str, Any], check_health: Any) -> None:
        self._methods = {path: grpc.stream_stream_rpc_method_handler(act) for path, act in methods.items()}
        self._methods[streams.HEALTH_CHECK] = grpc.unary_unary_rpc_method_handler(check_health)

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)


def _options(max_message_bytes: int, patience: Patience) -> tuple[tuple[str, int], ...]:
    ping_ms, timeout_ms = int(patience.ping_s * 1_000), int(patience.ping_timeout_s * 1_000)
    return (
        # What is a little too large is refused by us, with the name of the setting; the rest by gRPC.
        ("grpc.max_receive_message_length", 2 * max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", ping_ms),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        ("grpc.http2.ping_timeout_ms", timeout_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _CLIENTS_PING_MS - 1_000),
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
        ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 60_000),
    )
