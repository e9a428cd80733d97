"""Durations as Go and Kuma write them."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumamesh.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds", "formatted"),
    [
        ("0", 0, "0s"),
        ("10s", 10, "10s"),
        ("1h30m", 5400, "1h30m0s"),
        ("1.5s", 1.5, "1.5s"),
        ("250ms", 0.25, "250ms"),
        ("100us", 0.0001, "100µs"),
        ("24h", 86_400, "24h0m0s"),
        ("10d", 864_000, "240h0m0s"),
        ("1y", 31_536_000, "8760h0m0s"),
        ("-3s", -3, "-3s"),
    ],
)
def test_parse_and_format(text: str, seconds: float, formatted: str) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert format_duration(seconds) == formatted


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1h 2m", "1.s", "five", "1e3s", "--1s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["293y", "-293y", "2562048h", "9" * 400 + "s", "1h" * 3_000_000])
def test_what_go_cannot_count_in_nanoseconds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too long") as refused:
        parse_duration(text)
    assert len(str(refused.value)) < 200


@given(st.integers(-9 * 10**12, 9 * 10**12))
def test_what_is_formatted_parses_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6, rel=1e-12)


@given(st.text("0123456789.hmsnuµdwy -+", max_size=12))
def test_any_text_parses_to_a_number_or_is_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert math.isfinite(parse_duration(text))
