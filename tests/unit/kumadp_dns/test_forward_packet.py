"""What a forwarder reads in queries and replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forward_world import FORMERR, HTTPS, NXDOMAIN, OPT, SERVFAIL, query, question, reply
from kumadp_dns.forwarding.packet import Verdict, disguised, judge, key, question_end

PACKET = query("www.Example.com", opt=OPT)
QUESTION = question("www.Example.com")
NAMES = st.lists(st.binary(min_size=1, max_size=20), max_size=8)


def wire(labels: list[bytes]) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0\0\1\0\1"


@given(NAMES, st.binary(max_size=20))
def test_a_question_ends_where_its_name_says(labels: list[bytes], rest: bytes) -> None:
    asked = wire(labels)
    assert question_end(PACKET[:12] + asked + rest) == 12 + len(asked)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        PACKET[:12],
        PACKET[:28],
        PACKET[:2] + b"\x81" + PACKET[3:],
        PACKET[:2] + b"\x28" + PACKET[3:],
        PACKET[:5] + b"\0" + PACKET[6:],
        PACKET[:5] + b"\2" + PACKET[6:],
        PACKET[:12] + b"\xc0\x0c\0\1\0\1",
        PACKET[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        PACKET[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    ],
)
def test_what_is_no_query_with_one_question(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"question|label"):
        question_end(packet)


def test_queries_are_the_same_but_for_id_and_letters_of_the_name() -> None:
    end = question_end(PACKET)
    assert key(PACKET, end) == key(b"xy" + PACKET[2:12] + PACKET[12:end].swapcase() + PACKET[end:], end)
    assert key(query(qtype=HTTPS), end) != key(query(qtype=HTTPS | 0x20), end)
    cookie = b"\0\0\x29\x10\0\0\0\0\0\0\x0c\0\x0a\0\x08ABCDEFGH"
    assert key(query(opt=cookie), end) != key(query(opt=cookie.lower()), end)


@given(NAMES, st.data())
def test_a_disguise_changes_letters_alone_and_never_none(labels: list[bytes], data: st.DataObject) -> None:
    asked = wire(labels)
    entropy = data.draw(st.sampled_from([bytes(len(asked)), b"\xff" * len(asked)]) | _of_length(len(asked)))
    found, count = disguised(asked, entropy)
    assert found.lower() == asked.lower()
    assert found[-4:] == asked[-4:]
    assert count == sum(chr(byte).isalpha() for label in labels for byte in label if byte < 0x80)
    assert (found != asked.lower()) == bool(count)
    assert disguised(asked.upper()[:-4] + asked[-4:], entropy) == (found, count)


def _of_length(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def test_verdicts() -> None:
    assert judge(reply(PACKET), QUESTION, exact=True) is Verdict.ANSWER
    assert judge(reply(PACKET, NXDOMAIN), QUESTION, exact=True) is Verdict.ANSWER
    assert judge(reply(PACKET, tc=True), QUESTION, exact=True) is Verdict.TRUNCATED
    assert judge(reply(PACKET, SERVFAIL, tc=True), QUESTION, exact=True) is Verdict.ERROR
    assert judge(reply(PACKET), QUESTION.swapcase(), exact=True) is Verdict.OTHER_CASE
    assert judge(reply(PACKET), QUESTION.swapcase(), exact=False) is Verdict.ANSWER


@pytest.mark.parametrize(
    "data",
    [
        b"",
        reply(PACKET)[:11],
        reply(PACKET)[:-1],
        PACKET,
        PACKET[:2] + b"\xa1" + reply(PACKET)[3:],
        reply(query("www.example.org")),
        reply(query("www.Example.com", HTTPS)),
        reply(PACKET)[:5] + b"\2" + reply(PACKET)[6:],
        reply(PACKET)[:4] + bytes(8),
        reply(PACKET, SERVFAIL)[:4] + b"\0\0\0\1\0\0\0\0",
    ],
)
def test_what_is_no_reply_to_the_query(data: bytes) -> None:
    assert judge(data, QUESTION, exact=False) is Verdict.FOREIGN


def test_an_error_may_leave_the_question_out() -> None:
    bare = reply(PACKET, FORMERR)[:4] + bytes(8)
    assert judge(bare, QUESTION, exact=True) is Verdict.ERROR
