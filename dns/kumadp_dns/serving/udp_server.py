"""UDP: queries by the batch where the system has that, else one by one."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from functools import partial

from kumadp_dns.figures import Figures
from kumadp_dns.serving.resolver import Resolver
from kumadp_dns.serving.sockets_server import is_for_this_host, is_of_every_address

MAX_QUERIES = 64
"""Taken from a socket at a time, so that the others get their turn."""
MAX_QUERY_BYTES = 2_048

_PKTINFO_SPACE = socket.CMSG_SPACE(20)  # in6_pktinfo, the larger one

Address = tuple[str | int, ...]
Ancillary = Sequence[tuple[int, int, bytes]]


def reader(sock: socket.socket, resolver: Resolver, figures: Figures, batched: bool) -> Callable[[], None]:
    """What answers the queries of this socket, to be called whenever it is readable."""
    if batched and not is_of_every_address(sock):
        with contextlib.suppress(ImportError):  # an interpreter without ctypes
            from kumadp_dns.serving import batched_server

            with contextlib.suppress(batched_server.Unsupported):
                return batched_server.Batched(sock, resolver, figures).read
    return _OneByOne(sock, resolver).read


class _OneByOne:
    """With plain calls; an answer leaves from the address that was asked, also where the socket has many."""

    def __init__(self, sock: socket.socket, resolver: Resolver) -> None:
        self._sock = sock
        self._resolver = resolver
        self._for_this_host = is_for_this_host(sock)
        self._space = _PKTINFO_SPACE if is_of_every_address(sock) else 0

    def read(self) -> None:
        for _ in range(MAX_QUERIES):
            try:
                packet, ancillary, _, client = self._sock.recvmsg(MAX_QUERY_BYTES, self._space)
            except OSError:
                return
            source = [_source(*item) for item in ancillary]
            host = None if self._for_this_host else str(client[0])
            answer = self._resolver.ask(packet, False, partial(self._send, client, source), host)
            if answer:
                self._send(client, source, answer)

    def _send(self, client: Address, source: Ancillary, answer: bytes) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendmsg((answer,), source, 0, client)


def _source(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """What was told with a query, as it must be told with the answer."""
    if level == socket.IPPROTO_IP:  # interface, local address, address in the header: only the second counts
        data = bytes(4) + data[4:8] + bytes(4)
    return level, kind, data
