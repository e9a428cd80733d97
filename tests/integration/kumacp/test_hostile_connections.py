"""Clients that hold connections open and send next to nothing: bounded, ended, and in nobody's way."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import slow_clients
from client_hello import client_hello
from kumacp import tls_site_server
from kumacp.http_server import HttpServer
from lab import ControlPlane, Lab, eventually, lab
from long_form import LONG, scale
from pressure import Prober, memory, processes
from running_api import running_api

IDLE = scale(1_500, 10_000)
SLOW = scale(40, 200)
LIMIT_S = 300.0
"""No client is given more than two minutes by the server; the rest is for a busy machine."""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as opened:
        yield opened


@contextmanager
def _clients(plane: ControlPlane, way: str, port: int, count: int) -> Iterator[_Clients]:
    clients = _Clients(plane, way, port, count)
    try:
        yield clients
    finally:
        clients.close()


class _Clients:
    """A process of slow clients; `open` tells that all of them are connected."""

    def __init__(self, plane: ControlPlane, way: str, port: int, count: int) -> None:
        argv = [
            sys.executable,
            slow_clients.__file__,
            way,
            str(port),
            str(plane.work_dir / "kuma-cp.crt"),
            str(count),
        ]
        argv.append(str(LIMIT_S))
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.opened = self._report()

    def ended(self) -> dict[str, Any]:
        """When the server has ended all of them: how many, and after how many seconds the last."""
        return self._report()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _report(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))


def _port(plane: ControlPlane, server: str) -> int:
    return {
        "dp": plane.dp_port,
        "http": plane.api_port,
        "https": int(plane.environ["KUMA_API_SERVER_HTTPS_PORT"]),
        "diagnostics": plane.diagnostics_port,
    }[server]


_SOON = [
    ("dp", "nothing"),
    ("dp", "hello-trickle"),
    ("dp", "tls-silence"),
    ("dp", "tls-silence-h2"),
    ("dp", "h2-half-preface"),
    ("dp", "tls-headers-trickle"),
    ("dp", "tls-body-trickle"),
    ("dp", "h2-stream"),
    ("http", "nothing"),
    ("http", "headers-trickle"),
    ("https", "nothing"),
    ("https", "tls-silence"),
    ("https", "tls-headers-trickle"),
    ("diagnostics", "nothing"),
    ("diagnostics", "headers-trickle"),
]
_IDLE = [("dp", "nothing"), ("http", "nothing"), ("https", "tls-silence"), ("dp", "h2-silence")]
_LATER = [
    ("dp", "h2-silence"),
    ("http", "body-trickle"),
    ("https", "tls-body-trickle"),
    ("http", "keep-alive"),
]


def test_slow_clients_are_ended_and_hold_nobody_up(started: Lab) -> None:
    plane = started.control_plane()
    before = [process.num_fds() for process in processes(plane)]
    with Prober(f"{plane.api}/meshes") as others:
        running = []
        try:
            for server, way in (*_SOON, *(_LATER if LONG else ())):
                running.append((f"{server} {way}", _Clients(plane, way, _port(plane, server), SLOW)))
            for name, clients in running:
                ended = clients.ended()
                print(f"{name}: {clients.opened} {ended}")
                assert ended["ended"] == SLOW, name
        finally:
            for _, clients in running:
                clients.close()
    assert not others.failures
    print(f"{others}; {memory(plane)}")
    eventually(lambda: _settled(plane, before), "the return of all descriptors")
    assert "Traceback" not in plane.program.log


def _settled(plane: ControlPlane, before: list[int]) -> bool:
    return all(
        process.num_fds() <= count + 10 for process, count in zip(processes(plane), before, strict=True)
    )


@pytest.mark.parametrize(("server", "way"), _IDLE)
def test_idle_connections_are_cheap_and_do_not_keep_others_out(started: Lab, server: str, way: str) -> None:
    plane = started.control_plane()
    with Prober(f"{plane.api}/meshes") as others:
        resident = [process.memory_info().rss for process in processes(plane)]
        with _clients(plane, way, _port(plane, server), IDLE) as clients:
            grown = [
                process.memory_info().rss - before
                for process, before in zip(processes(plane), resident, strict=True)
            ]
            per_connection = " and ".join(f"{max(0, each) / IDLE / 1024:.1f} KiB" for each in grown)
            print(f"\n{IDLE} {server} {way}: {clients.opened}; each {per_connection}; {memory(plane)}")
            # A proxy of ours comes in while all of them are there.
            assert slow_clients.bootstrap(plane.dp_port, plane.work_dir / "kuma-cp.crt") == 422
            if way != "h2-silence":
                ended = clients.ended()
                print(ended)
                assert ended["ended"] == IDLE
    assert not others.failures
    print(others)
    assert sum(grown) < IDLE * 100 * 1024
    assert "Traceback" not in plane.program.log


async def test_silent_connections_make_room_when_there_is_none() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="served")

    server = HttpServer(answer, keepalive_s=60.0, first_request_s=1_000.0, max_connections=2)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    async with asyncio.timeout(10):
        while len(server.connections) < 2:
            await asyncio.sleep(0)
        streams.append(await asyncio.open_connection("127.0.0.1", port))
        streams[-1][1].write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await streams[-1][0].readline()).startswith(b"HTTP/1.1 200")
        assert await streams[0][0].read() == b""
        streams[1][1].write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await streams[1][0].readline()).startswith(b"HTTP/1.1 200")
    for _, writer in streams:
        writer.close()
    await runner.cleanup()


async def test_a_tls_client_that_says_nothing_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_site_server, "HANDSHAKE_TIMEOUT_S", 0.05)
    async with running_api(tmp_path) as api, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.server.https_port)
        assert await reader.read() == b""
        writer.close()


async def test_handshakes_are_bounded_and_others_wait_for_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_site_server, "MAX_HANDSHAKES", 1)
    async with running_api(tmp_path) as api, asyncio.timeout(10):
        port = api.server.https_port
        context = ssl.create_default_context(cafile=str(api.certificate))
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(asyncio.open_connection("localhost", port, ssl=context))
        before, _ = await asyncio.wait((asking,), timeout=0.2)
        assert not before
        silent.close()
        reader, writer = await asking
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_server_name_of_no_ascii_leaves_no_trace(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hello = client_hello(server_name="localhost").replace(b"localhost", b"loc\xe9lhost")
    async with running_api(tmp_path) as api, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.server.https_port)
        writer.write(hello)
        await reader.read(1)
        writer.close()
    assert "Traceback" not in capfd.readouterr().err
