"""What kumactl reads of this host: its users, its resolvers, its addresses, its own rights."""

from __future__ import annotations

import pwd
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from shlex import quote

from kumactl.redirect.choice import may_change_tables
from kumadp_dns.forwarding import resolv_conf
from kumamesh.errors import UserError
from kumamesh.transparent_proxy.config import Config
from kumamesh.transparent_proxy.exclusions import MAX_UID

DEFAULT_UID, DEFAULT_NAME = 5678, "kuma-dp"
_CREATE = "create it with: useradd --uid {} --user-group {}"


def uid_of(config: Config) -> int:
    """The user that kuma-dp runs as; raises UserError when there is none."""
    text = config.user
    number = int(text) if text.isascii() and text.isdigit() and int(text) <= MAX_UID else None
    if config.cni_mode:
        if text and number is None:
            raise UserError(f"kumaDPUser must be a uid with cniMode, not {text!r}")
        return DEFAULT_UID if number is None else number
    if not text:
        found = _by_uid(DEFAULT_UID) or _by_name(DEFAULT_NAME)
        if found is None:
            raise UserError(
                f"there is no user with the uid {DEFAULT_UID} or the name {DEFAULT_NAME}; "
                f"{_CREATE.format(DEFAULT_UID, DEFAULT_NAME)}; or name another one with --kuma-dp-user"
            )
        return found.pw_uid
    found = (None if number is None else _by_uid(number)) or _by_name(text)
    if found is None:
        create = _CREATE.format(*((DEFAULT_UID, quote(text)) if number is None else (number, DEFAULT_NAME)))
        raise UserError(f"--kuma-dp-user: there is no user {text!r} on this host; {create}")
    return found.pw_uid


def name_servers(config: Config) -> tuple[IPv4Address | IPv6Address, ...]:
    """Those that resolv.conf lists; raises UserError when it cannot be read."""
    try:
        text = Path(config.resolv_conf).read_text("utf-8", "replace")
    except OSError as error:
        raise UserError(
            f"cannot read {config.resolv_conf}: {error.strerror}; name the file in redirect.dns."
            "resolvConfigPath, or redirect all DNS with --redirect-all-dns-traffic"
        ) from None
    return tuple(ip_address(server.host) for server in resolv_conf.parse(text).servers)


def owner_of(address: IPv4Address | IPv6Address, port: int) -> int | None:
    """The uid of the program of this host that listens there over UDP, None when there is none."""
    words = [address.packed[start : start + 4] for start in range(0, len(address.packed), 4)]
    own = "".join(word[::-1].hex() for word in words).upper()
    places = {f"{own}:{port:04X}", *([f"{'0' * len(own)}:{port:04X}"] if _is_of_host(address) else [])}
    try:
        lines = (
            Path(f"/proc/thread-self/net/udp{'6' if address.version == 6 else ''}").read_text().splitlines()
        )
    except OSError:
        return None
    return next((int(fields[7]) for fields in map(str.split, lines[1:]) if fields[1] in places), None)


def knows_ipv6() -> bool:
    """Whether the kernel has IPv6, though it may be switched off."""
    return Path("/proc/sys/net/ipv6").is_dir()


def has_ipv6() -> bool:
    """Whether the loopback has its IPv6 address: without it there is no IPv6 on this host."""
    return any(address == IPv6Address("::1") for address in _loopback_addresses())


def has_address(address: IPv4Address | IPv6Address) -> bool:
    return address in _loopback_addresses()


def may_redirect() -> bool:
    """Whether this process has the right to."""
    return may_change_tables(Path("/proc/self/status").read_text())


def _loopback_addresses() -> list[IPv6Address]:
    try:
        # That of this thread's network, whichever the process began in.
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    except OSError:
        return []
    return [IPv6Address(int(line.split()[0], 16)) for line in lines if line.endswith(" lo")]


def _is_of_host(address: IPv4Address | IPv6Address) -> bool:
    with socket.socket(
        socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM
    ) as sock:
        try:
            sock.bind((str(address), 0))
        except OSError:
            return False
    return True


def _by_uid(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except (KeyError, OverflowError):
        return None


def _by_name(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None
