"""Names and messages, as they are on the wire."""

from __future__ import annotations

import contextlib

import dns.exception
import dns.name
import dns.wire
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dns_queries import query
from kumadp_dns.answers import wire
from kumadp_dns.answers.wire import Malformed

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HEADER = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0"
QUESTION = b"\7backend\4mesh\0\0\1\0\1"

printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='.\\"();@$')
labels = st.text(printable, min_size=1, max_size=63)


@patient
@given(st.lists(labels, min_size=1, max_size=8))
def test_a_name_is_encoded_as_others_do(parts: list[str]) -> None:
    text = ".".join(parts)
    try:
        expected = dns.name.from_text(text.lower()).to_wire()
    except dns.name.NameTooLong:
        with pytest.raises(ValueError, match="longer than 253 bytes"):
            wire.encode_name(text)
        return
    assert wire.encode_name(text) == wire.encode_name(text + ".") == expected
    assert wire.decode_name(expected) == text.lower()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (".", "empty"),
        ("a..mesh", "empty label"),
        (".mesh", "empty label"),
        ("a.mesh..", "empty label"),
        ("a" * 64 + ".mesh", "longer than 63"),
        (".".join(["a" * 63] * 4), "longer than 253"),
        ("bücher.mesh", "xn--"),
        ("a\nb.mesh", "control character"),
        ("a b.mesh", "blank"),
        ("a\\.mesh", "backslash"),
        ("a\x7f.mesh", "control character"),
    ],
)
def test_what_is_no_name_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        wire.encode_name(text)


def test_the_longest_name_and_label_are_taken() -> None:
    text = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(wire.encode_name(text)) == wire.MAX_NAME_BYTES
    message = HEADER + wire.encode_name(text)
    assert wire.read_name(message, 12) == (message[12:], len(message))


def test_what_is_not_printable_is_shown_as_numbers() -> None:
    assert wire.decode_name(b"\4a.\x1b\xff\4mesh\0") == r"a\046\027\255.mesh"
    assert wire.decode_name(b"\0") == "."


def test_pointers_are_followed_backwards() -> None:
    message = HEADER + b"\4mesh\0\3svc\xc0\x0c\1a\xc0\x12"
    assert wire.read_name(message, 18) == (b"\3svc\4mesh\0", 24)
    assert wire.read_name(message, 24) == (b"\1a\3svc\4mesh\0", 28)


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # itself
        b"\1a\xc0\x0c",  # a loop
        b"\xc0\x0e\xc0\x0c",  # two that point at each other
        b"\xc0\x20",  # ahead
        b"\1a\xc0\x06",  # the header
        b"\xc0",
        b"\x40a\0",  # a label of an extended kind
        b"\x80a\0",
        b"\5mesh",
        b"\4mesh",
        b"",
        b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3e" + b"a" * 62 + b"\0",
    ],
)
def test_a_name_that_has_no_end_is_malformed(name: bytes) -> None:
    with pytest.raises(Malformed):
        wire.read_name(HEADER + name, 12)


def test_pointers_to_pointers_do_not_make_a_name_longer_than_allowed() -> None:
    message = HEADER + b"\x3f" + b"a" * 63 + b"\0"
    for _ in range(2):
        target = len(message) - 65 if len(message) == 77 else len(message) - 66
        message += b"\x3f" + b"b" * 63 + wire.pointer(target)
    name, _ = wire.read_name(message, len(message) - 66)
    assert len(name) == 3 * 64 + 1
    message += b"\x3f" + b"c" * 63 + wire.pointer(len(message) - 66)
    with pytest.raises(Malformed, match="too long"):
        wire.read_name(message, len(message) - 66)


def test_a_chain_of_pointers_is_followed_no_further_than_any_honest_one_goes() -> None:
    """Each leads to the one before: without an end to it, a message of thousands of records takes seconds."""
    message = HEADER + b"\4mesh\0" + wire.pointer(12)
    for _ in range(wire.MAX_POINTERS - 1):
        message += wire.pointer(len(message) - 2)
    assert wire.read_name(message, len(message) - 2)[0] == b"\4mesh\0"
    message += wire.pointer(len(message) - 2)
    with pytest.raises(Malformed, match="leads nowhere"):
        wire.read_name(message, len(message) - 2)


