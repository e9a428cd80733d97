"""The pauses between attempts to get the bootstrap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp.retry import RetryPolicy

POLICY = RetryPolicy(max_pause=3.0, max_duration=300.0)


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 3.0), (6, 3.0), (5_000, 3.0)]
)
def test_the_ceiling_doubles_up_to_the_longest_pause(attempt: int, ceiling: float) -> None:
    assert POLICY.pause(attempt, 1.0, 0.5) == pytest.approx(ceiling / 2)


def test_the_jitter_is_full() -> None:
    assert POLICY.pause(5, 0.0, 0.0) == 0.0
    assert POLICY.pause(5, 0.0, 0.999) == pytest.approx(2.997)


def test_gives_up_when_the_time_is_up() -> None:
    assert POLICY.pause(100, 300.0, 0.5) is None


@given(
    st.integers(1, 10_000),
    st.floats(0, 1_000),
    st.floats(0, 1, exclude_max=True),
    st.floats(0.001, 60),
    st.floats(0.001, 900),
)
def test_never_waits_beyond_the_limits(
    attempt: int, elapsed: float, chance: float, longest: float, duration: float
) -> None:
    pause = RetryPolicy(longest, duration).pause(attempt, elapsed, chance)
    if elapsed >= duration:
        assert pause is None
    else:
        assert pause is not None
        assert 0 <= pause <= longest
        assert elapsed + pause <= duration + 1e-9
