"""Sockets of the users of a host whose traffic is redirected, and where their packets arrive."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterator

from redirected_network import KUMA_DP_UID, Host

OUTBOUND, INBOUND, DNS = 15001, 15006, 15053
SOMEBODY = 1000
VIP = {4: "240.0.0.1", 6: "fd00:240::1"}
LOCALHOST = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}
PASSTHROUGH = {4: "127.0.0.6", 6: "::6"}
KIND = {4: socket.AF_INET, 6: socket.AF_INET6}
_LIBC = ctypes.CDLL(None)
_OPEN: list[socket.socket] = []
Address = tuple[str, int]


def close_all() -> None:
    """Those that were opened since."""
    while _OPEN:
        _OPEN.pop().close()


def address(host: Host, family: int) -> str:
    return host.address if family == 4 else host.address_6


@contextlib.contextmanager
def on(host: Host, backend: str, *flags: str) -> Iterator[None]:
    """This thread is on the host, whose traffic is redirected."""
    host.redirect(f"--backend={backend}", *flags)
    with host.inside():
        yield


@contextlib.contextmanager
def owned_by(uid: int) -> Iterator[None]:
    """Sockets made now belong to the user: the tables look at who made them."""
    _LIBC.setfsuid(uid)
    try:
        yield
    finally:
        _LIBC.setfsuid(0)


def opened(family: int, *, uid: int, udp: bool = False) -> socket.socket:
    with owned_by(uid):
        sock = socket.socket(KIND[family], socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    _OPEN.append(sock)
    sock.settimeout(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def listening(
    family: int, port: int, *, host: str = "", udp: bool = False, uid: int = KUMA_DP_UID
) -> socket.socket:
    sock = opened(family, uid=uid, udp=udp)
    if family == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host or ANY[family], port))
    if not udp:
        sock.listen()
    return sock


def name_server(family: int) -> socket.socket:
    """From a wildcard address the answers would leave with another address than the one that was asked."""
    return listening(family, DNS, host=LOCALHOST[family], udp=True)


def connected(
    family: int, target: Address, *, uid: int = SOMEBODY, udp: bool = False, source: str = ""
) -> socket.socket:
    sock = opened(family, uid=uid, udp=udp)
    if source:
        sock.bind((source, 0))
    sock.connect(target)
    return sock


def reached(listener: socket.socket, client: socket.socket) -> bool:
    """The listener got this very connection, and from where it was made."""
    with listener.accept()[0] as conn:
        return conn.getpeername() == client.getsockname()


def accepted(listener: socket.socket, client: socket.socket) -> Address:
    """The listener got this very connection: for which address it was meant."""
    with listener.accept()[0] as conn:
        conn.settimeout(10)
        client.sendall(b"who?")
        assert conn.recv(4) == b"who?"
        conn.sendall(b"me")
        assert client.recv(2) == b"me"
        return original(conn)


def original(conn: socket.socket) -> Address:
    if conn.family == socket.AF_INET6:
        port, _, host = struct.unpack("!2xHI16s4x", conn.getsockopt(socket.IPPROTO_IPV6, 80, 28))
    else:
        port, host = struct.unpack("!2xH4s8x", conn.getsockopt(socket.IPPROTO_IP, 80, 16))
    return socket.inet_ntop(conn.family, host), port


def answered(server: socket.socket, client: socket.socket) -> None:
    """A query arrives at the server, and the answer at the client as one of whom it had asked."""
    client.send(b"query")
    query, peer = server.recvfrom(64)
    assert query == b"query"
    server.sendto(b"answer", peer)
    assert client.recv(64) == b"answer"


def talks(one: socket.socket, other: socket.socket) -> None:
    for sender, receiver in ((other, one), (one, other)):
        receiver.settimeout(10)
        sender.sendall(b"still there?")
        assert receiver.recv(64) == b"still there?"


def echoed(family: int, target: str) -> bool:
    """The answer to a ping."""
    protocol, request, reply = {
        4: (1, b"\x08\0\xf7\xfd\0\1\0\1", 0),
        6: (58, b"\x80\0\0\0\0\1\0\1", 129),
    }[family]
    with socket.socket(KIND[family], socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(10)
        sock.sendto(request, (target, 0))
        while True:
            packet, sender = sock.recvfrom(256)
            if sender[0] == target:
                # Of IPv4 the head comes along.
                return packet[20 if family == 4 else 0] == reply
