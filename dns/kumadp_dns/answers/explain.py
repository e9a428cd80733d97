"""Where an answer comes from, for people: a private EDNS option asks, an extended error says (RFC 8914).

`kuma-dp dns lookup` asks so, and `dig +ednsopt=65023` may.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from kumadp_dns.answers import edns, wire

EXPLAIN = 65_023
"""Of the option codes for local use."""
_MARK = EXPLAIN.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Explained:
    """A reply for people. `records` are the answers as in a zone file; `origin` is "" when it is not told."""

    rcode: str
    authoritative: bool
    truncated: bool
    records: tuple[str, ...]
    origin: str


def asked(packet: bytes) -> bool:
    """Whether a query wants to be told."""
    if _MARK not in packet:
        return False
    try:
        query = wire.read_query(packet)
    except wire.Malformed:
        return False
    return query.edns is not None and any(code == EXPLAIN for code, _ in edns.options(query.edns.options))


def annotate(packet: bytes, reply: bytes, text: str, *, tcp: bool) -> bytes:
    """The reply to the packet with the text in it; as it was when there is no room for that."""
    try:
        query = wire.read_query(packet)
        message = wire.read_reply(reply, query.question)
    except wire.Malformed:
        return reply
    if query.edns is None:
        return reply
    content, end, additional = b"", len(reply), reply[10] << 8 | reply[11]
    if message.opt is None:
        additional += 1
    elif message.opt.end != len(reply):
        return reply
    else:
        content, end = reply[message.opt.data : message.opt.end], message.opt.start
    content += edns.extended_error(edns.OTHER, text)
    opt = edns.opt(rcode=message.rcode, do=query.edns.do, content=content)
    if end + len(opt) > edns.limit(query.edns, tcp=tcp):
        return reply
    return reply[:10] + additional.to_bytes(2, "big") + reply[12:end] + opt


def build_question(name: str, qtype: str, *, ident: int = 0) -> bytes:
    """A query that wants to be told. ValueError says what is wrong with the name or the type."""
    number = wire.TYPES.get(qtype.upper())
    if number is None:
        raise ValueError(f"{qtype} is not one of the types {', '.join(wire.TYPES)}")
    try:
        encoded = wire.encode_name(name)
    except ValueError as reason:
        raise ValueError(f"{name!a} is not a name to look up: {reason}") from None
    question = encoded + number.to_bytes(2, "big") + wire.IN.to_bytes(2, "big")
    head = ident.to_bytes(2, "big") + bytes((wire.RD, 0)) + wire.counts(1, 0, 0, 1)
    return head + question + edns.opt(content=edns.option(EXPLAIN, b""))


def read_answer(reply: bytes) -> Explained:
    """ValueError for what is no reply."""
    if len(reply) < wire.HEADER_BYTES:
        raise ValueError("the answer is no DNS message: too short")
    try:
        _, end = wire.read_name(reply, wire.HEADER_BYTES)
        message = wire.read_reply(reply, reply[wire.HEADER_BYTES : end + 4])
        records = tuple(_text(reply, record) for record in message.answers)
    except wire.Malformed as error:
        raise ValueError(f"the answer is no DNS message: {error}") from None
    options = b"" if message.opt is None else reply[message.opt.data : message.opt.end]
    name = wire.rcode_name(message.rcode)
    return Explained(
        f"RCODE{message.rcode}" if name == "other" else name,
        bool(reply[2] & wire.AA),
        message.truncated,
        records,
        "; ".join(_texts(options)),
    )


def _texts(options: bytes) -> list[str]:
    try:
        return [
            _printable(content[2:].decode("utf-8", "replace"))
            for code, content in edns.options(options)
            if code == edns.EXTENDED_ERROR
        ]
    except ValueError:
        return []


def _text(reply: bytes, record: wire.Record) -> str:
    from dnslib import QTYPE

    kind = QTYPE.forward.get(record.rtype, f"TYPE{record.rtype}")
    return _printable(f"{wire.decode_name(record.owner)} {record.ttl} {kind} {_content(reply, record, kind)}")


def _content(reply: bytes, record: wire.Record, kind: str) -> str:
    """As hexadecimal digits what is not known, or not as long as it says (RFC 3597)."""
    from dnslib import RDMAP, DNSBuffer, DNSError

    buffer = DNSBuffer(reply)
    buffer.offset = record.data
    size = record.end - record.data
    if kind in RDMAP:
        with contextlib.suppress(DNSError, ValueError):
            content = str(RDMAP[kind].parse(buffer, size))
            if buffer.offset == record.end:
                return content
    return rf"\# {size} {reply[record.data : record.end].hex()}".rstrip()


def _printable(text: str) -> str:
    """Nothing that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)
