"""Zones come, are switched off and on, are lost, and are deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kumacp.kds.protocol.hashing import synced_name
from lab import eventually, http, mesh
from zone_parts import Caller
from zones import World, zones

SYNC_S = 10.0
DELETE_REFUSED = "unable to delete Zone, Zone CP is still connected, please shut it down first"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with zones(tmp_path_factory.mktemp("lifecycle"), "z1", "z2", meshes=[mesh()]) as world:
        for name in ("z1", "z2"):
            world[name].ingress()
            world[name].serve("backend")
        world["z2"].serve("only-z2")
        world["z1"].caller("web", "backend", "only-z2")
        world["z2"].caller("web", "backend")
        world.ready()
        yield world


def _caller(world: World, zone: str) -> Caller:
    found = world[zone].proxies["web-1"]
    assert isinstance(found, Caller)
    return found


def _status(world: World, zone: str) -> str:
    rows = (line.split() for line in world.kumactl("inspect", "zones").splitlines()[1:])
    return next(row[1] for row in rows if row and row[0] == zone)


def _ingress(zone: str) -> str:
    return f"/zoneingresses/{synced_name('', 'ingress-1', {'kuma.io/zone': zone})}"


@pytest.mark.promise("C16", part="kumactl get zones and inspect zones")
@pytest.mark.promise("C17", part="whole")
@pytest.mark.promise("C07", part="zones appear by their names")
def test_zones_that_joined_are_listed_and_online(world: World) -> None:
    listed = [line.split()[0] for line in world.kumactl("get", "zones").splitlines()[1:] if line]
    assert listed == ["z1", "z2"]
    assert [_status(world, name) for name in listed] == ["Online", "Online"]
    assert world.get("/zones/z1")["enabled"] is True


@pytest.mark.promise("H01", part="flat form")
@pytest.mark.promise("H01", part="spec form")
@pytest.mark.promise("H02", part="whole")
@pytest.mark.promise("H03", part="whole")
@pytest.mark.promise("H04", part="kumactl and REST")
@pytest.mark.promise("H05", part="whole")
@pytest.mark.parametrize("form", ["flat", "spec"])
def test_a_zone_that_is_switched_off_is_left_alone_and_comes_back(world: World, form: str) -> None:
    near, far = _caller(world, "z1"), _caller(world, "z2")
    near.reaches("backend", "z1", "z2")
    far.reaches("backend", "z1", "z2")
    off: dict[str, Any] = {"type": "Zone", "name": "z1"}
    off.update({"enabled": False} if form == "flat" else {"spec": {"enabled": False}})
    refused, _ = http("PUT", f"{world['z1'].plane.api}/zones/z1", off)
    assert refused == 405
    world.kumactl("apply", "-f", "-", stdin=json.dumps(off))
    assert world.get("/zones/z1")["enabled"] is False
    assert _status(world, "z1") == "Offline"

    eventually(lambda: world["z2"].get(_ingress("z1")) is None, "no ingress of z1 in z2", SYNC_S)
    far.reaches("backend", "z2")
    with near.load("backend") as load:
        held = {
            "type": "TrafficPermission",
            "mesh": "default",
            "name": f"held-{form}",
            "sources": [{"match": {"kuma.io/service": "*"}}],
            "destinations": [{"match": {"kuma.io/service": "*"}}],
        }
        world.put(held)
        path = f"/meshes/default/traffic-permissions/{synced_name('default', held['name'], {})}"
        eventually(lambda: world["z2"].get(path), "the policy in the zone that is on", SYNC_S)
        added = world["z1"].serve(f"unseen-{form}")
        added.ready()
        name = synced_name("default", added.name, {"kuma.io/zone": "z1"})
        # What goes on in z2 meanwhile has reached global: what z1 sent before that would have, too.
        other = world["z2"].serve(f"seen-{form}")
        other.ready()
        of_z2 = synced_name("default", other.name, {"kuma.io/zone": "z2"})
        eventually(lambda: world.get(f"/meshes/default/dataplanes/{of_z2}"), "z2's at global", SYNC_S)
        assert world["z1"].get(path) is None
        assert world.get(f"/meshes/default/dataplanes/{name}") is None
    assert not load.failures

    on = {**off, **({"enabled": True} if form == "flat" else {"spec": {"enabled": True}})}
    world.kumactl("apply", "-f", "-", stdin=json.dumps(on))
    eventually(lambda: _status(world, "z1") == "Online", "Online again", SYNC_S)
    eventually(lambda: world["z1"].get(path), "the policy that was held back", SYNC_S)
    eventually(lambda: world.get(f"/meshes/default/dataplanes/{name}"), "the data plane of z1", SYNC_S)
    far.reaches("backend", "z1", "z2")
    added.stop()
    other.stop()


@pytest.mark.promise("G01", part="whole")
@pytest.mark.promise("G02", part="whole")
@pytest.mark.promise("G04", part="whole")
def test_a_zone_is_deleted_only_after_its_control_plane_is_gone(world: World) -> None:
    status, body = http("DELETE", f"{world.top.api}/zones/z2")
    problem = json.loads(body)
    assert status == 400
    assert problem["invalid_parameters"] == [{"field": "zone", "reason": DELETE_REFUSED}]
    with pytest.raises(AssertionError, match=f"zone: {DELETE_REFUSED}"):
        world.kumactl("delete", "zone", "z2")
    assert world.get("/zones/z2") is not None

    near = _caller(world, "z1")
    near.reaches("only-z2", "z2")
    world["z2"].plane.stop()
    eventually(lambda: _status(world, "z2") == "Offline", "z2 Offline", SYNC_S)
    near.reaches("only-z2", "z2")
    world.kumactl("delete", "zone", "z2")
    assert world.get("/zones/z2") is None
    for kind in (
        "dataplanes",
        "zoneingresses",
        "zoneegresses",
        "zone-ingress-insights",
        "dataplane-insights",
    ):
        left = world.get(f"/{kind}")["items"]
        assert not [item for item in left if item.get("labels", {}).get("kuma.io/zone") == "z2"], kind
    eventually(lambda: world["z1"].get(_ingress("z2")) is None, "no ingress of z2 in z1", SYNC_S)
    near.fails("only-z2")

    world["z2"].plane.start()
    eventually(lambda: world.get("/zones/z2"), "the zone made again", SYNC_S)
    eventually(lambda: _status(world, "z2") == "Online", "z2 Online", SYNC_S)
    near.reaches("only-z2", "z2")


@pytest.mark.promise("I07", part="register, deregister and move while global is away")
def test_a_zone_goes_on_without_global(world: World) -> None:
    near = _caller(world, "z1")
    near.reaches("backend", "z1", "z2")
    world.top.kill()
    with near.load("backend") as load:
        second = world["z1"].serve("backend", name="backend-2")
        second.ready()
        addresses = lambda: {one.address for one in near.endpoints("backend")}  # noqa: E731
        eventually(lambda: second.address in addresses(), "the new instance at its peer", SYNC_S)
        second.stop()
        eventually(lambda: second.address not in addresses(), "the instance gone", SYNC_S)
    assert not load.failures
    world.top.start()
    for name in ("z1", "z2"):
        eventually(lambda name=name: world.online(name), f"{name} Online again", 35)
    near.reaches("backend", "z1", "z2")
    added = world["z2"].serve("late")
    added.ready()
    name = synced_name("default", "late-1", {"kuma.io/zone": "z2"})
    eventually(lambda: world.get(f"/meshes/default/dataplanes/{name}"), "news of z2 at global", SYNC_S)


def test_a_black_hole_between_a_zone_and_global_shows_the_zone_offline(world: World) -> None:
    """Within the 35 s that are promised; the link heals by itself when the network does."""
    link = world["z1"].link
    assert link is not None
    link.blackhole()
    eventually(lambda: _status(world, "z1") == "Offline", "z1 Offline", 35)
    link.heal()
    eventually(lambda: _status(world, "z1") == "Online", "z1 Online again", 35)


def test_a_zone_that_is_killed_is_offline(world: World) -> None:
    world["z1"].plane.kill()
    eventually(lambda: _status(world, "z1") == "Offline", "z1 Offline", 10)
    world["z1"].plane.start()
    eventually(lambda: _status(world, "z1") == "Online", "z1 Online again", 35)
