"""The control plane of a zone: makes every room, starts them in order, ends them in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from kumacp.bootstrap_driver import BootstrapDriver
from kumacp.bootstrap_server import BootstrapServer
from kumacp.defaults_driver import ensure_defaults
from kumacp.diagnostics_server import DiagnosticsServer
from kumacp.dpserver.server import DpServer
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.envoyadmin.admin_client import AdminClient
from kumacp.envoyadmin.proxies_driver import ProxiesDriver
from kumacp.foundation_app import Foundation, calm_garbage_collection
from kumacp.front.process import FrontProcess
from kumacp.identity.admin_ca import ADMIN_CA_SECRET
from kumacp.identity.server_cert_disk import ServerCertificate
from kumacp.identity.signing_keys_disk import load_public_keys
from kumacp.kds.at_zone.federation_driver import Federation
from kumacp.kds.own_id_driver import STORE_ID, ensure_id
from kumacp.metrics import Metrics
from kumacp.mode import Role
from kumacp.policy.permission import inbound_rbac, outside_rbac
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumacp.vips.names import VipSettings
from kumacp.vips.settings import vip_settings
from kumacp.vips.vip_driver import VipDriver
from kumacp.xds.build import build
from kumacp.xds.edge.egress import Egress
from kumacp.xds.edge.ingress import Ingress
from kumacp.xds.hub import Hub
from kumamesh.errors import UserError
from kumamesh.logs import Levels
from kumamesh.resource import ResourceKey
from kumamesh.version import VERSION

GRPC_SOCKET = "grpc.sock"
MAX_SOCKET_PATH_BYTES = 107
DP_SERVER_INTERFACE = "0.0.0.0"
STOP_GRACE_S = 2.0

_log = logging.getLogger(__name__)


class Job(Protocol):
    """What goes on in the background until it is cancelled."""

    async def run(self) -> None: ...


class ZonePlane:
    """The parts that run side by side."""

    def __init__(
        self,
        dp_server: DpServer,
        front: FrontProcess,
        bootstrap: BootstrapServer,
        diagnostics: DiagnosticsServer,
        others: Sequence[Job],
    ) -> None:
        self._dp_server = dp_server
        self._front = front
        self._bootstrap = bootstrap
        self._diagnostics = diagnostics
        self._others = others

    @classmethod
    async def start(
        cls, settings: CpSettings, checked: Role, levels: Levels, stack: AsyncExitStack
    ) -> ZonePlane:
        """Everything listening; `stack` ends what was started, also when a later part cannot start."""
        addresses = vip_settings(settings)
        base = await Foundation.lay(settings, checked, levels, stack)
        store = base.store
        own = (settings.dp_server_tls_cert_file, settings.dp_server_tls_key_file)
        certificate = base.certificate_of(own, "KUMA_DP_SERVER_TLS")
        carriers = (Ingress(), Egress(outside_rbac))
        hub = Hub(checked.zone, build, inbound_rbac, addresses, carriers)
        dp_server = _dp_server(base, hub, certificate)
        driver = BootstrapDriver(settings, store, certificate.cert_path, lambda: dp_server.keys)
        bootstrap = BootstrapServer(driver.answer, certificate.cert_path, certificate.key_path)
        grpc_socket = _grpc_socket(settings, stack)
        front = FrontProcess.start(DP_SERVER_INTERFACE, settings.dp_server_port, grpc_socket, bootstrap.take)
        stack.push_async_callback(front.stop)
        await ensure_defaults(store, base.manager, settings)
        vips = await _vip_driver(store, settings, addresses)
        proxies = ProxiesDriver(hub, dp_server.connection, AdminClient(lambda: _admin_ca(store)))
        others: list[Job] = [vips]
        if checked.federated:
            others.append(await _federation(base, proxies))
        api = base.api_server(await _cluster_id(store), proxies)
        base.metrics.expose_process("front", front.pid)
        base.metrics.expose_hub(hub)
        base.metrics.expose_vips(vips.figures)
        _expose(base.metrics, dp_server, bootstrap)
        await api.start()
        stack.push_async_callback(api.stop)
        # Last, because a gRPC server that was started must be stopped in a way of its own: see `serve`.
        await dp_server.start(f"unix:{grpc_socket}")
        calm_garbage_collection()
        return cls(dp_server, front, bootstrap, base.diagnostics, others)

    async def serve(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; UserError when a part ends by itself."""
        try:
            async with asyncio.TaskGroup() as group:
                bootstrap = group.create_task(self._bootstrap.run())
                watch = group.create_task(self._front.wait())
                group.create_task(self._dp_server.run())
                others = [group.create_task(job.run()) for job in self._others]
                self._diagnostics.ready = True
                _log.info("kuma-cp is ready", extra={"version": VERSION, "dp_server_port": self._front.port})
                await stopping.wait()
                _log.info("kuma-cp is stopping; proxies keep what they have")
                self._diagnostics.ready = False
                await self._dp_server.stop(STOP_GRACE_S)
                for task in (bootstrap, watch, *others):
                    task.cancel()
        except* UserError as group_of_one:
            raise group_of_one.exceptions[0] from None


def _dp_server(base: Foundation, hub: Hub, certificate: ServerCertificate) -> DpServer:
    return DpServer(
        base.settings,
        base.store,
        base.manager,
        hub,
        certificate=CertificateFiles(certificate.cert_path, certificate.key_path),
        static_dataplane_keys=load_public_keys(base.settings.dp_token_public_keys),
        instance_id=base.instance,
    )


async def _federation(base: Foundation, proxies: ProxiesDriver) -> Federation:
    """What keeps the zone joined to its global control plane, counted."""
    federation = Federation(
        base.settings,
        base.role,
        base.store,
        instance_id=base.instance,
        store_id=await ensure_id(base.store, STORE_ID),
        proxies=proxies,
    )
    base.metrics.expose_sync(federation.traffic)
    base.metrics.expose_link(federation.figures)
    return federation


def _expose(metrics: Metrics, dp_server: DpServer, bootstrap: BootstrapServer) -> None:
    metrics.expose_dp_server(dp_server.stats)
    metrics.expose_http("dp_server", bootstrap.traffic)
    metrics.expose("log_lines_held_total", lambda: dp_server.lines.held + bootstrap.lines.held)


async def _vip_driver(store: Store, settings: CpSettings, addresses: VipSettings) -> VipDriver:
    """With all that is stored."""
    vips = VipDriver(
        store,
        addresses,
        zone=settings.zone_name,
        service_vips=settings.dns_service_vip_enabled,
        longest_rest_s=settings.vip_refresh_interval,
        grace_s=settings.dns_deletion_grace_period,
    )
    await vips.load()
    return vips


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
