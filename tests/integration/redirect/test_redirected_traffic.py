"""Where packets go once the rules are applied: with each program that can apply them, over IPv4 and IPv6."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterator

import pytest

from redirected_network import KUMA_DP_UID, Host, missing, network

TOOLS = ("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy", "conntrack")
LACKING = missing(*TOOLS)
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

OUTBOUND, INBOUND, DNS = 15001, 15006, 15053
SOMEBODY = 1000
VIP = {4: "240.0.0.1", 6: "fd00:240::1"}
LOCALHOST = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}
PASSTHROUGH = {4: "127.0.0.6", 6: "::6"}
KIND = {4: socket.AF_INET, 6: socket.AF_INET6}
_LIBC = ctypes.CDLL(None)
_OPEN: list[socket.socket] = []
Address = tuple[str, int]

each_backend = pytest.mark.parametrize("backend", ["iptables-nft", "iptables-legacy", "nft"])
each_family = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def address(host: Host, family: int) -> str:
    return host.address if family == 4 else host.address_6


@contextlib.contextmanager
def on(host: Host, backend: str, *flags: str) -> Iterator[None]:
    """This thread is on the host, whose traffic is redirected."""
    host.redirect(f"--backend={backend}", *flags)
    with host.inside():
        yield


@contextlib.contextmanager
def owned_by(uid: int) -> Iterator[None]:
    """Sockets made now belong to the user: the tables look at who made them."""
    _LIBC.setfsuid(uid)
    try:
        yield
    finally:
        _LIBC.setfsuid(0)


def opened(family: int, *, uid: int, udp: bool = False) -> socket.socket:
    with owned_by(uid):
        sock = socket.socket(KIND[family], socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    _OPEN.append(sock)
    sock.settimeout(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def listening(family: int, port: int, *, host: str = "", udp: bool = False) -> socket.socket:
    """As kuma-dp's user."""
    sock = opened(family, uid=KUMA_DP_UID, udp=udp)
    if family == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host or ANY[family], port))
    if not udp:
        sock.listen()
    return sock


def name_server(family: int) -> socket.socket:
    """From a wildcard address the answers would leave with another address than the one that was asked."""
    return listening(family, DNS, host=LOCALHOST[family], udp=True)


def connected(
    family: int, target: Address, *, uid: int = SOMEBODY, udp: bool = False, source: str = ""
) -> socket.socket:
    sock = opened(family, uid=uid, udp=udp)
    if source:
        sock.bind((source, 0))
    sock.connect(target)
    return sock


def reached(listener: socket.socket, client: socket.socket) -> bool:
    """The listener got this very connection, and from where it was made."""
    with listener.accept()[0] as conn:
        return conn.getpeername() == client.getsockname()


def accepted(listener: socket.socket, client: socket.socket) -> Address:
    """The listener got this very connection: for which address it was meant."""
    with listener.accept()[0] as conn:
        conn.settimeout(10)
        client.sendall(b"who?")
        assert conn.recv(4) == b"who?"
        conn.sendall(b"me")
        assert client.recv(2) == b"me"
        return original(conn)


def original(conn: socket.socket) -> Address:
    if conn.family == socket.AF_INET6:
        port, _, host = struct.unpack("!2xHI16s4x", conn.getsockopt(socket.IPPROTO_IPV6, 80, 28))
    else:
        port, host = struct.unpack("!2xH4s8x", conn.getsockopt(socket.IPPROTO_IP, 80, 16))
    return socket.inet_ntop(conn.family, host), port


def answered(server: socket.socket, client: socket.socket) -> None:
    """A query arrives at the server, and the answer at the client as one of whom it had asked."""
    client.send(b"query")
    query, peer = server.recvfrom(64)
    assert query == b"query"
    server.sendto(b"answer", peer)
    assert client.recv(64) == b"answer"


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
        for client, zone in ((asking, "zone=2"), (forwarding, "zone=1")):
            lines = [line for line in flows if f"sport={client.getsockname()[1]} dport=53" in line]
            assert len(lines) == 1, flows
            assert zone in lines[0]
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
