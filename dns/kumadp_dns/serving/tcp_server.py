"""TCP: framing, pipelining with answers in whatever order they come, and a bound on everything.

Clients that say nothing, read nothing or come in thousands cost little and cannot keep others out: a
connection is closed when it has been idle for too long, and the one idle for longest when there are too many.
Connections take turns, so that a thousand that ask all the time leave time for the queries over UDP.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from itertools import islice

from kumadp_dns.loop import Loop
from kumadp_dns.serving.resolver import Resolver
from kumadp_dns.serving.sockets_server import is_for_this_host

MAX_QUERY_BYTES = 4_096
"""A query has one question; whoever announces more is no resolver."""
MAX_UNSENT_BYTES = 65_536
MAX_WAITING = 64
"""Queries of one connection that wait for upstream servers. Beyond either, nothing more is read from it."""
ACCEPT_BATCH = 64
"""Connections accepted at a time, so that a storm of them does not hold up the answers."""
QUERIES_A_TURN = 16
"""Of one connection, and..."""
CONNECTIONS_A_TURN = 16
"""... so many of them in one turn of the loop, which then takes two or three milliseconds."""
PAUSE_S = 0.1
"""Before the next try to accept when descriptors or memory have run out."""

_FRAME_BYTES = 2


@dataclass(frozen=True, slots=True)
class Limits:
    connections: int
    idle_s: float
    """Without a whole query from the client, and with nothing on its way to it."""


class TcpServer:
    """All connections of all listening sockets."""

    def __init__(self, loop: Loop, resolver: Resolver, limits: Limits) -> None:
        self._loop = loop
        self._resolver = resolver
        self._limits = limits
        self._last_active: dict[_Connection, float] = {}  # the longest idle first
        self._expiring = False
        self._ready: dict[_Connection, None] = {}  # those that have something to do, in their order
        self._due = False

    def serve(self, listener: socket.socket) -> None:
        """Accept on this listening socket too."""
        self._loop.watch(listener, lambda: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                client, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.watch(listener)
                self._loop.call_at(self._loop.now() + PAUSE_S, lambda: self.serve(listener))
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._last_active) >= self._limits.connections:
                self._longest_idle().close()
            host = None if is_for_this_host(listener) else str(address[0])
            self.active(_Connection(client, host, self, self._loop, self._resolver))

    def active(self, connection: _Connection) -> None:
        """Something has just happened on it: it is not idle from now on for as long as the limit says."""
        self._last_active.pop(connection, None)
        self._last_active[connection] = self._loop.now()
        self._expect()

    def closed(self, connection: _Connection) -> None:
        del self._last_active[connection]

    def schedule(self, connection: _Connection) -> None:
        """Give it a turn behind all that wait for theirs: still in this one of the loop if these are few."""
        self._ready[connection] = None
        self._expect_turns()

    def _expect_turns(self) -> None:
        if not self._due and self._ready:
            self._due = True
            self._loop.call_at(self._loop.now(), self._take_turns)

    def _take_turns(self) -> None:
        self._due = False
        for connection in list(islice(self._ready, CONNECTIONS_A_TURN)):
            del self._ready[connection]
            connection.take_turn()
        self._expect_turns()

    def _longest_idle(self) -> _Connection:
        """Or, if all of them wait for answers, the one that has been waiting for longest."""
        idle = (connection for connection in self._last_active if not connection.busy)
        return next(idle, next(iter(self._last_active)))

    def _expect(self) -> None:
        if not self._expiring and self._last_active:
            self._expiring = True
            oldest = next(iter(self._last_active.values()))
            self._loop.call_at(oldest + self._limits.idle_s, self._expire)

    def _expire(self) -> None:
        self._expiring = False
        horizon = self._loop.now() - self._limits.idle_s
        for connection, since in list(self._last_active.items()):
            if since > horizon:
                break
            if connection.busy:
                self.active(connection)
            else:
                connection.close()
        self._expect()


class _Connection:
    """One client."""

    def __init__(
        self, sock: socket.socket, host: str | None, server: TcpServer, loop: Loop, resolver: Resolver
    ) -> None:
        self._sock = sock
        self._host = host
        self._server = server
        self._loop = loop
        self._resolver = resolver
        self._input = bytearray()
        self._output = bytearray()
        self._waiting = 0
        self._open = True
        self._ended = False  # the client sends no more, but may wait for answers
        self._scheduled = False
        self._watched = (False, False)
        self._watch()

    @property
    def busy(self) -> bool:
        """Whether it is for others to do something now."""
        return self._waiting > 0 or self._scheduled

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.watch(self._sock)
            self._sock.close()
            self._server.closed(self)

    def _read(self) -> None:
        if self._scheduled:
            self._watch()  # no more, until it has had its turn
            return
        try:
            data = self._sock.recv(MAX_QUERY_BYTES + _FRAME_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._ended = not data
        self._input += data
        self._schedule()

    def _schedule(self) -> None:
        if self._open:
            self._scheduled = True
            self._server.schedule(self)

    def take_turn(self) -> None:
        """Answer some of what has come, as fast as the client takes the answers."""
        self._scheduled = False
        for _ in range(QUERIES_A_TURN):
            packet = self._next()
            if packet is not None:
                self._server.active(self)
                self._answer(packet)
            elif not self._send():
                break
        else:
            self._send()
            self._schedule()
        if self._ended and not self.busy and not self._output:
            self.close()
        if self._open:
            self._watch()

    def _answer(self, packet: bytes) -> None:
        answer = self._resolver.ask(packet, True, self._later, self._host)
        if answer is None:
            self._waiting += 1
        else:
            self._put(answer)

    def _has_room(self) -> bool:
        return self._waiting < MAX_WAITING and len(self._output) < MAX_UNSENT_BYTES

    def _next(self) -> bytes | None:
        """A whole query that may be answered now."""
        if not self._open or not self._has_room() or len(self._input) < _FRAME_BYTES:
            return None
        end = _FRAME_BYTES + int.from_bytes(self._input[:_FRAME_BYTES], "big")
        if end > _FRAME_BYTES + MAX_QUERY_BYTES:
            self.close()
            return None
        if len(self._input) < end:
            return None
        packet = bytes(self._input[_FRAME_BYTES:end])
        del self._input[:end]
        return packet

    def _later(self, answer: bytes) -> None:
        self._waiting -= 1
        self._put(answer)
        self._schedule()

    def _put(self, answer: bytes) -> None:
        if answer:
            self._output += len(answer).to_bytes(_FRAME_BYTES, "big") + answer

    def _send(self) -> bool:
        """Whether the client has taken something."""
        if not self._open or not self._output:
            return False
        try:
            sent = self._sock.send(self._output)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        del self._output[:sent]
        if not self._output:
            self._server.active(self)
        return True

    def _watch(self) -> None:
        idle = not self._scheduled
        wanted = (idle and not self._ended and self._has_room(), idle and bool(self._output))
        if wanted != self._watched:
            self._watched = wanted
            self._loop.watch(
                self._sock, self._read if wanted[0] else None, self._schedule if wanted[1] else None
            )
