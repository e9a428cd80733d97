"""Every instance gets the same share, wherever it is and whatever leads to it."""

from __future__ import annotations

from fractions import Fraction
from math import lcm

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kumacp.xds.weights import MAX_TOTAL, Group, Weights, weights

GROUPS = st.lists(st.builds(Group, st.integers(1, 1000), st.integers(1, 6)), max_size=8)
ANY_GROUPS = st.lists(st.builds(Group, st.integers(1, 2**32), st.integers(1, 200)), max_size=12)


@pytest.mark.parametrize(
    ("local", "groups", "expected"),
    [
        (2, [], Weights(1, ())),
        (2, [Group(3, 1)], Weights(1, (3,))),
        (2, [Group(3, 2)], Weights(2, (3,))),
        (2, [Group(3, 1), Group(3, 1)], Weights(1, (3, 3))),
        (2, [Group(3, 2), Group(3, 1)], Weights(2, (3, 6))),
        (1, [Group(4, 2), Group(5, 3)], Weights(6, (12, 10))),
        (0, [Group(3, 1)], Weights(1, (3,))),
        (1, [Group(6, 4)], Weights(4, (6,))),
    ],
)
def test_small_numbers_are_those_that_people_expect(
    local: int, groups: list[Group], expected: Weights
) -> None:
    assert weights(local, groups) == expected


@given(st.integers(0, 1000), GROUPS)
def test_shares_are_exactly_those_of_the_instances(local: int, groups: list[Group]) -> None:
    made = weights(local, groups)
    for group, weight in zip(groups, made.ways, strict=True):
        assert Fraction(weight * group.ways, made.local) == group.instances
    assert made.local == lcm(*(group.ways for group in groups))


@given(st.integers(0, 10_000), ANY_GROUPS)
def test_whatever_is_said_envoy_takes_it(local: int, groups: list[Group]) -> None:
    made = weights(local, groups)
    assert min(made.local, *made.ways, 1) == 1
    assert made.local * local + sum(w * g.ways for w, g in zip(made.ways, groups, strict=True)) <= MAX_TOTAL


@given(st.integers(0, 1000), ANY_GROUPS)
def test_shares_that_do_not_fit_are_as_close_as_it_gets(local: int, groups: list[Group]) -> None:
    instances = local + sum(group.instances for group in groups)
    assume(lcm(*(group.ways for group in groups)) * instances > MAX_TOTAL)
    made = weights(local, groups)
    endpoints = local + sum(group.ways for group in groups)
    total = made.local * local + sum(w * g.ways for w, g in zip(made.ways, groups, strict=True))
    for group, weight in zip(groups, made.ways, strict=True):
        wanted = Fraction(group.instances, group.ways * instances)
        assert abs(Fraction(weight, total) - wanted) <= Fraction(2 + endpoints, total)


def test_numbers_with_a_common_divisor_are_divided_before_they_are_rounded() -> None:
    assert weights(0, [Group(2**31, 3), Group(2**31, 1)]).ways == (1, 3)
    assert weights(4, [Group(2**20, 2**12)]) == Weights(1, (2**8,))
