"""Extension mechanisms for DNS (RFC 6891) and extended errors (RFC 8914)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

UDP_BYTES = 1_232
"""What we say that we take, and the most that we send over UDP: as other servers do since the flag day of
2020, it passes every network whole. A longer answer goes over TCP."""
PLAIN_UDP_BYTES = 512
OPT_BYTES = 11
"""Of an OPT record without options."""

OTHER, NOT_READY, NOT_SUPPORTED, NO_REACHABLE_AUTHORITY, INVALID_DATA = 0, 14, 21, 22, 24
"""INFO-CODEs of extended errors."""
EXTENDED_ERROR = 15
COOKIE = 10
DO = 0x8000

_OPT = Struct("!BHHIH")
_TYPE = 41
_TWO = Struct("!2H")
_MAX_TEXT_BYTES = 200
"""So that an error with its question fits wherever a reply does."""


@dataclass(frozen=True, slots=True)
class Edns:
    """What a client says in its OPT record; `size` is the longest reply that it takes over UDP."""

    size: int
    version: int
    do: bool
    options: bytes


def read(rclass: int, ttl: int, data: bytes) -> Edns:
    """An OPT record; ValueError for one whose options are cut off."""
    for _ in options(data):
        pass
    return Edns(rclass, ttl >> 16 & 0xFF, bool(ttl & DO), data)


def options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and content of each option; ValueError when one is cut off."""
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise ValueError("an EDNS option that is cut off")
        code, size = _TWO.unpack_from(data, at)
        at += 4 + size
        if at > len(data):
            raise ValueError("an EDNS option that is cut off")
        yield code, data[at - size : at]


def option(code: int, content: bytes) -> bytes:
    return _TWO.pack(code, len(content)) + content


def extended_error(code: int, text: str) -> bytes:
    """The option; the text is for people."""
    cut = text.encode("utf-8", "replace")[:_MAX_TEXT_BYTES].decode("utf-8", "ignore")
    return option(EXTENDED_ERROR, code.to_bytes(2, "big") + cut.encode())


def opt(*, rcode: int = 0, do: bool = False, content: bytes = b"") -> bytes:
    """The OPT record of a reply. `rcode` is the whole code, of which this carries the upper bits."""
    return _OPT.pack(0, _TYPE, UDP_BYTES, rcode >> 4 << 24 | (DO if do else 0), len(content)) + content


def reply_opt(asked: Edns | None, *, rcode: int = 0, content: bytes = b"") -> bytes:
    """The OPT record for this client: none for one that did not send any."""
    return b"" if asked is None else opt(rcode=rcode, do=asked.do, content=content)


def limit(asked: Edns | None, *, tcp: bool) -> int:
    """The longest reply that this client may get."""
    if tcp:
        return 65_535
    return PLAIN_UDP_BYTES if asked is None else max(PLAIN_UDP_BYTES, min(asked.size, UDP_BYTES))
