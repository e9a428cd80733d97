"""The small languages inside of the settings: who is left alone, and which virtual networks there are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network
Range = tuple[int, int]

PROTOCOLS = ("tcp", "udp")
ALL_PORTS: Range = (1, 65_535)
MAX_UID = 2**32 - 2
_RANGE = re.compile(r"(\d{1,10})(?:[-:](\d{1,10}))?", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}\+?", re.ASCII)


@dataclass(frozen=True, slots=True)
class UidExclusion:
    """What processes of these users send to these ports is not redirected."""

    protocols: tuple[str, ...]
    ports: tuple[Range, ...]
    uids: Range

    def concerns(self, protocol: str, port: int) -> bool:
        return protocol in self.protocols and any(first <= port <= last for first, last in self.ports)


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    """Containers or machines behind an interface of this host; `prefix` when the interface's name goes on."""

    interface: str
    prefix: bool
    network: Network


def networks(entries: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDRs; raises ValueError."""
    return tuple(_network(entry) for entry in entries)


def uid_exclusion(text: str) -> UidExclusion:
    """`[[protocol:]ports:]uids`, such as `tcp:22,80-90:1000-2000`, `53:1001` or `1002`; raises ValueError."""
    parts = text.split(":")
    if len(parts) > 3:
        raise ValueError(f"{text!r} is not of the form protocol:ports:uids")
    protocols, ports, uids = ["*"] * (3 - len(parts)) + [part.strip() for part in parts]
    return UidExclusion(_protocols(protocols), _ports(ports), _range(uids, 0, MAX_UID, "uid"))


def virtual_network(text: str) -> VirtualNetwork:
    """`interface:CIDR`; an interface that ends in + is any whose name begins so. Raises ValueError."""
    interface, found, cidr = text.partition(":")
    if not found:
        raise ValueError(f"{text!r} is not of the form interface:CIDR, such as docker0:172.17.0.0/16")
    if not _INTERFACE.fullmatch(interface):
        raise ValueError(f"{interface!r} is not the name of a network interface")
    return VirtualNetwork(interface.removesuffix("+"), interface.endswith("+"), _network(cidr))


def _network(text: str) -> Network:
    try:
        if "%" in text:
            raise ValueError("the rules know nothing of zones")
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither an IP address nor a CIDR, such as 10.0.0.1 or fd00::/8"
        ) from None


def _protocols(text: str) -> tuple[str, ...]:
    if text in ("", "*"):
        return PROTOCOLS
    chosen = {part.strip().lower() for part in text.split(",")}
    if unknown := chosen - set(PROTOCOLS):
        raise ValueError(f"{min(unknown)!r} is not one of {', '.join(PROTOCOLS)}")
    return tuple(protocol for protocol in PROTOCOLS if protocol in chosen)


def _ports(text: str) -> tuple[Range, ...]:
    if text in ("", "*"):
        return (ALL_PORTS,)
    return tuple(_range(part.strip(), *ALL_PORTS, "port") for part in text.split(","))


def _range(text: str, lowest: int, highest: int, what: str) -> Range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither a {what} nor a range of them, such as 1000-2000")
    first, last = int(match[1]), int(match[2] or match[1])
    if not lowest <= first <= last <= highest:
        raise ValueError(f"{text!r} is not a {what} or a range within {lowest}-{highest}")
    return first, last
