"""/ready, /healthy and /metrics over a real server."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kumacp.diagnostics_server import DiagnosticsServer
from kumacp.metrics import Metrics
from kumamesh.errors import UserError
from running_api import LOOPBACK


@pytest.fixture
async def server() -> AsyncIterator[DiagnosticsServer]:
    metrics = Metrics()
    metrics.expose("api_requests", lambda: {"200": 3})
    running = DiagnosticsServer(LOOPBACK, metrics)
    await running.start()
    yield running
    await running.stop()


async def call(server: DiagnosticsServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_ready_only_when_told(server):
    assert (await call(server, "/ready"))[0] == 503
    assert (await call(server, "/healthy"))[0] == 200
    server.ready = True
    assert (await call(server, "/ready"))[0] == 200
    server.ready = False
    assert (await call(server, "/ready"))[0] == 503


async def test_metrics_are_text(server):
    status, content_type, text = await call(server, "/metrics")
    assert (status, content_type) == (200, "text/plain")
    assert 'api_requests_total{status="200"} 3.0' in text


async def test_other_paths_and_methods_have_the_error_shape(server):
    status, content_type, text = await call(server, "/other")
    assert (status, content_type) == (404, "application/problem+json")
    assert "/std-errors" in text
    assert (await call(server, "/ready", "PUT"))[0] == 405


async def test_a_port_in_use_names_the_variable(server):
    settings = dataclasses.replace(LOOPBACK, diagnostics_port=server.port)
    with pytest.raises(UserError, match="set KUMA_DIAGNOSTICS_SERVER_PORT to a free port"):
        await DiagnosticsServer(settings, Metrics()).start()
