"""Weights with which traffic goes to instances evenly, wherever they are and whatever way leads to them.

Instances of this zone are endpoints themselves. Those of another zone share the ways to it, which are the
coordinates of its ingresses; with an egress, all remote instances share the egresses. A share is a fraction,
Envoy's weights are whole numbers: all are multiplied with the least common multiple of the numbers of ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, lcm
from typing import NamedTuple

MAX_TOTAL = 2**32 - 1
"""Envoy refuses an assignment with more in one locality."""


class Group(NamedTuple):
    """So many instances (>= 1) share so many ways (>= 1)."""

    instances: int
    ways: int


class Weights(NamedTuple):
    """Of each instance of this zone, and of each way of every group."""

    local: int
    ways: tuple[int, ...]


def weights(local: int, groups: Sequence[Group]) -> Weights:
    """`local`: how many instances this zone has. Exact as long as the sum of all weights fits into Envoy's
    numbers, which it does unless zones have very different and large numbers of ways; else as close as it
    gets, and at least 1 each."""
    unit = lcm(*(group.ways for group in groups))
    total = unit * (local + sum(group.instances for group in groups))
    ways = [group.instances * unit // group.ways for group in groups]
    if total <= MAX_TOTAL:
        return Weights(unit, tuple(ways))
    common = gcd(*ways, unit if local else 0)
    if total // common <= MAX_TOTAL:
        return Weights(max(1, unit // common), tuple(way // common for way in ways))
    room = MAX_TOTAL - local - sum(group.ways for group in groups)
    return Weights(max(1, unit * room // total), tuple(max(1, way * room // total) for way in ways))
