"""The name table: what of a document goes into it, and its way into the worker."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dns_queries import NAMES, document_of, table_of
from kumadp_dns.answers.build import MAX_ADDRESSES, MAX_REFUSED, MAX_REVERSE_NAMES, build
from kumadp_dns.answers.document import Document, Record
from kumadp_dns.answers.table import A_IN, AAAA_IN, KEY_HEAD, NAMES_AT_ONCE, Refused, Table, dump, load
from kumadp_dns.answers.wire import encode_name

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

MANY = {f"service-{number}.svc.mesh": (f"240.0.{number >> 8}.{number & 255}",) for number in range(2_000)}
FULL = {"full.mesh": [f"240.1.{i >> 8}.{i & 255}" for i in range(300)], **NAMES}


def loaded(work: Generator[None, None, Table]) -> tuple[Table, int]:
    """The table, and how often the work was interrupted."""
    pauses = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, pauses
        pauses += 1


def contents(table: Table) -> tuple[object, ...]:
    return (table.answers, table.large, table.hollow, table.reverse, table.domains, table.ttl, table.names)


def test_answers_are_keyed_by_the_plain_query() -> None:
    table = table_of({"Backend.Mesh.": ("240.0.0.1",)})
    name = b"\7backend\4mesh\0"
    assert set(table.answers) == {KEY_HEAD + name + A_IN, KEY_HEAD + name + AAAA_IN}
    assert table.answers[KEY_HEAD + name + A_IN] == (
        b"\x85\x80\0\1\0\1\0\0\0\0" + name + A_IN + b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\xf0\0\0\1"
    )


SCOPE = "has a scope, which means nothing to others"
BLANK = "contains a control character, a blank or a backslash"


@pytest.mark.parametrize(
    ("name", "ips", "refused"),
    [
        ("bad.mesh", ["240.0.0.300"], ("bad.mesh", "address 240.0.0.300", "not an IP address")),
        ("bad.mesh", [""], ("bad.mesh", "address ", "not an IP address")),
        ("bad.mesh", ["240.0.0.1\n"], ("bad.mesh", r"address '240.0.0.1\n'", "not an IP address")),
        ("bad.mesh", ["010.0.0.1"], ("bad.mesh", "address 010.0.0.1", "not an IP address")),
        ("bad.mesh", ["10.0.0.0/8"], ("bad.mesh", "address 10.0.0.0/8", "not an IP address")),
        ("bad.mesh", ["fe80::1%lo"], ("bad.mesh", "address fe80::1%lo", SCOPE)),
        ("bad.mesh", ["240.0.0.7", "240.0.0.7"], ("bad.mesh", "address 240.0.0.7", "listed twice")),
        ("Good.mesh.", ["240.0.0.2"], ("Good.mesh.", "name", "listed twice; the first one counts")),
        ("", ["240.0.0.2"], ("", "name", "the name is empty")),
        ("a" * 64 + ".mesh", [], ("a" * 64 + ".mesh", "name", "a label is longer than 63 bytes")),
        ("a." * 130 + "mesh", [], ("a." * 40 + "...", "name", "longer than 253 bytes")),
        ("a\x1b[2J.mesh", [], (r"'a\x1b[2J.mesh'", "name", BLANK)),
    ],
)  # fmt: skip
def test_a_bad_entry_is_refused_with_a_reason_and_the_rest_is_used(
    name: str, ips: list[str], refused: tuple[str, str, str]
) -> None:
    good = Record("good.mesh", ("240.0.0.1",))
    table = build(Document((good, Record(name, tuple(ips)))))
    assert table.refused == (Refused(*refused),)
    assert table.refusals == 1
    assert table.reply(encode_name("good.mesh"), A_IN) == build(Document((good,))).reply(
        encode_name("good.mesh"), A_IN
    )


def test_a_record_of_the_wrong_shape_is_refused() -> None:
    table = build(Document((Record("bad.mesh", (), "no list"), Record("good.mesh", ()))))
    assert (table.refused, table.names) == ((Refused("bad.mesh", "name", "no list"),), 1)


def test_the_good_addresses_of_a_record_are_used() -> None:
    table = table_of({"a.mesh": ("nonsense", "240.0.0.1")})
    assert table.names_of(b"\xf0\0\0\1") == (encode_name("a.mesh"),)
    assert len(table.refused) == 1


def test_refusals_are_all_counted_and_some_listed() -> None:
    table = build(Document(tuple(Record("", ()) for _ in range(5_000))))
    assert (table.refusals, len(table.refused), table.names) == (5_000, MAX_REFUSED, 0)


def test_a_bad_domain_is_refused() -> None:
    table = build(Document(domains=("mesh", "a..b", "MESH.")))
    assert table.domains == (encode_name("mesh"),)
    assert table.refused == (Refused("a..b", "domain", "contains an empty label"),)


def test_addresses_of_one_name_are_bounded() -> None:
    addresses = [f"240.0.{i >> 8}.{i & 255}" for i in range(MAX_ADDRESSES + 3)]
    table = table_of({"a.mesh": addresses})
    assert table.refusals == 3
    assert "more than 1000" in table.refused[0].reason
    assert all(len(reply) < 65_536 for reply in table.large.values())


def test_names_between_a_name_and_its_domain_are_known() -> None:
    table = table_of({"a.b.c.mesh": (), "c.mesh": (), "x.y.org": (), "a.mesh.local": ()})
    assert table.hollow == {encode_name("b.c.mesh"), encode_name("mesh"), encode_name("mesh.local")}


def test_domains_may_lie_within_domains() -> None:
    table = table_of({"a.eu.corp.mesh": ()}, domains=("mesh", "eu.corp.mesh"))
    assert encode_name("corp.mesh") in table.hollow
    assert table.zone_of(encode_name("a.eu.corp.mesh")) == encode_name("eu.corp.mesh")
    assert table.zone_of(encode_name("corp.mesh")) == encode_name("mesh")


def test_domains_have_parents_without_a_name_under_them() -> None:
    assert encode_name("corp.mesh") in table_of({}, domains=("mesh", "eu.corp.mesh")).hollow


def test_names_of_an_address_are_bounded_and_in_order() -> None:
    table = table_of({f"n{i}.mesh": ("240.0.0.1", "::ffff:f000:1") for i in range(MAX_REVERSE_NAMES + 9)})
    expected = tuple(encode_name(f"n{i}.mesh") for i in range(MAX_REVERSE_NAMES))
    assert table.names_of(b"\xf0\0\0\1") == expected
    assert table.names_of(b"\0" * 10 + b"\xff\xff\xf0\0\0\1") == expected


@pytest.mark.parametrize("names", [{}, NAMES, FULL, MANY, {**MANY, "b.mesh": ("240.0.0.0",)}], ids=len)
def test_a_table_is_the_same_after_its_way_into_the_worker(names: dict[str, tuple[str, ...]]) -> None:
    table = build(document_of(names, ttl=77, domains=("mesh", "corp")))
    again, pauses = loaded(load(memoryview(dump(table))))
    assert contents(again) == contents(table)
    assert pauses >= len(names) // NAMES_AT_ONCE


def test_work_is_done_in_small_pieces() -> None:
    work = load(dump(table_of(MANY)))
    biggest, before = 0, 0
    for _ in work:
        frame = work.gi_frame  # type: ignore[attr-defined]
        size = len(frame.f_locals["answers"])
        biggest, before = max(biggest, size - before), size
    assert biggest == 2 * NAMES_AT_ONCE


def test_a_name_takes_less_than_a_kilobyte_in_the_worker() -> None:
    names = {
        f"service-number-{i}.mesh": (f"240.0.{i >> 8}.{i & 255}", f"::ffff:f000:{i:x}") for i in range(5_000)
    }
    table, _ = loaded(load(dump(table_of(names))))
    held = {id(thing): sys.getsizeof(thing) for held in (table.answers, table.reverse)
            for pair in held.items() for thing in pair}  # fmt: skip
    containers = sum(map(sys.getsizeof, (table.answers, table.reverse, table.large, table.hollow)))
    assert (sum(held.values()) + containers) / len(names) < 800


WHOLE = dump(table_of({**NAMES, "full.mesh": FULL["full.mesh"][:40]}))


def test_a_table_that_is_cut_off_is_refused() -> None:
    for end in range(len(WHOLE)):
        with pytest.raises(ValueError, match="the name table is not whole"):
            loaded(load(WHOLE[:end]))


@pytest.mark.parametrize("bit", range(8))
def test_a_damaged_table_is_refused(bit: int) -> None:
    for at in range(len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[at] ^= 1 << bit
        with pytest.raises(ValueError, match="the name table is not whole"):
            loaded(load(bytes(damaged)))


@patient
@given(st.binary(max_size=100))
def test_bytes_that_are_no_table_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="the name table is not whole"):
        loaded(load(blob))
