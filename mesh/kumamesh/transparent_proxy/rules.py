"""What is redirected, as rules of no particular program: `iptables_text` and `nft_text` write the same rules.

All rules are in chains of our own, which the host's OUTPUT and PREROUTING only jump to. What is left alone
returns from there, so that the host's other rules still see it, such as those of Docker's resolver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_network

from kumamesh.transparent_proxy import exclusions
from kumamesh.transparent_proxy.config import Config
from kumamesh.transparent_proxy.exclusions import ALL_PORTS, Network, Range

PREFIX = "KUMA_MESH_"
COMMENT = "kuma/mesh/transparent/proxy"
DNS_PORT = 53
LOCALHOST = {4: ip_network("127.0.0.1/32"), 6: ip_network("::1/128")}
PASSTHROUGH = {4: ip_network("127.0.0.6/32"), 6: ip_network("::6/128")}
"""From here the sidecar connects to its application."""

OUTPUT, PREROUTING = "OUTPUT", "PREROUTING"
RAW, MANGLE, NAT = "raw", "mangle", "nat"
TABLES = (RAW, MANGLE, NAT)
DNS_ZONE = 2
"""Conntrack zone of DNS between programs and kuma-dp: in one zone with kuma-dp's own, queries from equal
ports to the same server would be mistaken for each other. All other DNS stays in the zone of everything else,
or the host would no longer find the answers that are for the containers behind it."""


@dataclass(frozen=True, slots=True)
class Match:
    """All that is given must hold. `ports` and `source_port` need a protocol; `opening`: of TCP, the packet
    that opens a connection; `interface`, by which it came in, may end in +; `loopback`: it leaves by lo;
    `outside`: its destination is not in there."""

    protocol: str = ""
    opening: bool = False
    ports: tuple[Range, ...] = ()
    source_port: int = 0
    source: Network | None = None
    destination: Network | None = None
    outside: Network | None = None
    interface: str = ""
    loopback: bool = False
    uids: Range | None = None
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    pass


@dataclass(frozen=True, slots=True)
class Drop:
    pass


@dataclass(frozen=True, slots=True)
class Redirect:
    port: int


@dataclass(frozen=True, slots=True)
class Zone:
    number: int


@dataclass(frozen=True, slots=True)
class Log:
    prefix: str
    level: int


@dataclass(frozen=True, slots=True)
class Rule:
    """`why` becomes its comment; "" is none."""

    match: Match
    verdict: Return | Drop | Redirect | Zone | Log
    why: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`hook` of the table jumps here, for one protocol or for all; `first`: before the host's other rules."""

    name: str
    table: str
    hook: str
    first: bool
    protocol: str
    rules: tuple[Rule, ...]
    why: str = "enter"

    def uncommented(self) -> Chain:
        return replace(self, why="", rules=tuple(replace(rule, why="") for rule in self.rules))


@dataclass(frozen=True, slots=True)
class Host:
    """What the rules need to know of the host; `servers` are those of resolv.conf."""

    uid: int
    servers: tuple[IPv4Address | IPv6Address, ...] = ()


def build(config: Config, host: Host, family: int) -> tuple[Chain, ...]:
    """The chains for a family, 4 or 6; empty ones are left out."""
    ours = _Family(config, host, family)
    inbound_first = config.inbound_insert or bool(config.vnet_networks)
    chains = (
        Chain(f"{PREFIX}ZONES_OUT", RAW, OUTPUT, False, "udp", tuple(ours.zones_out())),
        Chain(f"{PREFIX}ZONES_IN", RAW, PREROUTING, False, "udp", tuple(ours.zones_in())),
        Chain(f"{PREFIX}INVALID", MANGLE, PREROUTING, False, "", tuple(ours.invalid())),
        Chain(f"{PREFIX}OUTPUT", NAT, OUTPUT, True, "", tuple(ours.output())),
        Chain(f"{PREFIX}OUTBOUND", NAT, OUTPUT, config.outbound_insert, "tcp", tuple(ours.outbound())),
        Chain(f"{PREFIX}PREROUTING", NAT, PREROUTING, True, "", tuple(ours.prerouting())),
        Chain(f"{PREFIX}INBOUND", NAT, PREROUTING, inbound_first, "tcp", tuple(ours.inbound())),
    )
    used = tuple(chain for chain in chains if chain.rules)
    return tuple(chain.uncommented() for chain in used) if config.comments_disabled else used


