"""A service in several zones is one service: found, offered, called, moved away from, and never by force."""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import reverse_proxy
from lab import Program, eventually, free_port, http
from tcp_relay import Address
from zone_parts import Caller, Instance, ZoneIngress
from zones import World, Zone, zones

SERVICES = ("backend", "orders", "fragile", "worn")


@dataclass
class Scene:
    """Two zones with an ingress each. `backend` and `fragile` are in both, `orders` in z2; web is in z1."""

    world: World
    z1: Zone
    z2: Zone
    web: Caller
    ingress: ZoneIngress
    backend: dict[str, Instance]
    fragile: dict[str, Instance]
    orders: Instance


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with zones(tmp_path_factory.mktemp("zones"), "z1", "z2") as world:
        z1, z2 = world["z1"], world["z2"]
        z1.ingress()
        ingress = z2.ingress()
        backend = {zone.name: zone.serve("backend") for zone in (z1, z2)}
        fragile = {zone.name: zone.serve("fragile") for zone in (z1, z2)}
        orders = z2.serve("orders")
        web = z1.caller("web", *SERVICES)
        world.ready()
        yield Scene(world, z1, z2, web, ingress, backend, fragile, orders)


def _offers(resource: dict[str, object] | None, service: str) -> list[dict[str, object]]:
    """What a ZoneIngress says of a service."""
    entries = (resource or {}).get("availableServices", [])
    return [entry for entry in entries if entry["tags"]["kuma.io/service"] == service]


def _instances(zone: Zone, service: str) -> int:
    found = _offers(zone.get("/zoneingresses/ingress-1"), service)
    return sum(entry["instances"] for entry in found)


@pytest.mark.promise("A05", part="whole")
@pytest.mark.promise("E03", part="whole")
@pytest.mark.promise("C08", part="without egress")
def test_a_service_in_two_zones_is_one(scene: Scene) -> None:
    scene.web.reaches("backend", "z1", "z2")
    assert scene.web.shares("backend") == {"z1": 1, "z2": 1}
    spread = scene.web.spread("backend", 400)
    assert abs(spread["z1"] - 200) <= 40
    assert abs(spread["z2"] - 200) <= 40
    row = re.compile(r"^backend\s+Online\s+2/2$", re.M)
    eventually(lambda: row.search(scene.world.kumactl("inspect", "services")), "one row for both")
    table = scene.world.kumactl("inspect", "services")
    assert len(re.findall(r"^backend\s", table, re.M)) == 1


@pytest.mark.promise("A07", part="whole")
@pytest.mark.promise("B11", part="whole")
@pytest.mark.promise("A08", part="whole")
@pytest.mark.promise("A09", part="whole")
def test_an_ingress_offers_what_its_zone_has(scene: Scene) -> None:
    z2, name = scene.z2, "counted{mesh=default}"
    first = z2.serve("counted")
    eventually(lambda: _instances(z2, "counted") == 1, "one instance offered")
    (offer,) = _offers(z2.get("/zoneingresses/ingress-1"), "counted")
    tags = {"kuma.io/service": "counted", "kuma.io/protocol": "http", "kuma.io/zone": "z2"}
    assert offer == {"tags": tags, "mesh": "default", "instances": 1}
    eventually(lambda: name in scene.ingress.server_names(), "a filter chain")
    second = z2.serve("counted", "counted-2")
    eventually(lambda: _instances(z2, "counted") == 2, "two instances offered")

    def at_global() -> dict[str, object]:
        items = scene.world.get("/zoneingresses")["items"]
        found = [item for item in items if item["zone"] == "z2"]
        return found[0] if len(found) == 1 else {}

    eventually(lambda: _offers(at_global(), "counted") == [{**offer, "instances": 2}], "the same at global")
    own = z2.get("/zoneingresses/ingress-1")
    assert at_global()["networking"] == own["networking"]
    assert at_global()["availableServices"] == own["availableServices"]
    second.stop()
    eventually(lambda: _instances(z2, "counted") == 1, "one instance left")
    first.stop()
    eventually(lambda: not _offers(z2.get("/zoneingresses/ingress-1"), "counted"), "none offered")
    eventually(lambda: name not in scene.ingress.server_names(), "the filter chain gone")
    eventually(lambda: not _offers(at_global(), "counted"), "none at global")


