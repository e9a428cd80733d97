from __future__ import annotations

import hub_world as world
from kumacp.xds.pool import OutboundPool


def test_equal_outbounds_of_different_dataplanes_become_one_object() -> None:
    pool = OutboundPool()
    one = pool.share(world.dataplane("one", outbounds={20000: "backend", 20001: "redis"}))
    other = pool.share(world.dataplane("other", outbounds={20000: "backend", 20001: "backend"}))
    first, second = one.spec.networking.outbound, other.spec.networking.outbound
    assert first[0] is second[0]
    assert first[1] is not second[1]
    assert len(pool) == 3


def test_sharing_changes_nothing_of_the_dataplane() -> None:
    pool = OutboundPool()
    dataplane = world.dataplane("one", outbounds={20000: "backend"}, connected=True)
    assert pool.share(dataplane) == dataplane


def test_outbounds_are_forgotten_with_the_last_dataplane() -> None:
    pool = OutboundPool()
    shared = pool.share(world.dataplane("one", outbounds={20000: "backend"}))
    assert len(pool) == 1
    del shared
    assert len(pool) == 0
