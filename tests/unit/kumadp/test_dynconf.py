"""Pages of the dynconf listener."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynconf_listener import dynconf
from kumadp.relay.dynconf import DynconfError, body_of


def test_the_page_of_a_path_and_not_the_one_for_those_who_have_it() -> None:
    listener = dynconf({"/meshmetric": '{"m":1}', "/dns": '{"records":[]}'}).SerializeToString()
    assert body_of(listener, "/dns") == b'{"records":[]}'
    assert body_of(listener, "/meshmetric") == b'{"m":1}'
    assert body_of(listener, "/otel") is None
    assert body_of(b"", "/dns") is None


def test_a_page_without_text_is_an_error() -> None:
    listener = dynconf({"/dns": ""})
    with pytest.raises(DynconfError, match="has no text for /dns"):
        body_of(listener.SerializeToString().replace(b"\x12\x02\x1a\x00", b"\x12\x02\x0a\x00"), "/dns")


def test_bytes_are_text_too() -> None:
    listener = dynconf({"/dns": "abc"}).SerializeToString()
    assert body_of(listener.replace(b"\x1a\x03abc", b"\x12\x03abc"), "/dns") == b"abc"


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_are_survived(noise: bytes, where: int) -> None:
    listener = dynconf({"/dns": "abc"}).SerializeToString()
    for raw in (noise, listener[:where] + noise + listener[where:], listener[:where]):
        with contextlib.suppress(DynconfError):
            assert isinstance(body_of(raw, "/dns"), bytes | None)
