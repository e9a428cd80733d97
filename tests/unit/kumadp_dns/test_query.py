"""What is answered, and how; what is left to others."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdataclass
import pytest

from dns_queries import NAMES, answers, ask, data, is_authoritative, is_cut, query, rcode, read, table_of
from kumadp_dns.answers.query import Answer, Forward, decide, failure
from kumadp_dns.answers.table import EMPTY, Table
from kumadp_dns.answers.wire import IN, SERVFAIL, encode_name

TABLE = table_of(ttl=77)
MANY = {"many.mesh": [f"240.1.{i >> 8}.{i & 255}" for i in range(1_000)] + ["fd00::1"]}
SOA = "SOA mesh. hostmaster.mesh. 1 3600 1200 604800 77"


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("backend.mesh", "A", ["A 240.0.0.1"]),
        ("backend.mesh", "AAAA", ["AAAA ::ffff:240.0.0.1"]),
        ("BackEnd.MESH", "A", ["A 240.0.0.1"]),
        ("both.svc.mesh", "A", ["A 240.0.0.4", "A 240.0.0.5"]),
        ("both.svc.mesh", "AAAA", ["AAAA fd00:fd00::4"]),
        ("both.svc.mesh", "ANY", ["A 240.0.0.4", "A 240.0.0.5", "AAAA fd00:fd00::4"]),
        ("echo_echo_svc_1010.mesh", "A", ["A 240.0.0.6"]),
        ("echo.echo.svc.1010.mesh", "A", ["A 240.0.0.6"]),
        ("httpbin.org", "A", ["A 240.0.0.8"]),
        ("backend.zone-1.corp", "AAAA", ["AAAA ::ffff:240.0.0.9"]),
        ("mesh", "SOA", [SOA]),
        ("mesh", "NS", ["NS mesh."]),
        ("mesh", "ANY", ["NS mesh.", SOA]),
        ("mesh.local", "SOA", ["SOA mesh.local. hostmaster.mesh.local. 1 3600 1200 604800 77"]),
        ("httpbin.org", "NS", ["NS httpbin.org."]),
        ("1.0.0.240.in-addr.arpa", "PTR", ["PTR backend.mesh."]),
        ("1.0.0.240.IN-ADDR.arpa", "ANY", ["NS 1.0.0.240.IN-ADDR.arpa.", "PTR backend.mesh.",
          "SOA 1.0.0.240.IN-ADDR.arpa. hostmaster.1.0.0.240.IN-ADDR.arpa. 1 3600 1200 604800 77"]),
        ("6.0.0.240.in-addr.arpa", "PTR", ["PTR echo.echo.svc.1010.mesh.", "PTR echo_echo_svc_1010.mesh."]),
        ("8.0.0.240.in-addr.arpa", "PTR", ["PTR httpbin.org."]),
        ("1.0.0.0.0.0.0.f.f.f.f.f" + ".0" * 20 + ".ip6.arpa", "PTR", ["PTR backend.mesh."]),
        ("2.0.0.0.0.0.0.F.F.F.F.F" + ".0" * 20 + ".ip6.arpa", "PTR", ["PTR ipv4-only.mesh."]),
        ("3" + ".0" * 23 + ".0.0.d.f.0.0.d.f.ip6.arpa", "PTR", ["PTR ipv6-only.mesh."]),
    ],
)  # fmt: skip
def test_names_of_the_mesh_are_answered_with_authority(
    name: str, qtype: str, expected: list[str], tcp: bool
) -> None:
    reply = ask(query(name, qtype), TABLE, tcp=tcp)
    assert (rcode(reply), answers(reply), is_authoritative(reply)) == ("NOERROR", expected, True)
    assert {rrset.ttl for rrset in reply.answer} == {77}
    assert all(str(rrset.name).lower() == name.lower() + "." for rrset in reply.answer)
    assert not reply.authority
    assert reply.flags & dns.flags.RA
    assert reply.flags & dns.flags.RD


@pytest.mark.parametrize(
    ("name", "qtype", "zone"),
    [
        ("ipv4-only.mesh", "AAAA", "mesh."),
        ("ipv6-only.mesh", "A", "mesh."),
        *(("backend.mesh", qtype, "mesh.") for qtype in ("MX", "TXT", "SRV", "HTTPS", "SVCB", "CNAME", "DS")),
        *(("backend.mesh", qtype, "mesh.") for qtype in ("NS", "SOA")),
        ("backend.mesh", "TYPE65280", "mesh."),
        ("mesh", "A", "mesh."),
        ("MESH", "HTTPS", "MESH."),
        ("svc.mesh", "A", "mesh."),
        ("svc.mesh", "ANY", "mesh."),
        ("1010.mesh", "NS", "mesh."),
        ("name.mesh.local", "A", "mesh.local."),
        ("deep.name.mesh.local", "PTR", "mesh.local."),
        ("httpbin.org", "AAAA", "httpbin.org."),
        ("httpbin.org", "HTTPS", "httpbin.org."),
        ("backend.zone-1.corp", "TXT", "backend.zone-1.corp."),
        ("1.0.0.240.in-addr.arpa", "A", "1.0.0.240.in-addr.arpa."),
    ],
)  # fmt: skip
def test_of_a_type_that_a_name_does_not_have_there_is_nothing(name: str, qtype: str, zone: str) -> None:
    reply = ask(query(name, qtype), TABLE)
    assert (rcode(reply), answers(reply), is_authoritative(reply)) == ("NOERROR", [], True)
    assert data(reply.authority) == [f"SOA {zone} hostmaster.{zone} 1 3600 1200 604800 77"]
    assert (str(reply.authority[0].name), reply.authority[0].ttl) == (zone, 77)


@pytest.mark.parametrize("qtype", ["A", "AAAA", "MX", "HTTPS", "ANY", "PTR"])
@pytest.mark.parametrize(
    "name", ["nobody.mesh", "NoBody.Mesh", "x.backend.mesh", "a.b.c.d.mesh", "xsvc.mesh", "x.mesh.local"]
)
def test_unknown_names_of_the_mesh_do_not_exist_and_are_asked_of_nobody(name: str, qtype: str) -> None:
    reply = ask(query(name, qtype), TABLE)
    assert (rcode(reply), answers(reply), is_authoritative(reply)) == ("NXDOMAIN", [], True)
    assert reply.authority[0].name == (
        dns.name.from_text("mesh.local") if "local" in name else dns.name.from_text("mesh")
    )


@pytest.mark.parametrize(
    ("name", "qtype", "shown"),
    [
        ("example.com", "A", "A"),
        (".", "NS", "NS"),
        ("local", "A", "A"),
        ("notmesh", "AAAA", "AAAA"),
        ("mesh.example.com", "TXT", "TXT"),
        ("www.httpbin.org", "A", "A"),
        ("org", "A", "A"),
        ("other.zone-1.corp", "A", "A"),
        ("zone-1.corp", "SOA", "SOA"),
        ("example.com", "TYPE65280", "other"),
        ("9.9.9.9.in-addr.arpa", "PTR", "PTR"),
        ("0.0.240.in-addr.arpa", "PTR", "PTR"),
        ("01.0.0.240.in-addr.arpa", "PTR", "PTR"),
        ("1.0.0.240.in-addr.arpa.example.com", "PTR", "PTR"),
        ("x.1.0.0.240.in-addr.arpa", "PTR", "PTR"),
        ("in-addr.arpa", "PTR", "PTR"),
        ("257.0.0.240.in-addr.arpa", "PTR", "PTR"),
        ("1" + ".0" * 30 + ".ip6.arpa", "PTR", "PTR"),
        ("9" + ".0" * 31 + ".ip6.arpa", "PTR", "PTR"),
        ("x" + ".0" * 31 + ".ip6.arpa", "PTR", "PTR"),
    ],
)
def test_all_other_names_are_for_others_to_answer(name: str, qtype: str, shown: str) -> None:
    for table in (TABLE, None):
        assert decide(query(name, qtype), table, tcp=False) == Forward(shown)


def test_a_domain_exists_without_names_and_a_reverse_name_under_a_domain() -> None:
    assert rcode(ask(query("mesh"), EMPTY)) == "NOERROR"
    table = table_of(domains=("in-addr.arpa",))
    assert rcode(ask(query("1.0.0.240.in-addr.arpa", "TXT"), table)) == "NOERROR"
    assert rcode(ask(query("99.0.0.240.in-addr.arpa", "TXT"), table)) == "NXDOMAIN"


@pytest.mark.parametrize("qtype", ["A", "AAAA"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_edns": 0},
        {"use_edns": 0, "options": [dns.edns.GenericOption(10, b"12345678")]},
        {"flags": 0},
    ],
    ids=["plain", "edns", "cookie", "not-recursive"],
)
def test_frequent_ways_to_ask_are_answered_the_short_way(
    qtype: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "kumadp_dns.answers.query.wire.read_query", lambda packet: pytest.fail("the long way")
    )
    assert len(answers(ask(query("BackEnd.mesh", qtype, **options), TABLE))) == 1


def test_a_name_is_matched_label_by_label() -> None:
    packet = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + b"\x08abc\x04mesh\0" + b"\0\1\0\1"
    assert decide(packet, TABLE, tcp=False) == Forward("A")
    assert ask(packet[:12] + b"\x03a\0c\x04mesh\0\0\1\0\1", TABLE).rcode() == dns.rcode.NXDOMAIN


def test_the_question_comes_back_byte_for_byte() -> None:
    for name in ("bAcKeNd.mEsH", "nObOdY.mEsH", "SvC.mesh", "1.0.0.240.In-aDdR.ArPa"):
        for qtype in ("A", "HTTPS", "PTR"):
            packet = query(name, qtype)
            answer = decide(packet, TABLE, tcp=False)
            assert isinstance(answer, Answer)
            assert answer.packet[12 : len(packet)] == packet[12:]


@pytest.mark.parametrize("name", ["backend.mesh", "ipv6-only.mesh", "nobody.mesh"])
@pytest.mark.parametrize("flags", ["", "RD", "RD AD", "RD CD", "AD CD"])
def test_flags_are_kept_where_they_are_the_clients_to_set(name: str, flags: str) -> None:
    reply = ask(query(name, "A", flags=dns.flags.from_text(flags)), TABLE)
    kept = {flag for flag in flags.split() if flag != "AD"}
    assert set(dns.flags.to_text(reply.flags).split()) == {"QR", "AA", "RA"} | kept


@pytest.mark.parametrize("name", ["backend.mesh", "ipv6-only.mesh", "nobody.mesh"])
@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        [],
        [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")],
        [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678" * 3)],
        [dns.edns.GenericOption(dns.edns.OptionType.PADDING, b"\0" * 100)],
        [dns.edns.GenericOption(3, b""), dns.edns.GenericOption(11, b"")],
    ],
    ids=["none", "cookie", "server-cookie", "padding", "nsid-keepalive"],
)
def test_edns_is_spoken_to_those_who_speak_it(name: str, do: bool, options: list[dns.edns.Option]) -> None:
    reply = ask(query(name, "A", use_edns=0, payload=4_096, want_dnssec=do, options=options), TABLE)
    assert (reply.edns, reply.payload, bool(reply.ednsflags & dns.flags.DO)) == (0, 1_232, do)
    assert not reply.options
    assert answers(reply) == answers(ask(query(name), TABLE))
    assert ask(query(name), TABLE).edns == -1


def test_an_unknown_version_of_edns_is_told_ours() -> None:
    reply = ask(query("backend.mesh", use_edns=1), TABLE)
    assert (rcode(reply), reply.edns, answers(reply)) == ("BADVERS", 0, [])
    assert ask(query("example.com", use_edns=1), TABLE).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize("qclass", ["CH", "HS", "ANY", "NONE"])
@pytest.mark.parametrize("name", ["backend.mesh", "version.bind", "example.com"])
def test_other_classes_are_refused(name: str, qclass: str) -> None:
    packet = query(name, "TXT", rdclass=dns.rdataclass.from_text(qclass), use_edns=0)
    reply = ask(packet, TABLE)
    assert rcode(reply) == "REFUSED"
    assert [int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption)] == [21]
    assert not ask(query(name, "TXT", rdclass=dns.rdataclass.from_text(qclass)), TABLE).options


@pytest.mark.parametrize("qtype", ["AXFR", "IXFR"])
def test_zones_are_not_given_away(qtype: str) -> None:
    assert rcode(ask(query("mesh", qtype), TABLE, tcp=True)) == "REFUSED"
    assert rcode(ask(query("example.com", qtype), TABLE, tcp=True)) == "REFUSED"


@pytest.mark.parametrize("opcode", range(1, 16))
def test_other_operations_are_not_implemented(opcode: int) -> None:
    packet = bytearray(query("backend.mesh"))
    packet[2] |= opcode << 3
    answer = decide(bytes(packet), TABLE, tcp=False)
    assert isinstance(answer, Answer)
    assert answer.rcode == "NOTIMP"
    assert answer.packet == b"\x12\x34" + bytes((0x81 | opcode << 3, 0x84)) + b"\0" * 8


@pytest.mark.parametrize("table", [TABLE, None, EMPTY], ids=["full", "none", "empty"])
def test_replies_and_scraps_are_not_answered(table: Table | None) -> None:
    packet = bytearray(query("backend.mesh"))
    packet[2] |= 0x80
    assert decide(bytes(packet), table, tcp=False) is None
    for size in range(12):
        assert decide(query("backend.mesh")[:size], table, tcp=False) is None


OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("packet", "echoed"),
    [
        (query("backend.mesh")[:12], False),
        (query("backend.mesh")[:-1], False),
        (query("backend.mesh") + b"\0", True),
        (query("backend.mesh", use_edns=0)[:-1], True),
        (query("backend.mesh", use_edns=0)[:-2], True),
        (query("backend.mesh", use_edns=0)[:-3], True),
        (query("backend.mesh", use_edns=0)[:-5], True),
        (query("backend.mesh", use_edns=0) + b"\0", True),
        (query("backend.mesh", use_edns=0)[:11] + b"\2" + query("backend.mesh")[12:] + OPT * 2, True),
        (query("backend.mesh")[:12] + b"\xc0\x0c\0\1\0\1", False),
        (query("backend.mesh")[:12] + b"\1a\xc0\x0c\0\1\0\1", False),
        (query("backend.mesh")[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", False),
        (query("backend.mesh")[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", False),
        (query("backend.mesh")[:5] + b"\0" + query("backend.mesh")[6:], False),
        (query("backend.mesh")[:5] + b"\2" + query("backend.mesh")[6:] * 2, False),
        (query("backend.mesh")[:7] + b"\1" + query("backend.mesh")[8:], False),
        (query("backend.mesh")[:10] + b"\xff\xff" + query("backend.mesh")[12:], True),
        (query("backend.mesh")[:4] + b"\xff" * 8 + query("backend.mesh")[12:], False),
    ],
)
def test_what_is_malformed_is_told_so(packet: bytes, echoed: bool) -> None:
    for table in (TABLE, None):
        answer = decide(packet, table, tcp=False)
        assert isinstance(answer, Answer)
        assert answer.rcode == "FORMERR"
        question = query("backend.mesh")[12:] if echoed else b""
        assert answer.packet == b"\x12\x34\x81\x81" + bytes((0, echoed, 0, 0, 0, 0, 0, 0)) + question


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 512),
        ({"use_edns": 0, "payload": 100}, 512),
        ({"use_edns": 0, "payload": 900}, 900),
        ({"use_edns": 0, "payload": 4_096}, 1_232),
    ],
)
@pytest.mark.parametrize("qtype", ["A", "ANY"])
def test_a_long_answer_is_cut_to_what_the_client_takes(
    options: dict[str, int], limit: int, qtype: str
) -> None:
    packet = query("Many.mesh", qtype, **options)
    table = table_of(MANY)
    answer = decide(packet, table, tcp=False)
    assert isinstance(answer, Answer)
    assert limit - 16 < len(answer.packet) <= limit
    reply = read(answer.packet)
    assert is_cut(reply)
    assert set(answers(reply)) < {f"A {address}" for address in MANY["many.mesh"]}
    whole = ask(packet, table, tcp=True)
    assert not is_cut(whole)
    assert len(answers(whole)) == (1_000 if qtype == "A" else 1_001)


@pytest.mark.parametrize("count", range(26, 33))
@pytest.mark.parametrize("options", [{}, {"use_edns": 0, "payload": 512}])
def test_answers_near_the_limit_are_cut_only_when_they_do_not_fit(
    count: int, options: dict[str, int]
) -> None:
    packet = query("n.mesh", **options)
    fits = len(query("n.mesh", **options)) + 16 * count <= 512
    reply = ask(packet, table_of({"n.mesh": MANY["many.mesh"][:count]}))
    assert is_cut(reply) != fits
    assert (len(answers(reply)) == count) == fits


def test_a_name_with_many_addresses_has_its_other_answers_too() -> None:
    table = table_of(MANY)
    assert answers(ask(query("many.mesh", "AAAA"), table)) == ["AAAA fd00::1"]
    assert rcode(ask(query("many.mesh", "MX"), table)) == "NOERROR"
    assert answers(ask(query("1.1.1.240.in-addr.arpa", "PTR"), table)) == ["PTR many.mesh."]


@pytest.mark.parametrize("name", ["backend.mesh", "mesh", "a.mesh.local"])
def test_before_the_first_table_nothing_is_said_about_names_of_the_mesh(name: str) -> None:
    reply = ask(query(name, use_edns=0), None)
    assert rcode(reply) == "SERVFAIL"
    assert [str(option.text) for option in reply.options if isinstance(option, dns.edns.EDEOption)] == [
        "the names of the mesh are not known yet"
    ]
    assert [option.code for option in reply.options if isinstance(option, dns.edns.EDEOption)] == [14]
    assert (rcode(ask(query(name), None)), ask(query(name), None).edns) == ("SERVFAIL", -1)
    assert rcode(ask(query("backend.mesh"), EMPTY)) == "NXDOMAIN"


def test_the_domains_are_those_of_the_document() -> None:
    table = table_of(NAMES, domains=("corp",))
    assert rcode(ask(query("nobody.corp"), table)) == "NXDOMAIN"
    assert decide(query("nobody.mesh"), table, tcp=False) == Forward("A")
    assert answers(ask(query("backend.mesh"), table)) == ["A 240.0.0.1"]


def test_a_failure_says_why_to_those_who_speak_edns() -> None:
    told = failure(query("Example.com", use_edns=0), SERVFAIL, "no server has answered")
    reply = read(told.packet)
    assert (told.source, told.rcode, told.qtype, rcode(reply)) == ("upstream", "SERVFAIL", "A", "SERVFAIL")
    option = reply.options[0]
    assert isinstance(option, dns.edns.EDEOption)
    assert (option.code, option.text) == (22, "no server has answered")
    plain = failure(query("Example.com"), SERVFAIL, "no server has answered")
    assert plain.packet == b"\x12\x34\x81\x82\0\1\0\0\0\0\0\0" + encode_name("xxxxxxx.com").replace(
        b"xxxxxxx", b"Example"
    ) + b"\0\1" + IN.to_bytes(2, "big")
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(failure(query(longest, use_edns=0), SERVFAIL, "é" * 1_000).packet) <= 512
    for scrap in (b"", b"a", query("a.mesh")[:14]):
        assert failure(scrap, SERVFAIL).rcode == "SERVFAIL"
