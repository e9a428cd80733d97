"""A hop between two programs that a test can cut, slow down and look into.

    with relays() as new:
        relay = new(("127.0.0.1", 5685))     # listens on 127.0.0.1:relay.port
        relay.refuse()                       # connections are reset, new ones refused
        relay.blackhole()                    # nothing passes, nobody is told; healed, what was held goes on
        relay.delay(0.2)                     # every read waits that long
        relay.heal()                         # all passes again

Several targets take turns, as behind a load balancer. All relays of a test share a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from client_hello import server_name
from lab import free_port

Address = tuple[str, int]
_CHUNK = 65_536
_NO_LINGER = struct.pack("ii", 1, 0)
"""Closed with a reset."""


class TcpRelay:
    """`accepted`: connections so far. `server_names`: what the TLS clients among them asked for by SNI, in
    order. `received`: bytes from clients. All of it is written by the thread of the relays."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *targets: Address) -> None:
        self.accepted = 0
        self.received = 0
        self.server_names: list[str] = []
        self.targets = list(targets)
        self.port = free_port()
        self._loop = loop
        self._delay_s = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], Address] = {}

    @property
    def address(self) -> Address:
        return "127.0.0.1", self.port

    @property
    def clients(self) -> list[Address]:
        """Where the connections that are open come from."""
        return list(self._connections.values())

    def heal(self) -> None:
        self._do(self._set(listening=True, flowing=True, delay_s=0.0))

    def refuse(self) -> None:
        self._do(self._set(listening=False, flowing=True, delay_s=0.0))

    def blackhole(self) -> None:
        """A new connection is accepted and hears nothing."""
        self._do(self._set(listening=True, flowing=False, delay_s=0.0))

    def delay(self, seconds: float) -> None:
        self._do(self._set(listening=True, flowing=True, delay_s=seconds))

    def close(self) -> None:
        """For good."""
        self.refuse()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _set(self, *, listening: bool, flowing: bool, delay_s: float) -> None:
        self._delay_s = delay_s
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()
        if listening and self._server is None:
            self._server = await asyncio.start_server(self._serve, *self.address, backlog=512)
        elif not listening and self._server is not None:
            self._server.close()
            self._server = None
            await self._end()

    async def _end(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer.get_extra_info("peername")
        self.accepted += 1
        target = self.targets[self.accepted % len(self.targets)]
        ends = [writer]
        try:
            await self._flowing.wait()
            upstream, upwards = await asyncio.open_connection(*target)
            ends.append(upwards)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, upwards, self._look))
                group.create_task(self._pump(upstream, writer, None))
        except* (OSError, asyncio.CancelledError):
            # Refused by the target, reset by either end, or cut.
            for end in ends:
                _reset(end)
        finally:
            for end in ends:
                end.close()
            del self._connections[task]

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        look: Callable[[bytes, bool], None] | None,
    ) -> None:
        first = True
        while True:
            try:
                data = await source.read(_CHUNK)
            finally:
                # An end is as silent as the rest of a black hole.
                await self._flowing.wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if not data:
                break
            if look is not None:
                look(data, first)
            first = False
            sink.write(data)
            await sink.drain()
        sink.write_eof()

    def _look(self, data: bytes, first: bool) -> None:
        self.received += len(data)
        name = server_name(data) if first else None
        if name is not None:
            self.server_names.append(name)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


@contextlib.contextmanager
def relays() -> Iterator[Callable[..., TcpRelay]]:
    """Makes relays to targets, each an address; they are gone at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="relays", daemon=True)
    thread.start()
    made: list[TcpRelay] = []

    def new(*targets: Address) -> TcpRelay:
        relay = TcpRelay(loop, *targets)
        relay.heal()
        made.append(relay)
        return relay

    try:
        yield new
    finally:
        for relay in made:
            relay.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
