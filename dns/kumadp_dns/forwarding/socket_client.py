"""Sockets to upstream servers: one datagram or one message of a stream at a time, in and out."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Protocol

from kumadp_dns.forwarding.resolv_conf import Server
from kumadp_dns.loop import Loop

MAX_MESSAGE = 65_535

_REASONS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "closed",
    errno.EPIPE: "closed",
    errno.ETIMEDOUT: "timeout",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.EAFNOSUPPORT: "unreachable",
    errno.EMFILE: "no sockets",
    errno.ENFILE: "no sockets",
}

Hear = Callable[[bytes], None]
Fail = Callable[[str], None]


class Channel(Protocol):
    """A socket that is connected to a server. `Hear` and `Fail` are never called inside these."""

    def send(self, packet: bytes) -> str | None:
        """Why it cannot, in a word."""

    def close(self) -> None: ...


def connect(loop: Loop, server: Server, tcp: bool, hear: Hear, fail: Fail) -> Channel | str:
    """Or why not, in a word. The kernel picks the port at random, and drops what comes from elsewhere."""
    try:
        sock = _connected(server, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    except OSError as error:
        return reason(error)
    return Stream(loop, sock, hear, fail) if tcp else Datagrams(loop, sock, hear, fail)


def reason(error: OSError) -> str:
    """One of a few words."""
    if isinstance(error, socket.gaierror):  # an interface that does not exist
        return "unreachable"
    return _REASONS.get(error.errno or 0, "error")


def _connected(server: Server, kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # a stream: it becomes writable when it is there
            sock.connect(_address(server, kind))
        return sock
    except OSError:
        sock.close()
        raise


def _address(server: Server, kind: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if "%" not in server.host:
        return server
    found = socket.getaddrinfo(*server, socket.AF_INET6, kind, flags=socket.AI_NUMERICHOST)
    return found[0][4]  # type: ignore[return-value]  # IPv6 alone was asked for


class Datagrams:
    """UDP. What the kernel has no room for is lost, as on the network."""

    __slots__ = ("_fail", "_hear", "_loop", "_sock")

    def __init__(self, loop: Loop, sock: socket.socket, hear: Hear, fail: Fail) -> None:
        self._loop, self._sock, self._hear, self._fail = loop, sock, hear, fail
        loop.watch(sock, self._readable)

    def send(self, packet: bytes) -> str | None:
        try:
            self._sock.send(packet)
        except BlockingIOError:
            return None
        except OSError as error:
            return reason(error)
        return None

    def close(self) -> None:
        self._loop.watch(self._sock)
        self._sock.close()

    def _readable(self) -> None:
        try:
            reply = self._sock.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(reason(error))
            return
        self._hear(reply)


class Stream:
    """TCP: each message behind its length. What is to be sent waits for the connection."""

    __slots__ = ("_closed", "_fail", "_hear", "_in", "_loop", "_out", "_sock", "_waits")

    def __init__(self, loop: Loop, sock: socket.socket, hear: Hear, fail: Fail) -> None:
        self._loop, self._sock, self._hear, self._fail = loop, sock, hear, fail
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in, self._out = bytearray(), bytearray()
        self._closed = False
        self._waits = True
        """For the connection, or for room in the kernel."""
        loop.watch(sock, self._readable, self._writable)

    def send(self, packet: bytes) -> str | None:
        self._out += len(packet).to_bytes(2, "big") + packet
        return None if self._waits else self._flush()

    def close(self) -> None:
        self._closed = True
        self._loop.watch(self._sock)
        self._sock.close()

    def _writable(self) -> None:
        problem = self._flush()
        if problem:
            self._fail(problem)

    def _flush(self) -> str | None:
        try:
            if self._out:
                del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            return reason(error)
        waits = bool(self._out)
        if waits != self._waits:
            self._waits = waits
            self._loop.watch(self._sock, self._readable, self._writable if waits else None)
        return None

    def _readable(self) -> None:
        try:
            data = self._sock.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(reason(error))
            return
        if not data:
            self._fail("closed")
            return
        self._in += data
        while len(self._in) >= 2:
            end = 2 + int.from_bytes(self._in[:2], "big")
            if len(self._in) < end:
                break
            message = bytes(self._in[2:end])
            del self._in[:end]
            self._hear(message)
            if self._closed:
                break
