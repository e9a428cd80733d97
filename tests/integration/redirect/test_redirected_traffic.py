"""Where packets go once the rules are applied: with each program that can apply them, over IPv4 and IPv6."""

from __future__ import annotations

import pytest

from host_tables import BACKENDS, TOOLS
from redirected_network import KUMA_DP_UID, missing, network
from redirected_sockets import (
    DNS,
    INBOUND,
    LOCALHOST,
    OUTBOUND,
    PASSTHROUGH,
    SOMEBODY,
    VIP,
    accepted,
    address,
    answered,
    connected,
    echoed,
    listening,
    name_server,
    on,
    reached,
    talks,
)

LACKING = missing(*TOOLS, "conntrack")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_family = pytest.mark.parametrize("family", [4, 6])


@each_backend
@each_family
def test_connections_go_to_the_sidecar_with_their_destination(backend: str, family: int) -> None:
    with network("here", "there") as hosts, on(hosts["here"], backend):
        sidecar = listening(family, OUTBOUND)
        for target in ((VIP[family], 80), (address(hosts["there"], family), 22), (VIP[family], 65_535)):
            assert accepted(sidecar, connected(family, target)) == target


@each_backend
@each_family
def test_connections_of_the_sidecar_are_not_redirected(backend: str, family: int) -> None:
    with network("here", "there") as hosts:
        with hosts["there"].inside():
            server = listening(family, 8080)
        with on(hosts["here"], backend):
            sidecar = listening(family, OUTBOUND)
            target = (address(hosts["there"], family), 8080)
            assert reached(server, connected(family, target, uid=KUMA_DP_UID))
            with pytest.raises(ConnectionRefusedError):
                connected(family, (VIP[family], 80), uid=KUMA_DP_UID)
            assert accepted(sidecar, connected(family, target)) == target


@each_backend
@each_family
def test_programs_of_one_host_talk_to_each_other_directly(backend: str, family: int) -> None:
    with network("here") as hosts, on(hosts["here"], backend):
        server = listening(family, 8080)
        for name in (LOCALHOST[family], address(hosts["here"], family)):
            client = connected(family, (name, 8080))
            assert reached(server, client)


@each_backend
@each_family
def test_the_sidecar_reaches_its_application_and_its_own_inbound(backend: str, family: int) -> None:
    with network("here") as hosts, on(hosts["here"], backend):
        own = (address(hosts["here"], family), 8080)
        application, inbound = listening(family, 8080), listening(family, INBOUND)
        through_mesh = connected(family, own, uid=KUMA_DP_UID)
        assert accepted(inbound, through_mesh) == own
        for target, source in (((LOCALHOST[family], 8080), ""), (own, PASSTHROUGH[family])):
            client = connected(family, target, uid=KUMA_DP_UID, source=source)
            assert reached(application, client)


@each_backend
@each_family
def test_connections_from_elsewhere_go_to_the_inbound_of_the_sidecar(backend: str, family: int) -> None:
    with network("here", "there", "friend") as hosts:
        here, there, friend = hosts.values()
        ports = "--exclude-inbound-ports=22,2222"
        ips = f"--exclude-inbound-ips={friend.address},{friend.address_6}/128"
        with on(here, backend, ports, ips):
            inbound, ssh, app = (listening(family, port) for port in (INBOUND, 22, 8080))
        target = (address(here, family), 8080)
        with there.inside():
            clients = [connected(family, target), connected(family, (target[0], 22))]
        assert accepted(inbound, clients[0]) == target
        assert reached(ssh, clients[1])
        with friend.inside():
            client = connected(family, target)
        assert reached(app, client)


