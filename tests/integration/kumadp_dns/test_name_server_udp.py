"""The worker over UDP: real sockets, and a real client."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from dns_queries import NAMES, query, read
from kumadp_dns.figures import Figures
from kumadp_dns.serving import udp_server
from kumadp_dns.serving.resolver import Resolver
from name_server import OUTSIDE, dig, serving, udp_client, until, upstream

MODES = pytest.mark.parametrize("batched", [True, False], ids=["batched", "one by one"])


def _has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True


IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this host has no ::1")


async def ask(client: socket.socket, packet: bytes) -> bytes:
    client.send(packet)
    return await asyncio.to_thread(client.recv, 65_535)


@MODES
async def test_dig_gets_the_addresses_of_a_name(batched: bool) -> None:
    async with serving(batched=batched) as server:
        assert await dig(server.port, "+short", "backend.mesh", "A") == "240.0.0.1"
        assert await dig(server.port, "+short", "Backend.MESH", "AAAA") == "::ffff:240.0.0.1"
        assert "status: NXDOMAIN" in await dig(server.port, "nobody.mesh")


@IPV6
@MODES
async def test_both_loopback_addresses_answer_on_one_port(batched: bool) -> None:
    async with serving(addresses=("127.0.0.1", "::1"), batched=batched) as server:
        assert server.addresses == ("127.0.0.1", "::1")
        assert await dig(server.port, "+short", "backend.mesh", host="127.0.0.1") == "240.0.0.1"
        assert await dig(server.port, "+short", "backend.mesh", host="::1") == "240.0.0.1"
        assert await dig(server.port, "+short", "+tcp", "backend.mesh", host="::1") == "240.0.0.1"


@MODES
async def test_every_query_of_a_burst_gets_its_own_answer(batched: bool) -> None:
    """Ready answers, others, and packets without any, so that a batch has gaps."""
    names = [*NAMES, "nobody.mesh"]
    async with serving(batched=batched) as server:
        with udp_client(server.port) as client:
            asked = {}
            for number in range(300):
                kind = ("A", "AAAA", "TXT")[number // 7 % 3]
                packet = number.to_bytes(2, "big") + query(names[number % len(names)], kind)[2:]
                client.send(
                    packet if number % 5 else packet[:2] + b"\x80" + packet[3:]
                )  # each fifth a response
                if number % 5:
                    asked[number] = packet
            got = {}
            while len(got) < len(asked):
                reply = await asyncio.to_thread(client.recv, 65_535)
                got[int.from_bytes(reply[:2], "big")] = reply
    assert got.keys() == asked.keys()
    for number, packet in asked.items():
        assert read(got[number]).question == read(packet).question


@MODES
async def test_what_is_no_query_is_ignored_or_refused_and_the_next_is_answered(batched: bool) -> None:
    async with serving(batched=batched) as server:
        with udp_client(server.port) as client:
            for junk in (b"", b"\0", b"\xff" * 11, b"\xff" * 12, bytes(60_000)):
                client.send(junk)
            assert read(await ask(client, b"\0\1" + b"\0" * 10)).rcode() == 1  # FORMERR
            client.send(bytes(3_000))
            packet = query("backend.mesh")
            while (reply := await ask(client, packet))[:2] != packet[:2]:
                pass
            assert read(reply).answer[0][0].address == "240.0.0.1"


@MODES
async def test_an_answer_that_needs_others_finds_its_way_back(batched: bool, tmp_path: Path) -> None:
    async with upstream(tmp_path) as (asked, options), serving(batched=batched, **options) as server:
        with udp_client(server.port) as one, udp_client(server.port) as other:
            one.send(query("one.example"))
            other.send(query("other.example"))
            for client, name in ((one, "one.example."), (other, "other.example.")):
                reply = read(await asyncio.to_thread(client.recv, 65_535))
                assert reply.question[0].name.to_text() == name
                assert reply.answer[0][0].address == OUTSIDE
    assert sorted(asked.asked) == ["one.example", "other.example"]


@MODES
async def test_names_of_the_mesh_are_answered_while_upstream_servers_are_silent(
    batched: bool, tmp_path: Path
) -> None:
    async with (
        upstream(tmp_path, silent=True) as (asked, options),
        serving(batched=batched, **options) as server,
    ):
        with udp_client(server.port) as client:
            for number in range(50):
                client.send(query(f"outside-{number}.example"))
            await until(lambda: len(asked.asked) >= 50, "50 queries upstream")
            assert read(await ask(client, query("backend.mesh"))).answer[0][0].address == "240.0.0.1"


@MODES
async def test_a_server_of_all_addresses_answers_from_the_one_that_was_asked(batched: bool) -> None:
    async with serving(addresses=("0.0.0.0",), batched=batched) as server:
        for host in ("127.0.0.1", "127.0.0.2", "127.9.8.7"):
            with udp_client(server.port, host) as client:
                reply = await ask(client, query("backend.mesh"))
                assert read(reply).answer[0][0].address == "240.0.0.1"


async def test_a_late_answer_leaves_from_the_address_that_was_asked(tmp_path: Path) -> None:
    async with upstream(tmp_path) as (_, options), serving(addresses=("0.0.0.0",), **options) as server:
        with udp_client(server.port, "127.0.0.2") as client:
            assert read(await ask(client, query("one.example"))).answer[0][0].address == OUTSIDE


@IPV6
async def test_a_server_of_all_ipv6_addresses_leaves_ipv4_alone() -> None:
    async with serving(addresses=("::",)) as server:
        assert await dig(server.port, "+short", "backend.mesh", host="::1") == "240.0.0.1"
        with udp_client(server.port) as client:
            client.send(query("backend.mesh"))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.to_thread(client.recv, 512)


async def test_answers_and_their_kinds_are_counted() -> None:
    async with serving() as server:
        with udp_client(server.port) as client:
            for kind, edns in (("A", False), ("A", True), ("AAAA", False), ("TXT", False)):
                await ask(client, query("backend.mesh", kind, use_edns=edns))
            await ask(client, query("nobody.mesh"))
        told = await until(
            lambda: (f := server.figures()).durations.total == 5 and f, "being told of 5 queries"
        )
        counted = {key: n for key, n in told.queries.items() if n}
        assert counted == {("A", "local"): 3, ("AAAA", "local"): 1, ("other", "local"): 1}
        assert (told.rcodes["noerror"], told.rcodes["nxdomain"]) == (4, 1)
        assert told.names == len(NAMES)
        assert told.loaded_at is not None


async def test_who_asks_is_told_where_an_answer_comes_from(tmp_path: Path) -> None:
    async with upstream(tmp_path) as (_, options), serving(**options) as server:
        local = await dig(server.port, "+ednsopt=65023", "backend.mesh")
        assert f"mesh table, {len(NAMES)} names, 0 s old" in local
        assert "127.0.0.1:" in (outside := await dig(server.port, "+ednsopt=65023", "one.example"))
        assert " over UDP, " in outside
        assert "EDE" not in await dig(server.port, "backend.mesh")


class _NoForwarder:
    def submit(self, *_: object) -> None:
        raise AssertionError("nothing is to be forwarded")


@pytest.mark.parametrize("missing", ["recvmmsg", "sendmmsg", "none, but they are forbidden"])
def test_without_the_system_calls_queries_are_answered_one_by_one(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kumadp_dns.serving import datagrams_server

    class Library:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __getattr__(self, name: str) -> object:
            if name == missing:
                raise AttributeError(name)
            return lambda *_: -1

    monkeypatch.setattr(datagrams_server.ctypes, "PyDLL", Library)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        figures = Figures()
        read_all = udp_server.reader(sock, Resolver(figures, _NoForwarder(), float), figures, True)
        with udp_client(sock.getsockname()[1]) as client:
            client.send(query("nobody.mesh"))
            read_all()
            assert read(client.recv(512)).rcode() == 2  # there are no names yet
