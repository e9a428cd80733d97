"""Joins two sockets: bytes of each go to the other, untouched.

A slow reader pauses the other side, so that at most one read and one write buffer are held for it. When one end
is gone the other gets what is left and is closed: a half-close is not forwarded, since a connection of which one
direction lives on would never be given back.
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


class _End(asyncio.Protocol):
    """One socket of the pair."""

    _transport: asyncio.Transport

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._other: _End | None = None
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._linger: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._unsent = 0

    def join(self, other: _End) -> None:
        self._other, other._other = other, self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._other is not None and not self._other._transport.is_closing():
            self._other._transport.write(data)

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other._transport.pause_reading()
        self._watch_stall()

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        if self._other is not None:
            self._other._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        # A pending timer would keep transport and buffers alive.
        for timer in (self._linger, self._stall):
            if timer is not None:
                timer.cancel()
        if self._other is not None:
            self._other.finish()
        self._on_lost()

    def eof_received(self) -> None:
        self.finish()
        if self._other is not None:
            self._other.finish()

    def finish(self) -> None:
        """Send what is left, within bounds, then close."""
        if self._linger is None:
            self._transport.close()
            self._linger = self._loop.call_later(LINGER_S, self._transport.abort)

    def _watch_stall(self) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self._stall = self._loop.call_later(STALL_S, self._stalled)

    def _stalled(self) -> None:
        if self._transport.get_write_buffer_size() < self._unsent:
            self._watch_stall()
            return
        self._transport.abort()


async def splice(client: socket.socket, server: socket.socket, on_end: Callable[[], None]) -> None:
    """Join two connected sockets, which belong to the splice from now on; `on_end` is called when both are
    closed. Returns when the bytes flow."""
    left = 2

    def lost() -> None:
        nonlocal left
        left -= 1
        if not left:
            on_end()

    loop = asyncio.get_running_loop()
    # The server is silent until it has heard from the client, whose bytes are waiting: it must be there first.
    server_end, client_end = _End(lost), _End(lost)
    await loop.connect_accepted_socket(lambda: server_end, server)
    server_end.join(client_end)
    await loop.connect_accepted_socket(lambda: client_end, client)
