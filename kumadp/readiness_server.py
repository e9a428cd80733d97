"""GET /ready for probes and for Envoy's readiness cluster (contract 2.5)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import h11

from kumadp.readiness import Readiness
from kumadp.work_dir_disk import remove_stale_socket

_HEAD_TIMEOUT_S = 10.0
_MAX_CONNECTIONS = 128


class ReadinessServer:
    """Answers with `state`, over TCP and, unless told not to, over a Unix socket."""

    def __init__(self) -> None:
        self.state = Readiness.NOT_READY
        self._writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def serving(self, listener: socket.socket, unix_path: Path | None) -> AsyncIterator[None]:
        """Serve until the block ends; the listening TCP socket stays the caller's."""
        servers = [await asyncio.start_server(self._serve, sock=listener.dup())]
        try:
            if unix_path:
                servers.append(await self._unix_server(unix_path))
            yield
        finally:
            for server in servers:
                server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            if unix_path:
                with contextlib.suppress(OSError):
                    unix_path.unlink()

    async def _unix_server(self, path: Path) -> asyncio.Server:
        remove_stale_socket(path)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            server.bind(str(path))
        finally:
            os.umask(mask)
        return await asyncio.start_unix_server(self._serve, sock=server)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= _MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            async with asyncio.timeout(None) as limit:
                await self._converse(reader, writer, limit)
        except (OSError, TimeoutError, h11.ProtocolError):
            pass  # a probe that broke off, or never was one, is owed nothing
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: asyncio.Timeout
    ) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=8_192)
        loop = asyncio.get_running_loop()
        limit.reschedule(loop.time() + _HEAD_TIMEOUT_S)
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(8_192))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage) and request:
                writer.write(self._answer(connection, request))
                await writer.drain()
                if connection.our_state is not h11.DONE:
                    return
                connection.start_next_cycle()
                limit.reschedule(loop.time() + _HEAD_TIMEOUT_S)
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return

    def _answer(self, connection: h11.Connection, request: h11.Request) -> bytes:
        status, text = self.state.value
        if request.target.partition(b"?")[0] != b"/ready":
            status, text = 404, "not found"
        elif request.method not in (b"GET", b"HEAD"):
            status, text = 405, "method not allowed"
        body = text.encode()
        headers = [
            ("content-type", "text/plain"),
            ("content-length", str(len(body))),
            ("cache-control", "no-cache, max-age=0"),
            ("x-powered-by", "kuma-dp"),
        ]
        response = h11.Response(status_code=status, headers=headers)
        content = [] if request.method == b"HEAD" else [h11.Data(data=body)]
        return b"".join(connection.send(event) or b"" for event in (response, *content, h11.EndOfMessage()))
