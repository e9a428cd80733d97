"""The DNS wire format: names, questions and records, read strictly and written plainly (RFC 1035, 6891).

A name is kept in its wire form, labels behind their lengths, ended by a zero byte. What these read came from
outside and may be anything; all of them raise Malformed, and nothing else, for what is no DNS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from kumadp_dns.answers import edns

HEADER_BYTES = 12
MAX_NAME_BYTES = 255
MAX_LABEL_BYTES = 63
MAX_MESSAGE_BYTES = 65_535
MAX_POINTERS = 32
"""That one name is followed through. Without a bound thousands of records that all begin with the same chain
of thousands of pointers, which one message has room for, take seconds to read."""

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
A, NS, CNAME, SOA, PTR, AAAA, OPT, IXFR, AXFR, ANY = 1, 2, 5, 6, 12, 28, 41, 251, 252, 255
IN = 1

QR, AA, TC, RD = 0x80, 0x04, 0x02, 0x01
"""Flags in the third byte of a message; bits 0x78 of it are the opcode."""
RA, AD, CD = 0x80, 0x20, 0x10
"""Flags in the fourth byte; bits 0x0F of it are the rcode."""
OPCODE = 0x78

TYPES = {
    "A": A,
    "NS": NS,
    "CNAME": CNAME,
    "SOA": SOA,
    "PTR": PTR,
    "MX": 15,
    "TXT": 16,
    "AAAA": AAAA,
    "SRV": 33,
    "NAPTR": 35,
    "DS": 43,
    "SVCB": 64,
    "HTTPS": 65,
    "CAA": 257,
    "ANY": ANY,
}
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_RCODE_NAMES = {
    NOERROR: "NOERROR",
    FORMERR: "FORMERR",
    SERVFAIL: "SERVFAIL",
    NXDOMAIN: "NXDOMAIN",
    NOTIMP: "NOTIMP",
    REFUSED: "REFUSED",
    BADVERS: "BADVERS",
}

_POINTER = 0xC0
_COUNTS = Struct("!4H")
_TWO = Struct("!2H")
_RECORD = Struct("!HHIH")
_ONE_QUESTION = b"\0\1\0\0\0\0"
"""QDCOUNT 1, ANCOUNT 0, NSCOUNT 0."""


class Malformed(ValueError):
    """Not a DNS message. `question` is what could be read of it before."""

    def __init__(self, reason: str, question: bytes = b"") -> None:
        super().__init__(reason)
        self.question = question


class Record(NamedTuple):
    """One resource record of a message: where it begins and ends in it, and where its data begins."""

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    start: int
    data: int
    end: int


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood. `question` is the client's own bytes, `name` is in lower case."""

    ident: bytes
    flags: bytes
    question: bytes
    name: bytes
    qtype: int
    qclass: int
    edns: edns.Edns | None


@dataclass(frozen=True, slots=True)
class Message:
    """A reply that was understood, `records` being those behind the answers, without the OPT record."""

    rcode: int
    truncated: bool
    answers: tuple[Record, ...]
    records: tuple[Record, ...]
    opt: Record | None
    body: int
    """Where the question ends."""


def type_name(qtype: int) -> str:
    """One of a bounded set of names, for people and for metrics; "other" for all the rest."""
    return _TYPE_NAMES.get(qtype, "other")


def rcode_name(rcode: int) -> str:
    """One of a bounded set of names; "other" for all the rest."""
    return _RCODE_NAMES.get(rcode, "other")


def encode_name(text: str) -> bytes:
    """The wire form of a host name in lower case; ValueError says in few words what is wrong with it."""
    text = text.removesuffix(".")
    if not text:
        raise ValueError("the name is empty")
    if not text.isascii():
        raise ValueError("not ASCII; an international name is written in its xn-- form")
    if not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("contains a control character, a blank or a backslash")
    parts = []
    for label in text.lower().encode().split(b"."):
        if not label:
            raise ValueError("contains an empty label")
        if len(label) > MAX_LABEL_BYTES:
            raise ValueError(f"a label is longer than {MAX_LABEL_BYTES} bytes")
        parts.append(bytes((len(label),)) + label)
    name = b"".join(parts) + b"\0"
    if len(name) > MAX_NAME_BYTES:
        raise ValueError(f"longer than {MAX_NAME_BYTES - 2} bytes")
    return name


def decode_name(name: bytes) -> str:
    """The name for people, without the trailing dot; what is not printable is written as `\\ddd`."""
    labels = []
    at = 0
    while name[at]:
        label = name[at + 1 : at + 1 + name[at]]
        labels.append("".join(chr(c) if 0x20 < c < 0x7F and c not in b".\\" else f"\\{c:03d}" for c in label))
        at += 1 + name[at]
    return ".".join(labels) or "."


