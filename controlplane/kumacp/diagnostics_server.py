"""The diagnostics on their port: plain HTTP, or HTTPS (kuma-cp 1.4)."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from aiohttp import web

from kumacp.api import problem
from kumacp.api.exchange import Request, problem_answer
from kumacp.api.problem import Problem
from kumacp.debug_process import memory_page, tasks_page
from kumacp.diagnostics import Diagnostics
from kumacp.http_server import BodyRefused, HttpServer, read_body
from kumacp.identity.server_cert_disk import ServerCertificate
from kumacp.listen_server import listen
from kumacp.metrics import Metrics
from kumacp.settings import CpSettings
from kumacp.tls_context_disk import CertificateContext
from kumacp.tls_site_server import TlsSite
from kumamesh.logs import Levels

IDLE_TIMEOUT_S = 120.0
SHUTDOWN_TIMEOUT_S = 1.0
BODY_TIMEOUT_S = 5.0
MAX_BODY_BYTES = 2**20
_DEBUG_PAGES = {"tasks": tasks_page, "memory": memory_page}


class DiagnosticsServer:
    """Answers 503 at /ready until `ready` is set; `start` raises UserError when it cannot listen.
    `certificate` is used when TLS is wanted."""

    def __init__(
        self, settings: CpSettings, metrics: Metrics, levels: Levels, certificate: ServerCertificate | None
    ) -> None:
        self._settings = settings
        self._certificate = certificate if settings.diagnostics_tls_enabled else None
        self._diagnostics = Diagnostics(
            metrics, levels, _DEBUG_PAGES if settings.diagnostics_debug_endpoints else {}
        )
        self._lag = 0.0
        metrics.expose("event_loop_lag_seconds", lambda: self._lag)
        self._runner: web.ServerRunner | None = None
        self.port = 0

    @property
    def ready(self) -> bool:
        return self._diagnostics.ready

    @ready.setter
    def ready(self, value: bool) -> None:
        self._diagnostics.ready = value

    async def start(self) -> None:
        files = self._certificate
        tls = CertificateContext(files.cert_path, files.key_path).lasting() if files else None
        listener = listen(
            self._settings.diagnostics_interface,
            self._settings.diagnostics_port,
            port_variable="KUMA_DIAGNOSTICS_SERVER_PORT",
            interface_variable="KUMADP_DIAGNOSTICS_SERVER_INTERFACE",
        )
        self.port = listener.getsockname()[1]
        server = HttpServer(self._serve, keepalive_s=IDLE_TIMEOUT_S)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        site = TlsSite(self._runner, listener, tls) if tls else web.SockSite(self._runner, listener)
        await site.start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        try:
            request = await _read(raw)
            if request.segments == ("metrics",):
                await self._measure_lag()
            answer = self._diagnostics.answer(request)
        except Problem as error:
            answer = problem_answer(error)
        # The content type as it is: that of metrics carries a version.
        headers = {"Content-Type": answer.content_type, **answer.headers}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _measure_lag(self) -> None:
        """How long everything takes that is ready to run now."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(0)
        self._lag = loop.time() - start


async def _read(raw: web.BaseRequest) -> Request:
    """Raises Problem."""
    try:
        body = await read_body(raw, limit=MAX_BODY_BYTES, timeout_s=BODY_TIMEOUT_S)
    except BodyRefused as error:
        raise problem.body_refused(error.status, str(error)) from None
    path = raw.rel_url.raw_path.strip("/")
    return Request(
        method=raw.method,
        segments=tuple(unquote(part) for part in path.split("/")) if path else (),
        headers={name.lower(): value for name, value in raw.headers.items()},
        body=body,
        peer=raw.remote or "",
        origin=f"{raw.scheme}://{raw.host}",
    )
