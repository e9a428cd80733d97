"""One stream that a zone has opened to global, as a Wire that can be given up at any moment.

gRPC wants a stream to end by `context.abort`, or by a return, and nobody to be cancelled while it reads or
writes. So tasks of their own read and write; whoever works with the stream waits for them, and may be
cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from kumacp.dpserver.refusal import Refused, Status
from kumacp.kds.at_global.admission import Caller, OpenStream
from kumacp.kds.at_global.zone_insight import StreamKind
from kumacp.kds.protocol import streams

SEND_TIMEOUT_S = 60.0
"""How long a zone may leave a message untaken."""


class ZoneStream:
    """`limit` is the size of the largest message that is taken, in bytes; `opened_at` is in seconds since the
    epoch."""

    def __init__(
        self, context: Any, kind: StreamKind, caller: Caller, *, limit: int, opened_at: float
    ) -> None:
        self.kind = kind
        self.caller = caller
        self.peer = streams.peer_of(context.peer())
        self.opened_at = opened_at
        self.refusal: Refused | None = None
        self._context = context
        self._limit = limit
        self._group: asyncio.TaskGroup | None = None
        self._message: bytes | None = None
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._over = asyncio.Event()
        self._read_all = False
        self._writing = asyncio.Lock()
        self._sending: asyncio.Task[bool] | None = None

    @property
    def zone(self) -> str:
        return self.caller.zone

    @property
    def entry(self) -> OpenStream:
        return OpenStream(self.kind.value, self.caller, self.peer)

    def end(self, refusal: Refused) -> None:
        """Whatever works with the stream stops; the zone is told why."""
        if self.refusal is None:
            self.refusal = refusal
            self._over.set()
            self._taken.set()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Until the work is done (it must not raise), the zone is gone, or `end` is called. There is no work
        for a zone that is gone before it begins."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._read())
            await self._send_headers()
            worker = self._group.create_task(self._work(work))
            await self._over.wait()
            self._taken.set()
            worker.cancel()
            await asyncio.wait((worker,))
            if self.refusal is None and not self._read_all:
                self.refusal = Refused(Status.UNAVAILABLE, "the stream is over")
            if self.refusal is not None:
                await abort(self._context, self.refusal)

    async def read(self) -> bytes | None:
        await self._arrived.wait()
        message = self._message
        if message is not None:
            self._message = None
            self._arrived.clear()
            self._taken.set()
        return message

    async def read_within(self, seconds: float, what: str) -> bytes | None:
        """Raises Refused when nothing comes."""
        try:
            async with asyncio.timeout(seconds):
                return await self.read()
        except TimeoutError:
            raise Refused(Status.DEADLINE_EXCEEDED, f"{what} did not come within {seconds:g} s") from None

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError when the zone is gone, Refused when it takes nothing for a minute."""
        async with self._writing:
            await self._sent()  # what somebody who was cancelled has left behind
            if self._group is None or self._over.is_set():
                raise ConnectionError("the stream of the zone is over")
            sending = self._send(data)
            try:
                self._sending = self._group.create_task(sending)
            except RuntimeError:  # gRPC has cancelled the handler, and who writes does not know yet
                sending.close()
                raise ConnectionError("the stream of the zone is over") from None
            await self._sent()
            if not self._sending.result():
                raise ConnectionError("the stream of the zone is over")

    async def _sent(self) -> None:
        if self._sending is None:
            return
        done, _ = await asyncio.wait((self._sending,), timeout=SEND_TIMEOUT_S)
        if not done:
            raise Refused(
                Status.UNAVAILABLE, f"the zone took nothing of what it was sent for {SEND_TIMEOUT_S:g} s"
            )

    async def _send_headers(self) -> None:
        """Else the first message takes them along, and gRPC fails to end the stream while that is under way:
        the zone would wait for ever."""
        with contextlib.suppress(grpc.aio.BaseError):  # if the zone is gone, reading tells
            await self._context.send_initial_metadata(())

    async def _send(self, data: bytes) -> bool:
        try:
            await self._context.write(data)
        except grpc.aio.BaseError:
            return False
        return True

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            self._over.set()

    async def _read(self) -> None:
        try:
            while not self._over.is_set():
                data = await self._context.read()
                if data is grpc.aio.EOF:
                    return
                if len(data) > self._limit:
                    self.end(_too_large(len(data), self._limit))
                    return
                self._message = data
                self._taken.clear()
                self._arrived.set()
                if not self._over.is_set():
                    await self._taken.wait()
        except grpc.aio.BaseError:
            return  # the connection is broken, or the stream was ended by this side
        finally:
            self._read_all = True
            self._arrived.set()


async def abort(context: Any, refusal: Refused) -> None:
    """End the stream with the status of the refusal, without raising."""
    try:
        await context.abort(grpc.StatusCode[refusal.status.value], refusal.message)
    except grpc.aio.BaseError:
        return  # told, or the zone is gone already


def _too_large(size: int, limit: int) -> Refused:
    return Refused(
        Status.RESOURCE_EXHAUSTED,
        f"the zone sent a message of {size} bytes, and global takes {limit}: make the resources smaller, or"
        " set KUMA_MULTIZONE_GLOBAL_KDS_MAX_MSG_SIZE on global",
    )
