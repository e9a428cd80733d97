"""The name table of the worker: whole answers for the fast path, and what the slow path needs to know.

It is made outside the worker (`build`), travels as bytes (`dump`), and is taken up in pieces (`load`) while
the worker answers from the one before.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from struct import Struct
from struct import error as StructError
from typing import TypeVar

from kumadp_dns.answers import wire

DEFAULT_TTL = 30
DEFAULT_DOMAINS = ("mesh", "mesh.local")

KEY_HEAD = bytes((wire.RD, 0)) + b"\0\1\0\0\0\0\0\0"
"""What a plain query has between its id and the name."""
A_IN, AAAA_IN = b"\0\1\0\1", b"\0\x1c\0\1"
"""What it has behind the name."""
KEY_HEAD_BYTES = len(KEY_HEAD)

NAMES_AT_ONCE = 256
"""That `load` takes up between two yields: a quarter of a millisecond."""
_LARGE_AT_ONCE = 8

_MAPPED = b"\0" * 10 + b"\xff\xff"
_FRAME = Struct("!BII")
_NUMBER = Struct("!I")
_HEAD, _ANSWERS, _LARGE, _HOLLOW, _ADDRESSES, _SHARED, _END = range(7)
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that is not used: `what` of the record of this name, and why."""

    name: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """`answers` and `large` are keyed by the packet behind its id of the plain query in lower case; a value
    is the reply behind its id. `large` has the names of which a reply may have to be cut."""

    answers: dict[bytes, bytes] = field(default_factory=dict)
    large: dict[bytes, bytes] = field(default_factory=dict)
    hollow: set[bytes] = field(default_factory=set)
    """Names under the domains that have nothing but names under them."""
    reverse: dict[bytes, bytes | tuple[bytes, ...]] = field(default_factory=dict)
    """Addresses, and the keys of the A queries of their names."""
    domains: tuple[bytes, ...] = ()
    ttl: int = DEFAULT_TTL
    names: int = 0
    refused: tuple[Refused, ...] = ()
    """The first of the refusals; `refusals` is how many there are."""
    refusals: int = 0

    def reply(self, name: bytes, kind: bytes) -> bytes | None:
        """The whole answer behind its id; `kind` is A_IN or AAAA_IN. None: not a name of the table."""
        key = KEY_HEAD + name + kind
        return self.answers.get(key) or self.large.get(key)

    def names_of(self, address: bytes) -> tuple[bytes, ...]:
        """The names that have this address, in wire form."""
        keys = self.reverse.get(plain_address(address), ())
        return tuple(key[KEY_HEAD_BYTES:-4] for key in ((keys,) if isinstance(keys, bytes) else keys))

    def zone_of(self, name: bytes) -> bytes | None:
        """The closest of the domains that the name is in."""
        return next((suffix for suffix in wire.suffixes(name) if suffix in self.domains), None)


EMPTY = Table(domains=tuple(wire.encode_name(domain) for domain in DEFAULT_DOMAINS))


def plain_address(address: bytes) -> bytes:
    """An IPv4 address is one thing, mapped into IPv6 or not."""
    return address[len(_MAPPED) :] if len(address) == 16 and address.startswith(_MAPPED) else address


def dump(table: Table) -> bytes:
    """What `load` makes the same table from, but for the refusals."""
    numbers: dict[bytes, int] = {}
    frames = [_frame(_HEAD, _NUMBER.pack(table.ttl) + _pack(table.domains))]
    for kind, replies, at_once in (
        (_ANSWERS, table.answers, NAMES_AT_ONCE),
        (_LARGE, table.large, _LARGE_AT_ONCE),
    ):
        for keys in _batches([key for key in replies if key.endswith(A_IN)], at_once):
            numbers.update(zip(keys, range(len(numbers), len(numbers) + len(keys)), strict=True))
            frames.append(_frame(kind, _pack([piece for key in keys for piece in _entry(replies, key)])))
    frames += [_frame(_HOLLOW, _pack(names)) for names in _batches(list(table.hollow), NAMES_AT_ONCE)]
    frames += _reverse_frames(table, numbers)
    frames.append(_frame(_END, b""))
    return b"".join(frames)


