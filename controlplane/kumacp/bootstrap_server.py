"""`POST /bootstrap` on port 5678: HTTP over the connections that the front hands over (contract 1).

Whoever reaches the port may come here without a token, so connections are few and short.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from kumacp.bootstrap_service import BootstrapAnswer, asker
from kumacp.figures import HttpTraffic
from kumacp.http_server import BodyRefused, HttpServer, read_body
from kumacp.tls_context_disk import CertificateContext
from kumamesh.errors import one_line
from kumamesh.line_budget import LineBudget

MAX_BODY_BYTES = 10 * 2**20
HANDSHAKE_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 10.0
CONNECTION_LIFE_S = 30.0
SHUTDOWN_TIMEOUT_S = 1.0
MAX_HANDSHAKES = 1_000
"""Handshakes under way at once; further connections wait for their turn."""
MAX_WAITING = 4_096
"""Connections that wait; a further one is closed, its agent tries again."""
HANDSHAKES_PER_TURN = 8
"""Handshakes begun in one turn of the event loop, which must hear the streams of proxies in between, however
many agents ask at once. A few per turn, and not a few at a time, because silent clients take their time."""

_SHOWN_BYTES = 1_000

Answer = Callable[[bytes, str, str], Awaitable[BootstrapAnswer]]
"""(body, Host header, Accept header) to the answer."""

_log = logging.getLogger(__name__)


class BootstrapServer:
    """Serves sockets given to `take`; `certificate` and `key` are PEM files, read again when they change."""

    def __init__(self, answer: Answer, certificate: Path, key: Path) -> None:
        self._answer = answer
        self._tls = CertificateContext(certificate, key)
        self.traffic = HttpTraffic()
        self.lines = LineBudget()
        self._server = HttpServer(
            self._serve, keepalive_s=0.0, life_s=CONNECTION_LIFE_S, traffic=self.traffic
        )
        self._waiting: asyncio.Queue[socket.socket] = asyncio.Queue(MAX_WAITING)

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
                    for _ in range(HANDSHAKES_PER_TURN):
                        client = await self._waiting.get()
                        await handshakes.acquire()
                        group.create_task(self._connect(client, handshakes))
                    await asyncio.sleep(0)
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
            if line := self.lines.admit("fault", "a bootstrap request failed", time.monotonic()):
                _log.exception("%s", line)
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
            await self._report(answer, body, request.remote or "")
        headers = {"content-type": answer.content_type} if answer.content_type else {}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _report(self, answer: BootstrapAnswer, body: bytes, peer: str) -> None:
        """A refusal is told to the agent, and to whoever reads this log."""
        reason = one_line(answer.body[:_SHOWN_BYTES].decode("utf-8", "replace"))
        what = f"bootstrap refused: {reason}" if reason else "bootstrap refused"
        line = self.lines.admit(str(answer.status), what, time.monotonic())
        if line:
            proxy = await asyncio.to_thread(asker, body)
            named = {"proxy": proxy} if proxy else {}
            _log.warning("%s", line, extra={**named, "status": answer.status, "peer": peer})
