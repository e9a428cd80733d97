"""Where does a new TLS connection belong? Told by its ClientHello, which is left untouched (RFC 8446 4.1.2).

Any bytes may come in; the answer is always a route, or how many bytes to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_HELLO_BYTES = 16_384
"""Hellos have 0.2 to 2 KB; a record can be no longer than this."""
_MAX_RECORDS = 16
"""A hello cut into more records than this is no client's but an attempt to burn CPU."""

_RECORD_HEADER = 5
_HANDSHAKE_HEADER = 4
_HANDSHAKE_RECORD = b"\x16"
_MAJOR_VERSION = b"\x03"
_CLIENT_HELLO = b"\x01"
_ALPN = 16
_RANDOM_AND_VERSION = 34


class Route(Enum):
    """Who serves the connection."""

    GRPC = "grpc"
    HTTP = "http"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The hello is not complete; `total` is the least number of bytes, from its start, that tells more."""

    total: int


class _Malformed(Exception):
    pass


def classify(data: bytes) -> Route | NeedMore:
    """A client that offers h2 and not http/1.1 by ALPN speaks gRPC; every other TLS client goes to HTTP; what
    is not TLS or too long is dropped."""
    try:
        hello = _handshake(data)
        if isinstance(hello, NeedMore):
            return hello if hello.total <= MAX_HELLO_BYTES else Route.DROP
        protocols = _alpn(hello)
    except _Malformed:
        return Route.DROP
    return Route.GRPC if b"h2" in protocols and b"http/1.1" not in protocols else Route.HTTP


def _handshake(data: bytes) -> bytes | NeedMore:
    """The body of the ClientHello, put together from its records."""
    message, offset, end = b"", 0, _HANDSHAKE_HEADER
    for _ in range(_MAX_RECORDS):
        header = data[offset : offset + _RECORD_HEADER]
        if header[:1] not in (b"", _HANDSHAKE_RECORD) or header[1:2] not in (b"", _MAJOR_VERSION):
            raise _Malformed
        if len(header) < _RECORD_HEADER:
            return NeedMore(offset + _RECORD_HEADER)
        length = int.from_bytes(header[3:5], "big")
        if not 0 < length <= MAX_HELLO_BYTES:
            raise _Malformed
        offset += _RECORD_HEADER
        message += data[offset : offset + length]
        offset += length
        if message[:1] not in (b"", _CLIENT_HELLO):
            raise _Malformed
        if len(message) >= _HANDSHAKE_HEADER:
            end = _HANDSHAKE_HEADER + int.from_bytes(message[1:4], "big")
            if len(message) >= end:
                return message[_HANDSHAKE_HEADER:end]
        if end > MAX_HELLO_BYTES:
            raise _Malformed
        if offset > len(data):
            # No more than the message needs: what else is in the record is not ours to wait for.
            known = len(message) >= _HANDSHAKE_HEADER
            return NeedMore(min(offset, len(data) + end - len(message) if known else MAX_HELLO_BYTES))
    raise _Malformed


class _Reader:
    """Takes fields off the front of a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def __bool__(self) -> bool:
        return self._offset < len(self._data)

    def take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            raise _Malformed
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def vector(self, length_size: int) -> bytes:
        return self.take(int.from_bytes(self.take(length_size), "big"))


def _alpn(hello: bytes) -> frozenset[bytes]:
    """The protocols that the client offers; none without the extension."""
    reader = _Reader(hello)
    reader.take(_RANDOM_AND_VERSION)
    reader.vector(1)  # session id
    reader.vector(2)  # cipher suites
    reader.vector(1)  # compression methods
    if not reader:
        return frozenset()
    extensions = _Reader(reader.vector(2))
    while extensions:
        kind = int.from_bytes(extensions.take(2), "big")
        body = extensions.vector(2)
        if kind == _ALPN:
            return _protocols(body)
    return frozenset()


def _protocols(body: bytes) -> frozenset[bytes]:
    names = _Reader(_Reader(body).vector(2))
    found = set()
    while names:
        found.add(names.vector(1))
    return frozenset(found)
