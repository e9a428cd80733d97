"""Zones that share no network: hosts of a test's own, each zone with the same addresses, and no way out.

    with zone_networks({"z1": ["web-1"], "z2": ["backend-1"]}) as net, lab(folder) as started:
        world = connected_world(started, net, ["z1", "z2"])
        world["z2"].ingress(), world["z2"].serve("backend")
        world["z1"].egress()
        web = named_caller(world["z1"], "web")      # its traffic is redirected; no outbounds
        world.ready()
        web.reaches("http://backend.mesh", "z2")

Each zone has a switch of its own, 10.1.0.0/24 in all of them, with the hosts `cp`, `ingress-1`, `ingress-2`,
`egress-1`, `egress-2` and those that are named. Control planes, ingresses and egresses have a second leg, on
the switch between the zones (198.51.100.0/24), where global is too; other hosts only if `exposed` has them.
No host forwards, none has a default route. What comes from there to a host is addressed to its second leg,
and given to its address in the zone, as by the gateway of a site.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import eventually, free_port
from network_namespace import assert_not_the_hosts
from redirected_network import (
    AS_KUMA_DP,
    Host,
    connect,
    ip_batch,
    join,
    kept_network,
    with_resolv_conf,
)
from tcp_relay import Address, TcpRelay
from zone_parts import Proxy
from zones import Zone

PARTS = ("cp", "ingress-1", "ingress-2", "egress-1", "egress-2")
"""On both networks, in every zone."""
LAN, BETWEEN = "eth0", "eth1"

_GATEWAY = """
table ip gateway {{
  chain in {{
    type nat hook prerouting priority -100;
    iifname "{device}" ip daddr {outside} dnat to {inside}
  }}
}}
"""
_CHECKSUM = 0xFFFF - (0x0800 + 1 + 1)
"""Of the echo request with identifier 1 and sequence number 1."""
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True)
class ZoneNetworks:
    """A `zones.Layout`. `hosts` by (zone, part); `outside`: addresses on the network between the zones."""

    top: Host
    hosts: Mapping[tuple[str, str], Host]
    outside: Mapping[tuple[str, str], str]

    def place(self, zone: str, part: str) -> Host:
        return self.hosts[zone, part]

    def way(self, zone: str, part: str, port: int) -> tuple[Address, TcpRelay | None]:
        return (self.outside[zone, part] if zone else self.top.address, port), None

    def cut(self, zone: str, part: str) -> None:
        """The host's cable to the other zones is pulled."""
        with self.place(zone, part).inside():
            ip_batch(f"link set {BETWEEN} down")

    def heal(self, zone: str, part: str) -> None:
        with self.place(zone, part).inside():
            ip_batch(f"link set {BETWEEN} up")


@contextlib.contextmanager
def zone_networks(
    zones: Mapping[str, Sequence[str]], *, exposed: Collection[tuple[str, str]] = ()
) -> Iterator[ZoneNetworks]:
    """`zones`: further hosts of each; `exposed`: those of them, by (zone, host), that reach other zones."""
    with contextlib.ExitStack() as stack:
        top = Host("global", "198.51.100.250", "", kept_network(stack))
        hosts: dict[tuple[str, str], Host] = {}
        outside: dict[tuple[str, str], str] = {}
        for zone, others in zones.items():
            members = [
                Host(part, f"10.1.0.{number}", f"fd00:1::{number}", kept_network(stack))
                for number, part in enumerate((*PARTS, *others), 1)
            ]
            join(kept_network(stack), members, LAN)
            hosts |= {(zone, host.name): host for host in members}
            for host in members:
                if host.name in PARTS or (zone, host.name) in exposed:
                    outside[zone, host.name] = f"198.51.100.{len(outside) + 1}"
        join(kept_network(stack), [top, *(hosts[key] for key in outside)], BETWEEN)
        for key, host in hosts.items():
            with host.inside():
                connect(host)
                _second_leg(outside.get(key), host.address)
        with top.inside():
            _second_leg(top.address, top.address)
        yield ZoneNetworks(top, hosts, outside)


