"""A real global control plane and real zones, without proxies: what outlives whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import eventually, http
from zones import World, zones


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with zones(tmp_path, "z1", "z2") as started:
        yield started


def _dataplane(name: str, service: str = "web") -> dict[str, Any]:
    return {
        "type": "Dataplane",
        "mesh": "default",
        "name": name,
        "networking": {
            "address": "192.0.2.9",
            "inbound": [{"port": 8080, "tags": {"kuma.io/service": service}}],
        },
    }


def _ingress(name: str) -> dict[str, Any]:
    return {
        "type": "ZoneIngress",
        "name": name,
        "networking": {
            "address": "192.0.2.1",
            "port": 10_001,
            "advertisedAddress": "192.0.2.1",
            "advertisedPort": 10_001,
        },
    }


def _put_ingress(world: World, zone: str, name: str) -> None:
    status, body = http("PUT", f"{world[zone].plane.api}/zoneingresses/{name}", _ingress(name))
    assert status == 201, body


def _known(get: Any, path: str) -> set[str]:
    items = (get(path) or {"items": []})["items"]
    return {item.get("labels", {}).get("kuma.io/display-name", item["name"]) for item in items}


def _until_known(get: Any, path: str, *names: str) -> None:
    eventually(lambda: _known(get, path) == set(names), f"{path}: {', '.join(names) or 'nothing'}")


def test_a_killed_zone_is_offline_and_what_it_told_stays_until_it_comes_back(world: World) -> None:
    world["z1"].plane.put(_dataplane("web-1"))
    world["z2"].plane.put(_dataplane("web-2"))
    _until_known(world.get, "/dataplanes", "web-1", "web-2")
    world["z1"].plane.kill()
    eventually(lambda: not world.online("z1"), "z1 Offline")
    assert world.online("z2")
    assert _known(world.get, "/dataplanes") == {"web-1", "web-2"}
    world["z1"].plane.start()
    eventually(lambda: world.online("z1"), "z1 Online again")
    world["z1"].plane.put(_dataplane("web-3"))
    _until_known(world.get, "/dataplanes", "web-1", "web-2", "web-3")


def test_a_killed_global_comes_back_to_zones_that_went_on_without_it(world: World) -> None:
    world["z1"].plane.put(_dataplane("web-1"))
    _until_known(world.get, "/dataplanes", "web-1")
    meshes = _known(world["z1"].get, "/meshes")
    world.top.kill()
    world["z1"].plane.put(_dataplane("web-2"))
    world["z1"].plane.delete("/meshes/default/dataplanes/web-1")
    assert _known(world["z1"].get, "/meshes") == meshes == {"default"}
    world.top.start()
    eventually(lambda: world.online("z1") and world.online("z2"), "both Online again")
    _until_known(world.get, "/dataplanes", "web-2")
    assert _known(world["z1"].get, "/meshes") == meshes
    overview = world.get("/zones/z1/_overview")
    subscriptions = overview["zoneInsight"]["subscriptions"]
    assert len([each for each in subscriptions if "disconnectTime" not in each]) == 1


def test_services_of_all_zones_are_counted_and_zones_are_told(world: World) -> None:
    world["z1"].plane.put(_dataplane("web-1"))
    world["z2"].plane.put(_dataplane("web-2"))
    eventually(lambda: _zones_of(world.get, "web") == ["z1", "z2"], "web of both zones on global")
    eventually(lambda: _zones_of(world["z1"].get, "web") == ["z1", "z2"], "web of both zones in z1")
    assert world.get("/mesh-insights/default")["dataplanes"] == {"total": 2, "offline": 2}


def test_a_disabled_zone_is_offline_and_out_of_the_way_of_the_others(world: World) -> None:
    _put_ingress(world, "z1", "edge-1")
    _put_ingress(world, "z2", "edge-2")
    for zone in ("z1", "z2"):
        _until_known(world[zone].get, "/zoneingresses", "edge-1", "edge-2")
    _switch(world, "z1", enabled=False)
    _until_known(world["z2"].get, "/zoneingresses", "edge-2")
    assert not world.online("z1")
    assert _known(world["z1"].get, "/zoneingresses") == {"edge-1", "edge-2"}
    world["z1"].plane.put(_dataplane("web-1"))
    _switch(world, "z1", enabled=True)
    _until_known(world["z2"].get, "/zoneingresses", "edge-1", "edge-2")
    _until_known(world.get, "/dataplanes", "web-1")


def test_a_second_zone_of_a_name_does_not_come_in(world: World) -> None:
    world["z1"].plane.put(_dataplane("web-1"))
    _until_known(world.get, "/dataplanes", "web-1")
    other = world.launch_zone("twin", KUMA_MULTIZONE_ZONE_NAME="z1").plane.program
    other.wait_until(lambda: "another control plane is connected as zone" in other.log, "the refusal")
    assert _known(world.get, "/dataplanes") == {"web-1"}


def _zones_of(get: Any, service: str) -> list[str]:
    found = get(f"/meshes/default/service-insights/{service}") or {}
    return list(found.get("zones", []))


def _switch(world: World, zone: str, *, enabled: bool) -> None:
    document = {"type": "Zone", "name": zone, "enabled": enabled}
    status, body = http("PUT", f"{world.top.api}/zones/{zone}", document)
    assert status == 200, body


def test_a_global_that_wants_tokens_lets_a_zone_in_as_soon_as_it_shows_one(tmp_path: Path) -> None:
    wants_tokens = {"KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE": "cpToken"}
    token_file = tmp_path / "cp.token"
    token_file.write_text("not a token")
    with zones(tmp_path, top=wants_tokens, meshes=()) as world:
        shows = {"KUMA_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH": str(token_file)}
        zone = world.launch_zone("z1", **shows).plane.program
        zone.wait_until(lambda: "authentication failed" in zone.log, "the refusal")
        assert world.get("/zones")["total"] == 0
        token_file.write_text(world.kumactl("generate", "zone-token", "--zone", "z1", "--scope", "cp"))
        # A zone that was refused tries again after half a minute at most.
        zone.wait_until(lambda: world.online("z1"), "z1 Online", timeout_s=90.0)
        subscription = world.get("/zones/z1/_overview")["zoneInsight"]["subscriptions"][-1]
        assert subscription["authTokenProvided"] is True
