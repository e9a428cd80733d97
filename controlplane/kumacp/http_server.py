"""What the HTTP servers of the control plane have in common: bounded bodies, connections and patience."""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import sslproto
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from kumacp.figures import HttpTraffic

FIRST_REQUEST_S = 10.0
"""From the connection to the end of its first request's headers. aiohttp would wait for ever."""
MAX_CONNECTIONS = 4_096
TLS_BUFFER_BYTES = 32 * 2**10
"""For what one TLS connection receives; asyncio's own are eight times as large, each of them written over at
once, so that silent clients alone would take a gigabyte."""
sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES

_UNHEARD = logging.Logger("aiohttp", logging.CRITICAL + 1)
"""aiohttp logs a traceback for whatever junk a client sends; handlers log their own faults."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class BodyRefused(Exception):
    """The body is too long, late or broken; `status` is the answer to that."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def read_body(request: web.BaseRequest, *, limit: int, timeout_s: float) -> bytes:
    """The whole body, of at most `limit` bytes; raises BodyRefused."""
    too_large = BodyRefused(413, f"the body is larger than {limit >> 20} MiB")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise BodyRefused(408, f"the body did not arrive in {timeout_s:.0f} s") from None
    except web.RequestPayloadError:
        raise BodyRefused(400, "the body is not what its content-encoding or length says") from None
    return bytes(body)


class HttpServer(web.Server):
    """Closes connections beyond `max_connections` (silent ones first), those without a request in time, and,
    unless `life_s` is None, those that last longer than that after their first request began. `traffic`
    counts requests."""

    def __init__(
        self,
        handler: Handler,
        *,
        keepalive_s: float,
        first_request_s: float = FIRST_REQUEST_S,
        life_s: float | None = None,
        max_connections: int = MAX_CONNECTIONS,
        traffic: HttpTraffic | None = None,
    ) -> None:
        super().__init__(
            _measured(handler, traffic or HttpTraffic()),
            request_factory=self._request,
            access_log=None,
            logger=_UNHEARD,
            keepalive_timeout=keepalive_s,
        )
        self._first_request_s = first_request_s
        self._life_s = life_s
        self._max_connections = max_connections
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._living: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > self._max_connections and not self._make_room():
            transport.abort()
        else:
            self._silent[handler] = _abort_in(self._first_request_s, transport)

    def _make_room(self) -> bool:
        """End the connection that has been silent the longest: whoever opens connections and asks nothing
        must not keep everybody else out. An honest client asks as soon as it is connected."""
        for handler, timer in self._silent.items():
            if handler.transport is not None:
                del self._silent[handler]
                timer.cancel()
                handler.transport.abort()
                return True
        return False

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        for timers in (self._silent, self._living):
            timer = timers.pop(handler, None)
            if timer is not None:
                timer.cancel()
        super().connection_lost(handler, exc)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        timer = self._silent.pop(protocol, None)
        if timer is not None:
            timer.cancel()
            if self._life_s is not None and protocol.transport is not None:
                self._living[protocol] = _abort_in(self._life_s, protocol.transport)
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())


def _measured(handler: Handler, traffic: HttpTraffic) -> Handler:
    async def measured(request: web.BaseRequest) -> web.StreamResponse:
        start, status = time.perf_counter(), None
        traffic.in_flight += 1
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            traffic.in_flight -= 1
            traffic.ended(request.method, status, time.perf_counter() - start)

    return measured


def _abort_in(seconds: float, transport: asyncio.Transport) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, transport.abort)
