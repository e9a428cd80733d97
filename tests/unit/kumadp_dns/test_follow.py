"""Replies of upstream servers, made into the client's; aliases outside that lead into the mesh."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dns_queries import answers, data, is_authoritative, is_cut, query, rcode, read, table_of, upstream
from kumadp_dns.answers.follow import MAX_ALIASES
from kumadp_dns.answers.query import finish

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TABLE = table_of(ttl=77)


def finished(asked: bytes, reply: bytes, *, tcp: bool = False) -> dns.message.Message:
    answer = finish(asked, reply, TABLE, tcp=tcp)
    assert answer.source == "upstream"
    message = read(answer.packet)
    assert answer.rcode == dns.rcode.to_text(message.rcode())
    assert answer.packet[:2] == asked[:2]
    end = len(message.question[0].name.to_wire()) + 16
    assert answer.packet[12:end] == asked[12:end]
    limit = 65_535 if tcp else max(512, min(1_232, read(asked).payload))
    assert len(answer.packet) <= limit
    return message


ALIAS = "www.example.com 60 CNAME backend.mesh."


@pytest.mark.parametrize(
    "extra", [(), ("backend.mesh 5 A 198.51.100.1",), ("backend.mesh 5 CNAME x.example.",)]
)
@pytest.mark.parametrize("code", ["NOERROR", "NXDOMAIN", "SERVFAIL"])
@pytest.mark.parametrize("edns", [{}, {"use_edns": 0, "payload": 1_232}])
def test_an_alias_that_leads_into_the_mesh_is_completed(
    extra: tuple[str, ...], code: str, edns: dict[str, Any]
) -> None:
    asked = query("WWW.example.com", "A", **edns)
    soa = ("mesh 900 SOA ns.example. root.example. 1 2 3 4 5",)
    reply = finished(asked, upstream(asked, ALIAS, *extra, code=code, authority=soa))
    assert rcode(reply) == "NOERROR"
    assert [(str(r.name), r.ttl, data([r])) for r in reply.answer] == [
        ("WWW.example.com.", 60, ["CNAME backend.mesh."]),
        ("backend.mesh.", 77, ["A 240.0.0.1"]),
    ]
    assert not reply.authority
    assert not is_authoritative(reply)
    assert (reply.edns, bool(reply.flags & dns.flags.RA)) == (0 if edns else -1, True)


def test_before_the_first_table_an_alias_into_the_mesh_leads_to_nothing_yet() -> None:
    asked = query("www.example.com", use_edns=0)
    reply = read(finish(asked, upstream(asked, ALIAS, code="NXDOMAIN"), None, tcp=False).packet)
    assert (rcode(reply), answers(reply)) == ("SERVFAIL", [])
    option = reply.options[0]
    assert isinstance(option, dns.edns.EDEOption)
    assert option.code == 14
    plain = upstream(asked, "www.example.com 60 CNAME httpbin.org.", *WHOLE)
    assert len(answers(read(finish(asked, plain, None, tcp=False).packet))) == 3


def test_a_chain_is_followed_to_the_first_name_of_the_mesh() -> None:
    asked = query("a.example.com", "AAAA")
    reply = finished(
        asked,
        upstream(
            asked,
            "B.example.net 3 CNAME Both.SVC.mesh.",
            "both.svc.mesh 3 CNAME elsewhere.example.",
            "elsewhere.example 3 AAAA 2001:db8::1",
            "a.example.com 2 CNAME B.example.net.",
        ),
    )
    assert [(str(r.name), r.ttl, data([r])) for r in reply.answer] == [
        ("a.example.com.", 2, ["CNAME B.example.net."]),
        ("B.example.net.", 3, ["CNAME Both.SVC.mesh."]),
        ("Both.SVC.mesh.", 77, ["AAAA fd00:fd00::4"]),
    ]


def test_an_alias_to_an_outside_host_that_the_mesh_has_is_led_into_the_mesh() -> None:
    asked = query("www.example.com")
    reply = finished(
        asked, upstream(asked, "www.example.com 9 CNAME httpbin.org.", "httpbin.org 9 A 198.51.100.7")
    )
    assert answers(reply) == ["A 240.0.0.8", "CNAME httpbin.org."]


@pytest.mark.parametrize(
    ("target", "qtype", "code", "zone"),
    [
        ("nobody.mesh", "A", "NXDOMAIN", "mesh."),
        ("ipv4-only.mesh", "AAAA", "NOERROR", "mesh."),
        ("svc.mesh", "A", "NOERROR", "mesh."),
        ("backend.mesh", "HTTPS", "NOERROR", "mesh."),
        ("httpbin.org", "AAAA", "NOERROR", "httpbin.org."),
    ],
)
def test_an_alias_to_nothing_in_the_mesh_is_answered_with_nothing(
    target: str, qtype: str, code: str, zone: str
) -> None:
    asked = query("www.example.com", qtype, use_edns=0)
    reply = finished(asked, upstream(asked, f"www.example.com 60 CNAME {target}.", code="NXDOMAIN"))
    assert (rcode(reply), answers(reply)) == (code, [f"CNAME {target}."])
    assert data(reply.authority) == [f"SOA {zone} hostmaster.{zone} 1 3600 1200 604800 77"]
    assert str(reply.authority[0].name) == zone


@pytest.mark.parametrize("qtype", ["CNAME", "ANY"])
def test_who_asks_for_the_alias_itself_gets_that(qtype: str) -> None:
    asked = query("www.example.com", qtype)
    assert answers(finished(asked, upstream(asked, ALIAS))) == ["CNAME backend.mesh."]


def test_aliases_of_other_names_are_not_followed() -> None:
    asked = query("www.example.com")
    reply = finished(asked, upstream(asked, "other.example.com 60 CNAME backend.mesh.", code="NXDOMAIN"))
    assert (rcode(reply), answers(reply)) == ("NXDOMAIN", ["CNAME backend.mesh."])


def test_an_alias_of_another_class_is_not_followed() -> None:
    asked = query("www.example.com")
    sent = upstream(asked, ALIAS).replace(b"\xc0\x0c\0\5\0\1", b"\xc0\x0c\0\5\0\3")
    assert "A 240.0.0.1" not in answers(finished(asked, sent))


def test_an_alias_with_something_behind_its_name_is_none() -> None:
    asked = query("www.example.com")
    sent = upstream(asked, ALIAS)
    target = b"\7backend\4mesh\0"
    spoilt = sent.replace(b"\0\x0e" + target, b"\0\x0f" + target + b"\0")
    assert spoilt != sent
    assert rcode(finished(asked, spoilt)) == "SERVFAIL"


def test_aliases_that_go_round_are_passed_on() -> None:
    asked = query("a.example.com")
    reply = finished(
        asked, upstream(asked, "a.example.com 1 CNAME b.example.", "b.example 1 CNAME a.example.com.")
    )
    assert answers(reply) == ["CNAME a.example.com.", "CNAME b.example."]


@pytest.mark.parametrize(("count", "followed"), [(MAX_ALIASES, True), (MAX_ALIASES + 1, False)])
def test_chains_are_followed_so_far_and_no_further(count: int, followed: bool) -> None:
    asked = query("n0.example", use_edns=0)
    chain = [f"n{i}.example 1 CNAME n{i + 1}.example." for i in range(count - 1)]
    reply = finished(asked, upstream(asked, *chain, f"n{count - 1}.example 1 CNAME backend.mesh."))
    assert ("A 240.0.0.1" in answers(reply)) == followed
    assert len(answers(reply)) == count + followed


def test_a_long_chain_is_cut_to_what_the_client_takes() -> None:
    label = "x" * 60
    asked = query("n0.example")
    chain = [f"n{i}.example 1 CNAME {label}.{i}.example." for i in range(1)]
    chain += [f"{label}.{i}.example 1 CNAME {label}.{i + 1}.example." for i in range(10)]
    reply = upstream(asked, *chain, f"{label}.10.example 1 CNAME backend.mesh.")
    assert is_cut(finished(asked, reply))
    assert "A 240.0.0.1" in answers(finished(asked, reply, tcp=True))


WHOLE = ("www.example.com 60 A 198.51.100.1", "www.example.com 60 A 198.51.100.2")


@pytest.mark.parametrize("edns", [{}, {"use_edns": 0}])
@pytest.mark.parametrize("flags", ["QR RD RA", "QR AA RD RA AD", "QR RD RA TC"])
@pytest.mark.parametrize("code", ["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"])
def test_other_replies_are_passed_on_as_they_are(edns: dict[str, int], flags: str, code: str) -> None:
    asked = query("Www.Example.Com", **edns)
    authority, glue = ("example.com 9 NS ns.example.com.",), ("ns.example.com 9 A 198.51.100.9",)
    sent = upstream(asked, *WHOLE, code=code, flags=flags, authority=authority, additional=glue, **edns)
    reply = finished(asked, sent)
    expected = read(sent)
    assert (rcode(reply), reply.flags, reply.edns) == (code, expected.flags, expected.edns)
    for section in ("answer", "authority", "additional"):
        # Names that point at the question are written as the client writes it.
        assert getattr(reply, section) == getattr(expected, section)


def test_records_of_unknown_types_are_passed_on_byte_for_byte() -> None:
    asked = query("www.example.com", "TYPE65280")
    sent = upstream(
        asked, r"www.example.com 60 TYPE65280 \# 4 c00c0001", r"www.example.com 60 TYPE65281 \# 0"
    )
    assert finish(asked, sent, TABLE, tcp=False).packet[2:] == sent[2:]


def test_a_client_without_edns_gets_none() -> None:
    asked = query("www.example.com")
    glue = ("ns.example.com 9 A 198.51.100.9",)
    sent = upstream(
        asked, *WHOLE, authority=("example.com 9 NS ns.example.com.",), additional=glue, use_edns=0
    )
    reply = finished(asked, sent)
    assert data(reply.authority) == ["NS ns.example.com."]
    assert (reply.edns, answers(reply), data(reply.additional)) == (
        -1,
        answers(read(sent)),
        ["A 198.51.100.9"],
    )


def test_an_extended_rcode_means_nothing_without_edns() -> None:
    asked = query("www.example.com")
    assert rcode(finished(asked, upstream(asked, code="BADVERS", use_edns=0))) == "SERVFAIL"
    asked = query("www.example.com", use_edns=0)
    assert rcode(finished(asked, upstream(asked, code="BADVERS", use_edns=0))) == "BADVERS"


@pytest.mark.parametrize("edns", [{}, {"use_edns": 0, "payload": 700}, {"use_edns": 0, "payload": 9_000}])
def test_a_long_reply_is_cut_between_records(edns: dict[str, int]) -> None:
    asked = query("www.example.com", **edns)
    records = [f"www.example.com 60 A 198.51.100.{i}" for i in range(200)]
    sent = upstream(asked, *records, additional=("ns.example 1 A 198.51.100.9",), use_edns=0, do=True)
    reply = finished(asked, sent)
    assert is_cut(reply)
    assert 20 < len(answers(reply)) < 80
    assert reply.edns == (0 if edns else -1)
    assert len(answers(finished(asked, sent, tcp=True))) == 200


@pytest.mark.parametrize("size", range(700, 716))
def test_a_cut_reply_fits_with_its_opt_record(size: int) -> None:
    asked = query("www.example.com", use_edns=0, payload=size)
    records = [f"www.example.com 60 A 198.51.100.{i}" for i in range(100)]
    assert len(answers(finished(asked, upstream(asked, *records, use_edns=0)))) >= 40


def test_what_is_only_useful_is_left_out_without_a_word() -> None:
    asked = query("www.example.com")
    glue = tuple(f"ns{i}.example.com 9 A 198.51.100.{i}" for i in range(40))
    reply = finished(asked, upstream(asked, *WHOLE, additional=glue))
    assert (answers(reply), reply.additional, is_cut(reply)) == (
        ["A 198.51.100.1", "A 198.51.100.2"], [], False)  # fmt: skip
    reply = finished(asked, upstream(asked, authority=tuple(g.replace(" A ", " TXT ") for g in glue)))
    assert is_cut(reply)


def test_an_error_without_a_question_is_passed_on() -> None:
    asked = query("www.example.com", use_edns=0)
    reply = finished(asked, b"zz\x80\x01" + b"\0" * 8)
    assert (rcode(reply), reply.edns) == ("FORMERR", 0)


def test_a_reply_that_was_cut_within_a_record_only_means_tcp() -> None:
    asked = query("www.example.com")
    sent = upstream(asked, *WHOLE, flags="QR TC RD RA")
    for size in range(len(asked), len(sent)):
        reply = finished(asked, sent[:size])
        assert (rcode(reply), is_cut(reply), answers(reply)) == ("NOERROR", True, [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda reply: b"",
        lambda reply: reply[:11],
        lambda reply: reply[:-1],
        lambda reply: reply[:2] + bytes((reply[2] & 0x7F,)) + reply[3:],
        lambda reply: reply[:2] + bytes((reply[2] | 0x20,)) + reply[3:],
        lambda reply: reply[:12] + b"\3xxx" + reply[16:],
        lambda reply: reply[:29] + b"\0\x1c" + reply[31:],
        lambda reply: reply[:5] + b"\0" + reply[6:],
        lambda reply: reply[:7] + b"\xff" + reply[8:],
        lambda reply: reply[:33] + b"\xc0\x21" + reply[35:],
        lambda reply: b"garbage" * 20,
    ],
)
def test_what_is_no_reply_is_a_failure_with_a_reason(spoil: Any) -> None:
    asked = query("www.example.com", use_edns=0)
    sent = upstream(asked, *WHOLE)
    assert rcode(finished(asked, sent)) == "NOERROR"
    reply = finished(asked, spoil(sent))
    assert rcode(reply) == "SERVFAIL"
    option = reply.options[0]
    assert isinstance(option, dns.edns.EDEOption)
    assert option.code == 24
    assert "the upstream server's answer is of no use: " in str(option.text)


def test_types_that_only_look_alike_in_another_case_are_different_questions() -> None:
    asked = query("www.example.com", "HTTPS")
    sent = upstream(query("www.example.com", "TYPE97"))
    assert rcode(finished(asked, sent)) == "SERVFAIL"


@patient
@given(st.data())
def test_any_bytes_are_finished(draw: st.DataObject) -> None:
    asked = query("www.example.com", use_edns=draw.draw(st.sampled_from([0, False])))
    sent = bytearray(upstream(asked, ALIAS, *WHOLE, use_edns=0))
    for _ in range(draw.draw(st.integers(1, 4))):
        sent[draw.draw(st.integers(0, len(sent) - 1))] = draw.draw(st.integers(0, 255))
    answer = finish(asked, bytes(sent), TABLE, tcp=draw.draw(st.booleans()))
    assert answer.packet[:2] == asked[:2]
    assert answer.packet[12:33] == asked[12:33]
