"""`POST /bootstrap` on port 5678: HTTP over the connections that the front hands over (contract 1)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from kumacp.bootstrap_service import BootstrapAnswer
from kumamesh.errors import UserError

MAX_BODY_BYTES = 10 * 2**20
HANDSHAKE_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 15.0
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
        self._files = (certificate, key)
        self._stamp = _stamp(self._files)
        self._context = _server_context(self._files)
        self._server = web.Server(self._serve, access_log=None, keepalive_timeout=IDLE_TIMEOUT_S)
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
                self._server, client, ssl=self._current_context(), ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except OSError:
            # A client that speaks no TLS, or does not trust the certificate: it knows why.
            client.close()
        finally:
            handshakes.release()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        if request.path != "/bootstrap":
            return web.Response(status=404, text="404: Page Not Found")
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"}, text="use POST")
        body = bytearray()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        return web.Response(status=413, text="the bootstrap request is larger than 10 MiB")
        except TimeoutError:
            return web.Response(status=408, text="the bootstrap request did not arrive in time")
        return await self._answered(request, bytes(body))

    async def _answered(self, request: web.BaseRequest, body: bytes) -> web.Response:
        try:
            answer = await self._answer(body, request.host, request.headers.get("accept", ""))
        except Exception:  # noqa: BLE001 - the driver: one bad request must not take the server down
            # The request has a token: it must not be in the log.
            _log.exception("a bootstrap request failed")
            return web.Response(status=500)
        if answer.status >= 400:
            _log.warning("bootstrap refused", extra={"status": answer.status, "peer": request.remote})
        headers = {"content-type": answer.content_type} if answer.content_type else {}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _current_context(self) -> ssl.SSLContext:
        stamp = _stamp(self._files)
        if stamp != self._stamp:
            try:
                self._context = _server_context(self._files)
                _log.info("the server certificate was loaded again")
            except UserError as error:
                _log.error("%s; the certificate before stays in use", error)
            self._stamp = stamp
        return self._context


def _stamp(files: tuple[Path, Path]) -> tuple[int, ...]:
    try:
        return tuple(path.stat().st_mtime_ns for path in files)
    except OSError:
        return ()


def _server_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    """A new context for every pair: a mismatched pair loaded in place would break every later handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(*files)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"the certificate {files[0]} and the key {files[1]} cannot be used: {error}"
        ) from None
    return context
