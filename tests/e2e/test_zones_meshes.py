"""Several meshes over the same zones: what each decides for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab import eventually, mesh
from zone_parts import Caller, Instance
from zones import World, zones


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with zones(tmp_path_factory.mktemp("zones"), "z1", "z2") as world:
        for zone in (world["z1"], world["z2"]):
            zone.ingress()
        world.ready()
        yield world


def _roots(caller: Caller) -> set[str]:
    certificates = caller.admin("/certs")["certificates"]
    return {ca["serial_number"] for entry in certificates for ca in entry["ca_cert"]}


@pytest.mark.promise("A03", part="one ingress serves both meshes")
def test_one_ingress_serves_two_meshes_that_stay_apart(world: World) -> None:
    world.put(mesh("m1"), mesh("m2"))
    callers: dict[str, Caller] = {}
    for name in ("m1", "m2"):
        world["z2"].serve("backend", f"backend-of-{name}", mesh=name)
        callers[name] = world["z1"].caller(f"web-of-{name}", "backend", mesh=name)
    world.ready()
    ingress = world["z2"].proxies["ingress-1"]
    for name, caller in callers.items():
        caller.reaches("backend", "z2")
        answering = {caller.call("backend")[1]["instance"] for _ in range(20)}
        assert answering == {f"backend-of-{name}"}
        assert caller.addresses("backend") == {ingress.advertised}
    names = {f"backend{{mesh={name}}}" for name in callers}
    assert names <= ingress.server_names()
    assert names <= set(ingress.way.server_names)
    assert not _roots(callers["m1"]) & _roots(callers["m2"])


@pytest.mark.promise("D01", part="whole")
def test_without_mtls_a_mesh_ends_at_the_border_of_its_zone(world: World) -> None:
    world.put(mesh("open", mode=None))
    here = world["z1"].serve("both", "both-of-open", mesh="open")
    world["z2"].serve("both", "both-of-open", mesh="open")
    world["z2"].serve("far", "far-of-open", mesh="open")
    web = world["z1"].caller("web-of-open", "both", "far", mesh="open")
    world.ready()
    ingress = world["z2"].proxies["ingress-1"]
    eventually(
        lambda: len(world["z1"].get("/zoneingresses")["items"]) == 2 and _offered(world, "far"),
        "the offer of z2 in z1",
    )
    web.reaches("both", "z1")
    web.fails("far")
    assert web.addresses("both") == {here.address}
    assert not web.addresses("far")
    before = ingress.way.accepted
    assert set(web.spread("both", 40)) == {"z1"}
    assert ingress.way.accepted == before

    world.put(mesh("open"))
    web.reaches("both", "z1", "z2")
    web.reaches("far", "z2")

    world.put(mesh("open", mode=None))
    web.reaches("both", "z1")
    web.fails("far")
    assert ingress.advertised not in web.addresses("both")


def _offered(world: World, service: str) -> bool:
    """Whether z1 knows that z2 offers the service."""
    items: list[dict[str, Any]] = world["z1"].get("/zoneingresses")["items"]
    return any(
        entry["tags"]["kuma.io/service"] == service
        for item in items
        if item["zone"] == "z2"
        for entry in item.get("availableServices", [])
    )


@pytest.mark.promise("A14", part="flag of the mesh")
def test_traffic_stays_in_its_zone_while_it_can_and_the_mesh_wants_it(world: World) -> None:
    near = {**mesh("near"), "routing": {"localityAwareLoadBalancing": True}}
    world.put(near)
    here: Instance = world["z1"].serve("backend", "backend-of-near", mesh="near")
    world["z2"].serve("backend", "backend-of-near", mesh="near")
    web = world["z1"].caller("web-of-near", "backend", mesh="near")
    world.ready()
    ingress = world["z2"].proxies["ingress-1"]
    eventually(
        lambda: web.addresses("backend") == {here.address, ingress.advertised}, "both among the endpoints"
    )
    web.reaches("backend", "z1")
    assert set(web.spread("backend", 400)) == {"z1"}
    with web.load("backend") as load:
        load.wait_for(50)
        here.stop()
        web.reaches("backend", "z2")
        load.wait_for(50)
    assert not load.failures
    assert set(web.spread("backend", 400)) == {"z2"}
    here.start()
    web.reaches("backend", "z1")
    assert set(web.spread("backend", 100)) == {"z1"}
    # The mesh may change its mind.
    world.put(mesh("near"))
    web.reaches("backend", "z1", "z2")
