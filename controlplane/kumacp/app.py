"""The composition root of `kuma-cp run`: makes every room, starts them in order, ends them in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import tempfile
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

from kumacp.api.application import InstanceFacts, KeyRings
from kumacp.api.server import ApiServer
from kumacp.bootstrap_driver import BootstrapDriver
from kumacp.bootstrap_server import BootstrapServer
from kumacp.defaults_driver import ensure_defaults
from kumacp.diagnostics_server import DiagnosticsServer
from kumacp.dpserver.server import DpServer
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.envoyadmin.admin_client import AdminClient
from kumacp.envoyadmin.proxies_driver import ProxiesDriver
from kumacp.front.process import FrontProcess
from kumacp.identity.admin_ca import ADMIN_CA_SECRET
from kumacp.identity.server_cert_disk import ServerCertificate, ensure_server_certificate
from kumacp.identity.signing_keys import KeyRing
from kumacp.identity.signing_keys_disk import load_public_keys
from kumacp.manager.resource_driver import ResourceManager
from kumacp.metrics import Instance, Metrics
from kumacp.mode import Role, role
from kumacp.policy.permission import inbound_rbac
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumacp.store.memory import MemoryStore
from kumacp.store.metered_store import MeteredStore
from kumacp.store.sqlite import SqliteStore
from kumacp.vips.names import VipSettings
from kumacp.vips.settings import vip_settings
from kumacp.vips.vip_driver import VipDriver
from kumacp.xds.build import build
from kumacp.xds.hub import Hub
from kumamesh import logs
from kumamesh.errors import UserError
from kumamesh.logs import Levels
from kumamesh.os_process import dump_no_core
from kumamesh.resource import ResourceKey
from kumamesh.settings import Resolved
from kumamesh.version import VERSION

DATABASE = "kuma-cp.db"
GRPC_SOCKET = "grpc.sock"
MAX_SOCKET_PATH_BYTES = 107
DP_SERVER_INTERFACE = "0.0.0.0"
STOP_GRACE_S = 2.0

_log = logging.getLogger(__name__)


def start(resolved: Resolved[CpSettings]) -> None:
    """Run until SIGTERM or SIGINT; UserError when it cannot start or a part of it ends by itself."""
    settings = resolved.settings
    checked = role(settings)
    dump_no_core()
    levels = logs.configure(settings.log_level, settings.log_format, package="kumacp")
    for notice in (*resolved.warnings, *checked.notices):
        _log.warning("%s", notice)
    _log.info("kuma-cp is starting", extra={"version": VERSION, "mode": settings.mode, "zone": checked.zone})
    asyncio.run(_run(settings, checked, levels))


async def _run(settings: CpSettings, checked: Role, levels: Levels) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        plane = await _ControlPlane.start(settings, checked, levels, stack)
        await plane.serve(stopping)


class _ControlPlane:
    """The parts that run side by side."""

    def __init__(
        self,
        dp_server: DpServer,
        front: FrontProcess,
        bootstrap: BootstrapServer,
        diagnostics: DiagnosticsServer,
        vips: VipDriver,
    ) -> None:
        self._dp_server = dp_server
        self._front = front
        self._bootstrap = bootstrap
        self._diagnostics = diagnostics
        self._vips = vips

    @classmethod
    async def start(
        cls, settings: CpSettings, checked: Role, levels: Levels, stack: AsyncExitStack
    ) -> _ControlPlane:
        """Everything listening; `stack` ends what was started, also when a later part cannot start."""
        addresses = vip_settings(settings)
        general = ensure_server_certificate(settings.work_dir, settings.tls_cert_file, settings.tls_key_file)
        own = (settings.dp_server_tls_cert_file, settings.dp_server_tls_key_file)
        dp_certificate = _certificate(settings, own, general)
        static_keys = load_public_keys(settings.dp_token_public_keys)
        # First of all: a second control plane in this work dir is told so, and not of a port in use.
        store = MeteredStore(await _open_store(settings))
        stack.push_async_callback(store.close)
        manager = ResourceManager(store, settings)
        metrics = Metrics()
        own = (settings.diagnostics_tls_cert_file, settings.diagnostics_tls_key_file)
        diagnostics = DiagnosticsServer(settings, metrics, levels, _certificate(settings, own, general))
        await diagnostics.start()
        stack.push_async_callback(diagnostics.stop)

        hub = Hub(checked.zone, build, inbound_rbac, addresses)
        files = CertificateFiles(dp_certificate.cert_path, dp_certificate.key_path)
        instance = str(uuid.uuid4())
        dp_server = DpServer(
            settings,
            store,
            manager,
            hub,
            certificate=files,
            static_dataplane_keys=static_keys,
            instance_id=instance,
        )
        driver = BootstrapDriver(settings, store, dp_certificate.cert_path, lambda: dp_server.keys)
        bootstrap = BootstrapServer(driver.answer, dp_certificate.cert_path, dp_certificate.key_path)
        grpc_socket = _grpc_socket(settings, stack)
        front = FrontProcess.start(DP_SERVER_INTERFACE, settings.dp_server_port, grpc_socket, bootstrap.take)
        stack.push_async_callback(front.stop)
        await ensure_defaults(store, manager, settings)
        vips = await _vip_driver(store, settings, addresses)
        proxies = ProxiesDriver(hub, dp_server.connection, AdminClient(lambda: _admin_ca(store)))
        api = await _api_server(
            settings, store, manager, certificate=general, instance=instance, proxies=proxies
        )
        metrics.expose_instance(Instance(settings.mode, checked.zone, instance))
        metrics.expose_process("front", front.pid)
        metrics.expose_dp_server(dp_server.stats)
        metrics.expose_hub(hub)
        metrics.expose_store(store)
        metrics.expose_vips(vips.figures)
        metrics.expose_http("dp_server", bootstrap.traffic)
        metrics.expose_http("api_server", api.traffic)
        metrics.expose("tokens_issued_total", lambda: api.tokens_issued)
        metrics.expose("log_lines_held_total", lambda: dp_server.lines.held + bootstrap.lines.held)
        await api.start()
        stack.push_async_callback(api.stop)
        # Last, because a gRPC server that was started must be stopped in a way of its own: see `serve`.
        await dp_server.start(f"unix:{grpc_socket}")
        _calm_garbage_collection()
        return cls(dp_server, front, bootstrap, diagnostics, vips)

    async def serve(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; UserError when a part ends by itself."""
        try:
            async with asyncio.TaskGroup() as group:
                bootstrap = group.create_task(self._bootstrap.run())
                watch = group.create_task(self._front.wait())
                group.create_task(self._dp_server.run())
                vips = group.create_task(self._vips.run())
                self._diagnostics.ready = True
                _log.info("kuma-cp is ready", extra={"version": VERSION, "dp_server_port": self._front.port})
                await stopping.wait()
                _log.info("kuma-cp is stopping; proxies keep what they have")
                self._diagnostics.ready = False
                await self._dp_server.stop(STOP_GRACE_S)
                bootstrap.cancel()
                watch.cancel()
                vips.cancel()
        except* UserError as group_of_one:
            raise group_of_one.exceptions[0] from None


