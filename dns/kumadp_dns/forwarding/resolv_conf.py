"""The system's resolver configuration, read as the C library reads it, as far as a forwarder is concerned.

`search`, `domain` and `ndots` are none of its business: the programs that ask have applied them.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from kumamesh.errors import one_line

MAX_SERVERS = 8
"""More are not asked: within the time that a query has there would be no turn for them."""

_MAX_COMPLAINTS = 8
_MAX_TIMEOUT_S = 30
_MAX_ATTEMPTS = 5
_SHOWN_CHARS = 60
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Server(NamedTuple):
    """Where to ask. A link-local `host` has its interface: `fe80::1%eth0`."""

    host: str
    port: int = 53

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What the file says; None where it says nothing."""

    servers: tuple[Server, ...] = ()
    timeout_s: float | None = None
    """How long to wait for one server before the next is asked."""
    attempts: int | None = None
    """How often to go round all servers."""
    rotate: bool = False
    """Begin with another server each time."""
    use_vc: bool = False
    """Ask over TCP alone."""
    complaints: tuple[str, ...] = ()
    """A line for a person about each line that could not be used; at most eight."""
    problem: str = ""
    """Why there are no servers."""


def parse(text: str, *, port: int = 53) -> ResolvConf:
    """Total: what makes no sense is left out, with a complaint where somebody may have relied on it."""
    servers: dict[Server, None] = {}
    options: dict[str, float | bool] = {}
    complaints = []
    for number, line in enumerate(text.split("\n"), 1):
        match line.split():
            case ["nameserver", host, *_]:
                server = _server(host, port)
                if server is None:
                    complaints.append(f"line {number}: {_shown(host)!r} is no IP address")
                elif len(servers) < MAX_SERVERS:
                    servers[server] = None
                elif server not in servers:
                    complaints.append(f"line {number}: {server.host} is left out, {MAX_SERVERS} are enough")
            case ["nameserver"]:
                complaints.append(f"line {number}: nameserver without an address")
            case ["options", *words]:
                options |= _options(words)
    return ResolvConf(
        tuple(servers),
        timeout_s=options.get("timeout"),
        attempts=int(options["attempts"]) if "attempts" in options else None,
        rotate="rotate" in options,
        use_vc="use-vc" in options,
        complaints=tuple(complaints[:_MAX_COMPLAINTS]),
    )


def _server(host: str, port: int) -> Server | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if not host.isprintable():  # the name of an interface may hold anything
        return None
    return Server(_ANYWHERE.get(_plain(address), str(address)), port)


def _plain(address: IPv4Address | IPv6Address) -> str:
    """Without its interface, which says nothing about an address that is no link-local one."""
    return str(address).partition("%")[0]


def _options(words: list[str]) -> dict[str, float | bool]:
    """Those that change how servers are asked. Numbers out of range are brought into it, as everywhere."""
    found: dict[str, float | bool] = {}
    for word in words:
        name, _, value = word.partition(":")
        if name in ("rotate", "use-vc") and not value:
            found[name] = True
        elif name in ("timeout", "attempts") and value.isascii() and value.isdigit():
            most = _MAX_TIMEOUT_S if name == "timeout" else _MAX_ATTEMPTS
            found[name] = max(1, min(int(value[:9]), most))
    return found


def _shown(text: str) -> str:
    return one_line(text)[:_SHOWN_CHARS]
