"""Real name servers behind ours, and a real client before it: long answers, their transports, a server that
goes away, and a resolv.conf that changes."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kumadp_dns.name_server_process import NameServer
from lab import Program, free_port
from name_server import LOOPBACK, dig, serving, until

WORDS = [f"{number:03d}-" + "x" * 200 for number in range(5)]
"""Of a TXT record that is too long for a datagram to a client that does not say how much it takes."""


def unbound(folder: Path, port: int, host: str) -> list[str]:
    words = " ".join(f'"{word}"' for word in WORDS)
    conf = folder / f"unbound-{host}.conf"
    conf.write_text(
        f"""server:
chroot: ""
username: ""
pidfile: ""
directory: "{folder}"
use-syslog: no
do-daemonize: no
interface: {host}
port: {port}
num-threads: 1
max-udp-size: 4096
module-config: "iterator"
local-zone: "example." static
local-data: "www.example. 60 IN A 198.51.100.7"
local-data: 'big.example. 60 IN TXT {words}'
"""
    )
    return ["unbound", "-d", "-c", str(conf)]


def dnsmasq(folder: Path, port: int, host: str) -> list[str]:
    return [
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=", "--group="),
        *("--no-resolv", "--no-hosts", "--local=/example/", "--host-record=www.example,198.51.100.7"),
        *(f"--txt-record=big.example,{','.join(WORDS)}", "--edns-packet-max=4096"),
        *(f"--port={port}", f"--listen-address={host}", "--bind-interfaces"),
    ]


PEERS = {"unbound": unbound, "dnsmasq": dnsmasq}


@contextlib.contextmanager
def running(peer: str, folder: Path, port: int, host: str = LOOPBACK) -> Iterator[Program]:
    program = Program(f"{peer}-{host}", PEERS[peer](folder, port, host), folder, {})
    try:
        program.wait_until(lambda: _answers(host, port), "answers")
        yield program
    finally:
        program.end()


def _answers(host: str, port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((host, port)) == 0


def options(folder: Path, port: int, *hosts: str) -> dict[str, object]:
    """For `serving`: these are the system's name servers."""
    conf = folder / "resolv.conf"
    conf.write_text("".join(f"nameserver {host}\n" for host in hosts))
    return {"resolv_conf": conf, "upstream_port": port}


def words(said: str) -> list[str]:
    return re.findall(r'"(\d{3}-x+)"', said)


@pytest.mark.parametrize("peer", PEERS)
async def test_long_answers_reach_every_client_whole_or_marked_as_cut(peer: str, tmp_path: Path) -> None:
    port = free_port()
    with running(peer, tmp_path, port):
        async with serving(**options(tmp_path, port, LOOPBACK)) as server:
            assert await dig(server.port, "+short", "WWW.example") == "198.51.100.7"
            over_tcp = await dig(server.port, "+tcp", "big.example", "TXT")
            large = await dig(server.port, "+notcp", "+ignore", "+bufsize=1232", "big.example", "TXT")
            small = await dig(server.port, "+notcp", "+ignore", "+noedns", "big.example", "TXT")
            as_usual = await dig(server.port, "big.example", "TXT")
    assert words(over_tcp) == words(large) == words(as_usual) == WORDS
    assert words(small) == []
    assert re.search(r"flags:[^;]* tc[ ;]", small)
    assert not re.search(r"flags:[^;]* tc[ ;]", large)


async def test_names_are_found_while_a_server_is_away(tmp_path: Path) -> None:
    port = free_port()
    with running("dnsmasq", tmp_path, port, "127.0.0.3"), contextlib.ExitStack() as first:
        first.enter_context(running("dnsmasq", tmp_path, port, "127.0.0.2"))
        async with serving(**options(tmp_path, port, "127.0.0.2", "127.0.0.3")) as server:
            assert await dig(server.port, "+short", "www.example") == "198.51.100.7"
            first.close()
            assert await dig(server.port, "+short", "www.example") == "198.51.100.7"
            await until(lambda: server.figures().failures.get("refused"), "the failure is counted")


async def test_servers_that_resolv_conf_names_later_are_asked(tmp_path: Path) -> None:
    port = free_port()
    with running("dnsmasq", tmp_path, port):
        async with serving(**options(tmp_path, port)) as server:
            said = await dig(server.port, "www.example")
            assert "status: SERVFAIL" in said
            assert "names no name server" in said
            options(tmp_path, port, LOOPBACK)
            while "198.51.100.7" not in (said := await dig(server.port, "www.example")):
                assert "status: SERVFAIL" in said
            assert await _mesh_name(server) == "240.0.0.1"


async def _mesh_name(server: NameServer) -> str:
    return await dig(server.port, "+short", "backend.mesh")
