from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kumadp_dns.serving.restart import AT_ONCE, LOOKS, MAX_PAUSE_S, WINDOW_S, Patience, pause


def test_the_first_ends_are_repaired_at_once() -> None:
    ended = [100.0 + number for number in range(AT_ONCE)]
    assert [pause(ended[: number + 1], ended[number]) for number in range(AT_ONCE)] == [0.0] * AT_ONCE


def test_who_keeps_ending_waits_longer_each_time_up_to_a_limit() -> None:
    ended = [100.0 + number / 1_000 for number in range(40)]
    pauses = [pause(ended[:count], ended[count - 1]) for count in range(AT_ONCE + 1, len(ended))]
    assert pauses[0] > 0
    assert all(one < other or other == MAX_PAUSE_S for one, other in pairwise(pauses))
    assert pauses[-1] == MAX_PAUSE_S


def test_ends_of_long_ago_are_forgiven() -> None:
    ended = [float(number) for number in range(20)]
    now = ended[-1] + WINDOW_S
    assert pause([*ended, now], now) == 0.0


@given(st.lists(st.floats(0, 1e9), max_size=100), st.floats(0, 1e9))
def test_a_pause_is_never_longer_than_the_limit(ended: list[float], now: float) -> None:
    assert 0.0 <= pause(ended, now) <= MAX_PAUSE_S


def test_patience_ends_with_the_last_of_many_looks_in_a_row_at_one_who_says_nothing() -> None:
    patience = Patience()
    assert [patience.look() for _ in range(LOOKS)] == [False] * (LOOKS - 1) + [True]


def test_whoever_says_something_now_and_then_is_borne_with() -> None:
    patience = Patience()
    for _ in range(3):
        assert not any(patience.look() for _ in range(LOOKS - 1))
        patience.heard()