def suffixes(name: bytes) -> Iterator[bytes]:
    """The name itself, its parent, and so on, without the root."""
    at = 0
    while name[at]:
        yield name[at:]
        at += 1 + name[at]


def read_name(message: bytes, at: int) -> tuple[bytes, int]:
    """The name that begins at this offset, pointers followed, as it is written; and where it ends there.

    A pointer must lead to before the piece that it ends, so that no chain of pointers can be a loop."""
    pieces: list[bytes] = []
    end, piece, size, pointers = -1, at, 0, 0
    try:
        while length := message[at]:
            if length >= _POINTER:
                target = (length & ~_POINTER) << 8 | message[at + 1]
                pointers += 1
                if not HEADER_BYTES <= target < piece or pointers > MAX_POINTERS:
                    raise Malformed("a name that leads nowhere")
                if end < 0:
                    end = at + 2
                at = piece = target
                continue
            if length > MAX_LABEL_BYTES:
                raise Malformed("a label of an unknown kind")
            size += 1 + length
            if size >= MAX_NAME_BYTES:
                raise Malformed("a name that is too long")
            pieces.append(message[at : at + 1 + length])
            at += 1 + length
    except IndexError:
        raise Malformed("a name that is cut off") from None
    pieces.append(b"\0")
    return b"".join(pieces), at + 1 if end < 0 else end


def read_records(message: bytes, at: int, count: int) -> Iterator[Record]:
    """That many records, the first of which begins at this offset."""
    for _ in range(count):
        start = at
        owner, at = read_name(message, at)
        if at + _RECORD.size > len(message):
            raise Malformed("a record that is cut off")
        rtype, rclass, ttl, size = _RECORD.unpack_from(message, at)
        data = at + _RECORD.size
        at = data + size
        if at > len(message):
            raise Malformed("a record that is cut off")
        yield Record(owner, rtype, rclass, ttl, start, data, at)


def read_query(packet: bytes) -> Query:
    """The query of a client. What is behind the question must be whole, and one OPT record at the most."""
    if len(packet) < HEADER_BYTES or packet[4:10] != _ONE_QUESTION:
        raise Malformed("not one question")
    name, end = read_name(packet, HEADER_BYTES)
    question = packet[HEADER_BYTES : end + 4]
    if len(question) != len(name) + 4:
        raise Malformed("a question that is cut off")
    qtype, qclass = _TWO.unpack_from(packet, end)
    found: edns.Edns | None = None
    end += 4
    try:
        for record in read_records(packet, end, packet[10] << 8 | packet[11]):
            end = record.end
            if record.rtype == OPT:
                if found is not None or record.owner != b"\0":
                    raise Malformed("more than one OPT record, or one that is not the root's")
                found = edns.read(record.rclass, record.ttl, packet[record.data : record.end])
    except ValueError as error:
        raise Malformed(str(error), question) from None
    if end != len(packet):
        raise Malformed("bytes behind the message", question)
    return Query(packet[:2], packet[2:4], question, name.lower(), qtype, qclass, found)


def read_reply(reply: bytes, question: bytes) -> Message:
    """The reply of a server to that question, which it may have written in another case."""
    if len(reply) < HEADER_BYTES or not reply[2] & QR or reply[2] & OPCODE:
        raise Malformed("not a reply")
    questions, answers, authority, additional = _COUNTS.unpack_from(reply, 4)
    body = HEADER_BYTES + len(question)
    asked = reply[HEADER_BYTES:body]
    if questions != 1 or asked[:-4].lower() != question[:-4].lower() or asked[-4:] != question[-4:]:
        raise Malformed("not a reply to this question")
    records = tuple(read_records(reply, body, answers + authority + additional))
    rcode, opt = reply[3] & 0x0F, None
    for record in records[answers + authority :]:
        if record.rtype == OPT:
            opt = record
            rcode |= record.ttl >> 24 << 4
    rest = tuple(record for record in records[answers:] if record is not opt)
    return Message(rcode, bool(reply[2] & TC), records[:answers], rest, opt, body)


def pointer(offset: int) -> bytes:
    """A compressed name: the one that is written at this offset of the message."""
    return bytes((_POINTER | offset >> 8, offset & 0xFF))


def record(owner: bytes, rtype: int, ttl: int, data: bytes) -> bytes:
    return owner + _RECORD.pack(rtype, IN, ttl, len(data)) + data


def counts(questions: int, answers: int, authority: int, additional: int) -> bytes:
    return _COUNTS.pack(questions, answers, authority, additional)
