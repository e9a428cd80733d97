"""Diagnostics over plain HTTP: /ready, /healthy, /metrics (kuma-cp 1.4)."""

from __future__ import annotations

from aiohttp import web

from kumacp.api.exchange import problem_answer
from kumacp.api.problem import not_allowed, not_found
from kumacp.http_server import HttpServer
from kumacp.listen_server import listen
from kumacp.metrics import CONTENT_TYPE, Metrics
from kumacp.settings import CpSettings

PATHS = ("/ready", "/healthy", "/metrics")
IDLE_TIMEOUT_S = 120.0
SHUTDOWN_TIMEOUT_S = 1.0


class DiagnosticsServer:
    """Answers 503 at /ready until `ready` is set; `start` raises UserError when it cannot listen."""

    def __init__(self, settings: CpSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._runner: web.ServerRunner | None = None
        self.ready = False
        self.port = 0

    async def start(self) -> None:
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
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path not in PATHS:
            answer = problem_answer(
                not_found("Not Found", f"there is no {request.path}; use {', '.join(PATHS)}")
            )
        elif request.method not in ("GET", "HEAD"):
            answer = problem_answer(not_allowed("diagnostics are read-only", ("GET", "HEAD")))
        elif request.path == "/metrics":
            return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})
        elif request.path == "/ready" and not self.ready:
            return web.Response(status=503, text="not ready: the control plane is starting or stopping\n")
        else:
            return web.Response(text="ready\n" if request.path == "/ready" else "healthy\n")
        return web.Response(
            status=answer.status,
            body=answer.body,
            content_type=answer.content_type,
            headers=dict(answer.headers),
        )
