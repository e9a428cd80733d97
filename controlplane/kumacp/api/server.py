"""The REST API on its ports: aiohttp around `Application` (contract 9.1; kuma-cp 1.3)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from kumacp.api import problem
from kumacp.api.application import Application, InstanceFacts, KeyRings
from kumacp.api.exchange import MAX_BODY_BYTES, Answer, Request, problem_answer
from kumacp.api.problem import Problem
from kumacp.api.resources import Manager
from kumacp.listen_server import listen
from kumacp.settings import CpSettings
from kumacp.store.api import Store
from kumamesh.errors import UserError

BODY_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 120.0
SHUTDOWN_TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)


class ApiServer:
    """Serves HTTP and HTTPS, both with the same routes. `start` raises UserError when it cannot listen."""

    def __init__(
        self,
        settings: CpSettings,
        store: Store,
        manager: Manager,
        key_rings: KeyRings,
        facts: InstanceFacts,
        *,
        certificate: tuple[Path, Path] | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._certificate = certificate
        self._application = Application(settings, store, manager, key_rings, facts, now=now)
        self._runner: web.ServerRunner | None = None
        self.http_port = 0
        self.https_port = 0

    @property
    def requests(self) -> dict[str, int]:
        """Answered requests by status, for the metrics."""
        return self._application.requests

    async def start(self) -> None:
        listeners = self._listeners()
        server = web.Server(self._serve, access_log=None, keepalive_timeout=IDLE_TIMEOUT_S)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        for listener, context in listeners:
            await web.SockSite(self._runner, listener, ssl_context=context).start()
        _log.info(
            "the REST API is served", extra={"http_port": self.http_port, "https_port": self.https_port}
        )

    async def stop(self) -> None:
        """Stop listening; requests under way get a moment to end."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _listeners(self) -> list[tuple[socket.socket, ssl.SSLContext | None]]:
        """All sockets, or none when one of them cannot be had."""
        listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        try:
            if self._settings.api_http_enabled:
                listeners.append((self._bind("HTTP"), None))
                self.http_port = listeners[-1][0].getsockname()[1]
            if self._settings.api_https_enabled and self._certificate is not None:
                context = _server_context(*self._certificate)
                listeners.append((self._bind("HTTPS"), context))
                self.https_port = listeners[-1][0].getsockname()[1]
        except UserError:
            for listener, _ in listeners:
                listener.close()
            raise
        return listeners

    def _bind(self, scheme: str) -> socket.socket:
        secure = scheme == "HTTPS"
        settings = self._settings
        return listen(
            settings.api_https_interface if secure else settings.api_http_interface,
            settings.api_https_port if secure else settings.api_http_port,
            port_variable=f"KUMA_API_SERVER_{scheme}_PORT",
            interface_variable=f"KUMA_API_SERVER_{scheme}_INTERFACE",
        )

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await self._application.handle(await _read(raw))
        except Problem as error:
            answer = problem_answer(error)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - the driver: one bad request must not take the server down
            _log.exception("a request failed", extra={"method": raw.method, "path": raw.path})
            answer = problem_answer(Problem(500, problem.INTERNAL, "the control plane's log has the reason"))
        return _response(answer)


async def _read(raw: web.BaseRequest) -> Request:
    """The request with its body; raises Problem 413 and 408."""
    if (raw.content_length or 0) > MAX_BODY_BYTES:
        raise problem.too_large(MAX_BODY_BYTES)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in raw.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise problem.too_large(MAX_BODY_BYTES)
    except TimeoutError:
        raise Problem(408, problem.TIMEOUT, f"the body did not arrive in {BODY_TIMEOUT_S:.0f} s") from None
    path = raw.rel_url.raw_path.strip("/")
    return Request(
        method=raw.method,
        segments=tuple(unquote(part) for part in path.split("/")) if path else (),
        query=tuple(raw.rel_url.query.items()),
        headers={name.lower(): value for name, value in raw.headers.items()},
        body=bytes(body),
        peer=raw.remote or "",
        origin=f"{raw.scheme}://{raw.host}",
    )


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        charset="utf-8" if answer.content_type.startswith("text/") else None,
        headers=dict(answer.headers),
    )


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"cannot load the certificate {certificate} with the key {key}: {error}; "
            "check KUMA_GENERAL_TLS_CERT_FILE and KUMA_GENERAL_TLS_KEY_FILE"
        ) from None
    return context
