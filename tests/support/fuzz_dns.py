"""Fuzz targets: the name server. Packets come from anybody on the host, tables from a control plane."""

from __future__ import annotations

import json
from zlib import crc32

import dns.edns
import dns.exception
import dns.message
import dns.name

from dns_queries import NAMES, query, table_of, upstream
from fuzz import Target
from fuzz_mutate import bytes_mutation, json_mutation
from fuzz_resources import text_of
from kumadp_dns.answers import explain, wire
from kumadp_dns.answers.build import MAX_REFUSED, build
from kumadp_dns.answers.document import DocumentError, parse
from kumadp_dns.answers.query import Answer, Forward, decide, failure, finish
from kumadp_dns.answers.table import dump, load

_TABLE = table_of({**NAMES, "many.mesh": [f"240.1.{i >> 8}.{i & 255}" for i in range(300)]})
_DOMAINS = (dns.name.from_text("mesh"), dns.name.from_text("mesh.local"))
_ASKED = query("Www.Example.Com")
_ASKED_WITH_EDNS = query("Www.Example.Com", use_edns=0, payload=700, want_dnssec=True)
_ALIAS = "www.example.com 60 CNAME backend.mesh."
_ONE_IN = 16
"""Answers that another decoder reads, too: it takes ten times as long as making them."""


def check_query(data: bytes) -> str:
    """Every packet has at most one answer: with its id and opcode, its question or none, within the limit."""
    explain.asked(data)
    shown = []
    for tcp in (False, True):
        answer = decide(data, _TABLE, tcp=tcp)
        if answer is None:
            assert len(data) < 12 or data[2] & 0x80
        elif isinstance(answer, Forward):
            name = dns.name.from_wire(data, wire.HEADER_BYTES)[0]
            assert not any(map(name.is_subdomain, _DOMAINS))
            _check_reply(data, failure(data, wire.SERVFAIL, "nobody answers"), 512)
        else:
            _check_reply(data, answer, 65_535 if tcp else 1_232)
        shown.append(str(answer and (answer.qtype, getattr(answer, "rcode", ""), type(answer).__name__)))
    return " ".join(shown)


def check_reply(data: bytes) -> str:
    """Whatever an upstream server sends, the client gets an answer to its own question."""
    shown = []
    for asked, limit in ((_ASKED, 512), (_ASKED_WITH_EDNS, 700)):
        for tcp in (False, True):
            answer = finish(asked, data, _TABLE, tcp=tcp)
            _check_reply(asked, answer, 65_535 if tcp else limit)
            assert answer.packet[12:33] == asked[12:33]
            told = explain.annotate(asked, answer.packet, "10.0.0.2:53 over UDP", tcp=tcp)
            assert tcp or len(told) <= limit
            shown.append(f"{answer.rcode} {answer.packet[2]} {[int(c > 0) for c in answer.packet[7:12:2]]}")
    return " ".join(shown)


def check_shown(data: bytes) -> str:
    """What is shown to people is one line per record, and nothing that a terminal obeys."""
    try:
        shown = explain.read_answer(data)
    except ValueError as error:
        return text_of(error)
    assert all(text.isprintable() for text in (*shown.records, shown.origin))
    return f"{shown.rcode} {sorted({record.split()[2] for record in shown.records})[:2]} {bool(shown.origin)}"


def check_document(data: bytes) -> str:
    """A table is built from whatever can be used, and is the same in the worker."""
    try:
        document = parse(data)
    except DocumentError as error:
        return text_of(error)
    table = build(document)
    assert table.names <= len(document.records)
    assert len(table.refused) == min(table.refusals, MAX_REFUSED)
    for refused in table.refused:
        assert f"{refused.name}{refused.what}{refused.reason}".isprintable()
    work = load(dump(table))
    while True:
        try:
            next(work)
        except StopIteration as end:
            loaded = end.value
            break
    assert (loaded.answers, loaded.large, loaded.reverse, loaded.hollow, loaded.domains) == (
        table.answers, table.large, table.reverse, table.hollow, table.domains)  # fmt: skip
    for key, reply in table.answers.items():
        answer = decide(b"id" + key, loaded, tcp=False)
        assert isinstance(answer, Answer)
        assert answer.packet == b"id" + reply
    return f"{table.names} names, {[refused.reason for refused in table.refused]}"