async def _vip_driver(store: Store, settings: CpSettings, addresses: VipSettings) -> VipDriver:
    """With all that is stored."""
    vips = VipDriver(
        store,
        addresses,
        service_vips=settings.dns_service_vip_enabled,
        longest_rest_s=settings.vip_refresh_interval,
        grace_s=settings.dns_deletion_grace_period,
    )
    await vips.load()
    return vips


async def _api_server(
    settings: CpSettings,
    store: Store,
    manager: ResourceManager,
    *,
    certificate: ServerCertificate,
    instance: str,
    proxies: ProxiesDriver,
) -> ApiServer:
    return ApiServer(
        settings,
        store,
        manager,
        _key_rings(store, settings),
        InstanceFacts(socket.gethostname(), instance, await _cluster_id(store)),
        certificate=(certificate.cert_path, certificate.key_path),
        proxies=proxies,
    )


def _calm_garbage_collection() -> None:
    """What is here now stays, and what a thousand proxies add stays for hours: with Python's thresholds the
    collector would walk all of it in the middle of a push, again and again (0.1 s each)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _certificate(
    settings: CpSettings, own: tuple[Path | None, Path | None], general: ServerCertificate
) -> ServerCertificate:
    """That of one server: its own pair, if it was given one."""
    return general if own == (None, None) else ensure_server_certificate(settings.work_dir, *own)


async def _open_store(settings: CpSettings) -> Store:
    if settings.store_type == "memory":
        return MemoryStore()
    return await SqliteStore.open(settings.work_dir.expanduser() / DATABASE)


def _grpc_socket(settings: CpSettings, stack: AsyncExitStack) -> Path:
    """Where the front reaches gRPC; of this user alone. In the work dir if that is ours alone and its path is
    short enough: then what a killed control plane leaves behind is taken over by the next one."""
    path = settings.work_dir.expanduser().absolute() / GRPC_SOCKET
    if settings.store_type == "memory" or len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kuma-cp-"))
        return Path(folder) / GRPC_SOCKET
    path.unlink(missing_ok=True)
    stack.callback(path.unlink, missing_ok=True)
    return path


async def _admin_ca(store: Store) -> bytes:
    """Read anew, so that a CA that was replaced is known; empty when there is none."""
    try:
        secret = await store.get(ResourceKey("GlobalSecret", "", ADMIN_CA_SECRET))
    except NotFound:
        return b""
    data: bytes = secret.spec.data
    return data


async def _cluster_id(store: Store) -> str:
    """The same for every control plane on this store, also after a restart: derived from what only it has."""
    secret = await store.get(ResourceKey("GlobalSecret", "", ADMIN_CA_SECRET))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, secret.creation_time.isoformat()))


def _key_rings(store: Store, settings: CpSettings) -> KeyRings:
    """Keys are read anew each time, so that one made by the request before is known."""
    user_keys = load_public_keys(settings.user_token_public_keys)

    async def read() -> KeyRing:
        return KeyRing(
            [*await store.list("Secret"), *await store.list("GlobalSecret")],
            static_user_keys=user_keys,
            use_user_secrets=settings.user_token_validator_use_secrets,
        )

    return read
