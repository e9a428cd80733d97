"""The same questions to us and to others: where we say something else, it is written down here, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from dns_peers import PROGRAMS, Peer, missing, running
from dns_queries import query, read, table_of
from kumadp_dns.answers.query import Answer, decide

TTL = 77
DOMAINS = ("mesh", "mesh.local")
NAMES = {
    "backend.mesh": ("240.0.0.1", "fd00::1"),
    "ipv4-only.mesh": ("240.0.0.2",),
    "two.mesh": ("240.0.0.3", "240.0.0.4"),
    "a.svc.mesh": ("240.0.0.5",),
    "x.mesh.local": ("240.0.0.6",),
    "httpbin.org": ("240.0.0.7",),
}
TABLE = table_of(NAMES, ttl=TTL, domains=DOMAINS)
LACKING = missing()

_PLAIN = query("backend.mesh")
_EDNS = query("backend.mesh", use_edns=0)
_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
_COOKIE = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")]

QUESTIONS = {
    **{
        f"{name} {qtype}": query(name, qtype)
        for name in ("backend.mesh", "ipv4-only.mesh", "nobody.mesh", "svc.mesh", "mesh", "httpbin.org")
        for qtype in ("A", "AAAA", "MX", "TXT", "HTTPS", "SRV", "CNAME", "ANY", "SOA", "NS")
    },
    "several addresses": query("two.mesh"),
    "another domain": query("x.mesh.local"),
    "unknown in another domain": query("y.mesh.local"),
    "below a name": query("x.backend.mesh"),
    "below nothing": query("a.b.c.nobody.mesh"),
    "mixed case": query("BackEnd.mEsH"),
    "mixed case, unknown": query("NoBody.mEsH"),
    "mixed case, no such type": query("IPv4-only.MESH", "AAAA"),
    "reverse": query("1.0.0.240.in-addr.arpa", "PTR"),
    "reverse, IPv6": query("1" + ".0" * 27 + ".0.0.d.f.ip6.arpa", "PTR"),
    "EDNS": _EDNS,
    "EDNS, small": query("backend.mesh", use_edns=0, payload=100),
    "EDNS, DO": query("backend.mesh", use_edns=0, want_dnssec=True),
    "EDNS, cookie": query("backend.mesh", use_edns=0, options=_COOKIE),
    "EDNS, unknown name": query("nobody.mesh", use_edns=0),
    "EDNS, unknown version": query("backend.mesh", use_edns=1),
    "not recursive": query("backend.mesh", flags=0),
    "checking disabled": query("backend.mesh", flags=dns.flags.RD | dns.flags.CD),
    "authentic data": query("backend.mesh", flags=dns.flags.RD | dns.flags.AD),
    "class CH": query("backend.mesh", rdclass=3),
    "class HS": query("backend.mesh", rdclass=4),
    "zone transfer": query("mesh", "AXFR"),
    "incremental zone transfer": query("mesh", "IXFR"),
    "operation NOTIFY": _PLAIN[:2] + b"\x21" + _PLAIN[3:],
    "operation 15": _PLAIN[:2] + b"\x79" + _PLAIN[3:],
    "a reply": _PLAIN[:2] + b"\x81" + _PLAIN[3:],
    "shorter than a header": _PLAIN[:11],
    "only a header": _PLAIN[:12],
    "no question": _PLAIN[:5] + b"\0" + _PLAIN[6:12],
    "two questions": _PLAIN[:5] + b"\2" + _PLAIN[6:] + _PLAIN[12:],
    "a question that is cut off": _PLAIN[:-1],
    "a name that is cut off": _PLAIN[:20],
    "a name that is a pointer to itself": _PLAIN[:12] + b"\xc0\x0c\0\1\0\1",
    "a name that ends in a loop": _PLAIN[:12] + b"\1a\xc0\x0c\0\1\0\1",
    "a name of 257 bytes": _PLAIN[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    "a label of an extended kind": _PLAIN[:12] + b"\x41" + b"a" * 65 + b"\0\0\1\0\1",
    "an answer in the query": _PLAIN[:7] + b"\1" + _PLAIN[8:] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4abcd",
    "bytes behind the query": _PLAIN + b"\0",
    "a record that is not there": _PLAIN[:11] + b"\1" + _PLAIN[12:],
    "an OPT record that is cut off": _EDNS[:-1],
    "an OPT record with options that are cut off": _EDNS[:-2] + b"\0\4",
    "an option that is cut off": _EDNS[:-2] + b"\0\5\0\x0a\0\2a",
    "two OPT records": _EDNS[:11] + b"\2" + _EDNS[12:] + _OPT,
    "an OPT record that is not the root's": _PLAIN[:11] + b"\1" + _PLAIN[12:] + b"\1a" + _OPT,
}


@dataclass(frozen=True)
class Said:
    """What matters of a reply. `negative` is the owner of the SOA record that says there is nothing."""

    rcode: str
    answers: frozenset[str] = frozenset()
    authoritative: bool = False
    negative: str = ""
    edns: bool = False


SILENCE = Said("silence")
FORMERR, REFUSED, NOTHING = Said("FORMERR"), Said("REFUSED"), Said("NOERROR")
FOUND = Said("NOERROR", frozenset({f"backend.mesh. {TTL} a 240.0.0.1"}), authoritative=True)


def _without_zone(ours: Said) -> Said | None:
    return replace(ours, authoritative=False, negative="") if ours.negative else None


def _without_apex(ours: Said) -> Said | None:
    kept = frozenset(text for text in ours.answers if " soa " not in text and " ns " not in text)
    if kept == ours.answers:
        return None
    return replace(ours, answers=kept, authoritative=bool(kept))


@dataclass(frozen=True)
class Difference:
    """What another server says instead, and why we do not. `instead` makes it from what we say; None where
    that is the same."""

    server: str
    questions: str
    instead: Callable[[Said], Said | None] | Said
    reason: str

    def applies(self, server: str, question: str) -> bool:
        return self.server == server and re.fullmatch(self.questions, question) is not None

    def expected(self, ours: Said) -> Said | None:
        return self.instead if isinstance(self.instead, Said) else self.instead(ours)


DIFFERENCES = (
    Difference(
        "unbound",
        "(backend.mesh|ipv4-only.mesh|mesh) ANY",
        Said("NOERROR", authoritative=True, negative="mesh."),
        "Who asks for any record gets what there is: programs that find nothing take the name for unused.",
    ),
    Difference(
        "unbound",
        "httpbin.org ANY",
        Said("NOERROR", authoritative=True, negative="httpbin.org."),
        "As above.",
    ),
    Difference("unbound", "operation NOTIFY", REFUSED, "There is no zone here that could be notified of."),
    Difference("unbound", "bytes behind the query", FOUND, "What is not understood whole is malformed."),
    Difference("unbound", "an option that is cut off", replace(FOUND, edns=True), "RFC 6891 6.1.1: FORMERR."),
    Difference(
        "dnsmasq",
        "httpbin.org (AAAA|MX|TXT|HTTPS|SRV|CNAME|SOA|NS)",
        REFUSED,
        "It would ask others, and has none to ask. A name of the mesh is ours for every type: what others "
        "say of it would lead past the mesh, or deny it.",
    ),
    Difference("dnsmasq", "EDNS, unknown version", replace(FOUND, edns=True), "RFC 6891 6.1.3: BADVERS."),
    Difference("dnsmasq", "class (CH|HS)", NOTHING, "Of other classes nothing is known, not even that."),
    Difference("dnsmasq", ".*zone transfer", NOTHING, "Who wants a zone is told that there is none to get."),
    Difference("dnsmasq", "operation .*", REFUSED, "RFC 1035 4.1.1: what is not supported is NOTIMP."),
    Difference(
        "dnsmasq",
        "only a header|a (name|question) that is cut off|a label of an extended kind",
        SILENCE,
        "Who is told need not wait.",
    ),
    Difference(
        "dnsmasq",
        "no question|two questions|a name .*|an answer in the query",
        REFUSED,
        "It is the packet that is wrong, not who sent it.",
    ),
    Difference(
        "dnsmasq",
        "bytes behind the query|a record that is not there|an OPT record (that is|with options).* cut off",
        FOUND,
        "What is not understood whole is malformed.",
    ),
    Difference(
        "dnsmasq",
        "an option that is cut off|two OPT records|an OPT record that is not the root's",
        replace(FOUND, edns=True),
        "RFC 6891 6.1.1: FORMERR.",
    ),
    Difference("dnsmasq", "(mesh|httpbin.org) (ANY|SOA|NS)", _without_apex, "It has names, but no zones."),
    Difference(
        "dnsmasq",
        ".*",
        _without_zone,
        "It has no zones. Without a SOA record nobody may remember that there is nothing (RFC 2308).",
    ),
)
"""The first that applies counts."""

DNSPYTHON_READS = {
    "no question": "Messages in general may have none.",
    "two questions": "Messages in general may have two.",
    "an answer in the query": "Messages in general have answers.",
}


def said(reply: bytes | None) -> Said:
    if reply is None:
        return SILENCE
    rcode = dns.rcode.to_text(dns.rcode.Rcode(reply[3] & 0x0F))
    if rcode in ("FORMERR", "NOTIMP"):
        # What else is in there differs, and nobody reads it.
        return Said(rcode)
    try:
        message = read(reply)
    except dns.exception.DNSException:
        return Said(rcode)
    return Said(
        dns.rcode.to_text(message.rcode()),
        frozenset(
            f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {item}".lower()
            for rrset in message.answer
            for item in rrset
        ),
        bool(message.flags & dns.flags.AA),
        str(message.authority[0].name).lower() if message.authority else "",
        message.edns >= 0,
    )


def we_say(packet: bytes) -> Said:
    answer = decide(packet, TABLE, tcp=False)
    if answer is None:
        return SILENCE
    assert isinstance(answer, Answer)
    return said(answer.packet)


@pytest.fixture(scope="module", params=PROGRAMS)
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with running(request.param, NAMES, DOMAINS, TTL, tmp_path_factory.mktemp(request.param)) as started:
        yield started


@pytest.mark.skipif(bool(LACKING), reason=LACKING)
@pytest.mark.parametrize("question", QUESTIONS)
def test_others_say_the_same_but_for_what_is_written_down(peer: Peer, question: str) -> None:
    packet = QUESTIONS[question]
    ours = we_say(packet)
    theirs = said(peer.ask(packet))
    for difference in DIFFERENCES:
        if difference.applies(peer.name, question):
            expected = difference.expected(ours)
            if expected is not None:
                assert expected != ours, "they say the same by now"
                assert theirs == expected, difference.reason
                return
    assert theirs == ours


@pytest.mark.parametrize("question", QUESTIONS)
def test_dnspython_understands_what_we_understand(question: str) -> None:
    packet = QUESTIONS[question]
    try:
        dns.message.from_wire(packet)
    except dns.exception.DNSException:
        understood = False
    else:
        understood = True
    ours = we_say(packet)
    if question in DNSPYTHON_READS:
        assert understood
        assert ours == FORMERR, DNSPYTHON_READS[question]
    else:
        assert understood == (ours != FORMERR and len(packet) >= 12)


def test_every_difference_is_one() -> None:
    for difference in DIFFERENCES:
        assert any(
            difference.applies(difference.server, question)
            and difference.expected(we_say(packet)) not in (None, we_say(packet))
            for question, packet in QUESTIONS.items()
        ), difference
