"""The admin client against servers that answer well, badly and not at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from kumadp.envoy.admin import AdminClient, AdminError


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[AdminClient, list[str]]]:
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        requests.append(head.decode().split("\r\n")[0])
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield AdminClient(*server.sockets[0].getsockname()), requests


def ok(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


async def test_the_calls_of_a_drain() -> None:
    async with answering(ok("OK")) as (admin, requests):
        await admin.fail_healthcheck()
        await admin.drain_listeners()
        await admin.drain_listeners(inbound_only=True)
    assert requests == [
        "POST /healthcheck/fail HTTP/1.1",
        "POST /drain_listeners?graceful&skip_exit HTTP/1.1",
        "POST /drain_listeners?inboundonly&graceful&skip_exit HTTP/1.1",
    ]


async def test_live() -> None:
    async with answering(ok("LIVE")) as (admin, _):
        assert await admin.live()
    async with answering(ok("INITIALIZING", "503 x")) as (admin, _):
        assert not await admin.live()


async def test_connections_are_counted() -> None:
    async with answering(ok("listener.a.downstream_cx_active: 2\n")) as (admin, requests):
        assert await admin.active_connections() == 2
    assert requests == ["GET /stats?filter=%5Elistener%5C..*downstream_cx_active%24 HTTP/1.1"]


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", ok("no", "500 x"), b"HTTP/1.1 200 OK\r\n"])
async def test_bad_answers_are_admin_errors(answer: bytes) -> None:
    async with answering(answer) as (admin, _):
        with pytest.raises(AdminError):
            await admin.fail_healthcheck()
        with pytest.raises(AdminError):
            await admin.active_connections()


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with pytest.raises(AdminError, match="failed"):
        await AdminClient(*address).live()


async def test_endless_answers_are_cut() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000_000) as (admin, _):
        with pytest.raises(AdminError, match="more than"):
            await admin.active_connections()
