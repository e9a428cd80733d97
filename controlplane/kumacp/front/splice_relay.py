"""Joins two sockets: bytes of each go to the other, untouched.

A slow reader pauses the other side, so that at most one read and one write buffer are held for it. When one
end is gone the other gets what is left and is closed: a half-close is not forwarded, since a connection of
which one direction lives on would never be given back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

LINGER_S = 10.0
"""How long an end may take for the last bytes after the other is gone."""
STALL_S = 60.0
"""How long a reader may take nothing. While it is paused the end of the other side is not seen."""
_BUFFER = memoryview(bytearray(256 * 1024))
"""All ends read into this one, each passes on what it read before the next one reads. A buffer made for every
read would be mapped and unmapped every time, which was two fifths of this process's CPU."""


class _End(asyncio.BufferedProtocol):
    """One socket of the pair."""

    _other: _End

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._over = False
        self._linger: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def join(self, other: _End) -> None:
        self._other, other._other = other, self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._over:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        # A copy, for a transport may keep what it cannot send at once.
        self._other.send(bytes(_BUFFER[:nbytes]))

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._over:
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._other.hold(True)
        self._watch_stall()

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._other.hold(False)

    def hold(self, held: bool) -> None:
        """Read nothing while held."""
        if self._transport is not None:
            if held:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def eof_received(self) -> None:
        self.finish()
        self._other.finish()

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        # A pending timer would keep transport and buffers alive.
        for timer in (self._linger, self._stall):
            if timer is not None:
                timer.cancel()
        self._other.finish()
        self._on_lost()

    def finish(self) -> None:
        """Send what is left, within bounds, then close."""
        if not self._over:
            self._over = True
            if self._transport is not None:
                self._transport.close()
                self._linger = self._loop.call_later(LINGER_S, self._transport.abort)

    def _watch_stall(self) -> None:
        self._stall = self._loop.call_later(STALL_S, self._check_stall, self._unsent())

    def _check_stall(self, unsent_before: int) -> None:
        if self._transport is None:
            return
        if self._unsent() < unsent_before:
            self._watch_stall()
        else:
            self._transport.abort()

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()


async def splice(client: socket.socket, server: socket.socket, on_end: Callable[[], None]) -> None:
    """Join two connected sockets, which belong to the splice from now on; `on_end` is called when both are
    closed. Returns when the bytes flow."""
    left = 2

    def lost() -> None:
        nonlocal left
        left -= 1
        if not left:
            on_end()

    server_end, client_end = _End(lost), _End(lost)
    server_end.join(client_end)
    # The server is silent until it hears from the client, whose bytes are waiting: it must be there first.
    await _attach(server_end, server)
    await _attach(client_end, client)


async def _attach(end: _End, sock: socket.socket) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: end, sock)
    except OSError as error:
        sock.close()
        end.connection_lost(error)