@pytest.mark.promise("A11", part="a known service gets endpoints")
def test_other_zones_see_the_advertised_address_of_the_ingress(scene: Scene) -> None:
    here = scene.backend["z1"].address
    eventually(
        lambda: scene.web.addresses("backend") == {here, scene.ingress.advertised}, "both among the endpoints"
    )
    eventually(lambda: scene.web.addresses("orders") == {scene.ingress.advertised}, "only the ingress")


@pytest.mark.promise("A12", part="end-to-end identity and permission")
@pytest.mark.promise("D02", part="the name asked for")
def test_a_call_to_another_zone_is_one_mtls_connection_through_its_ingress(scene: Scene) -> None:
    scene.web.reaches("orders", "z2")
    assert "orders{mesh=default}" in scene.ingress.way.server_names
    _, answer = scene.web.call("orders")
    assert "URI=spiffe://default/web" in answer["headers"]["x-forwarded-client-cert"]
    # What the ingress passes on it cannot read: it has no certificate of the mesh.
    assert not scene.ingress.admin("/certs")["certificates"]
    deny = {
        "type": "MeshTrafficPermission",
        "mesh": "default",
        "name": "orders-deny",
        "spec": {
            "targetRef": {"kind": "MeshSubset", "tags": {"kuma.io/service": "orders"}},
            "from": [
                {
                    "targetRef": {"kind": "MeshSubset", "tags": {"kuma.io/service": "web"}},
                    "default": {"action": "Deny"},
                }
            ],
        },
    }
    scene.world.put(deny)
    eventually(lambda: scene.web.call("orders")[0] == 403, "the instance refusing web")
    with scene.world.layout.top.inside():
        scene.world.top.delete("/meshes/default/meshtrafficpermissions/orders-deny")
    scene.web.reaches("orders", "z2")


@pytest.mark.promise("B15", part="whole")
def test_an_ingress_knows_its_own_zone_alone(scene: Scene) -> None:
    for zone in (scene.z1, scene.z2):
        ingress = zone.proxies["ingress-1"]
        own = scene.backend[zone.name].address
        eventually(lambda i=ingress, own=own: i.addresses("default:backend") == {own}, "its own instance")
        offered = {name: ends for name, ends in ingress.clusters().items() if name.startswith("default:")}
        known = {endpoint.address for ends in offered.values() for endpoint in ends}
        assert known <= {part.address for part in zone.proxies.values()}
        # Its configuration comes from the control plane of its zone.
        agent = psutil.Process(ingress.sidecar.program.process.pid)
        dialled = {peer.raddr.port for peer in agent.net_connections("tcp") if peer.raddr}
        assert zone.plane.dp_port in dialled
        others = {scene.z1.plane.dp_port, scene.z2.plane.dp_port, scene.world.kds_port} - {zone.plane.dp_port}
        assert not dialled & others


