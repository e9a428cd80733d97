"""Genuine ClientHello bytes, made by OpenSSL, ways to cut them, and the server name that is in one."""

from __future__ import annotations

import ssl
from collections.abc import Sequence


def client_hello(alpn: Sequence[str] = (), *, server_name: str = "localhost") -> bytes:
    """What a TLS client that offers these protocols sends first: one record."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without a server")


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message in records of at most `size` bytes."""
    message = hello[5:]
    parts = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(hello[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def server_name(data: bytes) -> str | None:
    """What a client asks for by SNI: of a hello that is whole and in one record, else None."""
    if data[:1] != b"\x16" or data[5:6] != b"\x01":
        return None
    rest = data[5 + 4 + 2 + 32 :]
    for size in (1, 2, 1):  # session, cipher suites, compression methods
        rest = rest[size + int.from_bytes(rest[:size], "big") :]
    rest = rest[2 : 2 + int.from_bytes(rest[:2], "big")]
    while rest:
        kind, length = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
        if kind == 0:
            return rest[9 : 4 + length].decode(errors="replace")
        rest = rest[4 + length :]
    return None
