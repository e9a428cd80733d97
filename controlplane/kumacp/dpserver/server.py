"""The data-plane server whole: gRPC in front, store and hub behind (contract 3.1; DESIGN.md 3.4, 3.8)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import grpc

from kumacp.dpserver.admission_driver import Admission
from kumacp.dpserver.auth import AuthModes
from kumacp.dpserver.available_driver import AvailableDriver
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.connection import Connection
from kumacp.dpserver.feed_driver import FeedDriver
from kumacp.dpserver.hds_driver import HealthDiscovery
from kumacp.dpserver.health import health_settings, left_unready
from kumacp.dpserver.identity_driver import IdentityDriver
from kumacp.dpserver.insight import Certificate
from kumacp.dpserver.insight_driver import InsightDriver
from kumacp.dpserver.lobby_driver import Lobby
from kumacp.dpserver.mesh_changes import mtls_switch
from kumacp.dpserver.node import PROXY_RESOURCE_TYPES
from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.registration_driver import Registrar
from kumacp.dpserver.resolver_driver import ResolverDriver
from kumacp.dpserver.stats import DpServerStats
from kumacp.dpserver.stream_driver import abort
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.dpserver.wire import decode_request
from kumacp.front.peer import client_address
from kumacp.identity.ca import Identity, KeyType
from kumacp.identity.signing_keys import SECRET, KeyRing
from kumacp.manager.resource_driver import ResourceManager
from kumacp.private_disk import private_sockets
from kumacp.settings import CpSettings
from kumacp.store.api import Change, Operation, Store, StoreUnavailable
from kumacp.xds.hub import Hub, Touched
from kumacp.xds.model import IdentityRequest
from kumamesh.errors import UserError
from kumamesh.line_budget import LineBudget
from kumamesh.resource import Resource, ResourceKey

log = logging.getLogger(__name__)

_SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
_DELTA = f"{_SERVICE}/DeltaAggregatedResources"
_STATE_OF_THE_WORLD = f"{_SERVICE}/StreamAggregatedResources"

_HEALTH = "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck"

_KEEPALIVE_MS = 30_000
"""Twice Kuma's: the pings of 1,000 idle proxies took 3 % of a core, through the front and back."""
_PING_TIMEOUT_MS = 15_000
_CLIENTS_PING_MS = 10_000
"""How often the most eager ones ping: Envoys that read their token from a file, as the bootstrap tells."""
_MANY = 1_000_000
_SHOWN = 20
_MAX_REQUEST_BYTES = 32 * 2**20
"""Clients send before they are known; the largest honest request carries a resource of 10 MiB."""
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # With the defaults, many proxies that connect at once leave some streams hanging (DESIGN.md 3.4).
    ("grpc.server.max_pending_requests", _MANY),
    ("grpc.server.max_pending_requests_hard_limit", _MANY),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A little less than what proxies are told, so that a ping that comes early is no offence.
    ("grpc.http2.min_ping_interval_without_data_ms", _CLIENTS_PING_MS - 1_000),
    ("grpc.so_reuseport", 0),
    # A proxy has two streams, and two more while it opens them again. Whoever opens many, or a connection
    # without any, is no proxy.
    ("grpc.max_concurrent_streams", 10),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 60_000),
)


