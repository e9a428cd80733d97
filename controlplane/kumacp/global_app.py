"""The global control plane: the REST API for people, and the server that zones dial."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from kumacp.defaults_driver import ensure_defaults
from kumacp.diagnostics_server import DiagnosticsServer
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.foundation_app import Foundation, calm_garbage_collection
from kumacp.kds.at_global.global_server import GlobalServer
from kumacp.kds.at_global.service_insight_driver import ServiceInsightDriver
from kumacp.kds.at_zone.trust import CLUSTER_ID
from kumacp.kds.own_id_driver import ensure_id
from kumacp.mode import Role
from kumacp.settings import CpSettings
from kumamesh.errors import UserError
from kumamesh.logs import Levels
from kumamesh.version import VERSION

INTERFACE = "0.0.0.0"
STOP_GRACE_S = 2.0

_log = logging.getLogger(__name__)


class GlobalPlane:
    """The parts that run side by side."""

    def __init__(
        self, zones: GlobalServer, port: int, services: ServiceInsightDriver, diagnostics: DiagnosticsServer
    ) -> None:
        self._zones = zones
        self._port = port
        self._services = services
        self._diagnostics = diagnostics

    @classmethod
    async def start(
        cls, settings: CpSettings, checked: Role, levels: Levels, stack: AsyncExitStack
    ) -> GlobalPlane:
        """Everything listening; `stack` ends what was started, also when a later part cannot start."""
        base = await Foundation.lay(settings, checked, levels, stack)
        await ensure_defaults(base.store, base.manager, settings)
        zones = _server(base)
        services = ServiceInsightDriver(base.store)
        await services.load()
        api = base.api_server(await ensure_id(base.store, CLUSTER_ID), zones.proxies)
        base.metrics.expose_sync(zones.traffic)
        base.metrics.expose_zones(zones.zones)
        base.metrics.expose("kds_streams_refused_total", lambda: zones.refused)
        base.metrics.expose("log_lines_held_total", lambda: zones.lines.held)
        await api.start()
        stack.push_async_callback(api.stop)
        # Last, because a gRPC server that was started must be stopped in a way of its own: see `serve`.
        port = await zones.start(f"{INTERFACE}:{settings.kds_grpc_port}")
        calm_garbage_collection()
        return cls(zones, port, services, base.diagnostics)

    async def serve(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; UserError when a part ends by itself."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._zones.run())
                services = group.create_task(self._services.run())
                self._diagnostics.ready = True
                _log.info("kuma-cp is ready", extra={"version": VERSION, "kds_port": self._port})
                await stopping.wait()
                _log.info("kuma-cp is stopping; zones keep what they have")
                self._diagnostics.ready = False
                await self._zones.stop(STOP_GRACE_S)
                services.cancel()
        except* UserError as group_of_one:
            raise group_of_one.exceptions[0] from None


def _server(base: Foundation) -> GlobalServer:
    settings = base.settings
    certificate = None
    if settings.kds_tls_enabled:
        own = (settings.kds_tls_cert_file, settings.kds_tls_key_file)
        pair = base.certificate_of(own, "KUMA_MULTIZONE_GLOBAL_KDS_TLS")
        certificate = CertificateFiles(pair.cert_path, pair.key_path)
    else:
        _log.warning(
            "KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED=false: secrets and policies pass to zones unencrypted"
        )
    return GlobalServer(settings, base.store, certificate=certificate, instance_id=base.instance)
