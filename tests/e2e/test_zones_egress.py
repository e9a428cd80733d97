"""The zone egress: the one way out of a zone, to other zones and to what is outside the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent_runs import envoy_of
from lab import free_port, mesh
from zone_parts import Caller, Proxy
from zones import World, zones

OUTSIDE = "httpbin"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two zones with an ingress and an egress each, and `backend` in z2."""
    leaving = {**mesh(), "routing": {"zoneEgress": True}}
    with zones(tmp_path_factory.mktemp("zones"), "z1", "z2", meshes=[leaving]) as world:
        for zone in (world["z1"], world["z2"]):
            zone.ingress()
            zone.egress()
        world["z2"].serve("backend")
        world.ready()
        yield world


@pytest.fixture(scope="module")
def web(world: World) -> Caller:
    return _caller(world, "z1", "web")


def _caller(world: World, zone: str, name: str) -> Caller:
    caller = world[zone].caller(name, "backend", OUTSIDE, f"{OUTSIDE}-of-z2")
    world.ready()
    return caller


@pytest.mark.promise("A15", part="from the egress to the remote ingress")
@pytest.mark.promise("B16", part="to the ingresses of other zones")
@pytest.mark.promise("C08", part="with egress")
def test_calls_to_other_zones_leave_through_the_egress(world: World, web: Caller) -> None:
    egress, ingress = world["z1"].proxies["egress-1"], world["z2"].proxies["ingress-1"]
    web.reaches("backend", "z2")
    assert web.addresses("backend") == {egress.address}
    assert egress.addresses("default:backend") == {ingress.advertised}
    assert egress.stat(r"cluster\.default_backend\.upstream_cx_total") > 0
    # Whoever is connected to the way to z2 is the egress.
    ports = {port for _, port in ingress.way.clients}
    envoy = envoy_of(egress.sidecar.program)
    assert ports
    assert ports <= {connection.laddr.port for connection in envoy.net_connections("tcp")}
    # mTLS ends in the instance and not on the way.
    _, answer = web.call("backend")
    assert "URI=spiffe://default/web" in answer["headers"]["x-forwarded-client-cert"]
    assert "backend{mesh=default}" in ingress.way.server_names


@pytest.mark.promise("A15", part="without egress when the flag is off")
def test_without_the_flag_of_the_mesh_nothing_goes_through_the_egress(world: World) -> None:
    world.put(mesh("direct"))
    world["z2"].serve("plain", mesh="direct")
    caller = world["z1"].caller("direct", "plain", mesh="direct")
    world.ready()
    ingress, egress = world["z2"].proxies["ingress-1"], world["z1"].proxies["egress-1"]
    caller.reaches("plain", "z2")
    assert caller.addresses("plain") == {ingress.advertised}
    assert egress.stat(r"cluster\.direct_plain.*\.upstream_cx_total") == 0


def _external(name: str, port: int, **tags: str) -> dict[str, Any]:
    return {
        "type": "ExternalService",
        "mesh": "default",
        "name": name,
        "networking": {"address": f"127.0.0.1:{port}"},
        "tags": {"kuma.io/service": name, "kuma.io/protocol": "http", **tags},
    }


def _serve_outside(world: World, name: str, **tags: str) -> None:
    """An application that belongs to nobody in the mesh; it answers as if it were a zone `outside`."""
    port = free_port()
    world.lab.launch_app("http", name, port, facts={"zone": "outside", "instance": name})
    world.put(_external(name, port, **tags))


def _total(proxy: Proxy, service: str) -> int:
    return proxy.stat(rf"cluster\.default_{service}.*\.upstream_rq_total")


@pytest.mark.promise("B16", part="external service through the egress")
@pytest.mark.promise("C08", part="with egress")
def test_calls_to_external_services_leave_through_the_egress(world: World, web: Caller) -> None:
    _serve_outside(world, OUTSIDE)
    egress = world["z1"].proxies["egress-1"]
    web.reaches(OUTSIDE, "outside")
    assert web.addresses(OUTSIDE) == {egress.address}
    before = _total(egress, OUTSIDE)
    for _ in range(10):
        assert web.call(OUTSIDE)[0] == 200
    assert _total(egress, OUTSIDE) == before + 10


@pytest.mark.promise("B16", part="external service of one zone")
def test_an_external_service_of_one_zone_is_reached_through_that_zone(world: World, web: Caller) -> None:
    name = f"{OUTSIDE}-of-z2"
    _serve_outside(world, name, **{"kuma.io/zone": "z2"})
    there = _caller(world, "z2", "web-of-z2")
    there.reaches(name, "outside")
    egress = world["z2"].proxies["egress-1"]
    assert there.addresses(name) == {egress.address}
    # From elsewhere: own egress, their ingress, their egress; nobody else dials the address.
    web.reaches(name, "outside")
    own = world["z1"].proxies["egress-1"]
    assert own.addresses(f"default:{name}") == {world["z2"].proxies["ingress-1"].advertised}
    before = _total(egress, name)
    for _ in range(10):
        assert web.call(name)[0] == 200
    assert _total(egress, name) == before + 10
