"""Every zone gets its share of the traffic: as much as it has instances, whatever stands in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lab import eventually, mesh
from zone_parts import Caller, Proxy, ZoneIngress, lowest_terms
from zones import World, zones

NAMES = ("eu", "us-east.1", "k8s-emulated")
"""Of the zones: as people like. The last plays Kubernetes."""
EU, US, K8S = NAMES
ECHO = "echo-server_echo-example_svc_1010"
CALLS = 400


def through_egress(name: str) -> dict[str, object]:
    return {**mesh(name), "routing": {"zoneEgress": True}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    meshes = (mesh(), through_egress("leaving"))
    with zones(tmp_path_factory.mktemp("zones"), *NAMES, meshes=meshes) as world:
        for zone in world.zones.values():
            zone.ingress()
        world.ready()
        yield world


def _launch(world: World, service: str, instances: Mapping[str, int], **options: Any) -> Caller:
    """As many instances in each zone; and who calls them, in the first."""
    for zone, number in instances.items():
        world[zone].serve(service, instances=number, **options)
    caller = world[EU].caller(f"caller-of-{service}", service, mesh=options.get("mesh", "default"))
    world.ready()
    return caller


def _serve(world: World, service: str, instances: Mapping[str, int]) -> Caller:
    caller = _launch(world, service, instances)
    caller.reaches(service, *instances)
    return caller


def _shares(caller: Caller, service: str, instances: Mapping[str, int]) -> None:
    """Envoy has these weights exactly, and spreads calls by them."""
    eventually(
        lambda: caller.shares(service) == dict(instances), f"{caller.shares(service)} to be {instances}"
    )
    _spread(caller.spread(service, CALLS), instances)


def _spread(spread: Mapping[str, int], instances: Mapping[str, int]) -> None:
    total = sum(instances.values())
    for zone, number in instances.items():
        assert abs(spread[zone] - CALLS * number / total) <= CALLS / 10, spread


@pytest.mark.promise("A13", part="two zones, one instance and two")
def test_a_zone_with_two_instances_gets_twice_the_traffic(world: World) -> None:
    instances = {EU: 1, US: 2}
    _shares(_serve(world, "doubled", instances), "doubled", instances)


@pytest.mark.promise("A01", part="whole")
def test_zones_of_any_name_and_kind_reach_each_other(world: World) -> None:
    world[K8S].serve(ECHO, "echo", tags={"env": "kubernetes", "k8s.kuma.io/namespace": "echo-example"})
    world[EU].serve("of-eu")
    world[US].serve("of-us")
    services = {ECHO: K8S, "of-eu": EU, "of-us": US}
    callers = [world[zone].caller(f"anywhere-{number}", *services) for number, zone in enumerate(NAMES)]
    world.ready()
    for caller in callers:
        for service, zone in services.items():
            caller.reaches(service, zone)


SHARED = {EU: 2, US: 3, K8S: 3}


@pytest.fixture(scope="module")
def shared(world: World) -> Caller:
    """Who calls the service `shared`, which has two instances here and three in each of the other zones."""
    return _serve(world, "shared", SHARED)


@pytest.mark.promise("A13", part="three zones")
def test_three_zones_share_exactly(shared: Caller) -> None:
    _shares(shared, "shared", SHARED)
    assert len(shared.endpoints("shared")) == 4


@pytest.mark.promise("A13", part="ingress replicas with one address")
@pytest.mark.promise("I09", part="replicas with one address")
def test_ingress_replicas_behind_one_address_count_once(world: World, shared: Caller) -> None:
    first = world[US].proxies["ingress-1"]
    twins = [world[US].ingress(name, advertised=first.advertised) for name in ("twin-1", "twin-2")]
    first.way.targets.extend(twin.address for twin in twins)
    world.ready()
    try:
        eventually(lambda: len(_ingresses(world, US)) == 3, "all of them known in another zone")
        _shares(shared, "shared", SHARED)
        assert len(shared.endpoints("shared")) == 4
        lines = _launch(world, "lines", {US: 1}, protocol="tcp")
        eventually(lambda: lines.line("lines"), "a first line")
        before = {replica.name: _taken(replica) for replica in (first, *twins)}
        lines.spread_lines("lines", 30)
        assert all(_taken(replica) > before[replica.name] for replica in (first, *twins))
    finally:
        del first.way.targets[1:]
        for twin in twins:
            twin.stop()


@pytest.mark.promise("A13", part="two ingress replicas")
@pytest.mark.promise("I09", part="replicas with their own addresses")
def test_ingress_replicas_at_several_addresses_share_what_is_due_to_their_zone(
    world: World, shared: Caller
) -> None:
    more: list[ZoneIngress] = []
    try:
        for zone, name in ((US, "more-1"), (US, "more-2"), (K8S, "more-1")):
            more.append(world[zone].ingress(name))
            world.ready()
            used = {replica.advertised for replica in more}
            eventually(lambda used=used: used <= shared.addresses("shared"), f"{name} of {zone} used")
            _shares(shared, "shared", SHARED)
            assert more[-1].way.accepted > 0
        assert len(shared.endpoints("shared")) == 7
    finally:
        for replica in more:
            replica.stop()
    eventually(lambda: len(shared.endpoints("shared")) == 4, "the replicas gone from the endpoints")
    _shares(shared, "shared", SHARED)


def _ingresses(world: World, zone: str) -> list[dict[str, Any]]:
    """Of a zone, as the first zone knows them."""
    return [item for item in world[EU].get("/zoneingresses")["items"] if item["zone"] == zone]


def _taken(ingress: ZoneIngress) -> int:
    """Connections that it accepted."""
    return ingress.stat(rf"listener\.127\.0\.0\.1_{ingress.address[1]}\.downstream_cx_total")


@pytest.mark.promise("A13", part="through the egress")
def test_shares_are_exact_through_egresses(world: World) -> None:
    """Over TCP: an egress passes connections on and not requests, of which many share a connection."""
    egresses: list[Proxy] = [world[EU].egress("egress-1")]
    world.ready()
    caller = _launch(world, "leaving", SHARED, mesh="leaving", protocol="tcp")
    _through(egresses, caller)
    egresses.append(world[EU].egress("egress-2"))
    world.ready()
    _through(egresses, caller)


def _through(egresses: list[Proxy], caller: Caller) -> None:
    """Six of eight connections go away through the egresses, and from there half to each zone."""
    ways = {egress.address for egress in egresses}
    expected = {"here": 1, "away": 3}

    def weights() -> dict[str, int]:
        endpoints = caller.endpoints("leaving")
        assert len(endpoints) <= 2 + len(egresses)
        return lowest_terms(("away" if one.address in ways else "here", one.weight) for one in endpoints)

    eventually(lambda: ways <= caller.addresses("leaving") and weights() == expected, f"weights {expected}")
    for egress in egresses:
        eventually(lambda egress=egress: _away(egress) == {US: 1, K8S: 1}, "the egress knows both zones")
    _spread(caller.spread_lines("leaving", CALLS), SHARED)


def _away(egress: Proxy) -> dict[str, int]:
    """Shares of the zones beyond the egress."""
    return egress.shares("leaving:leaving")