@each_backend
@each_family
def test_what_is_excluded_leaves_as_it_is(backend: str, family: int) -> None:
    with network("here", "there", "friend") as hosts:
        here, there, friend = hosts.values()
        with there.inside():
            servers = {port: listening(family, port) for port in (25, 8080)}
            dns_there = listening(family, 53, udp=True)
        with friend.inside():
            friendly, dns = listening(family, 8080), listening(family, 53, udp=True)
        flags = (
            "--redirect-all-dns-traffic",
            "--exclude-outbound-ports=25",
            f"--exclude-outbound-ips={friend.address}/32,{friend.address_6}",
            "--exclude-outbound-ports-for-uids=tcp:8000-9000:2000-2005",
            "--exclude-outbound-ports-for-uids=53:3000",
        )
        with on(here, backend, *flags):
            sidecar, resolver = listening(family, OUTBOUND), name_server(family)
            target = (address(there, family), 8080)
            at_friend = address(friend, family)
            for server, to, uid in (
                (servers[25], (target[0], 25), SOMEBODY),
                (friendly, (at_friend, 8080), SOMEBODY),
                (servers[8080], target, 2003),
            ):
                client = connected(family, to, uid=uid)
                assert reached(server, client)
            answered(dns, connected(family, (at_friend, 53), udp=True))
            answered(dns_there, connected(family, (target[0], 53), udp=True, uid=3000))
            answered(resolver, connected(family, (target[0], 53), udp=True, uid=2003))
            assert accepted(sidecar, connected(family, target, uid=2006)) == target
            assert accepted(sidecar, connected(family, (target[0], 7999), uid=2003))[1] == 7999


@each_backend
def test_a_virtual_network_is_redirected_like_this_hosts_own_connections(backend: str) -> None:
    with network("here", "container") as hosts:
        here, container = hosts.values()
        flags = ("--redirect-all-dns-traffic", "--vnet=eth+:10.123.0.0/24")
        with on(here, backend, *flags):
            sidecar, inbound = listening(4, OUTBOUND), listening(4, INBOUND)
            resolver, resolver_tcp = listening(4, DNS, udp=True), listening(4, DNS)
        container.run("ip", "route", "add", "203.0.113.0/24", "via", here.address)
        with container.inside():
            asking = connected(4, ("203.0.113.9", 53), udp=True)
            asking_tcp = connected(4, ("203.0.113.9", 53))
            outwards = connected(4, ("203.0.113.9", 80))
            inwards = connected(4, (here.address, 8080))
        answered(resolver, asking)
        accepted(resolver_tcp, asking_tcp)
        assert accepted(sidecar, outwards) == ("203.0.113.9", 80)
        assert accepted(inbound, inwards) == (here.address, 8080)


@each_backend
def test_with_ipv4_alone_ipv6_is_as_before(backend: str) -> None:
    with network("here", "there") as hosts:
        with hosts["there"].inside():
            server = listening(6, 8080)
        with on(hosts["here"], backend, "--ip-family-mode=ipv4"):
            client = connected(6, (hosts["there"].address_6, 8080))
            assert reached(server, client)


@each_backend
@each_family
def test_connections_outlive_a_change_of_the_rules(backend: str, family: int) -> None:
    with network("here", "there") as hosts:
        here, there = hosts.values()
        outwards, inwards = (address(there, family), 8080), (address(here, family), 22)
        with there.inside():
            server = listening(family, 8080)
        with here.inside():
            before = [connected(family, outwards)]
            ssh = listening(family, 22)
        with there.inside():
            before.append(connected(family, inwards))
        ends = [(before[0], server.accept()[0]), (before[1], ssh.accept()[0])]
        with on(here, backend):
            sidecar = listening(family, OUTBOUND)
            redirected = connected(family, outwards)
            ends.append((redirected, sidecar.accept()[0]))
            for _ in range(2):
                for client, accepted_here in ends:
                    talks(client, accepted_here)
                here.redirect("--redirect-all-dns-traffic", "--drop-invalid-packets")
        for _, end in ends:
            end.close()


@each_backend
@each_family
def test_what_is_neither_tcp_nor_dns_is_left_alone(backend: str, family: int) -> None:
    with network("here", "there") as hosts:
        here, there = hosts.values()
        with there.inside():
            server = listening(family, 54, udp=True)
        with on(here, backend, "--redirect-all-dns-traffic", "--drop-invalid-packets"):
            own = listening(family, 54, udp=True)
            answered(server, connected(family, (address(there, family), 54), udp=True))
            assert echoed(family, address(there, family))
            with there.inside():
                answered(own, connected(family, (address(here, family), 54), udp=True))
                assert echoed(family, address(here, family))
