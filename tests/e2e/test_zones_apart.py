"""Zones that share no network, and even use the same addresses: names and mTLS are all that joins them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import dataplane, eventually, http, lab, mesh
from redirected_network import missing
from zone_networks import NamedCaller, ZoneNetworks, connections, named_caller, ping, zone_networks
from zone_parts import Caller, Proxy
from zones import World, connected_world

LACKING = missing("iptables-nft", "curl", "dig", "ss", "sysctl")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

ECHO = "echo-server_echo-example_svc_1010"
BETWEEN = ipaddress.ip_network("198.51.100.0/24")
VIPS = ipaddress.ip_network("240.0.0.0/4")


@dataclass
class Scene:
    """`default` leaves by egresses, `direct` from a host that reaches other zones. `web` in z1 knows names;
    `backend` and ECHO are in z2."""

    net: ZoneNetworks
    world: World
    web: NamedCaller
    backend: Proxy
    direct: Caller


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    hosts = {"z1": ["web-1", "apps", "edge", "client"], "z2": ["apps"]}
    with (
        zone_networks(hosts, exposed=[("z1", "edge")]) as net,
        lab(tmp_path_factory.mktemp("zones")) as started,
    ):
        meshes = [{**mesh(), "routing": {"zoneEgress": True}}, mesh("direct")]
        world = connected_world(started, net, list(hosts), meshes=meshes)
        z1, z2 = world["z1"], world["z2"]
        for zone in (z1, z2):
            zone.ingress()
            zone.egress()
        backend = z2.serve("backend", host="apps")
        z2.serve(ECHO, "echo", host="apps", app_port=1010)
        z2.serve("plain", host="apps", mesh="direct")
        web = named_caller(z1, "web")
        direct = z1.caller("direct", "plain", mesh="direct", host="edge")
        world.ready()
        yield Scene(net, world, web, backend, direct)


@pytest.mark.promise("A02", part="with egresses")
@pytest.mark.promise("I10", part="whole")
@pytest.mark.promise("A15", part="from the egress to the remote ingress")
def test_services_are_called_over_networks_that_do_not_meet(scene: Scene) -> None:
    net, web = scene.net, scene.web
    here, there = net.place("z1", "web-1"), net.place("z2", "apps")
    assert here.address == there.address
    for address in (net.outside["z2", "ingress-1"], net.top.address):
        assert not ping(here, address)
    assert not ping(there, net.outside["z1", "egress-1"])
    web.reaches("http://backend.mesh", "z2")
    assert "eth1" not in here.run("ip", "-br", "link").stdout


@pytest.mark.promise("A15", part="from the egress to the remote ingress")
@pytest.mark.promise("B14", part="whole")
@pytest.mark.promise("A12", part="nothing but the advertised address is dialled")
def test_everybody_is_connected_to_whom_they_should_be_alone(scene: Scene) -> None:
    net, z1, z2 = scene.net, scene.world["z1"], scene.world["z2"]
    egress, ingress = z1.proxies["egress-1"], z2.proxies["ingress-1"]
    local = z1.serve("local", host="apps")
    scene.world.ready()
    scene.web.reaches("http://local.mesh", "z1")
    scene.web.reaches("http://backend.mesh", "z2")
    # The caller: its control plane, instances here, the egress here.
    cp = (net.place("z1", "cp").address, z1.plane.dp_port)
    dialled = {other for _, other in connections(net.place("z1", "web-1"))}
    assert dialled <= {cp, local.address, egress.address}
    assert {local.address, egress.address} <= dialled
    # The egress dials the advertised address of the ingress there, and nothing else between the zones.
    abroad = {
        other
        for _, other in connections(net.place("z1", "egress-1"))
        if ipaddress.ip_address(other[0]) in BETWEEN
    }
    assert abroad == {ingress.advertised}
    # The ingress hears from egresses of other zones.
    taken = {
        other[0] for own, other in connections(net.place("z2", "ingress-1")) if own[1] == ingress.address[1]
    }
    assert taken
    assert taken <= {net.outside["z1", "egress-1"], net.outside["z1", "edge"]}
    # The instance: its control plane, and the ingress here.
    inbound = {
        other[0] for own, other in connections(net.place("z2", "apps")) if own == scene.backend.address
    }
    assert inbound == {net.place("z2", "ingress-1").address}


@pytest.mark.promise("A02", part="without")
@pytest.mark.promise("A12", part="nothing but the advertised address is dialled")
@pytest.mark.promise("A15", part="without egress when the flag is off")
def test_without_an_egress_a_host_dials_the_ingress_of_the_other_zone(scene: Scene) -> None:
    net, ingress = scene.net, scene.world["z2"].proxies["ingress-1"]
    edge = net.place("z1", "edge")
    assert ("z2", "apps") not in net.outside
    scene.direct.reaches("plain", "z2")
    abroad = {other for _, other in connections(edge) if ipaddress.ip_address(other[0]) in BETWEEN}
    assert abroad == {ingress.advertised}


@pytest.mark.promise("E04", part="from another zone")
def test_a_service_of_kubernetes_is_called_on_port_80_from_another_zone(scene: Scene) -> None:
    for name in (ECHO, "echo-server.echo-example.svc.1010"):
        scene.web.reaches(f"http://{name}.mesh:80", "z2")
    _, answer = scene.web.curl(f"http://{ECHO}.mesh:80")
    assert answer["port"] == 1010


@pytest.mark.promise("E07", part="outbound listener to a remote zone")
def test_the_outbound_of_the_documents_answers_from_another_zone(scene: Scene) -> None:
    document = dataplane("client-1", "client", app_port=8080)
    host = scene.net.place("z1", "client")
    document["networking"]["address"] = host.address
    document["networking"]["outbound"] = [{"port": 20012, "tags": {"kuma.io/service": ECHO}}]
    scene.world["z1"].run(document, "client").ready()
    with host.inside():
        eventually(lambda: http("GET", "http://localhost:20012/")[0] == 200, "an answer at localhost:20012")


@pytest.mark.promise("I14", part="across zones")
@pytest.mark.promise("A11", part="an unknown service gets cluster, listener and address")
def test_a_new_service_of_another_zone_is_there_without_a_word_here(scene: Scene) -> None:
    assert not scene.web.lookup("newcomer.mesh")
    scene.world["z2"].serve("newcomer", host="apps").ready()
    scene.web.reaches("http://newcomer.mesh", "z2")
    (vip,) = scene.web.lookup("newcomer.mesh")
    assert ipaddress.ip_address(vip) in VIPS
    assert f"outbound:{vip}:80" in scene.web.listeners()
    egress = scene.world["z1"].proxies["egress-1"]
    assert scene.web.addresses("newcomer") == {egress.address}


@pytest.mark.promise("A04", part="moved to another zone")
def test_a_service_that_moves_to_another_zone_keeps_its_name(scene: Scene) -> None:
    z1, z2 = scene.world["z1"], scene.world["z2"]
    here = z1.serve("moving", host="apps")
    here.ready()
    scene.web.reaches("http://moving.mesh", "z1")
    vip = scene.web.lookup("moving.mesh")
    there = z2.serve("moving", host="apps")
    here.stop()
    there.ready()
    scene.web.reaches("http://moving.mesh", "z2")
    assert scene.web.lookup("moving.mesh") == vip
