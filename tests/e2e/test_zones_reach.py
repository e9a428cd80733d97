"""Services of another zone that are not easy to reach: tags, odd names, a named ingress, mTLS by halves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab import eventually, free_port, http, mesh
from zone_parts import Caller, ZoneIngress
from zones import World, zones

LONG = "long" * 61
"""Longer than what fits into a server name together with the mesh."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two zones; other zones know the ingress of the second by a name."""
    meshes = (mesh(), mesh("half", mode="PERMISSIVE"))
    with zones(tmp_path_factory.mktemp("zones"), "z1", "z2", meshes=meshes) as world:
        (_, port), way = world.layout.way("z2", "ingress-1", 0)
        ingress = world["z2"].ingress(advertised=("localhost", port))
        ingress.way = way
        assert way is not None
        way.targets[:] = [ingress.address]
        world["z1"].ingress()
        world.ready()
        yield world


@pytest.fixture(scope="module")
def ingress(world: World) -> ZoneIngress:
    found = world["z2"].proxies["ingress-1"]
    assert isinstance(found, ZoneIngress)
    return found


def test_an_ingress_that_advertises_a_name_is_dialled_at_its_address(
    world: World, ingress: ZoneIngress
) -> None:
    world["z2"].serve("backend")
    web = world["z1"].caller("web", "backend")
    world.ready()
    web.reaches("backend", "z2")
    assert ingress.way is not None
    assert web.addresses("backend") == {("127.0.0.1", ingress.way.port)}
    stored = world["z1"].get("/zoneingresses")["items"]
    assert "localhost" in {item["networking"]["advertisedAddress"] for item in stored}


def test_the_first_and_the_last_instance_in_another_zone_cost_no_request(
    world: World, ingress: ZoneIngress
) -> None:
    """With the first one, the cluster becomes one that leads out of the zone."""
    world["z1"].serve("basket")
    web = world["z1"].caller("shopper", "basket")
    world.ready()
    web.reaches("basket", "z1")
    with web.load("basket") as load:
        load.wait_for(50)
        there = world["z2"].serve("basket")
        there.ready()
        web.reaches("basket", "z1", "z2")
        load.wait_for(50)
        there.stop()
        web.reaches("basket", "z1")
        load.wait_for(50)
    assert not load.failures
    assert load.answers["z2"]


def test_names_with_upper_case_and_names_that_do_not_fit_disturb_nobody(
    world: World, ingress: ZoneIngress
) -> None:
    world["z2"].serve("Orders_svc_80", "orders-1")
    for zone in ("z1", "z2"):
        world[zone].serve(LONG, f"long-of-{zone}")
    web = world["z1"].caller("buyer", "Orders_svc_80", LONG)
    world.ready()
    web.reaches("Orders_svc_80", "z2")
    assert ingress.way is not None
    assert "Orders_svc_80{mesh=default}" in ingress.way.server_names
    web.reaches(LONG, "z1")
    assert set(web.spread(LONG, 40)) == {"z1"}
    log = world["z2"].plane.program.log
    (line,) = [line for line in log.splitlines() if "longer than 255 bytes" in line]
    assert LONG in line


def test_an_outbound_with_tags_reaches_only_what_has_them(world: World) -> None:
    for version in ("v1", "v2"):
        world["z2"].serve("versions", f"versions-{version}", tags={"version": version})
    ports = {"v1": free_port(), "v2": free_port(), "v3": free_port()}
    outbounds = [
        {"port": port, "tags": {"kuma.io/service": "versions", "version": version}}
        for version, port in ports.items()
    ]
    outbounds.append({"port": free_port(), "tags": {"kuma.io/service": "versions", "kuma.io/zone": "z2"}})
    world["z1"].run(
        {
            "type": "Dataplane",
            "mesh": "default",
            "name": "chooser-1",
            "networking": {
                "address": "127.0.0.1",
                "admin": {"port": free_port()},
                "inbound": [{"port": free_port(), "tags": {"kuma.io/service": "chooser"}}],
                "outbound": outbounds,
            },
        }
    )
    world.ready()
    for version in ("v1", "v2"):
        port = ports[version]
        eventually(
            lambda port=port: http("GET", f"http://127.0.0.1:{port}/")[0] == 200, f"an answer of {version}"
        )
        answers = [json.loads(http("GET", f"http://127.0.0.1:{port}/")[1]) for _ in range(10)]
        assert {answer["instance"] for answer in answers} == {f"versions-{version}"}
    assert http("GET", f"http://127.0.0.1:{ports['v3']}/")[0] == 503
    anywhere = outbounds[-1]["port"]
    eventually(
        lambda: {_instance(anywhere) for _ in range(20)} == {"versions-v1", "versions-v2"}, "both of z2"
    )


def _instance(port: Any) -> str:
    status, body = http("GET", f"http://127.0.0.1:{port}/")
    return str(json.loads(body)["instance"]) if status == 200 else str(status)


def test_other_zones_are_called_with_mtls_while_this_one_is_not_ready_for_it(
    world: World, ingress: ZoneIngress
) -> None:
    """PERMISSIVE, and a Dataplane here without a proxy: its application answers in plain text."""
    z1, way, app_port = world["z1"], ingress.way, free_port()
    world.lab.launch_app("tcp", "z1/ledger-plain", app_port)
    inbound = {"port": app_port, "tags": {"kuma.io/service": "ledger", "kuma.io/protocol": "tcp"}}
    networking = {"address": "127.0.0.1", "inbound": [inbound]}
    z1.plane.put({"type": "Dataplane", "mesh": "half", "name": "ledger-plain", "networking": networking})
    world["z2"].serve("ledger", mesh="half", protocol="tcp")
    web = z1.caller("web-of-half", "ledger", mesh="half")
    world.ready()
    _answered_by(web, "z1", "z2")
    assert way is not None
    before, asked = way.accepted, len(way.server_names)
    spread = web.spread_lines("ledger", 40)
    assert set(spread) == {"z1", "z2"}
    assert set(way.server_names[asked:]) == {"ledger{mesh=half}"}
    assert way.accepted - before == spread["z2"] == len(way.server_names) - asked

    z1.plane.delete("/meshes/half/dataplanes/ledger-plain")
    _answered_by(web, "z2")


def _answered_by(web: Caller, *wanted: str) -> None:
    def zones_of_answers() -> set[str]:
        return {web.line("ledger").partition(b"/")[0].decode() for _ in range(20)}

    eventually(lambda: zones_of_answers() == set(wanted), f"answers of {wanted}")