def check_blob(data: bytes) -> str:
    try:
        for _ in load(data):
            pass
    except ValueError as error:
        return text_of(error)
    return "whole"


def _check_reply(packet: bytes, answer: Answer, limit: int) -> None:
    reply = answer.packet
    assert 12 <= len(reply) <= limit
    assert reply[:2] == packet[:2]
    assert reply[2] & 0xF8 == 0x80 | packet[2] & 0x78
    assert reply[4] == 0
    assert reply[5] <= 1
    if reply[5]:
        _, end = wire.read_name(packet, 12)
        assert reply[12 : end + 4] == packet[12 : end + 4]
    if crc32(packet) % _ONE_IN == 0 and answer.source == "local":
        dns.message.from_wire(reply)


_OPTIONS = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")]
_QUERIES = (
    *(query(name) for name in ("BackEnd.mesh", "x.mesh", "svc.mesh", "many.mesh")),
    *(query(name, "ANY") for name in ("BackEnd.mesh", "mesh", "many.mesh")),
    *(query(name, "AAAA", use_edns=0, options=_OPTIONS) for name in ("both.svc.mesh", "example.com")),
    query("1.0.0.240.in-addr.arpa", "PTR", use_edns=1),
    query("1.0.0.0.0.0.0.f.f.f.f.f" + ".0" * 20 + ".ip6.arpa", "PTR"),
    query("version.bind", "TXT", rdclass=3),
    explain.build_question("backend.mesh", "HTTPS"),
)
_WIRE = bytes_mutation(
    b"\xc0\x0c",
    b"\xc0",
    b"\4mesh\0",
    b"\0\0\x29\x04\xd0\0\0\0\0\0\0",
    b"\0\x0a\0\x08",
    b"\xfd\xff\0\0",
    b"\0\1\0\1",
    b"\0\x05\0\1\0\0\0\x3c",
    b"\xff\xff",
    b"\x3f",
)
_RECORDS = ("www.example.com 60 A 198.51.100.1", "www.example.com 60 AAAA 2001:db8::1")
_MANY = tuple(f"www.example.com 60 A 198.51.100.{i}" for i in range(60))
_REPLIES = (
    upstream(_ASKED, *_RECORDS),
    upstream(_ASKED, _ALIAS, "backend.mesh 60 A 198.51.100.1", code="NXDOMAIN", use_edns=0),
    upstream(_ASKED, "www.example.com 1 CNAME a.example.", "a.example 1 CNAME x.mesh.", use_edns=0),
    upstream(_ASKED, *_MANY, authority=("example.com 9 NS a.example.",), use_edns=0),
    upstream(_ASKED, *_RECORDS, additional=("a.example 1 TXT x",), flags="QR TC RD"),
    b"zz\x80\x01" + b"\0" * 8,
)
_DOCUMENT = {
    "records": [{"name": name, "ips": list(ips)} for name, ips in NAMES.items()],
    "ttl": 30,
    "domains": ["mesh", "mesh.local", "eu.mesh"],
}
TARGETS = (
    Target("DNS queries", _QUERIES, (_WIRE,), check_query, share=8.0),
    Target("DNS replies", _REPLIES, (_WIRE,), check_reply, share=3.0),
    Target("DNS replies shown", _REPLIES[:3], (_WIRE,), check_shown, share=0.5),
    Target(
        "name tables",
        (json.dumps(_DOCUMENT).encode(),),
        (json_mutation("records", "name", "ips", "domains", "mesh", "a.mesh", "::ffff:f000:1", "240.0.0.1"),),
        check_document,
        share=0.3,
    ),
    Target("name table blobs", (dump(_TABLE), dump(table_of({}))), (_WIRE,), check_blob, share=0.3),
)