class DpServer:
    """`start`, then `run` until `stop`. `static_dataplane_keys` are PEM texts by kid (contract 7.2)."""

    def __init__(
        self,
        settings: CpSettings,
        store: Store,
        manager: ResourceManager,
        hub: Hub,
        *,
        certificate: CertificateFiles | None = None,
        static_dataplane_keys: Mapping[str, bytes] | None = None,
        key_type: KeyType = "ec",
        instance_id: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.stats = DpServerStats()
        self.lines = LineBudget()
        self._settings = settings
        self._store = store
        self._manager = manager
        self._hub = hub
        self._certificate = certificate
        self._static_keys = dict(static_dataplane_keys or {})
        self._stopped = asyncio.Event()
        self._lobby = Lobby()
        clock = clock or Clock()
        instance_id = instance_id or str(uuid.uuid4())
        self._clock = clock
        self._resolver = ResolverDriver(self._on_resolved, settings.zone_name)
        self._feed = FeedDriver(
            store, hub, key_ring=self._key_ring, place=self._resolver.place, on_batch=self._on_batch
        )
        self._insights = InsightDriver(
            store,
            control_plane_id=instance_id,
            interval_s=settings.status_flush_interval,
            clock=clock,
            stats=self.stats,
        )
        self._registrar = Registrar(
            store,
            manager,
            self._insights,
            zone=settings.zone_name,
            deregistration_delay_s=settings.deregistration_delay,
            clock=clock,
            stats=self.stats,
        )
        self._identities = IdentityDriver(
            hub,
            secret=lambda mesh, name: self._feed.secret(SECRET, mesh, name),
            on_issued=self._on_issued,
            clock=clock,
            stats=self.stats,
            key_type=key_type,
        )
        self._available = AvailableDriver(store, hub, longest_rest_s=settings.zone_ingress_update_interval)
        self._health = self._new_health() if settings.hds_enabled else None
        self._admission = self._new_admission(instance_id)
        self._server = grpc.aio.server(options=_OPTIONS)
        health = self._serve_health if self._health else None
        self._server.add_generic_rpc_handlers((_Services(self._serve_delta, health),))

    def _new_admission(self, instance_id: str) -> Admission:
        settings = self._settings
        return Admission(
            hub=self._hub,
            feed=self._feed,
            registrar=self._registrar,
            identities=self._identities,
            insights=self._insights,
            modes=AuthModes(settings.dp_proxy_auth, settings.zone_proxy_auth),
            zone=settings.zone_name,
            control_plane_id=instance_id,
            nack_backoff_s=settings.nack_backoff,
            discovers_health=settings.hds_enabled,
            clock=self._clock,
            stats=self.stats,
        )

    def _new_health(self) -> HealthDiscovery:
        settings = self._settings
        return HealthDiscovery(
            health_settings(settings),
            self._store,
            self._manager,
            self._feed,
            AuthModes(settings.dp_proxy_auth, settings.zone_proxy_auth),
            zone=settings.zone_name,
            clock=self._clock,
            stats=self.stats,
        )

    @property
    def keys(self) -> KeyRing:
        """Signing keys and revocations as they are stored now."""
        return self._feed.keys

    def connection(self, proxy: ResourceKey) -> Connection | None:
        """Of a proxy that has its configuration; None for others."""
        stream = self._admission.stream(proxy)
        if stream is None or stream.session is None:
            return None
        return Connection(stream.node.id, stream.peer, stream.node.proxy)

    async def start(self, address: str) -> int:
        """Read the store and listen on `unix:/path` or `host:port`; the port, for port 0 the one chosen."""
        resources = await self._feed.load()
        self._registrar.adopt(resources)
        if self._health is None and (names := left_unready(resources)):
            log.warning(
                "health discovery is switched off: inbounds that are NotReady stay so until their Dataplanes "
                "are written again",
                extra={"dataplanes": ",".join(names[:_SHOWN]), "number": len(names)},
            )
        try:
            with private_sockets():
                if self._certificate is None:
                    port = self._server.add_insecure_port(address)
                else:
                    port = self._server.add_secure_port(address, self._certificate.credentials())
        except RuntimeError:
            raise UserError(
                f"the data-plane server cannot listen on {address}; stop what uses it or choose another"
            ) from None
        await self._server.start()
        return int(port)

    async def run(self) -> None:
        """Everything that happens without being asked, until `stop`."""
        jobs = (
            self._feed,
            self._resolver,
            self._insights,
            self._registrar,
            self._identities,
            self._admission,
            self._available,
            *((self._health,) if self._health else ()),
        )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job.run()) for job in jobs]
                await self._stopped.wait()
                for task in tasks:
                    task.cancel()
        finally:
            # Without `stop`, when another part of the control plane fails; gRPC must not outlive the loop.
            await self._server.stop(None)

    async def stop(self, grace_s: float) -> None:
        """End all streams; proxies keep what they have, and stay registered."""
        refusal = Refused(Status.UNAVAILABLE, "the control plane is shutting down")
        self._admission.end_all(refusal)
        if self._health is not None:
            self._health.end_all(refusal)
        await self._server.stop(grace_s)
        try:
            async with asyncio.timeout(grace_s):
                await self._insights.drained()
        except TimeoutError:
            log.error("some insights were not written before the end")
        self._stopped.set()

    def _key_ring(self, secrets: Iterable[Resource]) -> KeyRing:
        return KeyRing(
            secrets,
            static_dataplane_keys=self._static_keys,
            use_dataplane_secrets=self._settings.dp_token_validator_use_secrets,
            federated=bool(self._settings.zone_global_address),
        )

    def _on_batch(self, batch: Sequence[Change], touched: Touched, keys_changed: bool) -> None:
        if keys_changed:
            self._admission.review_tokens()
        self._admission.deliver(touched)
        if self._health is not None:
            if keys_changed:
                self._health.review_tokens()
            self._health.on_batch(batch)
        for mesh in {change.key.mesh for change in batch if change.key.type == SECRET}:
            self._identities.retry(mesh)
        self._identities.collect()
        for change in batch:
            if change.key.type == "Mesh":
                self._on_mesh(change)
            if change.operation is Operation.CREATE and change.key.type in PROXY_RESOURCE_TYPES:
                stream = self._admission.stream(change.key)
                if stream is not None:
                    self._insights.rewrite(stream.subscription_id)

    def _on_mesh(self, change: Change) -> None:
        if switch := mtls_switch(change):
            log.info("mTLS was switched %s", switch.to, extra={"mesh": change.key.name, **switch.details})
        if not self._feed.has_mtls(change.key.name):
            self._identities.withdraw(change.key.name)
            self._insights.mtls_switched_off(change.key.name)

    def _on_resolved(self, changes: Sequence[Change]) -> None:
        self._admission.deliver(self._hub.apply(changes))
        self._identities.collect()

    def _on_issued(self, request: IdentityRequest, identity: Identity, touched: Touched) -> None:
        self._admission.deliver(touched)
        stream = self._admission.stream(request.proxy)
        # Insights of the proxies at the edge, which have one for each mesh, tell of none.
        if stream is not None and request.proxy.mesh:
            certificate = Certificate(
                issued_at=self._clock.utc(),
                expires=identity.not_after,
                backend=request.backend,
                supported_backends=self._feed.mtls_backends(request.mesh),
            )
            stream.expect_certificate(certificate)

    async def _serve_delta(self, _: Any, context: Any) -> None:
        async def admit(data: bytes, tokens: list[str]) -> None:
            incoming = decode_request(data, with_metadata=True)
            try:
                await self._admission.serve(context, incoming, tokens)
            except Refused as refusal:
                refusal.proxy = incoming.node_id
                raise

        await self._serve(context, admit)

    async def _serve_health(self, _: Any, context: Any) -> None:
        async def admit(data: bytes, tokens: list[str]) -> None:
            assert self._health is not None
            await self._health.serve(context, data, tokens)

        await self._serve(context, admit)

    async def _serve(self, context: Any, admit: Callable[[bytes, list[str]], Awaitable[None]]) -> None:
        """One stream, from its first message on."""
        try:
            data = await self._lobby.first_request(context)
            if data is grpc.aio.EOF:
                return
            metadata = context.invocation_metadata() or ()
            await admit(data, [value for key, value in metadata if key == "authorization"])
        except Refused as refusal:
            self._report(refusal, client_address(context.peer()))
            await abort(context, refusal, self.stats)
        except StoreUnavailable as error:
            text = f"the store of the control plane is not available: {error}"
            await abort(context, Refused(Status.UNAVAILABLE, text), self.stats)
        except Exception:
            if line := self.lines.admit("fault", "a fault ended a stream", self._clock.monotonic()):
                log.exception("%s", line)
            await abort(context, Refused(Status.INTERNAL, "internal error"), self.stats)

    def _report(self, refusal: Refused, peer: str) -> None:
        reason = refusal.fault or refusal.status.value.lower()
        line = self.lines.admit(reason, f"refused: {refusal}", self._clock.monotonic())
        if line:
            log.warning("%s", line, extra={"proxy": refusal.proxy, "peer": peer, "reason": reason})


class _Services(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no stubs
    """The services of the port. Messages stay bytes."""

    def __init__(self, delta: Any, health: Any | None) -> None:
        self._delta = grpc.stream_stream_rpc_method_handler(delta)
        self._health = grpc.stream_stream_rpc_method_handler(health) if health else None
        self._state_of_the_world = grpc.stream_stream_rpc_method_handler(_refuse_state_of_the_world)

    def service(self, handler_call_details: Any) -> Any:
        match handler_call_details.method:
            case method if method == _DELTA:
                return self._delta
            case method if method == _STATE_OF_THE_WORLD:
                return self._state_of_the_world
            case method if method == _HEALTH:
                return self._health
        return None


async def _refuse_state_of_the_world(_: Any, context: Any) -> None:
    await context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        "this control plane speaks delta xDS only: use api_type DELTA_GRPC in ads_config, as the bootstrap "
        "that it renders does (kuma-dp announces feature-delta-grpc)",
    )
