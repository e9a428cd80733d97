"""Any table, any query: two other decoders read the answer alike, and it is one to that query."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dnslib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dns_queries import table_of
from kumadp_dns.answers import query as decision
from kumadp_dns.answers.query import Answer, Forward, decide
from kumadp_dns.answers.table import A_IN, KEY_HEAD, Table
from kumadp_dns.answers.wire import encode_name

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

label = st.sampled_from(["a", "backend", "x_y", "svc", "0", "b" * 63, "-"])
domain = st.sampled_from(["mesh", "mesh.local", "corp", "example.org", "in-addr.arpa"])
name = st.builds(lambda labels, top: ".".join([*labels, top]), st.lists(label, max_size=3), domain)
address = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
tables = st.builds(
    lambda names, ttl: table_of(names, ttl=ttl),
    st.dictionaries(name, st.lists(address, max_size=40, unique=True), max_size=6),
    st.integers(0, 2**31 - 1),
)
qtypes = st.one_of(st.sampled_from([1, 28, 12, 6, 2, 255, 65, 33]), st.integers(0, 65_535))

option = st.sampled_from([(10, b"12345678"), (10, b"8" * 24), (12, b"\0" * 9), (3, b""), (65_023, b"\xff")])


@st.composite
def edns(draw: st.DrawFn) -> bytes:
    """An OPT record, mostly."""
    if draw(st.booleans()):
        return b""
    options = b"".join(
        code.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content
        for code, content in draw(st.lists(option, max_size=2))
    )
    size = draw(st.sampled_from([0, 512, 600, 1_232, 4_096, 65_535]))
    version = draw(st.sampled_from([0, 0, 0, 1]))
    flags = draw(st.sampled_from([0, 0x8000]))
    head = b"\0\0\x29" + size.to_bytes(2, "big") + bytes((0, version)) + flags.to_bytes(2, "big")
    return head + len(options).to_bytes(2, "big") + options


@st.composite
def queries(draw: st.DrawFn, names: list[str]) -> bytes:
    """A well-formed query, in any case and with any flags of a query."""
    asked = encode_name(draw(st.one_of(st.sampled_from(names), name) if names else name))
    asked = bytes(c ^ 0x20 if chr(c).isalpha() and c > 63 and draw(st.booleans()) else c for c in asked)
    opt = draw(edns())
    flags = bytes((draw(st.sampled_from([0, 1, 3])), draw(st.integers(0, 255)) & 0x7F))
    qtype, qclass = draw(qtypes), draw(st.sampled_from([1, 1, 1, 1, 3, 255]))
    question = asked + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
    counts = bytes((0, 1, 0, 0, 0, 0, 0, bool(opt)))
    return draw(st.binary(min_size=2, max_size=2)) + flags + counts + question + opt


def known(table: Table) -> list[str]:
    keys = [key for key in (*table.answers, *table.large) if key.endswith(A_IN)]
    return [str(dns.name.from_wire(key, len(KEY_HEAD))[0]) for key in keys]


def check(packet: bytes, answer: Answer, *, tcp: bool) -> dns.message.Message:
    """What holds for every answer."""
    theirs = dns.message.from_wire(answer.packet)
    ours = dnslib.DNSRecord.parse(answer.packet)
    asked = dns.message.from_wire(packet)
    end = 16 + len(asked.question[0].name.to_wire())
    assert answer.packet[:2] == packet[:2]
    assert answer.packet[12:end] == packet[12:end]
    assert asked.is_response(theirs)
    assert len(answer.packet) <= (65_535 if tcp else max(512, min(1_232, asked.payload)))
    assert theirs.edns == (0 if asked.edns >= 0 else -1)
    assert not theirs.options or theirs.rcode() == dns.rcode.REFUSED
    assert (theirs.flags & dns.flags.RD, theirs.flags & dns.flags.CD) == (
        asked.flags & dns.flags.RD, asked.flags & dns.flags.CD)  # fmt: skip
    assert not theirs.flags & dns.flags.AD
    assert [str(rr.rname).lower() for rr in ours.rr] == [
        str(rrset.name).lower() for rrset in theirs.answer for _ in rrset
    ]
    assert ours.header.rcode == int(theirs.rcode()) & 15
    assert len(ours.auth) == sum(map(len, theirs.authority))
    return theirs


@patient
@given(st.data(), st.booleans())
def test_every_answer_is_one_to_its_query(draw: st.DataObject, tcp: bool) -> None:
    table = draw.draw(tables)
    packet = draw.draw(queries(known(table)))
    answer = decide(packet, table, tcp=tcp)
    if isinstance(answer, Forward):
        assert table.zone_of(packet[12 : packet.index(0, 12) + 1].lower()) is None
        return
    assert isinstance(answer, Answer)
    reply = check(packet, answer, tcp=tcp)
    if reply.flags & dns.flags.AA and not reply.flags & dns.flags.TC:
        assert bool(reply.answer) != bool(reply.authority)
        assert all(rrset.ttl == table.ttl for rrset in (*reply.answer, *reply.authority))


@patient
@given(st.data())
def test_the_ready_answer_and_the_two_ways_to_one_agree(draw: st.DataObject) -> None:
    table = draw.draw(tables)
    for key, reply in table.answers.items():
        plain = b"id" + key
        answer = decide(plain, table, tcp=False)
        assert isinstance(answer, Answer)
        assert answer.packet == b"id" + reply
        packet = b"id" + bytes((draw.draw(st.sampled_from([0, 1])), 0)) + key[2:]
        opt = draw.draw(edns())
        packet = packet[:11] + bytes((bool(opt),)) + packet[12:] + opt
        short = decide(packet, table, tcp=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decision, "_known", lambda packet, table: None)
            assert decide(packet, table, tcp=False) == short


@patient
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_decided(packet: bytes, tcp: bool) -> None:
    answer = decide(packet, table_of(), tcp=tcp)
    if len(packet) < 12 or packet[2] & 0x80:
        assert answer is None
    elif isinstance(answer, Answer):
        assert answer.packet[:2] == packet[:2]
        assert answer.packet[2] & 0xF8 == 0x80 | packet[2] & 0x78
