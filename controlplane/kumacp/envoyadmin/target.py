"""Where the admin endpoint of a connected proxy is: decided by what the control plane knows of it.

With an admin listener, which the control plane itself configured, it is asked there, with TLS on both sides.
Without one its admin listens on loopback only, so the proxy must be on this host. Fields of a Dataplane alone
never make the control plane call anything: the proxy must be connected, and answer by its own name.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from kumacp.envoyadmin.question import ProxyUnavailable
from kumacp.xds.admin import ADMIN_ADDRESSES

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class ConnectedProxy:
    """A proxy with an open stream. `peer` is the address that the stream comes from; `admin_address` and
    `admin_port` are what it told of its Envoy; `address` is that of its resource; `has_listener` tells that
    it was given an admin listener there."""

    node_id: str
    peer: str
    admin_address: str
    admin_port: int
    address: str
    has_listener: bool


@dataclass(frozen=True, slots=True)
class Target:
    """`secure`: mTLS by the admin CA, else plain text. Whoever answers must be the node `node_id`."""

    node_id: str
    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def target_of(proxy: ConnectedProxy) -> Target:
    """Raises ProxyUnavailable when its admin cannot be reached from here."""
    if not proxy.admin_port:
        raise ProxyUnavailable(
            "its Envoy has no admin port: set networking.admin.port of the resource, or"
            " KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_PORT of the control plane, and start kuma-dp again"
        )
    if proxy.has_listener:
        if not is_host(proxy.address):
            raise ProxyUnavailable("its networking.address is neither an IP address nor a host name")
        return Target(proxy.node_id, proxy.address, proxy.admin_port, secure=True)
    if not _is_loopback(proxy.peer):
        raise ProxyUnavailable(
            "its Envoy's admin listens on the loopback address of another host only: set networking.address"
            " of the resource to an address at which the control plane reaches that host"
        )
    host = ADMIN_ADDRESSES.get(proxy.admin_address, "127.0.0.1")
    return Target(proxy.node_id, host, proxy.admin_port, secure=False)


def is_host(text: str) -> bool:
    return _ip(text) is not None or _HOST.fullmatch(text) is not None


def host_of(peer: str) -> str:
    """The address in `ip:port`, `[ip]:port`; other texts, such as that of a Unix socket, stay as they are."""
    host, colon, _ = peer.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return host if colon and _ip(host) is not None else peer


def _is_loopback(peer: str) -> bool:
    address = _ip(peer)
    mapped = getattr(address, "ipv4_mapped", None)
    return address is not None and (mapped or address).is_loopback


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
