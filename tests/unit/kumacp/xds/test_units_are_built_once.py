from __future__ import annotations

import hub_world as world
from kumacp.xds.model import LocalCluster
from kumacp.xds.units import UnitCache

ONE = LocalCluster("127.0.0.1", 8080, "http")
OTHER = LocalCluster("127.0.0.1", 8080, "tcp")


def test_equal_inputs_share_one_built_resource() -> None:
    cache = UnitCache(world.build)
    first = cache.acquire(ONE)
    second = cache.acquire(LocalCluster("127.0.0.1", 8080, "http"))
    assert second.resource is first.resource
    assert (cache.built, cache.reused, len(cache)) == (1, 1, 1)


def test_a_unit_stays_until_its_last_holder_releases_it() -> None:
    cache = UnitCache(world.build)
    unit = cache.acquire(ONE)
    cache.acquire(ONE)
    cache.release(unit)
    assert len(cache) == 1
    cache.release(unit)
    assert len(cache) == 0
    cache.acquire(ONE)
    assert cache.built == 2


def test_replacing_by_the_same_input_changes_nothing() -> None:
    cache = UnitCache(world.build)
    unit = cache.acquire(ONE)
    assert cache.replace(unit, LocalCluster("127.0.0.1", 8080, "http")) is unit
    assert (cache.built, cache.reused) == (1, 0)


def test_replacing_releases_the_unit_given_in_exchange() -> None:
    cache = UnitCache(world.build)
    other = cache.replace(cache.acquire(ONE), OTHER)
    assert other.input == OTHER
    assert len(cache) == 1
