"""Replies: to a query that was understood, and to one that was not."""

from __future__ import annotations

from collections.abc import Sequence

from kumadp_dns.answers import edns, wire
from kumadp_dns.answers.wire import HEADER_BYTES, Query

NOT_READY = edns.extended_error(edns.NOT_READY, "the names of the mesh are not known yet")
"""The option that says why nothing is said about a name before the first table."""


def compose(
    query: Query,
    rcode: int,
    answers: Sequence[bytes] = (),
    authority: bytes = b"",
    *,
    limit: int,
    flags: int = 0,
    options: bytes = b"",
) -> bytes:
    """A reply within the limit: records that do not fit are left out, and TC says so. `flags` are those of
    the third byte that are set whatever the client asked for; `options` are for clients that speak EDNS."""
    opt = edns.reply_opt(query.edns, rcode=rcode, content=options)
    room = limit - HEADER_BYTES - len(query.question) - len(opt)
    kept: list[bytes] = []
    for record in answers:
        if len(record) > room:
            break
        room -= len(record)
        kept.append(record)
    if len(kept) < len(answers) or len(authority) > room:
        flags |= wire.TC
        authority = b""
    counts = wire.counts(1, len(kept), int(bool(authority)), int(bool(opt)))
    first = wire.QR | flags | query.flags[0] & wire.RD
    second = wire.RA | query.flags[1] & wire.CD | rcode & 0x0F
    return b"".join((query.ident, bytes((first, second)), counts, query.question, *kept, authority, opt))


def bare(packet: bytes, rcode: int, question: bytes = b"") -> bytes:
    """A reply to what was not understood; `question` is what was understood of it."""
    flags = bytes((wire.QR | packet[2] & (wire.OPCODE | wire.RD), wire.RA | rcode & 0x0F))
    return packet[:2] + flags + wire.counts(int(bool(question)), 0, 0, 0) + question
