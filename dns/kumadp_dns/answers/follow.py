"""The reply of an upstream server made into the client's: passed on, or completed with addresses of the mesh.

An alias outside that leads to a name of ours leads on to what we know about that name, whatever the upstream
server, which knows nothing of it, has put there.
"""

from __future__ import annotations

from kumadp_dns.answers import edns, wire
from kumadp_dns.answers.authority import verdict
from kumadp_dns.answers.compose import NOT_READY, compose
from kumadp_dns.answers.table import EMPTY, Table
from kumadp_dns.answers.wire import HEADER_BYTES, Malformed, Message, Query

MAX_ALIASES = 16
_NOTHING = b"\0" * 8
_ALIAS_HEAD_BYTES = 12
Alias = tuple[int, bytes]
"""TTL and target."""


def reply_to(query: Query, reply: bytes, table: Table | None, *, limit: int) -> tuple[bytes, int]:
    """The client's reply and its rcode. Raises Malformed for what is no reply to this query."""
    if _is_bare_error(reply):
        rcode = reply[3] & 0x0F
        return compose(query, rcode, limit=limit), rcode
    try:
        message = wire.read_reply(reply, query.question)
    except Malformed:
        if len(reply) < HEADER_BYTES or not (reply[2] & wire.QR and reply[2] & wire.TC):
            raise
        # Cut somewhere in a record: it only means that the client is to ask over TCP.
        return compose(query, wire.NOERROR, limit=limit, flags=wire.TC), wire.NOERROR
    aliases = _into_the_mesh(query, reply, message, EMPTY if table is None else table)
    if aliases:
        if table is None:
            return compose(query, wire.SERVFAIL, limit=limit, options=NOT_READY), wire.SERVFAIL
        return _completed(query, aliases, table, limit)
    if message.rcode > 0x0F and query.edns is None:
        raise Malformed("an error code that takes EDNS, in answer to a client without it")
    return _passed_on(query, reply, message, limit), message.rcode


def _is_bare_error(reply: bytes) -> bool:
    """An error without even the question, as of servers that do not understand EDNS."""
    return (
        len(reply) >= HEADER_BYTES
        and reply[2] & (wire.QR | wire.OPCODE) == wire.QR
        and reply[3] & 0x0F != wire.NOERROR
        and reply[4:12] == _NOTHING
    )


def _into_the_mesh(query: Query, reply: bytes, message: Message, table: Table) -> list[Alias]:
    """The aliases from the question to the first name that is ours; none when there is no such name."""
    if query.qtype in (wire.CNAME, wire.ANY):
        return []
    known = {r.owner.lower(): r for r in message.answers if r.rtype == wire.CNAME and r.rclass == wire.IN}
    passed: list[Alias] = []
    name = query.name
    while (record := known.pop(name, None)) is not None and len(passed) < MAX_ALIASES:
        target, end = wire.read_name(reply, record.data)
        if end != record.end:
            raise Malformed("an alias that is not a name")
        passed.append((record.ttl, target))
        name = target.lower()
        if verdict(table, name, query.qtype) is not None:
            return passed
    return []


def _completed(query: Query, aliases: list[Alias], table: Table, limit: int) -> tuple[bytes, int]:
    """Each alias owns the next by a pointer to where the one before names it."""
    answers: list[bytes] = []
    owner, end = HEADER_BYTES, HEADER_BYTES + len(query.question)
    for ttl, target in aliases:
        answers.append(wire.record(wire.pointer(owner), wire.CNAME, ttl, target))
        owner = end + _ALIAS_HEAD_BYTES
        end += len(answers[-1])
    found = verdict(table, aliases[-1][1].lower(), query.qtype, owner)
    assert found is not None
    message = compose(query, found.rcode, (*answers, *found.answers), found.authority, limit=limit)
    return message, found.rcode


def _passed_on(query: Query, reply: bytes, message: Message, limit: int) -> bytes:
    """The reply with the client's id and question, which are as long as those it has."""
    records = (*message.answers, *message.records)
    whole = [record.end for record in records]
    counts, end = reply[4:12], max(whole, default=message.body)
    if message.opt is not None:
        if query.edns is None:
            end, counts = message.opt.start, _counts_without_opt(reply, message)
        else:
            end = max(end, message.opt.end)
    flags = reply[2:4]
    body, opt = reply[message.body : end], b""
    if end > limit:
        opt = edns.reply_opt(query.edns, rcode=message.rcode)
        kept = [record.end for record in message.answers if record.end + len(opt) <= limit]
        body = reply[message.body : max(kept, default=message.body)]
        counts = wire.counts(1, len(kept), 0, int(bool(opt)))
        if not kept or len(kept) < len(message.answers):
            flags = bytes((reply[2] | wire.TC, reply[3]))
    return b"".join((query.ident, flags, counts, query.question, body, opt))


def _counts_without_opt(reply: bytes, message: Message) -> bytes:
    """Whatever is behind the OPT record goes with it: signatures of the message, which has changed."""
    assert message.opt is not None
    before = sum(record.start < message.opt.start for record in message.records)
    authority = reply[8] << 8 | reply[9]
    return wire.counts(1, len(message.answers), authority, before - authority)
