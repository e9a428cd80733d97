"""One stream of Envoy, passed on to the control plane and back as bytes.

Order is kept in each direction, each direction has one writer, no message has a time limit (a slow link is
not a broken one; keep-alive finds the broken ones), and responses are never queued here: whoever reads slowly
slows the other end down through HTTP/2's windows. The first event that ends the stream decides how it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from kumadp.relay.backlog import Backlog, BacklogFull
from kumadp.relay.ending import Ending
from kumadp.relay.upstream_client import UpstreamStream, write

log = logging.getLogger(__name__)

_LEAVE_TIMEOUT_S = 1.0


class StreamRelay:
    """`downstream` is the servicer context of Envoy's stream. `on_request` and `on_response` see every
    message, the first of them says whether it is passed on. `farewell` gives the last one, b"" for none."""

    def __init__(
        self,
        downstream: Any,
        upstream: UpstreamStream,
        *,
        on_request: Callable[[bytes], bool],
        on_response: Callable[[bytes], None],
        farewell: Callable[[], bytes],
    ) -> None:
        self._downstream = downstream
        self._upstream = upstream
        self._on_request = on_request
        self._on_response = on_response
        self._farewell = farewell
        self._backlog = Backlog()
        self._wake = asyncio.Event()
        self._leaving = False
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def run(self) -> Ending:
        """Until the first terminal event; the upstream call is over afterwards, whatever happened."""
        try:
            async with asyncio.TaskGroup() as group:
                from_envoy = group.create_task(self._read_down())
                others = [group.create_task(work()) for work in (self._write_up, self._read_up)]
                ending = await self._end_seen()
                for task in others:
                    task.cancel()
                # While stopping, Envoy keeps its stream and with it its peace: reconnecting would be noise.
                if not self._leaving:
                    from_envoy.cancel()
            return ending
        finally:
            await self._upstream.close()

    async def leave(self) -> None:
        """Say the last words and half-close toward the control plane, so that it sees a clean end, and wait
        for its answer."""
        last_words = b"" if self._leaving else self._farewell()
        self._leaving = True
        if last_words:
            with contextlib.suppress(BacklogFull):
                self._backlog.put(last_words)
        self._wake.set()
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await asyncio.shield(self._ending)
        except TimeoutError:
            self._end(Ending("OK", "the control plane did not end the stream in time", by_upstream=False))

    async def _end_seen(self) -> Ending:
        try:
            return await asyncio.shield(self._ending)
        except asyncio.CancelledError:
            # Envoy is gone. When that is meant, the control plane still gets to see the clean end.
            if self._leaving:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending, _LEAVE_TIMEOUT_S)
            raise

    def _end(self, ending: Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)

    async def _read_down(self) -> None:
        while True:
            raw = await self._downstream.read()
            if raw is grpc.aio.EOF:
                # Envoy never half-closes: this is how its sudden end shows.
                if not self._leaving:
                    self._end(Ending("CANCELLED", "Envoy left", by_upstream=False))
                return
            if self._leaving:
                continue
            if not self._on_request(raw):
                continue
            try:
                if self._backlog.put(raw):
                    log.warning(
                        "the control plane reads slowly: %d bytes of requests wait", self._backlog.size
                    )
            except BacklogFull as error:
                self._end(Ending("RESOURCE_EXHAUSTED", str(error), by_upstream=False))
                return
            self._wake.set()

    async def _write_up(self) -> None:
        call = self._upstream.call
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._backlog:
                    await write(call, self._backlog.get())
                if self._leaving:
                    await call.done_writing()
                    return
        except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            return  # the call is over; the reader finds out how it ended

    async def _read_up(self) -> None:
        call = self._upstream.call
        try:
            while (raw := await call.read()) is not grpc.aio.EOF:
                self._on_response(raw)
                if not self._leaving:
                    await self._downstream.write(raw)
                # The next message may be hours away: this one's memory is not held until then.
                del raw
        except grpc.RpcError:
            pass  # the status follows
        except (grpc.aio.BaseError, asyncio.InvalidStateError):
            if not self._leaving:
                self._end(Ending("CANCELLED", "Envoy left", by_upstream=False))
                return
        code, details = await call.code(), await call.details()
        self._end(Ending(code.name, details or ""))
