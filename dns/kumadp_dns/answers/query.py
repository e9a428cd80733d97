"""What becomes of one query: an answer of our own, a question to others, or nothing. Any bytes will do.

`decide` has two ways. The short one is for names of the table, asked for otherwise than plainly, which
`Table.answers` is keyed by: in mixed case, with EDNS, with other flags. The long one is for all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from kumadp_dns.answers import edns, follow, wire
from kumadp_dns.answers.authority import verdict
from kumadp_dns.answers.compose import NOT_READY, bare, compose
from kumadp_dns.answers.table import A_IN, EMPTY, KEY_HEAD, Table
from kumadp_dns.answers.wire import HEADER_BYTES, Malformed, Query

_NO_RECORDS = b"\0\1\0\0\0\0\0\0"
_ONE_RECORD = b"\0\1\0\0\0\0\0\1"
_OPT_HEAD = b"\0\0\x29"
_EMPTY = b"\0\0"
_COOKIE = b"\0\x0c\0\x0a\0\x08"
"""The length of the options, and the head of the only one: a client's cookie."""
_COOKIE_BYTES = 8
_OPT, _OPT_DO = edns.opt(), edns.opt(do=True)
_TRANSFERS = (wire.IXFR, wire.AXFR)


@dataclass(frozen=True, slots=True)
class Answer:
    """`source` is "local" for what is known here, "upstream" for what comes from others or should have."""

    packet: bytes
    qtype: str
    source: str
    rcode: str


@dataclass(frozen=True, slots=True)
class Forward:
    """This is somebody else's to answer."""

    qtype: str


def decide(packet: bytes, table: Table | None, *, tcp: bool) -> Answer | Forward | None:
    """None: a reply, or too short to be answered. Without a table what may be ours gets SERVFAIL."""
    if len(packet) < HEADER_BYTES or packet[2] & wire.QR:
        return None
    if packet[2] & wire.OPCODE:
        return Answer(bare(packet, wire.NOTIMP), "other", "local", "NOTIMP")
    if table is not None:
        known = _known(packet, table)
        if known is not None:
            return known
    try:
        query = wire.read_query(packet)
    except Malformed as error:
        return Answer(bare(packet, wire.FORMERR, error.question), "other", "local", "FORMERR")
    limit = edns.limit(query.edns, tcp=tcp)
    if query.edns is not None and query.edns.version > 0:
        return _answer(query, wire.BADVERS, limit)
    if query.qclass != wire.IN or query.qtype in _TRANSFERS:
        why = edns.extended_error(edns.NOT_SUPPORTED, "only class IN, and no zone transfers")
        return _answer(query, wire.REFUSED, limit, options=why)
    found = verdict(EMPTY if table is None else table, query.name, query.qtype)
    if found is None:
        return Forward(wire.type_name(query.qtype))
    if table is None:
        return _answer(query, wire.SERVFAIL, limit, options=NOT_READY)
    message = compose(query, found.rcode, found.answers, found.authority, limit=limit, flags=wire.AA)
    return _told(query, message, "local", found.rcode)


def finish(packet: bytes, reply: bytes, table: Table | None, *, tcp: bool) -> Answer:
    """The answer to a query that was forwarded; `reply` is what the upstream server sent, with any id."""
    try:
        query = wire.read_query(packet)
        limit = edns.limit(query.edns, tcp=tcp)
        message, rcode = follow.reply_to(query, reply, table, limit=limit)
    except Malformed as error:
        reason = f"the upstream server's answer is of no use: {error}"
        return failure(packet, wire.SERVFAIL, reason, code=edns.INVALID_DATA)
    return _told(query, message, "upstream", rcode)


def failure(
    packet: bytes, rcode: int, reason: str = "", *, code: int = edns.NO_REACHABLE_AUTHORITY
) -> Answer:
    """There is no answer to be had; a client that speaks EDNS is told why."""
    try:
        query = wire.read_query(packet)
    except Malformed as error:
        packet = packet.ljust(HEADER_BYTES, b"\0")
        return Answer(bare(packet, rcode, error.question), "other", "upstream", wire.rcode_name(rcode))
    options = edns.extended_error(code, reason) if reason else b""
    message = compose(query, rcode, limit=edns.PLAIN_UDP_BYTES, options=options)
    return _told(query, message, "upstream", rcode)


def _known(packet: bytes, table: Table) -> Answer | None:
    """The short way. What it cannot answer for sure is left to the long one.

    A name of the table has no zero byte in it, so what ends at the first one is a name of the table or is not
    found."""
    end = packet.find(0, HEADER_BYTES) + 5
    question = packet[HEADER_BYTES:end]
    reply = table.answers.get(KEY_HEAD + question.lower())
    if reply is None:
        return None
    if packet[4:12] == _NO_RECORDS and len(packet) == end:
        opt = b""
    elif (
        packet[4:12] == _ONE_RECORD
        and packet[end : end + 3] == _OPT_HEAD
        and packet[end + 6 : end + 7] == b"\0"
    ):
        rest = packet[end + 9 :]
        if rest != _EMPTY and (len(rest) != len(_COOKIE) + _COOKIE_BYTES or not rest.startswith(_COOKIE)):
            return None
        opt = _OPT_DO if packet[end + 7] & 0x80 else _OPT
    else:
        return None
    flags = bytes((reply[0] & ~wire.RD | packet[2] & wire.RD, reply[1] | packet[3] & wire.CD))
    counts = reply[2:9] + b"\1" if opt else reply[2:10]
    message = b"".join((packet[:2], flags, counts, question, reply[end - 2 :], opt))
    return Answer(message, "A" if question.endswith(A_IN) else "AAAA", "local", "NOERROR")


def _answer(query: Query, rcode: int, limit: int, options: bytes = b"") -> Answer:
    return _told(query, compose(query, rcode, limit=limit, options=options), "local", rcode)


def _told(query: Query, message: bytes, source: str, rcode: int) -> Answer:
    return Answer(message, wire.type_name(query.qtype), source, wire.rcode_name(rcode))
