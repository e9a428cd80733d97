"""The worker over TCP: pipelining, and clients that are slow, silent or too many."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dns_queries import query, read
from kumadp_dns.name_server_process import Limits, NameServer
from kumadp_dns.serving.tcp_server import MAX_QUERY_BYTES, MAX_UNSENT_BYTES, MAX_WAITING
from name_server import OUTSIDE, dig, framed, read_message, serving, tcp_client, udp_client, until, upstream

CROWD = 10_000
PATIENT = Limits(tcp_idle_s=3_600.0)
"""What ends a connection then is something else."""


async def message(client: socket.socket) -> bytes:
    return await asyncio.to_thread(read_message, client)


def count_messages(client: socket.socket) -> int:
    """Until the end."""
    with client.makefile("rb") as stream:
        count = 0
        while head := stream.read(2):
            assert len(stream.read(int.from_bytes(head, "big"))) == int.from_bytes(head, "big")
            count += 1
        return count


async def test_dig_is_answered_over_tcp() -> None:
    async with serving() as server:
        assert await dig(server.port, "+tcp", "+short", "backend.mesh") == "240.0.0.1"
        assert "status: NXDOMAIN" in await dig(server.port, "+tcp", "nobody.mesh")


async def test_queries_in_one_piece_are_all_answered() -> None:
    async with serving() as server:
        with tcp_client(server.port) as client:
            packets = [number.to_bytes(2, "big") + query("backend.mesh")[2:] for number in range(200)]
            client.sendall(b"".join(map(framed, packets)))
            assert {(await message(client))[:2] for _ in packets} == {packet[:2] for packet in packets}


async def test_a_query_in_many_pieces_is_answered() -> None:
    async with serving() as server:
        with tcp_client(server.port) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in framed(query("backend.mesh")):
                client.send(bytes((byte,)))
            assert read(await message(client)).answer[0][0].address == "240.0.0.1"


async def test_an_answer_does_not_wait_for_the_one_asked_for_before(tmp_path: Path) -> None:
    async with upstream(tmp_path, silent=True) as (outside, options), serving(**options) as server:
        with tcp_client(server.port) as client:
            client.sendall(framed(query("outside.example")) + framed(query("backend.mesh")))
            assert read(await message(client)).question[0].name.to_text() == "backend.mesh."
            outside.release()
            assert read(await message(client)).question[0].name.to_text() == "outside.example."


async def test_an_answer_of_others_comes_over_the_same_connection(tmp_path: Path) -> None:
    async with upstream(tmp_path) as (_, options), serving(**options) as server:
        with tcp_client(server.port) as client:
            client.sendall(framed(query("outside.example")))
            assert read(await message(client)).answer[0][0].address == OUTSIDE


async def test_a_client_that_sends_no_more_still_gets_its_answers_and_then_the_end() -> None:
    async with serving(limits=PATIENT) as server:
        with tcp_client(server.port) as client:
            client.sendall(framed(query("backend.mesh")) * 3)
            client.shutdown(socket.SHUT_WR)
            assert [bool(await message(client)) for _ in range(4)] == [True, True, True, False]


async def test_a_response_gets_no_answer_and_the_query_behind_it_does() -> None:
    async with serving() as server:
        with tcp_client(server.port) as client:
            packet = query("backend.mesh")
            client.sendall(framed(packet[:2] + b"\x80" + packet[3:]) + framed(b"") + framed(packet))
            assert read(await message(client)).answer


async def test_who_announces_too_much_is_cut_off() -> None:
    async with serving(limits=PATIENT) as server:
        with tcp_client(server.port) as client:
            client.sendall((MAX_QUERY_BYTES + 1).to_bytes(2, "big"))
            assert await message(client) == b""


@pytest.mark.parametrize("said", [b"", b"\0", framed(query("backend.mesh"))[:-1]])
async def test_a_connection_without_a_whole_query_is_closed(said: bytes) -> None:
    async with serving(limits=Limits(tcp_idle_s=0.2)) as server:
        with tcp_client(server.port) as client:
            client.sendall(said)
            assert await message(client) == b""


async def test_a_connection_that_is_used_outlives_the_limit_and_then_ends() -> None:
    async with serving(limits=Limits(tcp_idle_s=1.0)) as server:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        with tcp_client(server.port) as client:
            while loop.time() - begin < 1.5:
                client.sendall(framed(query("backend.mesh")))
                if not await message(client):
                    pytest.skip("this machine was too busy to ask once a second")
                await asyncio.sleep(0.05)
            assert await message(client) == b""


async def test_a_connection_that_waits_for_an_upstream_server_is_not_idle(tmp_path: Path) -> None:
    limits = Limits(tcp_idle_s=0.1)
    async with (
        upstream(tmp_path, silent=True) as (outside, options),
        serving(limits=limits, **options) as server,
    ):
        with tcp_client(server.port) as client:
            client.sendall(framed(query("outside.example")))
            for _ in range(3):
                with tcp_client(server.port) as idle:
                    assert await message(idle) == b""
            outside.release()
            assert read(await message(client)).answer[0][0].address == OUTSIDE
            assert await message(client) == b""


async def test_a_client_that_does_not_read_is_not_read_from_and_hinders_nobody() -> None:
    pieces = framed(query("both.svc.mesh")) * 100
    async with serving(limits=PATIENT) as server:
        with tcp_client(server.port) as client, udp_client(server.port) as other:
            client.setblocking(False)
            sent = refused = 0
            while refused < 200:
                assert sent < 200 * MAX_UNSENT_BYTES, "it reads on and on"
                try:
                    sent += client.send(pieces[sent % len(pieces) :])
                    refused = 0
                except BlockingIOError:
                    refused += 1
                    other.send(query("backend.mesh"))
                    await asyncio.to_thread(other.recv, 512)  # it has had a turn in which to take more
            client.settimeout(30)
            client.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(count_messages, client) == sent // (len(pieces) // 100)


async def test_one_connection_has_only_so_many_queries_upstream(tmp_path: Path) -> None:
    async with upstream(tmp_path, silent=True) as (outside, options), serving(**options) as server:
        with tcp_client(server.port) as greedy, tcp_client(server.port) as other:
            packets = [framed(query(f"outside-{number}.example")) for number in range(3 * MAX_WAITING)]
            greedy.sendall(b"".join(packets) + framed(query("backend.mesh")))
            await until(lambda: len(outside.asked) >= MAX_WAITING, "as many queries as may wait")
            other.sendall(framed(query("backend.mesh")))
            assert read(await message(other)).answer
            assert len(outside.asked) == MAX_WAITING
            outside.release()
            names = [read(await message(greedy)).question[0].name.to_text() for _ in range(len(packets) + 1)]
            # The last one had to wait until enough of those before it were through.
            assert names.index("backend.mesh.") >= 2 * MAX_WAITING


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CROWD + 1_000:
        pytest.skip(f"{CROWD} connections need more open files than the {hard} that are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sockets_of(server: NameServer) -> int:
    assert server.worker
    return psutil.Process(server.worker).num_fds()


@pytest.mark.usefixtures("many_files")
async def test_ten_thousand_connections_cost_the_oldest_idle_ones_theirs() -> None:
    async with serving() as server:
        before = sockets_of(server)
        with contextlib.ExitStack() as stack:
            used = stack.enter_context(tcp_client(server.port))
            used.sendall(framed(query("backend.mesh")))
            assert read(await message(used)).answer
            first = None
            for number in range(CROWD):
                last = stack.enter_context(tcp_client(server.port))
                first = first or last
                if number % 500 == 0:
                    used.sendall(framed(query("backend.mesh")))
                    assert read(await message(used)).answer
                    assert sockets_of(server) <= before + Limits().tcp_connections + 1
            assert first is not None
            assert await message(first) == b""
            for client in (used, last):
                client.sendall(framed(query("backend.mesh")))
                assert read(await message(client)).answer
            assert await dig(server.port, "+short", "backend.mesh") == "240.0.0.1"
            assert sockets_of(server) <= before + Limits().tcp_connections + 1
        await until(lambda: sockets_of(server) <= before, "all connections being closed")


async def test_with_few_connections_allowed_those_that_wait_for_answers_stay(tmp_path: Path) -> None:
    limits = Limits(tcp_connections=2, tcp_idle_s=3_600.0)
    async with (
        upstream(tmp_path, silent=True) as (outside, options),
        serving(limits=limits, **options) as server,
    ):
        with tcp_client(server.port) as waits, tcp_client(server.port) as idle:
            waits.sendall(framed(query("outside.example")))
            idle.sendall(framed(query("backend.mesh")))
            assert read(await message(idle)).answer
            with tcp_client(server.port) as third:
                third.sendall(framed(query("backend.mesh")))
                assert read(await message(third)).answer
                assert await message(idle) == b""
                outside.release()
                assert read(await message(waits)).answer[0][0].address == OUTSIDE


async def test_an_upstream_answer_for_a_client_that_has_left_is_dropped(tmp_path: Path) -> None:
    async with upstream(tmp_path, silent=True) as (outside, options), serving(**options) as server:
        pid = server.worker
        with tcp_client(server.port) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, not closed
            client.sendall(framed(query("outside.example")))
            await until(lambda: outside.asked, "the query upstream")
        with tcp_client(server.port) as other:
            outside.release()
            other.sendall(framed(query("outside.example")))
            assert read(await message(other)).answer[0][0].address == OUTSIDE
        assert server.worker == pid
