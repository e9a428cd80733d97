"""Which types flow where: Kuma's table, and the order in which they are asked for."""

from __future__ import annotations

import pytest

from kumacp.kds.protocol.catalog import FLOWS, Flow, from_global, from_zone, made_in_zones
from kumamesh.resources.registry import TYPES


@pytest.mark.parametrize(
    ("type_", "flow"),
    [
        ("TrafficPermission", Flow(to_zones=True)),
        ("Mesh", Flow(to_zones=True, keeps_name=True)),
        ("GlobalSecret", Flow(to_zones=True, keeps_name=True)),
        ("Dataplane", Flow(to_global=True)),
        ("ZoneIngress", Flow(to_global=True, across=True)),
        ("MeshService", Flow(to_global=True, across=True)),
        ("MeshGateway", Flow(to_zones=True, to_global=True)),
        ("MeshTrafficPermission", Flow(to_zones=True, to_global=True, across=True)),
        ("MeshTLS", Flow(to_zones=True, to_global=True, across=True)),
        ("Zone", Flow()),
        ("ZoneInsight", Flow()),
        ("MeshInsight", Flow()),
    ],
)
def test_the_table(type_: str, flow: Flow) -> None:
    assert FLOWS[type_] == flow


def test_every_stored_type_is_in_the_table() -> None:
    assert set(TYPES) <= set(FLOWS)
    assert len(FLOWS) == 52


def test_a_zone_asks_for_what_others_refer_to_first() -> None:
    asked = from_global()
    assert set(asked) == {name for name in TYPES if FLOWS[name].to_zones or FLOWS[name].across}
    assert asked[0] == "Config"
    for first, then in (("Secret", "Mesh"), ("TrafficPermission", "Mesh"), ("MeshTrafficPermission", "Mesh")):
        assert asked.index(first) < asked.index(then)
    assert len(set(asked)) == len(asked)


def test_global_asks_for_proxies_before_their_insights() -> None:
    asked = from_zone()
    assert set(asked) == {name for name in TYPES if FLOWS[name].to_global}
    for proxy in ("Dataplane", "ZoneIngress", "ZoneEgress"):
        assert asked.index(proxy) < asked.index(f"{proxy}Insight")


def test_what_a_zone_may_have_made_itself() -> None:
    own = {name for name in FLOWS if made_in_zones(name)}
    assert {"Config", "Secret", "GlobalSecret", "Dataplane", "ZoneIngress", "MeshTrafficPermission"} <= own
    assert not own & {"Mesh", "TrafficPermission", "ExternalService", "VirtualOutbound", "ServiceInsight"}