@patient
@given(st.binary(max_size=80), st.integers(0, 40))
@example(b"\1a\xc0\x0c", 0)
def test_names_are_read_as_others_read_them(content: bytes, at: int) -> None:
    message = HEADER + content
    parser = dns.wire.Parser(message, 12 + at) if at <= len(content) else None
    try:
        expected = parser.get_name() if parser else None
    except (dns.exception.DNSException, ValueError):
        expected = None
    try:
        name, end = wire.read_name(message, 12 + at)
    except Malformed:
        # A pointer into the header, which others follow, leads to no name.
        assert expected is None or b"\xc0" in content
        return
    assert expected is not None
    assert parser is not None
    assert (name, end) == (expected.to_wire(), parser.current)


def test_a_query_is_read() -> None:
    packet = query("BackEnd.Mesh", "AAAA", use_edns=0, payload=4_096, want_dnssec=True)
    read = wire.read_query(packet)
    assert (read.ident, read.qtype, read.qclass) == (b"\x12\x34", wire.AAAA, wire.IN)
    assert read.question == b"\7BackEnd\4Mesh\0\0\x1c\0\1"
    assert read.name == b"\7backend\4mesh\0"
    assert read.edns is not None
    assert (read.edns.size, read.edns.version, read.edns.do, read.edns.options) == (4_096, 0, True, b"")


OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("packet", "keeps_question"),
    [
        (HEADER[:11], False),
        (HEADER, False),
        (HEADER[:5] + b"\0" + HEADER[6:] + QUESTION, False),
        (HEADER[:5] + b"\2" + HEADER[6:] + QUESTION * 2, False),
        (HEADER[:7] + b"\1" + HEADER[8:] + QUESTION, False),
        (HEADER[:9] + b"\1" + HEADER[10:] + QUESTION, False),
        (HEADER + QUESTION[:-1], False),
        (HEADER + b"\xc0\x0c\0\1\0\1", False),
        (HEADER + QUESTION + b"\0", True),
        (HEADER[:11] + b"\1" + QUESTION, True),
        (HEADER[:11] + b"\1" + QUESTION + OPT[:-1], True),
        (HEADER[:11] + b"\1" + QUESTION + OPT[:-1] + b"\1", True),
        (HEADER[:11] + b"\1" + QUESTION + OPT[:-1] + b"\3\0\x0a\0", True),
        (HEADER[:11] + b"\1" + QUESTION + OPT[:-1] + b"\5\0\x0a\0\2a", True),
        (HEADER[:11] + b"\2" + QUESTION + OPT + OPT, True),
        (HEADER[:11] + b"\1" + QUESTION + b"\1a" + OPT, True),
        (HEADER[:11] + b"\1" + QUESTION + b"\xc0\x1d" + OPT[1:], True),
    ],
)
def test_what_is_no_query_is_malformed(packet: bytes, keeps_question: bool) -> None:
    with pytest.raises(Malformed) as raised:
        wire.read_query(packet)
    assert raised.value.question == (QUESTION if keeps_question else b"")


def test_a_record_that_is_not_ours_to_read_is_no_fault() -> None:
    signature = b"\0\0\xfa\0\xff\0\0\0\0\0\2ab"
    assert wire.read_query(HEADER[:11] + b"\2" + QUESTION + OPT + signature).edns is not None


@patient
@given(st.binary(max_size=200))
def test_whatever_is_read_is_read_or_malformed(content: bytes) -> None:
    for packet in (content, HEADER + content, HEADER[:11] + b"\1" + QUESTION + content):
        for read in (wire.read_query, lambda p: wire.read_reply(p[:2] + b"\x80" + p[3:], QUESTION)):
            with contextlib.suppress(Malformed):
                read(packet)


def test_types_and_rcodes_have_few_names() -> None:
    assert wire.type_name(65) == "HTTPS"
    assert {wire.type_name(number) for number in range(65_536)} == {*wire.TYPES, "other"}
    assert wire.rcode_name(3) == "NXDOMAIN"
    assert wire.rcode_name(4_095) == "other"
