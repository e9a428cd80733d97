"""`POST /bootstrap` on port 5678: HTTP over the connections that the front hands over (contract 1).

Whoever reaches the port may come here without a token, so connections are few and short.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from kumacp.bootstrap_service import BootstrapAnswer
from kumacp.http_server import BodyRefused, HttpServer, read_body
from kumacp.tls_context_disk import CertificateContext

MAX_BODY_BYTES = 10 * 2**20
HANDSHAKE_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 10.0
CONNECTION_LIFE_S = 30.0
SHUTDOWN_TIMEOUT_S = 1.0
MAX_HANDSHAKES = 1_000
"""Handshakes under way at once; a further connection is closed, its agent tries again."""

Answer = Callable[[bytes, str, str], Awaitable[BootstrapAnswer]]
"""(body, Host header, Accept header) to the answer."""

_log = logging.getLogger(__name__)


class BootstrapServer:
    """Serves sockets given to `take`; `certificate` and `key` are PEM files, read again when they change."""

    def __init__(self, answer: Answer, certificate: Path, key: Path) -> None:
        self._answer = answer
        self._tls = CertificateContext(certificate, key)
        self._server = HttpServer(self._serve, keepalive_s=0.0, life_s=CONNECTION_LIFE_S)
        self._waiting: asyncio.Queue[socket.socket] = asyncio.Queue(MAX_HANDSHAKES)

    def take(self, client: socket.socket) -> None:
        """Serve an accepted, untouched TCP connection."""
        try:
            self._waiting.put_nowait(client)
        except asyncio.QueueFull:
            client.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
                while True:
                    client = await self._waiting.get()
                    await handshakes.acquire()
                    group.create_task(self._connect(client, handshakes))
        finally:
            await self._server.shutdown(SHUTDOWN_TIMEOUT_S)

    async def _connect(self, client: socket.socket, handshakes: asyncio.Semaphore) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server, client, ssl=self._tls.current(), ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except OSError:
            # A client that speaks no TLS, or does not trust the certificate: it knows why.
            client.close()
        finally:
            handshakes.release()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        try:
            response = await self._respond(request)
        except BodyRefused as error:
            response = web.Response(status=error.status, text=str(error))
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - the driver: one bad request must not take the server down
            # The request has a token: it must not be in the log.
            _log.exception("a bootstrap request failed")
            response = web.Response(status=500)
        response.force_close()
        return response

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        if request.path != "/bootstrap":
            return web.Response(status=404, text="404: Page Not Found")
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"}, text="use POST")
        body = await read_body(request, limit=MAX_BODY_BYTES, timeout_s=REQUEST_TIMEOUT_S)
        answer = await self._answer(body, request.host, request.headers.get("accept", ""))
        if answer.status >= 400:
            _log.warning("bootstrap refused", extra={"status": answer.status, "peer": request.remote})
        headers = {"content-type": answer.content_type} if answer.content_type else {}
        return web.Response(status=answer.status, body=answer.body, headers=headers)
