"""Queries made, and replies read, by dnspython; and small name tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from kumadp_dns.answers.build import build
from kumadp_dns.answers.document import Document, Record
from kumadp_dns.answers.query import Answer, decide
from kumadp_dns.answers.table import Table

NAMES: dict[str, tuple[str, ...]] = {
    "backend.mesh": ("240.0.0.1", "::ffff:f000:1"),
    "ipv4-only.mesh": ("240.0.0.2",),
    "ipv6-only.mesh": ("fd00:fd00::3",),
    "both.svc.mesh": ("240.0.0.4", "240.0.0.5", "fd00:fd00::4"),
    "echo_echo_svc_1010.mesh": ("240.0.0.6",),
    "echo.echo.svc.1010.mesh": ("240.0.0.6",),
    "deep.name.mesh.local": ("240.0.0.7",),
    "httpbin.org": ("240.0.0.8",),
    "backend.zone-1.corp": ("240.0.0.9", "::ffff:f000:9"),
}


def table_of(names: Mapping[str, Sequence[str]] = NAMES, **fields: Any) -> Table:
    return build(document_of(names, **fields))


def document_of(names: Mapping[str, Sequence[str]] = NAMES, **fields: Any) -> Document:
    return Document(tuple(Record(name, tuple(ips)) for name, ips in names.items()), **fields)


def query(name: str, qtype: str = "A", **options: Any) -> bytes:
    """Options are those of `dns.message.make_query`."""
    return dns.message.make_query(name, qtype, id=0x1234, **options).to_wire()


def read(packet: bytes) -> dns.message.Message:
    return dns.message.from_wire(packet)


def ask(packet: bytes, table: Table | None, *, tcp: bool = False) -> dns.message.Message:
    """The answer, which there must be, and which must be one to this query."""
    answer = decide(packet, table, tcp=tcp)
    assert isinstance(answer, Answer), answer
    assert answer.packet[:2] == packet[:2]
    assert answer.source == "local"
    reply = read(answer.packet)
    assert reply.flags & dns.flags.QR
    assert answer.rcode == dns.rcode.to_text(reply.rcode())
    return reply


def rcode(reply: dns.message.Message) -> str:
    return dns.rcode.to_text(reply.rcode())


def data(section: list[dns.rrset.RRset]) -> list[str]:
    """`TYPE data` of every record, sorted."""
    return sorted(f"{dns.rdatatype.to_text(rrset.rdtype)} {item}" for rrset in section for item in rrset)


def answers(reply: dns.message.Message) -> list[str]:
    return data(reply.answer)


def is_authoritative(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.AA)


def is_cut(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.TC)


def upstream(
    asked: bytes,
    *records: str,
    code: str = "NOERROR",
    flags: str = "QR RD RA",
    authority: tuple[str, ...] = (),
    additional: tuple[str, ...] = (),
    use_edns: int | bool = False,
    do: bool = False,
) -> bytes:
    """The reply of an upstream server, with an id of its own and the question in lower case. Records are
    as in a zone file: `name ttl type data`."""
    question = read(asked)
    reply = dns.message.make_response(question)
    reply.id = 0xABCD
    reply.question = [dns.rrset.RRset(q.name.canonicalize(), q.rdclass, q.rdtype) for q in question.question]
    reply.flags = dns.flags.from_text(flags)
    reply.use_edns(use_edns, ednsflags=dns.flags.DO if do else 0)
    reply.set_rcode(dns.rcode.from_text(code))
    for section, texts in (
        (reply.answer, records),
        (reply.authority, authority),
        (reply.additional, additional),
    ):
        for text in texts:
            name, ttl, rtype, content = text.split(" ", 3)
            section.append(dns.rrset.from_text(name + ".", int(ttl), "IN", rtype, content))
    return reply.to_wire(max_size=65_535)
