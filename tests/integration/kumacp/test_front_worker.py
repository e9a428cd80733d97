"""The front's worker inside the test's process, with its limits made small."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from client_hello import client_hello
from kumacp.front import splice_relay, worker
from kumacp.front.peer import socket_name
from kumacp.front.worker import FrontWorker

GRPC_HELLO = client_hello(["h2"])


@asynccontextmanager
async def running(path: Path, limit: int = 100) -> AsyncIterator[tuple[int, socket.socket]]:
    """(port, the parent's end of the control socket)"""
    control, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.create_server(("127.0.0.1", 0))
    for each in (control, remote, listener):
        each.setblocking(False)
    port = listener.getsockname()[1]
    front = asyncio.get_running_loop().create_task(FrontWorker(listener, remote, str(path), limit).run())
    try:
        yield port, control
    finally:
        front.cancel()
        with suppress(asyncio.CancelledError):
            await front
        for each in (control, remote, listener):
            each.close()


@asynccontextmanager
async def backend(path: Path) -> AsyncIterator[asyncio.Queue[asyncio.StreamWriter]]:
    """A server on the Unix socket that puts every connection into a queue, without reading."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_unix_server(lambda _, writer: accepted.put_nowait(writer), path)
    yield accepted
    server.close()


async def ends(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


@pytest.mark.parametrize(
    "sent", [b"", GRPC_HELLO[:3], GRPC_HELLO[:-1]], ids=["nothing", "header", "nearly all"]
)
async def test_hello_that_does_not_come_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(worker, "HANDSHAKE_LIMIT_S", 0.05)
    async with running(tmp_path / "grpc.sock") as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await ends(reader)
        writer.close()


async def test_grpc_server_that_is_not_there_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HANDSHAKE_LIMIT_S", 0.1)
    async with running(tmp_path / "absent.sock") as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GRPC_HELLO)
        assert await ends(reader)
        writer.close()


async def test_grpc_server_that_is_late_gets_its_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()
    monkeypatch.setattr(worker, "socket_name", lambda *where: tried.set() or socket_name(*where))
    async with running(tmp_path / "grpc.sock") as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GRPC_HELLO)
        await tried.wait()
        async with backend(tmp_path / "grpc.sock") as accepted:
            server = await accepted.get()
            server.close()
        writer.close()


async def test_waiting_for_a_hello_burns_no_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peeks: list[int] = []
    classify = worker.classify

    def counting(data: bytes) -> object:
        peeks.append(len(data))
        return classify(data)

    monkeypatch.setattr(worker, "classify", counting)
    async with backend(tmp_path / "grpc.sock") as accepted, running(tmp_path / "grpc.sock") as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(GRPC_HELLO), 10):
            writer.write(GRPC_HELLO[start : start + 10])
            for _ in range(5):
                await asyncio.sleep(0)
        server = await accepted.get()
        server.close()
        writer.close()
    assert len(peeks) <= 3
    assert peeks[-1] == len(GRPC_HELLO)


async def test_clients_beyond_the_limit_wait_for_their_turn(tmp_path: Path) -> None:
    async with (
        backend(tmp_path / "grpc.sock") as accepted,
        running(tmp_path / "grpc.sock", limit=2) as (port, _),
    ):
        writers = []
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GRPC_HELLO)
            writers.append(writer)
        servers = [await accepted.get() for _ in range(2)]
        assert accepted.empty()
        servers[0].close()
        servers.append(await accepted.get())
        for each in writers + servers:
            each.close()


async def test_silent_clients_make_room_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SILENCE_S", 0.05)
    monkeypatch.setattr(worker, "HANDSHAKE_LIMIT_S", 1_000.0)
    async with (
        backend(tmp_path / "grpc.sock") as accepted,
        running(tmp_path / "grpc.sock", limit=3) as (port, _),
    ):
        served_reader, served = await asyncio.open_connection("127.0.0.1", port)
        served.write(GRPC_HELLO)
        first = await accepted.get()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        silent[0][1].write(GRPC_HELLO[:-1])
        _, late = await asyncio.open_connection("127.0.0.1", port)
        late.write(GRPC_HELLO)
        async with asyncio.timeout(10):
            second = await accepted.get()
        assert await ends(silent[0][0])
        assert not served_reader.at_eof()
        for each in (served, late, *(writer for _, writer in silent), first, second):
            each.close()


async def test_handover_waits_while_the_parent_is_busy(tmp_path: Path) -> None:
    hello, count = client_hello(["http/1.1"]), 400
    async with running(tmp_path / "grpc.sock", limit=1_000) as (port, control):
        clients = []
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(hello)
            clients.append(writer)
        loop, got, done = asyncio.get_running_loop(), [], asyncio.Event()

        def take() -> None:
            _, files, _, _ = socket.recv_fds(control, 16, 1)
            got.extend(socket.socket(fileno=file) for file in files)
            if len(got) == count:
                done.set()

        loop.add_reader(control, take)
        async with asyncio.timeout(10):
            await done.wait()
        loop.remove_reader(control)
        assert {each.recv(len(hello)) for each in got} == {hello}
        for each in got:
            each.close()
        for writer in clients:
            writer.close()


async def test_no_splice_waits_for_ever_for_a_reader_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splice_relay, "STALL_S", 0.05)
    async with spliced() as (client, server, ended):
        server.transport.set_write_buffer_limits(high=0)
        with suppress(ConnectionError):
            while True:
                server.write(b"x" * 1_000_000)
                await server.drain()
        async with asyncio.timeout(10):
            await ended.wait()
        client.close()


@pytest.mark.parametrize("first", ["client", "server"])
async def test_last_bytes_reach_the_other_end(first: str) -> None:
    async with spliced() as (client, server, ended):
        loop = asyncio.get_running_loop()
        payload = b"y" * 3_000_000
        if first == "server":
            server.write(payload)
            server.close()
            received = b""
            while part := await loop.sock_recv(client, 1_000_000):
                received += part
            assert received == payload
        else:
            client.close()
        async with asyncio.timeout(10):
            await ended.wait()
        client.close()


async def test_end_that_does_not_take_the_last_bytes_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice_relay, "LINGER_S", 0.05)
    async with spliced() as (client, server, ended):
        server.write(b"z" * 2_000_000)
        server.transport.abort()
        async with asyncio.timeout(10):
            await ended.wait()
        client.close()


@asynccontextmanager
async def spliced() -> AsyncIterator[tuple[socket.socket, asyncio.StreamWriter, asyncio.Event]]:
    """(the client's socket, the server's stream, set when the splice between them is over)"""
    client, client_side = socket.socketpair()
    server, server_side = socket.socketpair()
    for each in (client, client_side, server, server_side):
        each.setblocking(False)
    ended = asyncio.Event()
    await splice_relay.splice(client_side, server_side, ended.set)
    _, writer = await asyncio.open_unix_connection(sock=server)
    yield client, writer, ended
    client.close()
    writer.close()
    async with asyncio.timeout(10):
        await ended.wait()
