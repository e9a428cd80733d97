"""Where an answer comes from, asked and told in EDNS."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import pytest

from dns_queries import ask, query, read, table_of, upstream
from kumadp_dns.answers import explain
from kumadp_dns.answers.explain import EXPLAIN, Explained
from kumadp_dns.answers.query import Answer, decide, failure
from kumadp_dns.answers.wire import SERVFAIL

TABLE = table_of()
QUESTION = explain.build_question("backend.mesh", "a", ident=7)


def told(packet: bytes, text: str = "mesh table, 9 names, 12 s old", *, tcp: bool = False) -> bytes:
    answer = decide(packet, TABLE, tcp=tcp)
    assert isinstance(answer, Answer)
    return explain.annotate(packet, answer.packet, text, tcp=tcp)


def test_a_question_that_wants_to_be_told_is_one_to_others_too() -> None:
    message = dns.message.from_wire(QUESTION)
    assert (message.id, message.question[0].to_text()) == (7, "backend.mesh. IN A")
    assert [int(option.otype) for option in message.options] == [EXPLAIN]
    assert message.flags == dns.flags.RD


def test_only_such_a_question_is_told() -> None:
    assert explain.asked(QUESTION)
    assert explain.asked(query("a.mesh", use_edns=0, options=[dns.edns.GenericOption(EXPLAIN, b"")]))
    assert not explain.asked(query("backend.mesh"))
    assert not explain.asked(query("backend.mesh", use_edns=0))
    assert not explain.asked(
        query("backend.mesh", use_edns=0, options=[dns.edns.GenericOption(1, b"\xfd\xff")])
    )
    assert not explain.asked(b"\xfd\xff")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("backend.mesh", Explained("NOERROR", True, False, ("backend.mesh 30 A 240.0.0.1",), "here")),
        ("nobody.mesh", Explained("NXDOMAIN", True, False, (), "here")),
    ],
)
def test_the_origin_is_told_with_the_answer(name: str, expected: Explained) -> None:
    packet = explain.build_question(name, "A")
    reply = told(packet, "here")
    assert explain.read_answer(reply) == expected
    message = read(reply)
    assert [str(o.text) for o in message.options if isinstance(o, dns.edns.EDEOption)] == ["here"]
    without = ask(packet, TABLE)
    assert (message.answer, message.authority) == (without.answer, without.authority)


def test_a_failure_keeps_its_own_words() -> None:
    packet = explain.build_question("example.com", "A")
    reply = failure(packet, SERVFAIL, "no server has answered").packet
    annotated = explain.annotate(packet, reply, "nobody", tcp=False)
    assert explain.read_answer(annotated).origin == "no server has answered; nobody"


def test_a_reply_of_a_server_without_edns_can_carry_it() -> None:
    packet = explain.build_question("example.com", "A")
    reply = upstream(packet, "example.com 5 A 198.51.100.1")
    assert read(reply).edns == -1
    annotated = explain.annotate(packet, reply, "10.0.0.2:53 over UDP, 12 ms", tcp=False)
    assert explain.read_answer(annotated) == Explained(
        "NOERROR", False, False, ("example.com 5 A 198.51.100.1",), "10.0.0.2:53 over UDP, 12 ms"
    )


def test_where_there_is_no_room_the_reply_stays_as_it_is() -> None:
    packet = explain.build_question("example.com", "A")
    reply = upstream(packet, *(f"example.com 5 A 198.51.100.{i}" for i in range(74)))
    assert len(reply) < 1_232
    assert explain.annotate(packet, reply, "x" * 100, tcp=False) == reply
    assert explain.read_answer(explain.annotate(packet, reply, "x" * 100, tcp=True)).origin == "x" * 100


def test_a_reply_with_something_behind_its_opt_record_stays_as_it_is() -> None:
    packet = explain.build_question("example.com", "A")
    reply = upstream(packet, use_edns=0)
    signed = reply[:11] + b"\2" + reply[12:] + b"\0\0\xfa\0\xff\0\0\0\0\0\0"
    assert explain.annotate(packet, signed, "here", tcp=False) == signed


def test_who_does_not_speak_edns_gets_no_option() -> None:
    answer = decide(query("backend.mesh"), TABLE, tcp=False)
    assert isinstance(answer, Answer)
    assert explain.annotate(query("backend.mesh"), answer.packet, "here", tcp=False) == answer.packet
    assert explain.annotate(b"", b"", "here", tcp=False) == b""


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["www.example.com 5 CNAME a.example."], ("www.example.com 5 CNAME a.example.",)),
        (["www.example.com 5 MX 10 mail.example."], ("www.example.com 5 MX 10 mail.example.",)),
        (['www.example.com 5 TXT "a b"'], ('www.example.com 5 TXT "a b"',)),
        ([r"www.example.com 5 TYPE65280 \# 2 abcd"], (r"www.example.com 5 TYPE65280 \# 2 abcd",)),
        ([r"www.example.com 5 TYPE65280 \# 0"], (r"www.example.com 5 TYPE65280 \# 0",)),
    ],
)
def test_records_are_shown_as_in_a_zone_file(records: list[str], expected: tuple[str, ...]) -> None:
    packet = explain.build_question("www.example.com", "ANY")
    assert explain.read_answer(upstream(packet, *records)).records == expected


def test_a_broken_record_is_shown_as_it_is_and_nothing_reaches_the_terminal() -> None:
    packet = explain.build_question("www.example.com", "A")
    reply = upstream(packet, r"www.example.com 5 TYPE1 \# 4 c6336401", 'www.example.com 5 TXT "a\\027[2J"')
    assert "\x1b" not in "".join(explain.read_answer(reply).records)
    broken = reply.replace(b"\0\4\xc6\x33\x64\1", b"\0\4\xc6\x33\x64\1"[:1] + b"\2\xc6\x33", 1)
    assert explain.read_answer(broken).records[0].endswith(r"\# 2 c633")
    shown = explain.read_answer(explain.annotate(packet, reply, "a\x1b[2Jb\n", tcp=False))
    assert shown.origin == "a?[2Jb?"


@pytest.mark.parametrize("reply", [b"", b"a" * 11, b"a" * 12, b"a" * 40, QUESTION])
def test_what_is_no_reply_is_told_in_one_line(reply: bytes) -> None:
    with pytest.raises(ValueError, match="the answer is no DNS message: ") as raised:
        explain.read_answer(reply)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "qtype", "reason"),
    [
        ("a..mesh", "A", "'a..mesh' is not a name to look up: contains an empty label"),
        ("a\nb", "A", r"'a\\nb' is not a name to look up"),
        ("a.mesh", "B", "B is not one of the types A, NS, "),
    ],
)
def test_what_cannot_be_looked_up_is_told_in_one_line(name: str, qtype: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        explain.build_question(name, qtype)