def _second_leg(outside: str | None, inside: str) -> None:
    """What comes to the outside address is for the inside one; nothing is passed on to others."""
    assert_not_the_hosts()
    subprocess.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"], check=True, capture_output=True)
    assert _FORWARDING.read_text().strip() == "0"
    if outside is None:
        return
    ip_batch(f"addr add {outside}/24 dev {BETWEEN}", f"link set {BETWEEN} up")
    if outside != inside:
        rules = _GATEWAY.format(device=BETWEEN, outside=outside, inside=inside)
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def ping(host: Host, address: str, timeout_s: float = 1.0) -> bool:
    """Whether an ICMP echo from the host is answered."""
    packet = struct.pack("!BBHHH", 8, 0, _CHECKSUM, 1, 1)
    with (
        host.inside(),
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock,
    ):
        sock.settimeout(timeout_s)
        try:
            sock.sendto(packet, (address, 0))
            while True:
                answer, sender = sock.recvfrom(1024)
                if sender[0] == address and answer[20] == 0:
                    return True
        except OSError:
            return False


def connections(host: Host) -> set[tuple[Address, Address]]:
    """(own end, other end) of the TCP connections of a host that are established, but those with itself."""
    found = set()
    for line in host.run("ss", "-Htn", "state", "established").stdout.splitlines():
        own, other = (_address(word) for word in line.split()[2:4])
        if own[0] != other[0]:
            found.add((own, other))
    return found


def _address(text: str) -> Address:
    address, _, port = text.rpartition(":")
    # A socket of both families shows an IPv4 address as [::ffff:10.1.0.1].
    return address.strip("[]").removeprefix("::ffff:"), int(port)


@dataclass
class NamedCaller(Proxy):
    """A host whose traffic is redirected to its sidecar, and that calls services by their names."""

    host: Host

    def curl(self, url: str, *flags: str) -> tuple[int, Any]:
        """(status, parsed body) of a request of a plain program; status 0 when the connection failed."""
        argv = ["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *flags, url]
        done = self.host.run(*argv, resolv_conf=NOWHERE, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), json.loads(body) if body.startswith("{") else body

    def answered_by(self, url: str, *flags: str) -> str:
        """The zone of the application that answers, "" if none does."""
        _, body = self.curl(url, *flags)
        return str(body["zone"]) if isinstance(body, dict) else ""

    def reaches(self, url: str, *zones: str) -> None:
        """Sooner or later all of these zones, and no other, answer; and no call fails."""
        what = f"{self.name}: {url} answered by {zones}"
        eventually(lambda: {self.answered_by(url) for _ in range(3 * len(zones))} == set(zones), what)

    def lookup(self, name: str) -> list[str]:
        """What dig says, asking whoever: queries are redirected."""
        done = self.host.run("dig", "+short", "+time=2", name, resolv_conf=NOWHERE, check=False)
        lines = done.stdout.splitlines() if done.returncode == 0 else []
        return sorted(line for line in lines if not line.startswith(";;"))


NOWHERE = "nameserver 10.1.0.99\n"
"""A resolv.conf whose server does not exist: who gets an answer was redirected."""


def named_caller(zone: Zone, service: str) -> NamedCaller:
    """The sidecar of `service`-1 on the host of that name: no outbounds, all traffic redirected."""
    net = zone.world.layout
    assert isinstance(net, ZoneNetworks)
    host = net.place(zone.name, f"{service}-1")
    host.redirect("--redirect-all-dns-traffic")
    file = zone.world.lab.folder / "resolv.conf"
    file.write_text(NOWHERE)
    inbound = {"port": 8080, "tags": {"kuma.io/service": service, "kuma.io/protocol": "http"}}
    document = {
        "type": "Dataplane",
        "mesh": "default",
        "name": host.name,
        "networking": {"address": host.address, "admin": {"port": free_port()}, "inbound": [inbound]},
    }
    prefix = [*with_resolv_conf(file), *AS_KUMA_DP]
    proxy = zone.run(document, host.name, arguments=["--transparent-proxy"], prefix=prefix)
    caller = NamedCaller(proxy.place, proxy.sidecar, document, host)
    zone.proxies[host.name] = caller
    return caller
