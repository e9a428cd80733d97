from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_hello import client_hello, in_records
from kumacp.front.clienthello import MAX_HELLO_BYTES, NeedMore, Route, classify

GRPC_HELLO = client_hello(["h2"])


@pytest.mark.parametrize(
    ("alpn", "route"),
    [
        (["h2"], Route.GRPC),
        (["grpc-exp", "h2"], Route.GRPC),
        (["h2", "http/1.1"], Route.HTTP),
        (["http/1.1", "h2"], Route.HTTP),
        (["http/1.1"], Route.HTTP),
        (["kuma"], Route.HTTP),
        ([], Route.HTTP),
    ],
)
def test_only_h2_without_http11_is_grpc(alpn: list[str], route: Route) -> None:
    assert classify(client_hello(alpn)) is route


def test_bytes_behind_the_hello_do_not_matter() -> None:
    assert classify(GRPC_HELLO + b"\x17\x03\x03\x00\x05early") is Route.GRPC


@given(st.integers(0, len(GRPC_HELLO) - 1))
def test_every_part_of_a_hello_waits_for_bytes_that_are_still_missing(length: int) -> None:
    answer = classify(GRPC_HELLO[:length])
    assert isinstance(answer, NeedMore)
    assert length < answer.total <= len(GRPC_HELLO)


def test_whole_hello_is_reached_in_two_waits() -> None:
    assert classify(b"") == NeedMore(5)
    assert classify(GRPC_HELLO[:5]) == NeedMore(len(GRPC_HELLO))


@given(st.integers(64, 600), st.sampled_from([["h2"], ["h2", "http/1.1"]]))
def test_hello_over_several_records_is_read_whole(size: int, alpn: list[str]) -> None:
    whole = client_hello(alpn)
    split = in_records(whole, size)
    assert classify(split) is classify(whole)
    for length in range(0, len(split), 37):
        answer = classify(split[:length])
        assert isinstance(answer, NeedMore)
        assert length < answer.total <= len(split)


def test_hello_cut_into_crumbs_is_dropped() -> None:
    assert classify(in_records(GRPC_HELLO, 1)) is Route.DROP


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x02\x00\x00\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x80\x2e\x01\x03\x01",
    ],
    ids=[
        "http",
        "h2c",
        "version",
        "empty record",
        "long record",
        "alert",
        "server",
        "empty",
        "long",
        "sslv2",
    ],
)
def test_what_is_no_hello_is_dropped(data: bytes) -> None:
    assert classify(data) is Route.DROP


@given(st.binary(max_size=600))
def test_any_bytes_have_an_answer_that_asks_for_more_than_there_is(data: bytes) -> None:
    answer = classify(data)
    assert isinstance(answer, Route) or len(data) < answer.total <= MAX_HELLO_BYTES


@given(st.data())
def test_damaged_hello_has_an_answer_that_asks_for_more_than_there_is(data: st.DataObject) -> None:
    hello = bytearray(data.draw(st.sampled_from([GRPC_HELLO, in_records(GRPC_HELLO, 100)])))
    for _ in range(data.draw(st.integers(1, 6))):
        hello[data.draw(st.integers(0, len(hello) - 1))] = data.draw(st.integers(0, 255))
    answer = classify(bytes(hello))
    assert isinstance(answer, Route) or len(hello) < answer.total <= MAX_HELLO_BYTES


@given(st.binary(max_size=300))
def test_any_message_in_a_record_has_an_answer(body: bytes) -> None:
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    record = b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message
    assert isinstance(classify(record), Route)
