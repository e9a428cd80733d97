"""Whose DNS goes to kuma-dp once the rules are applied, and whose does not."""

from __future__ import annotations

import pytest

from host_tables import BACKENDS, TOOLS
from redirected_network import KUMA_DP_UID, missing, network
from redirected_sockets import (
    DNS,
    OUTBOUND,
    accepted,
    address,
    answered,
    connected,
    listening,
    name_server,
    on,
    opened,
    reached,
)

LACKING = missing(*TOOLS, "conntrack")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_family = pytest.mark.parametrize("family", [4, 6])


@each_backend
@each_family
def test_dns_goes_to_kuma_dp_and_that_of_kuma_dp_to_its_server(backend: str, family: int) -> None:
    with network("here", "there") as hosts:
        with hosts["there"].inside():
            upstream = listening(family, 53, udp=True)
            upstream_tcp = listening(family, 53)
        with on(hosts["here"], backend, "--redirect-all-dns-traffic"):
            resolver, resolver_tcp = name_server(family), listening(family, DNS)
            server = (address(hosts["there"], family), 53)
            asking = connected(family, server, udp=True)
            answered(resolver, asking)
            forwarding = connected(family, server, udp=True, uid=KUMA_DP_UID)
            answered(upstream, forwarding)
            assert accepted(resolver_tcp, connected(family, server)) == server
            assert reached(upstream_tcp, connected(family, server, uid=KUMA_DP_UID))
        flows = hosts["here"].run("conntrack", "-L", "-f", f"ipv{family}", "-p", "udp").stdout.splitlines()
        for client, apart in ((asking, True), (forwarding, False)):
            lines = [line for line in flows if f"sport={client.getsockname()[1]} dport=53" in line]
            assert len(lines) == 1, flows
            assert ("zone=2" in lines[0]) == apart
            assert "[UNREPLIED]" not in lines[0]


@each_backend
@each_family
def test_only_the_dns_of_listed_servers_is_redirected_if_so_wished(
    backend: str, family: int, tmp_path
) -> None:
    with network("here", "listed", "other") as hosts:
        listed, other = ((address(hosts[name], family), 53) for name in ("listed", "other"))
        conf = tmp_path / "resolv.conf"
        conf.write_text(f"search mesh\nnameserver {listed[0]}\n")
        (tmp_path / "settings").write_text(f"redirect: {{dns: {{resolvConfigPath: {conf}}}}}")
        with hosts["other"].inside():
            elsewhere = listening(family, 53, udp=True)
        with on(hosts["here"], backend, "--redirect-dns", f"--config-file={conf.parent / 'settings'}"):
            resolver, resolver_tcp = name_server(family), listening(family, DNS)
            sidecar = listening(family, OUTBOUND)
            answered(resolver, connected(family, listed, udp=True))
            assert accepted(resolver_tcp, connected(family, listed)) == listed
            answered(elsewhere, connected(family, other, udp=True))
            assert accepted(sidecar, connected(family, other)) == other


@each_backend
def test_the_resolver_of_docker_still_answers_kuma_dp(backend: str) -> None:
    kind = "iptables-legacy" if backend == "iptables-legacy" else "iptables-nft"
    with network("here") as hosts:
        here = hosts["here"]
        with here.inside():
            embedded, embedded_tcp = opened(4, uid=0, udp=True), opened(4, uid=0)
            for sock in (embedded, embedded_tcp):
                sock.bind(("127.0.0.11", 0))
            embedded_tcp.listen()
        udp, tcp = embedded.getsockname()[1], embedded_tcp.getsockname()[1]
        here.run(
            f"{kind}-restore",
            stdin=f"""*nat
:DOCKER_OUTPUT - [0:0]
:DOCKER_POSTROUTING - [0:0]
-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT
-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:{tcp}
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:{udp}
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport {tcp} -j SNAT --to-source :53
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport {udp} -j SNAT --to-source :53
COMMIT
""",
        )
        server = ("127.0.0.11", 53)
        with on(here, backend, "--redirect-all-dns-traffic"):
            resolver, resolver_tcp = name_server(4), listening(4, DNS)
            answered(resolver, connected(4, server, udp=True))
            answered(embedded, connected(4, server, udp=True, uid=KUMA_DP_UID))
            accepted(resolver_tcp, connected(4, server))
            accepted(embedded_tcp, connected(4, server, uid=KUMA_DP_UID))


@each_backend
def test_a_resolver_of_this_host_is_asked_by_kuma_dp_alone(backend: str) -> None:
    stub = ("127.0.0.53", 53)
    with network("here") as hosts, on(hosts["here"], backend, "--redirect-all-dns-traffic"):
        resolved, resolved_tcp = (listening(4, 53, host=stub[0], udp=udp) for udp in (True, False))
        answered(resolved, connected(4, stub, udp=True, uid=KUMA_DP_UID))
        assert reached(resolved_tcp, connected(4, stub, uid=KUMA_DP_UID))
        answered(name_server(4), connected(4, stub, udp=True))
        assert accepted(listening(4, DNS), connected(4, stub)) == stub


@each_backend
@each_family
def test_the_dns_of_containers_behind_the_host_finds_its_way_back(backend: str, family: int) -> None:
    kind = "legacy" if backend == "iptables-legacy" else "nft"
    outside, net, forwarding = {
        4: ("203.0.113.9", "203.0.113.0/24", "net/ipv4/ip_forward"),
        6: ("fd00:113::9", "fd00:113::/64", "net/ipv6/conf/all/forwarding"),
    }[family]
    with network("here", "there", "container") as hosts:
        here, there, container = hosts.values()
        there.run("ip", "addr", "add", f"{outside}/{net.partition('/')[2]}", "dev", "eth0", "nodad")
        here.run("ip", "route", "add", net, "dev", "eth0")
        container.run("ip", "route", "add", net, "via", address(here, family))
        here.run("sh", "-c", f"echo 1 > /proc/sys/{forwarding}")
        iptables = f"ip{'6' if family == 6 else ''}tables-{kind}"
        here.run(iptables, "-t", "nat", "-A", "POSTROUTING", "-d", net, "-j", "MASQUERADE")
        with there.inside():
            server = listening(family, 53, host=outside, udp=True)
        with on(here, backend, "--redirect-all-dns-traffic"):
            pass
        with container.inside():
            answered(server, connected(family, (outside, 53), udp=True))


@each_backend
def test_a_resolver_of_this_host_asks_others_when_it_is_left_alone(backend: str) -> None:
    stub, owner = ("127.0.0.53", 53), 101
    with network("here", "there") as hosts:
        here, there = hosts.values()
        with there.inside():
            upstream = listening(4, 53, udp=True)
        with here.inside():
            resolved = listening(4, 53, host=stub[0], udp=True, uid=owner)
        with on(here, backend, "--redirect-all-dns-traffic", f"--exclude-outbound-ports-for-uids=53:{owner}"):
            answered(resolved, connected(4, stub, udp=True, uid=KUMA_DP_UID))
            answered(upstream, connected(4, (there.address, 53), udp=True, uid=owner))
            answered(name_server(4), connected(4, stub, udp=True))
