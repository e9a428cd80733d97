from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp_dns.serving.control import (
    MAX_FRAME_BYTES,
    Applied,
    Ended,
    Frame,
    Line,
    NewTable,
    Serving,
    Start,
    Told,
    Unusable,
    decode,
    encode,
)

numbers = st.integers(min_value=0)
moments = st.floats(allow_nan=False)
texts = st.text(max_size=500)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Start,
        resolv_conf=texts,
        upstream_port=numbers,
        batched=st.booleans(),
        tcp_limit=numbers,
        tcp_idle_s=moments,
        serial=numbers,
        taken_at=moments,
    ),
    st.builds(NewTable, numbers, moments),
    st.builds(Serving, numbers),
    st.builds(Ended, st.integers()),
    st.builds(Applied, numbers),
    st.builds(Unusable, numbers, texts),
    st.builds(Told, st.binary(max_size=2_000)),
    st.builds(Line, texts, texts),
)


@given(frames)
def test_a_frame_arrives_as_it_was_sent(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


@given(frames, st.data())
def test_a_damaged_frame_is_refused_or_another_frame(frame: Frame, data: st.DataObject) -> None:
    whole = bytearray(encode(frame))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert isinstance(decode(bytes(whole)), Frame)


@given(frames, st.data())
def test_a_frame_that_is_cut_or_has_a_tail_is_refused(frame: Frame, data: st.DataObject) -> None:
    whole = encode(frame)
    with pytest.raises(ValueError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError):
        decode(whole + b"\0")


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused_with_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(decode(data), Frame)


def test_a_path_that_is_no_text_arrives() -> None:
    path = b"/tmp/\xff".decode("utf-8", "surrogateescape")
    start = Start(path, 53, True, 1, 1.0)
    assert decode(encode(start)) == start


@pytest.mark.parametrize("size", [MAX_FRAME_BYTES, MAX_FRAME_BYTES - 1])
def test_no_frame_is_too_long_for_the_other_end(size: int) -> None:
    with pytest.raises(ValueError, match="too many for a frame"):
        encode(Told(b"x" * size))
    assert len(encode(Told(b"x" * (MAX_FRAME_BYTES - 3)))) == MAX_FRAME_BYTES


def test_a_truth_value_is_one() -> None:
    with pytest.raises(ValueError, match="neither true nor false"):
        decode(encode(Start("", 53, True, 1, 1.0)).replace(b"True", b"Yes!"))
