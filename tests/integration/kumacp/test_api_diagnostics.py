"""The diagnostics over a real server."""

from __future__ import annotations

import dataclasses
import io
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kumacp.diagnostics_server import DiagnosticsServer
from kumacp.identity.server_cert_disk import ensure_server_certificate
from kumacp.metrics import Metrics
from kumamesh import logs
from kumamesh.errors import UserError
from kumamesh.logs import Levels
from running_api import LOOPBACK


@pytest.fixture
def levels() -> Iterator[Levels]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configured = logs.configure("info", "text", io.StringIO(), package="kumacp")
    yield configured
    configured.reset()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def server(levels: Levels) -> AsyncIterator[DiagnosticsServer]:
    metrics = Metrics()
    metrics.expose("store_writes_total", lambda: {"create": 3})
    settings = dataclasses.replace(LOOPBACK, diagnostics_debug_endpoints=True)
    running = DiagnosticsServer(settings, metrics, levels, None)
    await running.start()
    yield running
    await running.stop()


async def call(
    server: DiagnosticsServer, path: str, method: str = "GET", body: Any = None, **options: Any
) -> tuple[int, str, str]:
    url = f"{'https' if 'ssl' in options else 'http'}://localhost:{server.port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body, **options) as answer,
    ):
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
    assert 'store_writes_total{operation="create"} 3.0' in text
    lag = next(line for line in text.splitlines() if line.startswith("event_loop_lag_seconds "))
    assert 0.0 < float(lag.split()[1]) < 10.0


async def test_other_paths_and_methods_have_the_error_shape(server):
    status, content_type, text = await call(server, "/other")
    assert (status, content_type) == (404, "application/problem+json")
    assert "/std-errors" in text
    assert (await call(server, "/ready", "PUT"))[0] == 405


async def test_a_level_is_set_and_taken_back(server):
    assert await call(server, "/logging", "PUT", '{"level": "debug"}') == (200, "application/json", "")
    assert logging.getLogger("kumacp.app").isEnabledFor(logging.DEBUG)
    assert (await call(server, "/logging"))[2] == '{"level":"debug","components":{}}'
    assert (await call(server, "/logging", "DELETE"))[0] == 200
    assert not logging.getLogger("kumacp.app").isEnabledFor(logging.DEBUG)


async def test_a_body_without_end_is_refused(server):
    assert (await call(server, "/logging", "PUT", io.BytesIO(bytes(2**21))))[0] == 413


async def test_debug_pages_name_places_and_types(server):
    secret = "a-secret-in-the-memory-of-this-process"
    status, _, tasks = await call(server, "/debug/tasks")
    assert status == 200
    assert "test_debug_pages_name_places_and_types at " in tasks
    assert ".py:" in tasks
    status, _, memory = await call(server, "/debug/memory")
    assert status == 200
    assert "builtins." in memory
    assert "resident" in memory
    assert secret not in tasks + memory


async def test_without_the_option_there_are_no_debug_pages(levels):
    plain = DiagnosticsServer(LOOPBACK, Metrics(), levels, None)
    await plain.start()
    try:
        assert (await call(plain, "/debug/tasks"))[0] == 404
    finally:
        await plain.stop()


async def test_over_tls(levels, tmp_path: Path):
    certificate = ensure_server_certificate(tmp_path, None, None)
    settings = dataclasses.replace(LOOPBACK, diagnostics_tls_enabled=True)
    secure = DiagnosticsServer(settings, Metrics(), levels, certificate)
    await secure.start()
    try:
        trusting = ssl.create_default_context(cafile=certificate.cert_path)
        assert (await call(secure, "/healthy", ssl=trusting))[0] == 200
        assert (await call(secure, "/logging", "PUT", '{"level": "debug"}', ssl=trusting))[0] == 200
        with pytest.raises(aiohttp.ClientError):
            await call(secure, "/healthy")
    finally:
        await secure.stop()


async def test_a_port_in_use_names_the_variable(server, levels):
    settings = dataclasses.replace(LOOPBACK, diagnostics_port=server.port)
    with pytest.raises(UserError, match="set KUMA_DIAGNOSTICS_SERVER_PORT to a free port"):
        await DiagnosticsServer(settings, Metrics(), levels, None).start()
