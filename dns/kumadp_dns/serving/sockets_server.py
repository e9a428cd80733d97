"""The name server's sockets: UDP and TCP of every address on one port, open as long as the agent lives."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from kumamesh.errors import UserError
from kumamesh.names import format_address

RECEIVE_BYTES = 4 * 1024 * 1024
"""Bursts, and what is asked while the worker is replaced, wait in the socket: a small query takes 768 bytes
of twice this. The kernel cuts it to net.core.rmem_max for agents without CAP_NET_ADMIN."""
BACKLOG = 1_024
IP_PKTINFO = 8

_SO_RCVBUFFORCE = 33
_ATTEMPTS = 16
"""At finding a port that is free for all; with so many free ones the first is as good as certain."""
_REMEDY = "stop what has it, set KUMA_DNS_PROXY_PORT to another, or leave that out to get a free one"
_LOOPBACK6 = "::1"
_WILDCARDS = ("0.0.0.0", "::")
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound, listening and not blocking."""

    port: int
    addresses: tuple[str, ...]
    all: tuple[socket.socket, ...]

    def close(self) -> None:
        for sock in self.all:
            sock.close()


def bind(addresses: Sequence[str], port: int, *, exact: bool, remedy: str = _REMEDY) -> Sockets:
    """Take the port on all these addresses, or, when it is taken and not `exact`, one that is free on all.
    ::1 is left out on hosts that have none. Raises UserError; `remedy` is against a port that is taken."""
    if not 0 <= port <= 65_535:
        raise UserError(
            f"{port} is not a port for the name server; set KUMA_DNS_PROXY_PORT to one below 65536"
        )
    try:
        return _bound(addresses, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or (exact and port):
            raise UserError(_reason(addresses, port, error, remedy)) from None
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(OSError):
            return _bound(addresses, 0)
    raise UserError(
        "no port is free for the name server; end programs that hold many, or set KUMA_DNS_PROXY_PORT"
    )


def is_of_every_address(sock: socket.socket) -> bool:
    return sock.getsockname()[0] in _WILDCARDS


def is_for_this_host(sock: socket.socket) -> bool:
    """Only programs on this host can reach it, whatever address they come from."""
    host: str = sock.getsockname()[0]
    return host == _LOOPBACK6 or host.startswith("127.")


def _bound(addresses: Sequence[str], port: int) -> Sockets:
    with contextlib.ExitStack() as opened:
        sockets: list[socket.socket] = []
        used = []
        for address in addresses:
            try:
                udp = opened.enter_context(_socket(address, port, socket.SOCK_DGRAM))
            except OSError as error:
                if address == _LOOPBACK6 and error.errno in _NO_SUCH_ADDRESS and len(addresses) > 1:
                    continue
                raise
            port = udp.getsockname()[1]
            sockets += (udp, opened.enter_context(_socket(address, port, socket.SOCK_STREAM)))
            used.append(address)
        opened.pop_all()
        return Sockets(port, tuple(used), tuple(sockets))


def _socket(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    with contextlib.ExitStack() as opened:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = opened.enter_context(socket.socket(family, kind))
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Closed connections that linger must not keep a restarted agent from its port. For UDP the same
            # option would let two agents share it, each with a part of the queries.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
        else:
            _prepare(sock)
        opened.pop_all()
        return sock


def _prepare(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BYTES)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    if is_of_every_address(sock):
        # An answer must come from the address that was asked; only the kernel can tell which one that was.
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def _reason(addresses: Sequence[str], port: int, error: OSError, remedy: str) -> str:
    where = " and ".join(format_address(address, port) for address in addresses)
    if error.errno == errno.EADDRINUSE:
        return f"the name server's port {port} is in use on {' or '.join(addresses)}; {remedy}"
    if error.errno == errno.EACCES:
        return f"the name server may not use port {port}; set KUMA_DNS_PROXY_PORT to one above 1023"
    if error.errno in _NO_SUCH_ADDRESS:
        return f"the name server cannot listen on {where}: the host has no such address"
    return f"the name server cannot listen on {where}: {error.strerror or error}"
