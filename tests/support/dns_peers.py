"""Real name servers on loopback that are given a name table: unbound and dnsmasq."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from dns_queries import query

PROGRAMS = ("unbound", "dnsmasq")
_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/bin"
_SENTINEL = query("sentinel.mesh")[2:]
_START_S = 20.0
_SILENCE_S = 10.0


def missing() -> str:
    """What there is not, for a skipped test to say; "" when nothing is missing."""
    lacking = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


@dataclass
class Peer:
    """A server, and a socket that only talks to it."""

    name: str
    socket: socket.socket
    asked: int = 0

    def ask(self, packet: bytes) -> bytes | None:
        """The reply; None when a question asked later is answered first, so that there will be none."""
        self.asked += 1
        sentinel = b"\xee" + (self.asked & 0xFF).to_bytes(1, "big")
        assert packet[:2] != sentinel
        self.socket.send(packet)
        self.socket.send(sentinel + _SENTINEL)
        reply = None
        while (received := self.socket.recv(65_535))[:2] != sentinel:
            if received[:2] == packet[:2]:
                reply = received
        return reply


@contextmanager
def running(
    program: str, names: Mapping[str, Sequence[str]], domains: Sequence[str], ttl: int, folder: Path
) -> Iterator[Peer]:
    """The server, once it answers."""
    port = _free_port()
    with (folder / f"{program}.log").open("wb") as log:
        command = (_unbound if program == "unbound" else _dnsmasq)(names, domains, ttl, port, folder)
        path = shutil.which(program, path=_PATH)
        assert path is not None
        process = subprocess.Popen([path, *command], stdout=log, stderr=log, cwd=folder)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", port))
            sock.settimeout(_SILENCE_S)
            _wait_until_it_answers(process, sock, folder / f"{program}.log")
            yield Peer(program, sock)
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], sock: socket.socket, log: Path) -> None:
    end = time.monotonic() + _START_S
    sock.settimeout(0.1)
    sent = 0
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            sent += 1
            sock.send(b"\xdd\xdd" + _SENTINEL)
            sock.recv(65_535)
            break
        except (TimeoutError, ConnectionRefusedError):
            continue
    sock.settimeout(_SILENCE_S)


def _unbound(
    names: Mapping[str, Sequence[str]], domains: Sequence[str], ttl: int, port: int, folder: Path
) -> list[str]:
    data: dict[str, list[str]] = {domain: [] for domain in domains}
    for name, ips in names.items():
        zone = next((d for d in sorted(domains, key=len, reverse=True) if name.endswith(f".{d}")), name)
        for ip in ips:
            address = ip_address(ip)
            data.setdefault(zone, []).append(
                f"{name}. {ttl} IN {'A' if address.version == 4 else 'AAAA'} {ip}"
            )
            reverse = address.reverse_pointer
            data.setdefault(reverse, []).append(f"{reverse}. {ttl} IN PTR {name}.")
    lines = []
    for zone, records in data.items():
        lines.append(f'local-zone: "{zone}." static')
        lines.append(
            f'local-data: "{zone}. {ttl} IN SOA {zone}. hostmaster.{zone}. 1 3600 1200 604800 {ttl}"'
        )
        lines.append(f'local-data: "{zone}. {ttl} IN NS {zone}."')
        lines += [f'local-data: "{record}"' for record in records]
    fixed = [
        "interface: 127.0.0.1",
        f"port: {port}",
        "do-daemonize: no",
        "use-syslog: no",
        "access-control: 127.0.0.0/8 allow",
        'module-config: "iterator"',
        f'directory: "{folder}"',
        *(f'{name}: ""' for name in ("username", "chroot", "pidfile")),
    ]
    # What it does not know it would ask the world: here that is a port where nobody listens.
    nobody = ["forward-zone:", 'name: "."', "forward-addr: 127.0.0.1@9"]
    control = ["remote-control:", "control-enable: no"]
    text = "\n".join("\n  ".join(part) for part in (["server:", *fixed, *lines], nobody, control))
    (folder / "unbound.conf").write_text(text)
    return ["-d", "-c", str(folder / "unbound.conf")]


def _dnsmasq(
    names: Mapping[str, Sequence[str]], domains: Sequence[str], ttl: int, port: int, folder: Path
) -> list[str]:
    records = [f"--host-record={name},{ip}" for name, ips in names.items() for ip in ips]
    return [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        f"--port={port}",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        "--pid-file=",
        "--user=",
        "--log-facility=-",
        f"--local-ttl={ttl}",
        *(f"--local=/{domain}/" for domain in domains),
        *records,
    ]


def _free_port() -> int:
    """Free for both transports."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
