"""Names of the mesh, called by programs that know nothing of it: no outbounds, no ports, no code."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import zone_server
from agent_runs import name_server_of
from lab import Lab, Program, eventually, listens
from load import Load
from named_mesh import NamedMesh, caller_document, named_mesh
from redirected_network import missing

LACKING = missing("iptables-nft", "iptables-legacy", "ip6tables-nft", "curl", "dig")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

VIPS = ipaddress.ip_network("240.0.0.0/4")
BACKENDS = ("iptables-nft", "iptables-legacy", "nft")


def _vip(world: NamedMesh, name: str) -> str:
    """The only address of a name, once it has one."""
    found = eventually(lambda: world.lookup(name), f"an address of {name}")
    assert len(found) == 1
    assert ipaddress.ip_address(found[0]) in VIPS
    return str(found[0])


@contextmanager
def _outside(world: NamedMesh, zone: str) -> Iterator[None]:
    """A name server of the world outside, on the host elsewhere."""
    file = world.lab.folder / "zone"
    file.write_text(zone)
    argv = [sys.executable, str(Path(zone_server.__file__)), world.elsewhere.address, "53", str(file)]
    with world.elsewhere.inside():
        server = Program("zone-server", argv, world.lab.folder, {})
        world.lab.adopt(server)
        server.wait_until(lambda: listens(world.elsewhere.address, 53), "listening")
    yield


@pytest.mark.promise("A16", part="whole")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_name_is_called_through_the_redirect(mesh_lab: Lab, backend: str) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        world.redirect(f"--backend={backend}")
        vip = _vip(world, "backend.mesh")
        world.reaches("http://backend.mesh", "backend-1")
        assert f"outbound:{vip}:80" in world.listeners()
        _, body = world.curl("http://backend.mesh")
        assert "spiffe://default/web" in body["headers"]["x-forwarded-client-cert"]


@pytest.mark.promise("A16", part="whole")
def test_a_name_is_called_over_ipv6(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab, KUMA_DNS_SERVER_IPV6_CIDR="fd00:240::/64") as world:
        world.offer("backend-1", "backend")
        world.redirect()
        vip = _vip(world, "backend.mesh")
        [vip_6] = world.lookup("backend.mesh", "AAAA")
        assert ipaddress.ip_address(vip_6) in ipaddress.ip_network("fd00:240::/64")
        world.reaches("http://backend.mesh", "backend-1", "-6")
        assert {f"outbound:{vip}:80", f"outbound:[{vip_6}]:80"} <= world.listeners()


def test_without_a_range_of_their_own_ipv6_names_are_mapped_as_in_kuma(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        world.redirect()
        vip = _vip(world, "backend.mesh")
        [mapped] = world.lookup("backend.mesh", "AAAA")
        assert ipaddress.IPv6Address(mapped).ipv4_mapped == ipaddress.IPv4Address(vip)
        world.reaches("http://backend.mesh", "backend-1", "-6")


@pytest.mark.promise("E04", part="name with underscores on port 80")
@pytest.mark.promise("E05", part="whole")
def test_a_service_of_kubernetes_has_two_names_and_port_80(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("echo-1", "echo-server_echo-example_svc_1010", port=1010)
        world.redirect()
        names = ("echo-server_echo-example_svc_1010.mesh", "echo-server.echo-example.svc.1010.mesh")
        assert _vip(world, names[0]) == _vip(world, names[1])
        for name in names:
            world.reaches(f"http://{name}:80", "echo-1")


@pytest.mark.promise("A17", part="whole")
def test_a_virtual_outbound_gives_further_names_and_ports(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        world.redirect()
        world.reaches("http://backend.mesh", "backend-1")
        world.put(
            {
                "type": "VirtualOutbound",
                "mesh": "default",
                "name": "corporate",
                "selectors": [{"match": {"kuma.io/service": "*"}}],
                "conf": {
                    "host": "{{.service}}.{{.zone}}.corp",
                    "port": "8443",
                    "parameters": [
                        {"name": "service", "tagKey": "kuma.io/service"},
                        {"name": "zone", "tagKey": "kuma.io/zone"},
                    ],
                },
            }
        )
        name = "backend.default.corp"
        assert _vip(world, name) != _vip(world, "backend.mesh")
        world.reaches(f"http://{name}:8443", "backend-1")
        world.reaches("http://backend.mesh:80", "backend-1")


@pytest.mark.promise("E08", part="whole")
def test_redirected_proxies_need_no_outbounds_and_may_have_none(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        document = caller_document(world.caller.address, ipFamilyMode="IPv4")
        web = world.redirect("--ip-family-mode=ipv4", document=document, arguments=())
        world.reaches("http://backend.mesh", "backend-1")
        assert world.lookup("backend.mesh", "AAAA") == []
        web.program.end()
        document["networking"]["outbound"] = [{"port": 20012, "tags": {"kuma.io/service": "backend"}}]
        refused = world.start_caller(document)
        assert refused.program.process.wait(30) == 1
        text = "outbound: should be empty since dataplane is in Transparent Proxying mode"
        assert text in refused.program.log


@pytest.mark.promise("I02", part="whole")
def test_names_have_one_address_and_are_answered_while_the_control_plane_is_down(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        world.redirect()
        vip = _vip(world, "backend.mesh")
        world.offer("backend-2", "backend")
        eventually(
            lambda: (
                {world.answered_by("http://backend.mesh") for _ in range(4)} == {"backend-1", "backend-2"}
            ),
            "both instances answering",
        )
        assert _vip(world, "backend.mesh") == vip
        with world.server.inside():
            world.plane.kill()
        assert world.lookup("backend.mesh") == [vip]
        assert world.status_of("nobody.mesh") == "NXDOMAIN"
        assert world.answered_by("http://backend.mesh").startswith("backend-")
        with world.server.inside():
            world.plane.start()
        world.offer("late-1", "late")
        world.reaches("http://late.mesh", "late-1")
        assert world.lookup("backend.mesh") == [vip]


@pytest.mark.promise("A04", part="by name in one zone")
@pytest.mark.promise("I14", part="within one zone")
def test_services_that_come_and_move_are_found_without_a_change_at_the_caller(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.redirect()
        assert world.status_of("backend.mesh") == "NXDOMAIN"
        world.offer("backend-1", "backend")
        world.reaches("http://backend.mesh", "backend-1")
        vip = _vip(world, "backend.mesh")
        world.offer("backend-2", "backend")
        world.sidecars["backend-1"].program.end()
        world.reaches("http://backend.mesh", "backend-2")
        assert world.lookup("backend.mesh") == [vip]


def _moved(document: dict[str, Any], port: int) -> dict[str, Any]:
    networking = document["networking"]
    return {
        **document,
        "networking": {**networking, "inbound": [{**networking["inbound"][0], "port": port}]},
    }


@pytest.mark.promise("I12", part="whole")
def test_instances_change_their_ports_under_load_and_no_request_fails(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        documents = {name: world.offer(name, "backend") for name in ("backend-1", "backend-2")}
        world.redirect()
        vip = _vip(world, "backend.mesh")
        for name in documents:
            world.reaches("http://backend.mesh", name)
        # Kuma's circuit breaker lets 3 requests be tried again at a time.
        with world.caller.inside(), Load(80, host=vip, threads=3) as load:
            load.wait_for(50)
            for port, (name, document) in enumerate(documents.items(), 7001):
                world.put(_moved(document, port))
                inbound = f"listener.{world.server.address}_{port}.downstream_cx_total"
                with world.server.inside():
                    eventually(
                        lambda at=inbound, of=world.sidecars[name]: of.stat(at) > 0, f"requests at {port}"
                    )
                load.wait_for(50)
        assert not load.failures


def test_the_only_instance_changes_its_port(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        document = world.offer("backend-1", "backend")
        world.redirect()
        world.reaches("http://backend.mesh", "backend-1")
        world.put(_moved(document, 7001))
        inbound = f"listener.{world.server.address}_7001.downstream_cx_total"

        def arrived() -> bool:
            answered = world.answered_by("http://backend.mesh") == "backend-1"
            with world.server.inside():
                return answered and world.sidecars["backend-1"].stat(inbound) > 0

        eventually(arrived, "requests at the new port")


@pytest.mark.promise("E02", part="whole")
def test_what_is_not_in_the_mesh_is_reached_as_before(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.serve("http", "plain", world.elsewhere, 7000)
        with _outside(world, f"plain.example.org. 60 A {world.elsewhere.address}\n"):
            world.redirect(resolv_conf=f"nameserver {world.elsewhere.address}\n")
            assert world.lookup("plain.example.org") == [world.elsewhere.address]
            world.reaches("http://plain.example.org:7000", "plain")
            # A service of the mesh by its ordinary name and port: the same instance, here without mTLS.
            assert world.answered_by(f"http://{world.elsewhere.address}:7000") == "plain"


@pytest.mark.promise("J03", part="names under .mesh")
def test_names_and_addresses_of_the_mesh_are_nothing_outside_of_it(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        with _outside(world, f"plain.example.org. 60 A {world.elsewhere.address}\n"):
            world.redirect(resolv_conf=f"nameserver {world.elsewhere.address}\n")
            vip = _vip(world, "backend.mesh")
            world.reaches("http://backend.mesh", "backend-1")
            ask = (f"@{world.elsewhere.address}",)
            assert world.status_of("backend.mesh", *ask, host=world.elsewhere) == "NXDOMAIN"
            assert world.status_of("plain.example.org", *ask, host=world.elsewhere) == "NOERROR"
            assert world.curl(f"http://{vip}", host=world.elsewhere)[0] == 0
            assert world.curl(f"http://{vip}")[0] == 200


@pytest.mark.promise("J13", part="names under .mesh")
def test_an_alias_outside_leads_into_the_mesh(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        with _outside(world, "shop.example.org. 60 CNAME backend.mesh.\n"):
            world.redirect(resolv_conf=f"nameserver {world.elsewhere.address}\n")
            vip = _vip(world, "backend.mesh")
            assert world.lookup("shop.example.org") == sorted(["backend.mesh.", vip])
            world.reaches("http://shop.example.org", "backend-1")


@pytest.mark.promise("J16", part="names under .mesh")
def test_the_real_address_of_a_service_is_called_over_the_mesh(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        document = world.offer("backend-1", "backend")
        url = f"http://{world.server.address}:{document['networking']['inbound'][0]['port']}"
        proxying = {"directAccessServices": ["backend"], "ipFamilyMode": "IPv4"}
        world.redirect(document=caller_document(world.caller.address, **proxying), arguments=())
        world.reaches(url, "backend-1")
        _, body = world.curl(url)
        assert "spiffe://default/web" in body["headers"]["x-forwarded-client-cert"]
        # Whoever is not in the mesh does not get in.
        assert world.curl(url, host=world.elsewhere)[0] == 0
        world.reaches("http://backend.mesh", "backend-1")


def test_a_killed_name_server_comes_back_and_loses_no_question(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab) as world:
        world.offer("backend-1", "backend")
        web = world.redirect()
        vip = _vip(world, "backend.mesh")
        killed = name_server_of(web.program)
        killed.kill()
        assert world.lookup("backend.mesh") == [vip]
        assert name_server_of(web.program) != killed
