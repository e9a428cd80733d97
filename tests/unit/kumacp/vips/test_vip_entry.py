"""The document that keeps virtual addresses, byte for byte as Kuma writes it (contract 6.1)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.vips.entry import Kind, Reading, Released, VipEntry, VipOutbound, parse, read, render

KUMA = (
    '{"0:backend":{"address":"240.0.0.0","outbounds":[{"Port":0,"TagSet":{"kuma.io/service":"backend"},'
    '"Origin":"service"}]},'
    '"0:httpbin":{"address":"240.0.0.1","outbounds":[{"Port":443,"TagSet":{"kuma.io/service":"httpbin"},'
    '"Origin":"service"}]},'
    '"1:192.168.0.9":{"address":"192.168.0.9","outbounds":[{"Port":80,"TagSet":{"kuma.io/service":"old"},'
    '"Origin":"external-service:old"}]},'
    '"1:httpbin.org":{"address":"240.0.0.2","outbounds":[{"Port":443,"TagSet":{"kuma.io/service":"httpbin"},'
    '"Origin":"external-service:httpbin"}]},'
    '"2:backend.v1.mesh":{"address":"240.0.0.3","outbounds":[{"Port":80,"TagSet":{"kuma.io/service":"backend",'
    '"version":"v1"},"Origin":"virtual-outbound:versions"},{"Port":8080,"TagSet":{"kuma.io/service":"backend",'
    '"version":"v1"},"Origin":"virtual-outbound:versions-8080"}]}}'
)


def entry(kind: Kind, name: str, address: str, *outbounds: VipOutbound) -> VipEntry:
    return VipEntry(kind, name, address, outbounds)


def test_what_kuma_wrote_is_read_and_written_again_byte_for_byte() -> None:
    vips = parse(KUMA)
    assert vips[Kind.SERVICE, "httpbin"] == entry(
        Kind.SERVICE, "httpbin", "240.0.0.1", VipOutbound(443, (("kuma.io/service", "httpbin"),), "service")
    )
    assert [len(one.outbounds) for one in vips.values()] == [1, 1, 1, 1, 2]
    assert render(vips) == KUMA
    assert render(dict(reversed(vips.items()))) == KUMA


def test_the_older_spelling_is_read_too() -> None:
    older = KUMA.replace('"Port"', '"port"').replace('"TagSet"', '"tags"').replace('"Origin"', '"origin"')
    assert parse(older) == parse(KUMA)


def test_a_name_for_which_there_was_no_address_is_left_out() -> None:
    text = '{"0:a":{"outbounds":[{"Port":0,"TagSet":{},"Origin":"service"}]}}'
    assert parse(text) == {}
    assert parse("") == {}


def test_a_host_that_is_an_ipv6_address_keeps_its_colons() -> None:
    vips = {(Kind.HOST, "fd00::1"): entry(Kind.HOST, "fd00::1", "fd00::1", VipOutbound(80, (), "x"))}
    assert read(render(vips)).vips == vips


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "are not JSON"),
        ("[" * 100_000, "are not JSON"),
        ("[]", "must be a JSON object"),
        ('{"backend":{}}', "must be named"),
        ('{"3:a":{}}', "must be named"),
        ('{"0:":{}}', "must be named"),
        ('{"0:a":[]}', "must be an object"),
        ('{"0:a":{"address":"240.0.0.1"}}', "must have outbounds"),
        ('{"0:a":{"address":"240.0.0.1","outbounds":[7]}}', "must have objects as outbounds"),
        ('{"0:a":{"address":"240.0.0","outbounds":[{}]}}', "has the address '240.0.0'"),
        ('{"0:a":{"address":7,"outbounds":[{}]}}', "has the address '7'"),
        ('{"0:a":{"address":"240.0.0.1","outbounds":[{"Port":65536}]}}', "has the port '65536'"),
        ('{"0:a":{"address":"240.0.0.1","outbounds":[{"Port":true}]}}', "has the port 'True'"),
        ('{"0:a":{"address":"240.0.0.1","outbounds":[{"TagSet":{"a":1}}]}}', "has the tags"),
        ('{"0:a":{"address":"240.0.0.1","outbounds":[{"Origin":1}]}}', "has the origin '1'"),
    ],
)
def test_garbage_is_refused_in_one_line(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_what_holds_of_a_broken_document_is_taken() -> None:
    document = json.loads(KUMA)
    document["0:backend"]["address"] = "none"
    reading = read(json.dumps(document))
    assert len(reading.faults) == 1
    assert reading.vips == {key: one for key, one in parse(KUMA).items() if key != (Kind.SERVICE, "backend")}


def test_what_was_released_is_kept_beside_the_names_and_is_none() -> None:
    vips = parse(KUMA)
    released = {(Kind.SERVICE, "gone"): Released("240.0.0.9", 1_763_744_000)}
    text = render(vips, released)
    assert '"0:gone":{"address":"240.0.0.9","outbounds":[],"released":1763744000}' in text
    assert read(text) == Reading(vips, released, ())
    assert parse(text) == vips


@pytest.mark.parametrize("since", ["-1", "1.5", '"1"', "true", "null", str(2**40)])
def test_a_release_at_no_time_is_a_fault(since: str) -> None:
    text = json.dumps({"0:a": {"address": "240.0.0.1", "outbounds": [], "released": 7}}).replace("7", since)
    assert "has the time of release" in read(text).faults[0]
    assert "has no address" in read('{"0:a":{"outbounds":[],"released":1}}').faults[0]


def test_what_this_process_wrote_is_not_read_again() -> None:
    vips = parse(KUMA)
    text = render(vips)
    kept = parse(text)
    assert all(kept[key] is one for key, one in vips.items())
    kept.clear()
    assert parse(text) == vips
    for number in range(20):
        other = entry(Kind.SERVICE, "a", f"240.0.0.{number}", VipOutbound(0, (), "service"))
        render({(Kind.SERVICE, "a"): other})
    again = parse(text)
    assert again == vips
    assert all(again[key] is not one for key, one in vips.items())


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
OUTBOUNDS = st.builds(
    VipOutbound,
    st.integers(0, 65535),
    st.dictionaries(TEXT, TEXT, max_size=3).map(lambda tags: tuple(sorted(tags.items()))),
    TEXT,
)
ENTRIES = st.builds(
    VipEntry,
    st.sampled_from(Kind),
    TEXT,
    st.ip_addresses().map(str),
    st.lists(OUTBOUNDS, min_size=1, max_size=3).map(tuple),
)


@given(st.lists(ENTRIES, max_size=5))
def test_whatever_is_written_is_read_again(entries: list[VipEntry]) -> None:
    vips = {(one.kind, one.name): one for one in entries}
    text = render(vips)
    assert read(text) == Reading(vips, {}, ())
    assert parse(text) == vips
    assert not set("<>&\u2028\u2029") & set(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from(["0:a", "240.0.0.1"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["0:a", "address", "outbounds", "Port", "TagSet", "Origin"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_document_does_harm(document: object) -> None:
    assert isinstance(read(json.dumps(document)).faults, tuple)