def load(blob: bytes | memoryview) -> Generator[None, None, Table]:
    """Yields between pieces of the work, and returns the table; ValueError for a blob that is not whole."""
    answers: dict[bytes, bytes] = {}
    large: dict[bytes, bytes] = {}
    hollow: set[bytes] = set()
    reverse: dict[bytes, bytes | tuple[bytes, ...]] = {}
    keys: list[bytes] = []
    domains: Sequence[bytes] = ()
    ttl = 0
    try:
        for kind, content in _frames(memoryview(blob)):
            if kind == _HEAD:
                (ttl,) = _NUMBER.unpack_from(content)
                domains = _unpack(content[_NUMBER.size :])
            elif kind in (_ANSWERS, _LARGE):
                keys += _take(_unpack(content), answers if kind == _ANSWERS else large)
            elif kind == _HOLLOW:
                hollow.update(_unpack(content))
            elif kind == _ADDRESSES:
                *addresses, places = _unpack(content)
                reverse.update(zip(addresses, map(keys.__getitem__, _numbers(places)), strict=True))
            else:
                address, places = _unpack(content)
                reverse[address] = tuple(map(keys.__getitem__, _numbers(places)))
            yield
    except (StructError, IndexError, ValueError) as error:
        raise ValueError(f"the name table is not whole: {error}") from None
    return Table(answers, large, hollow, reverse, tuple(domains), ttl, len(keys))


def _take(pieces: Sequence[bytes], replies: dict[bytes, bytes]) -> list[bytes]:
    """Enter names and their two replies; the keys of their A queries."""
    names = pieces[0::3]
    keys = [KEY_HEAD + name + A_IN for name in names]
    replies.update(zip(keys, pieces[1::3], strict=True))
    replies.update(zip([KEY_HEAD + name + AAAA_IN for name in names], pieces[2::3], strict=True))
    return keys


def _entry(replies: dict[bytes, bytes], key: bytes) -> tuple[bytes, bytes, bytes]:
    return key[KEY_HEAD_BYTES:-4], replies[key], replies[key[:-4] + AAAA_IN]


def _reverse_frames(table: Table, numbers: dict[bytes, int]) -> Iterator[bytes]:
    single = [(address, keys) for address, keys in table.reverse.items() if isinstance(keys, bytes)]
    for batch in _batches(single, NAMES_AT_ONCE):
        places = b"".join(_NUMBER.pack(numbers[key]) for _, key in batch)
        yield _frame(_ADDRESSES, _pack([*(address for address, _ in batch), places]))
    for address, keys in table.reverse.items():
        if not isinstance(keys, bytes):
            yield _frame(_SHARED, _pack([address, b"".join(_NUMBER.pack(numbers[key]) for key in keys)]))


def _frame(kind: int, content: bytes) -> bytes:
    return _FRAME.pack(kind, len(content), crc32(content, kind)) + content


def _frames(blob: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Kind and content of each frame up to the last."""
    at = 0
    while True:
        kind, size, check = _FRAME.unpack_from(blob, at)
        at += _FRAME.size
        content = blob[at : at + size]
        at += size
        if len(content) != size or crc32(content, kind) != check:
            raise ValueError("a piece of it is damaged")
        if kind == _END:
            return
        yield kind, content


def _pack(pieces: Sequence[bytes]) -> bytes:
    """The sizes are written as a struct format: that is what unpacks them fastest."""
    sizes = "".join([f"{len(piece)}s" for piece in pieces]).encode()
    return _NUMBER.pack(len(sizes)) + sizes + b"".join(pieces)


def _unpack(content: memoryview) -> Sequence[bytes]:
    (size,) = _NUMBER.unpack_from(content)
    layout = Struct(bytes(content[_NUMBER.size : _NUMBER.size + size]).decode("ascii"))
    return layout.unpack(content[_NUMBER.size + size :])


def _numbers(places: bytes) -> Iterator[int]:
    return (number for (number,) in _NUMBER.iter_unpack(places))


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