class _Family:
    def __init__(self, config: Config, host: Host, family: int) -> None:
        self._config = config
        self._family = family
        self._proxy: Range = (host.uid, host.uid)
        self._left_out = self._of_family(exclusions.networks(config.outbound_exclude_ips))
        self._users = tuple(exclusions.uid_exclusion(text) for text in config.outbound_exclude_uids)
        self._vnets = tuple(
            vnet
            for vnet in map(exclusions.virtual_network, config.vnet_networks)
            if vnet.network.version == family
        )
        listed = self._of_family(ip_network(str(server).partition("%")[0]) for server in host.servers)
        self._servers: Sequence[Network | None] = (None,) if config.dns_capture_all else listed
        self._dns = config.redirects_dns and bool(self._servers)

    def _of_family(self, networks: Iterable[Network]) -> tuple[Network, ...]:
        return tuple(dict.fromkeys(network for network in networks if network.version == self._family))

    def output(self) -> Iterator[Rule]:
        if self._config.log_enabled:
            yield Rule(Match(), Log("OUTPUT:", self._config.log_level), "log before anything is redirected")
        if not self._dns:
            return
        yield Rule(Match(uids=self._proxy), Return(), "kuma-dp itself")
        yield from self._excluded()
        for server in self._servers:
            for protocol in ("udp", "tcp"):
                if protocol == "tcp" and DNS_PORT in self._excluded_ports():
                    continue
                match = Match(protocol, ports=(_one(DNS_PORT),), destination=server)
                yield _redirect(match, self._config.dns_port, "DNS to kuma-dp")

    def outbound(self) -> Iterator[Rule]:
        config = self._config
        if not config.outbound_enabled:
            return
        for ports in _groups(self._excluded_ports()):
            yield Rule(Match("tcp", ports=ports), Return(), "excluded ports")
        yield from self._excluded("tcp")
        from_proxy = Match(source=PASSTHROUGH[self._family], loopback=True)
        yield Rule(from_proxy, Return(), "from the sidecar to its application")
        if self._dns:
            # Resolvers such as 127.0.0.53 are on the loopback, but no inbound of the proxy.
            upstream = Match("tcp", ports=(_one(DNS_PORT),), uids=self._proxy)
            yield Rule(upstream, Return(), "DNS that kuma-dp asks")
        if config.inbound_enabled:
            own = Match("tcp", outside=LOCALHOST[self._family], loopback=True, uids=self._proxy)
            yield _redirect(own, config.inbound_port, "an application calling itself through the mesh")
        yield Rule(Match(uids=self._proxy), Return(), "the sidecar itself")
        yield Rule(Match(loopback=True), Return(), "programs of this host among themselves")
        for ports in _groups(config.outbound_include_ports) or [()]:
            yield _redirect(Match("tcp", ports=ports), config.outbound_port, "to the sidecar")

    def prerouting(self) -> Iterator[Rule]:
        config = self._config
        if config.log_enabled:
            yield Rule(Match(), Log("PREROUTING:", config.log_level), "log before anything is redirected")
        for vnet in self._vnets:
            interface = vnet.interface + ("+" if vnet.prefix else "")
            for protocol in ("udp", "tcp"):
                dns = Match(protocol, ports=(_one(DNS_PORT),), interface=interface)
                yield _redirect(dns, config.dns_port, "DNS of a virtual network to kuma-dp")
            outbound = Match("tcp", outside=vnet.network, interface=interface)
            yield _redirect(outbound, config.outbound_port, "a virtual network to the sidecar")

    def inbound(self) -> Iterator[Rule]:
        config = self._config
        if not config.inbound_enabled:
            return
        for source in self._of_family(exclusions.networks(config.inbound_exclude_ips)):
            yield Rule(Match(source=source), Return(), "excluded addresses")
        if not config.inbound_include_ports:
            for ports in _groups(config.inbound_exclude_ports):
                yield Rule(Match("tcp", ports=ports), Return(), "excluded ports")
        for ports in _groups(config.inbound_include_ports) or [()]:
            yield _redirect(Match("tcp", ports=ports), config.inbound_port, "to the sidecar")

    def zones_out(self) -> Iterator[Rule]:
        if not self._splits_zones():
            return
        dns = (_one(DNS_PORT),)
        yield Rule(Match("udp", ports=dns, uids=self._proxy), Return(), "DNS that kuma-dp asks")
        for network in self._left_out:
            yield Rule(Match("udp", ports=dns, destination=network), Return(), "DNS that is not redirected")
        for user in self._users:
            if user.concerns("udp", DNS_PORT):
                yield Rule(Match("udp", ports=dns, uids=user.uids), Return(), "DNS that is not redirected")
        answers = Match("udp", source_port=self._config.dns_port, uids=self._proxy)
        yield Rule(answers, Zone(DNS_ZONE), "DNS that kuma-dp answers")
        for server in self._servers:
            yield Rule(Match("udp", ports=dns, destination=server), Zone(DNS_ZONE), "DNS to kuma-dp")

    def zones_in(self) -> Iterator[Rule]:
        if not self._splits_zones():
            return
        for vnet in self._vnets:
            interface = vnet.interface + ("+" if vnet.prefix else "")
            dns = Match("udp", ports=(_one(DNS_PORT),), interface=interface)
            yield Rule(dns, Zone(DNS_ZONE), "DNS of a virtual network to kuma-dp")

    def invalid(self) -> Iterator[Rule]:
        if self._config.drop_invalid_packets:
            yield Rule(Match(invalid=True), Drop(), "packets of no connection")

    def _splits_zones(self) -> bool:
        return self._dns and not self._config.dns_skip_zones

    def _excluded_ports(self) -> tuple[int, ...]:
        return () if self._config.outbound_include_ports else self._config.outbound_exclude_ports

    def _excluded(self, only: str = "") -> Iterator[Rule]:
        """Destinations and users that are left alone, of one protocol or of all."""
        for network in self._left_out:
            yield Rule(Match(destination=network), Return(), "excluded addresses")
        for user in self._users:
            for protocol in user.protocols:
                if only in ("", protocol):
                    for ports in _groups(() if user.ports == (ALL_PORTS,) else user.ports) or [()]:
                        yield Rule(Match(protocol, ports=ports, uids=user.uids), Return(), "excluded users")


def _redirect(match: Match, port: int, why: str) -> Rule:
    # Connections from before the rules go on as they are: of those the tables may see a packet for the first
    # time, take it for the first of all, and so end them.
    return Rule(replace(match, opening=match.protocol == "tcp"), Redirect(port), why)


def _one(port: int) -> Range:
    return (port, port)


def _groups(ports: Iterable[int | Range]) -> list[tuple[Range, ...]]:
    """As many ranges as fit into one rule: iptables takes 15 ports, of which a range is two."""
    groups: list[tuple[Range, ...]] = []
    size = 15
    for port in ports:
        span = _one(port) if isinstance(port, int) else port
        weight = 1 if span[0] == span[1] else 2
        if size + weight > 15:
            groups.append(())
            size = 0
        groups[-1] += (span,)
        size += weight
    return groups