def _tls_answer(address: Address, server_name: str) -> bytes:
    """What comes back on a TLS connection with this SNI, b"" when it was closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["kuma"])
    try:
        with (
            socket.create_connection(address, timeout=10) as sock,
            context.wrap_socket(sock, server_hostname=server_name) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")
            return tls.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b""


def _passed_on(scene: Scene) -> int:
    """Connections that the ingress of z2 made to instances."""
    return scene.ingress.stat(r"cluster\.default_.*\.upstream_cx_total")


@pytest.mark.promise("D02", part="a forged name is closed")
@pytest.mark.promise("A18", part="the zone ingress closes what is not mesh traffic")
@pytest.mark.parametrize("name", ["nobody{mesh=default}", "orders{mesh=other}", "orders", "localhost"])
def test_an_ingress_closes_what_asks_for_an_unknown_name(scene: Scene, name: str) -> None:
    scene.web.reaches("orders", "z2")
    before = _passed_on(scene)
    assert _tls_answer(scene.ingress.advertised, name) == b""
    assert _passed_on(scene) == before


@pytest.mark.promise("A18", part="the zone ingress closes what is not mesh traffic")
@pytest.mark.parametrize("name", ["orders{mesh=default}"])
def test_an_ingress_lets_nobody_in_without_a_certificate_of_the_mesh(scene: Scene, name: str) -> None:
    scene.web.reaches("orders", "z2")
    assert _tls_answer(scene.ingress.advertised, name) == b""


@pytest.mark.promise("A18", part="the zone ingress closes what is not mesh traffic")
def test_an_ingress_closes_plain_http(scene: Scene) -> None:
    scene.web.reaches("orders", "z2")
    before = _passed_on(scene)
    address, port = scene.ingress.advertised
    assert http("GET", f"http://{address}:{port}/", headers={"host": "orders"}) == (0, b"")
    assert _passed_on(scene) == before


@pytest.mark.promise("A18", part="the zone ingress closes what is not mesh traffic")
@pytest.mark.promise("I03", part="with a zone ingress")
def test_a_gateway_is_the_way_in_while_the_ingress_closes(scene: Scene) -> None:
    port, outbound = free_port(), free_port()
    argv = [sys.executable, str(Path(reverse_proxy.__file__)), str(port), str(outbound)]
    scene.world.lab.adopt(Program("reverse-proxy", argv, scene.world.lab.folder, {}))
    document = {
        "type": "Dataplane",
        "mesh": "default",
        "name": "edge-1",
        "networking": {
            "address": "127.0.0.1",
            "admin": {"port": free_port()},
            "gateway": {"type": "DELEGATED", "tags": {"kuma.io/service": "edge"}},
            "outbound": [{"port": outbound, "tags": {"kuma.io/service": "orders"}}],
        },
    }
    scene.z1.run(document).ready()
    eventually(lambda: http("GET", f"http://127.0.0.1:{port}/")[0] == 200, "an answer through the gateway")
    _, body = http("GET", f"http://127.0.0.1:{port}/")
    answer = json.loads(body)
    assert answer["zone"] == "z2"
    assert "URI=spiffe://default/edge" in answer["headers"]["x-forwarded-client-cert"]
    address, ingress_port = scene.ingress.advertised
    assert http("GET", f"http://{address}:{ingress_port}/", headers={"host": "orders"}) == (0, b"")


@pytest.mark.promise("A06", part="whole")
def test_traffic_goes_to_the_other_zone_when_a_zone_fails(scene: Scene) -> None:
    scene.web.reaches("fragile", "z1", "z2")
    here = scene.fragile["z1"]
    with scene.web.load("fragile", threads=8) as load:
        load.wait_for(100)
        here.kill()
        load.wait_for(100)
        eventually(lambda: here.address not in scene.web.addresses("fragile"), "the dead endpoint gone")
        load.wait_for(200)
    assert not load.failures
    assert set(scene.web.spread("fragile", 40)) == {"z2"}
    here.start()
    scene.web.reaches("fragile", "z1", "z2")


def test_an_instance_that_ends_in_another_zone_costs_no_request(scene: Scene) -> None:
    z2, web = scene.z2, scene.web
    first, second = (z2.serve("worn", name) for name in ("worn-1", "worn-2"))
    scene.world.ready()

    web.reaches("worn", "z2")
    eventually(lambda: _instances(scene.z2, "worn") == 2, "both offered")
    with web.load("worn", threads=8) as load:
        load.wait_for(50)
        first.kill()
        load.wait_for(50)
        eventually(lambda: _offered_in(scene.z1, "worn") == 1, "z1 told of the death")
        load.wait_for(50)
        first.start()
        eventually(lambda: _offered_in(scene.z1, "worn") == 2, "z1 told of the return")
        load.wait_for(50)
        second.stop()
        load.wait_for(50)
    assert not load.failures
    eventually(lambda: _offered_in(scene.z1, "worn") == 1, "z1 told of the end")


def _offered_in(zone: Zone, service: str) -> int:
    """Instances that z2 offers, as another zone knows it."""
    items = zone.get("/zoneingresses")["items"]
    offers = (offer for item in items if item["zone"] == "z2" for offer in _offers(item, service))
    return sum(offer["instances"] for offer in offers)
