"""One page over HTTP/1.1, for probes and scrapers: bounded connections, and nothing to learn beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import h11

_HEAD_TIMEOUT_S = 10.0
_MAX_CONNECTIONS = 128


class Page(NamedTuple):
    """What a GET is answered with; `remark` is a header beside it."""

    text: str
    status: int = 200
    content_type: str = "text/plain"
    remark: str = ""


class PageServer:
    """Answers GET and HEAD of `path` with what `page` gives at that moment."""

    def __init__(self, path: str, page: Callable[[], Page]) -> None:
        self._path = path.encode()
        self._page = page
        self._writers: dict[asyncio.StreamWriter, None] = {}
        """The one that has asked nothing for longest first."""

    @contextlib.asynccontextmanager
    async def serving(self, *listeners: socket.socket) -> AsyncIterator[None]:
        """Serve until the block ends; the listening sockets stay the caller's."""
        servers: list[asyncio.Server] = []
        try:
            for listener in listeners:
                servers.append(await asyncio.start_server(self._serve, sock=listener.dup()))
            yield
        finally:
            for server in servers:
                server.close()
            for writer in list(self._writers):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= _MAX_CONNECTIONS:
            # Who holds connections and asks nothing must not keep those out who do.
            silent = next(iter(self._writers))
            del self._writers[silent]
            silent.transport.abort()
        self._writers[writer] = None
        try:
            async with asyncio.timeout(None) as limit:
                await self._converse(reader, writer, limit)
        except (OSError, TimeoutError, h11.ProtocolError):
            pass  # a client that broke off, or never was one, is owed nothing
        finally:
            self._writers.pop(writer, None)
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
                if writer in self._writers:
                    self._writers[writer] = self._writers.pop(writer)
                writer.write(self._answer(connection, request))
                await writer.drain()
                if connection.our_state is not h11.DONE:
                    return
                connection.start_next_cycle()
                limit.reschedule(loop.time() + _HEAD_TIMEOUT_S)
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return

    def _answer(self, connection: h11.Connection, request: h11.Request) -> bytes:
        if request.target.partition(b"?")[0] != self._path:
            page = Page("not found", 404)
        elif request.method not in (b"GET", b"HEAD"):
            page = Page("method not allowed", 405)
        else:
            page = self._page()
        body = page.text.encode()
        headers = [
            ("content-type", page.content_type),
            ("content-length", str(len(body))),
            ("cache-control", "no-cache, max-age=0"),
            ("x-powered-by", "kuma-dp"),
        ]
        if page.remark:
            headers.append(("x-kuma-dp-remark", page.remark))
        response = h11.Response(status_code=page.status, headers=headers)
        content = [] if request.method == b"HEAD" else [h11.Data(data=body)]
        return b"".join(connection.send(event) or b"" for event in (response, *content, h11.EndOfMessage()))
