"""The networks that tests of zones run in: what is reached, and above all what is not."""

from __future__ import annotations

import socket
import threading

import pytest

from redirected_network import Host, missing
from zone_networks import ZoneNetworks, connections, ping, zone_networks

LACKING = missing("ss", "sysctl")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)


@pytest.fixture(scope="module")
def net():
    with zone_networks({"z1": ["web-1"], "z2": ["backend-1"]}, exposed=[("z2", "backend-1")]) as made:
        yield made


def _greeting(server: Host, address: str, client: Host) -> bytes:
    """What a server on the port 7000 of its address in the zone says to a client that dials the other one."""
    with server.inside():
        listening = socket.create_server((server.address, 7000))

    def serve() -> None:
        sock, peer = listening.accept()
        with sock:
            sock.sendall(peer[0].encode())

    with listening, client.inside():
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with socket.create_connection((address, 7000), timeout=5) as sock:
            return sock.makefile("rb").read()


def test_hosts_of_a_zone_reach_each_other(net: ZoneNetworks) -> None:
    cp, web = net.place("z1", "cp"), net.place("z1", "web-1")
    assert ping(web, cp.address)
    assert ping(cp, web.address)


def test_zones_have_the_same_addresses_and_are_not_joined(net: ZoneNetworks) -> None:
    web, backend = net.place("z1", "web-1"), net.place("z2", "backend-1")
    assert web.address == backend.address
    for address in (net.outside["z2", "backend-1"], net.outside["z2", "ingress-1"], net.top.address):
        assert not ping(web, address)
    assert "default" not in web.run("ip", "route").stdout


def test_what_is_on_both_networks_passes_nothing_on(net: ZoneNetworks) -> None:
    web, ingress = net.place("z1", "web-1"), net.place("z1", "ingress-1")
    web.run("ip", "route", "add", "198.51.100.0/24", "via", ingress.address)
    try:
        assert ping(ingress, net.top.address)
        assert not ping(web, net.top.address)
    finally:
        web.run("ip", "route", "del", "198.51.100.0/24")


def test_the_outside_address_of_a_host_leads_to_its_inside_one(net: ZoneNetworks) -> None:
    ingress, client = net.place("z2", "ingress-1"), net.place("z1", "cp")
    seen = _greeting(ingress, net.outside["z2", "ingress-1"], client)
    assert seen == net.outside["z1", "cp"].encode()
    assert _greeting(ingress, ingress.address, net.place("z2", "cp"))


def test_a_cut_host_is_reached_in_its_zone_only_until_it_is_healed(net: ZoneNetworks) -> None:
    address = net.outside["z2", "ingress-1"]
    net.cut("z2", "ingress-1")
    assert not ping(net.top, address)
    assert ping(net.place("z2", "cp"), net.place("z2", "ingress-1").address)
    net.heal("z2", "ingress-1")
    assert ping(net.top, address, timeout_s=10)


def test_connections_of_a_host_are_listed_by_both_ends(net: ZoneNetworks) -> None:
    cp, web = net.place("z1", "cp"), net.place("z1", "web-1")
    with cp.inside():
        listening = socket.create_server((cp.address, 7001))
    with listening, web.inside(), socket.create_connection((cp.address, 7001), timeout=5) as sock:
        assert connections(web) == {(sock.getsockname(), (cp.address, 7001))}
        assert connections(cp) == {((cp.address, 7001), sock.getsockname())}
