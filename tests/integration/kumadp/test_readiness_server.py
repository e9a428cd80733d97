"""GET /ready over TCP and a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kumadp.readiness import Readiness
from kumadp.readiness_server import ReadinessServer


class Running:
    def __init__(self, server: ReadinessServer, port: int, path: Path) -> None:
        self.server, self.port, self.path = server, port, path

    async def talk(self, data: bytes, *, unix: bool = False) -> bytes:
        if unix:
            reader, writer = await asyncio.open_unix_connection(str(self.path))
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    server, path = ReadinessServer(), tmp_path / "ready.sock"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with server.serving(listener, path):
            yield Running(server, listener.getsockname()[1], path)
    assert not path.exists()


def request(target: str = "/ready", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("state", list(Readiness))
async def test_the_state_is_told(running: Running, state: Readiness, unix: bool) -> None:
    running.server.state = state
    head, _, body = (await running.talk(request(), unix=unix)).partition(b"\r\n\r\n")
    status, text = state.value
    lines = head.lower().split(b"\r\n")
    assert lines[0] == f"http/1.1 {status} ".encode()
    assert b"content-type: text/plain" in lines
    assert b"cache-control: no-cache, max-age=0" in lines
    assert b"x-powered-by: kuma-dp" in lines
    assert body == text.encode()


async def test_only_ready_is_served(running: Running) -> None:
    assert (await running.talk(request("/config_dump"))).startswith(b"HTTP/1.1 404")
    assert (await running.talk(request(method="POST"))).startswith(b"HTTP/1.1 405")
    assert (await running.talk(request("/ready?verbose"))).startswith(b"HTTP/1.1 503")


async def test_a_connection_serves_several_requests(running: Running) -> None:
    keep = b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await running.talk(keep + keep + request())
    assert answer.count(b"NOT_READY") == 3


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"hello\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"a" * 20_000])
async def test_garbage_is_dropped_and_serving_goes_on(running: Running, garbage: bytes) -> None:
    assert b"READY" not in await running.talk(garbage)
    assert b"NOT_READY" in await running.talk(request())


async def test_head_has_no_body(running: Running) -> None:
    answer = await running.talk(request(method="HEAD"))
    assert answer.startswith(b"HTTP/1.1 503")
    assert answer.endswith(b"\r\n\r\n")


async def test_of_too_many_connections_silent_ones_are_closed(running: Running) -> None:
    async with contextlib.AsyncExitStack() as held:
        connections = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(128)]
        for _, writer in connections:
            held.callback(writer.close)
        # The one that has asked nothing for longest makes room, not the one that has something to ask.
        (asking, first), (silent, _) = connections[:2]
        first.write(request().replace(b"connection: close\r\n", b""))
        await asking.readuntil(b"NOT_READY")
        assert b"NOT_READY" in await running.talk(request())
        assert b"NOT_READY" in await running.talk(request(), unix=True)
        with contextlib.suppress(ConnectionError):
            assert await silent.read() == b""
        first.write(request())
        assert b"NOT_READY" in await asking.read()


async def test_the_unix_socket_is_private_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "ready.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with ReadinessServer().serving(listener, path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_open_connections_end_with_the_server(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with ReadinessServer().serving(listener, None):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readuntil(b"NOT_READY")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert len(os.listdir("/proc/self/fd")) <= before
