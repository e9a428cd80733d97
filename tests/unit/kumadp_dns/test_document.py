"""The name table as the control plane sends it."""

from __future__ import annotations

import json

import pytest

from kumadp_dns.answers.document import Document, DocumentError, Record, parse


def test_kumas_document_is_read() -> None:
    body = (
        b'{"records":[{"name":"backend.mesh","ips":["240.0.0.1","::ffff:f000:1"]}],"ttl":60,"extraLabels":{}}'
    )
    assert parse(body) == Document((Record("backend.mesh", ("240.0.0.1", "::ffff:f000:1")),), 60)


@pytest.mark.parametrize("body", [b"{}", b'{"records":null,"ttl":null,"domains":null}', b'{"records":[]}'])
def test_what_is_left_out_is_the_default(body: bytes) -> None:
    assert parse(body) == Document((), 30, ("mesh", "mesh.local"))


def test_domains_take_the_place_of_the_default() -> None:
    assert parse(b'{"records":[],"ttl":0,"domains":["corp"]}') == Document((), 0, ("corp",))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'{"records":{}}', "`records` .* is not a list"),
        (b'{"ttl":-1}', "`ttl`"),
        (b'{"ttl":true}', "`ttl`"),
        (b'{"ttl":"30"}', "`ttl`"),
        (b'{"ttl":2147483648}', "`ttl`"),
        (b'{"ttl":' + b"9" * 5_000 + b"}", "is not JSON"),
        (b'{"domains":"mesh"}', "`domains`"),
        (b'{"domains":[1]}', "`domains`"),
    ],
)
def test_what_is_no_name_table_is_refused_in_one_line(body: bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason) as raised:
        parse(body)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"name": "a.mesh"}, Record("a.mesh", ())),
        ({"name": "a.mesh", "ips": None}, Record("a.mesh", ())),
        ({"name": 5, "ips": []}, Record("", (), "a record without a name")),
        ({}, Record("", (), "a record without a name")),
        ("a.mesh", Record("", (), "a record without a name")),
        ({"name": "a.mesh", "ips": "240.0.0.1"}, Record("a.mesh", (), "`ips` is not a list of addresses")),
        ({"name": "a.mesh", "ips": [1]}, Record("a.mesh", (), "`ips` is not a list of addresses")),
    ],
)
def test_a_bad_record_does_not_spoil_the_others(record: object, expected: Record) -> None:
    good = {"name": "b.mesh", "ips": ["240.0.0.1"]}
    body = json.dumps({"records": [record, good]}).encode()
    assert parse(body).records == (expected, Record("b.mesh", ("240.0.0.1",)))
