"""A TLS port of an HTTP server, on which few handshakes are under way at a time, and none for long.

aiohttp's own sites give a silent client a minute, and count a connection when its handshake is over: whoever
opens enough of them and says nothing takes all descriptors of the process.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import cast

from aiohttp import web

HANDSHAKE_TIMEOUT_S = 10.0
MAX_HANDSHAKES = 1_000
"""Under way at once; further clients wait in the listen backlog."""
ACCEPT_BATCH = 64
_PAUSE_S = 1.0


class TlsSite(web.BaseSite):
    """For a runner whose server was set up; ends with the runner."""

    def __init__(self, runner: web.ServerRunner, listener: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(runner, ssl_context=context)
        self._listener = listener
        self._context = context

    @property
    def name(self) -> str:
        return f"https://{self._listener.getsockname()}"

    async def start(self) -> None:
        await super().start()
        assert self._runner.server is not None
        acceptor = _Acceptor(self._listener, self._context, self._runner.server)
        # Of a server, its site uses nothing but `close`.
        self._server = cast(asyncio.AbstractServer, acceptor)


class _Acceptor:
    """Accepts, shakes hands, and hands the connection to the server."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext, server: web.Server) -> None:
        self._listener, self._context, self._http = listener, context, server
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._accept_more()

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for handshake in self._handshakes:
            handshake.cancel()

    def _accept_more(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPT_BATCH):
            if len(self._handshakes) >= MAX_HANDSHAKES:
                self._loop.remove_reader(self._listener)
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors or memory: pause instead of spinning on a ready socket
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_PAUSE_S, self._accept_more)
                return
            client.setblocking(False)
            handshake = self._loop.create_task(self._shake_hands(client))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._ended)

    def _ended(self, handshake: asyncio.Task[None]) -> None:
        self._handshakes.discard(handshake)
        self._accept_more()

    async def _shake_hands(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._http, client, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except OSError:
            # A client that speaks no TLS, or does not trust the certificate: it knows why.
            client.close()
