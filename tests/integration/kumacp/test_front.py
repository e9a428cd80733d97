from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from client_hello import client_hello, in_records
from kumacp.front.peer import client_address
from kumacp.front.process import FrontProcess
from kumacp.identity.server_cert import create_server_certificate
from kumamesh.errors import UserError

SUPPORT = Path(__file__).parents[2] / "support"


def client_context(*alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@dataclass
class Backend:
    """A TLS server on a Unix socket in the place of gRPC: sends back what it gets, or a download."""

    path: Path
    context: ssl.SSLContext
    peers: list[str] = field(default_factory=list)
    ended: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    download: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        self.peers.append("unix-abstract:" + name.decode().lstrip("\0"))
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(self.download if data == b"download" else data)
                await writer.drain()
            writer.close()
        self.ended.put_nowait(None)


@dataclass
class Stage:
    """A front with its two servers."""

    front: FrontProcess
    backend: Backend

    async def connect(self, *alpn: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.front.port, ssl=client_context(*alpn))

    async def connect_raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.front.port)

    def files(self) -> int:
        return len(list(Path(f"/proc/{self.front.pid}/fd").iterdir()))


async def serve_http(
    handed_over: asyncio.Queue[socket.socket], server: web.Server, context: ssl.SSLContext
) -> None:
    """TLS and HTTP on the sockets that the front accepted."""
    while True:
        client = await handed_over.get()
        await asyncio.get_running_loop().connect_accepted_socket(server, client, ssl=context)


async def show_remote(request: web.Request) -> web.Response:
    return web.Response(text=str(request.remote))


@pytest.fixture
def server_context(tmp_path: Path) -> ssl.SSLContext:
    certificate, key = create_server_certificate("localhost", ["127.0.0.1"], datetime.now(UTC))
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
async def stage(tmp_path: Path, server_context: ssl.SSLContext) -> AsyncIterator[Stage]:
    backend = Backend(tmp_path / "grpc.sock", server_context)
    grpc_server = await asyncio.start_unix_server(backend.serve, backend.path, ssl=server_context)
    application = web.Application()
    application.router.add_get("/remote", show_remote)
    runner = web.AppRunner(application)
    await runner.setup()
    assert runner.server is not None
    handed_over: asyncio.Queue[socket.socket] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve_http(handed_over, runner.server, server_context))
        front = FrontProcess.start("127.0.0.1", 0, backend.path, handed_over.put_nowait)
        yield Stage(front, backend)
        await front.stop()
        await runner.cleanup()
        grpc_server.close()
        serving.cancel()


async def dropped(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends, cleanly or by a reset, without a byte of an answer."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def echo(stage: Stage, payload: bytes = b"hello") -> bytes:
    reader, writer = await stage.connect("h2")
    writer.write(payload)
    answer = await reader.readexactly(len(payload))
    writer.close()
    await writer.wait_closed()
    return answer


async def http_get(stage: Stage, *alpn: str) -> tuple[str, str]:
    """(own address, the address that the server saw)."""
    reader, writer = await stage.connect(*alpn)
    writer.write(b"GET /remote HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    body = (await reader.read()).split(b"\r\n\r\n")[1].decode()
    own = writer.get_extra_info("sockname")[0]
    writer.close()
    return own, body


async def test_h2_goes_to_the_grpc_socket_which_sees_the_client(stage: Stage) -> None:
    reader, writer = await stage.connect("h2")
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    host, port = writer.get_extra_info("sockname")
    writer.close()
    assert [client_address(peer) for peer in stage.backend.peers] == [f"{host}:{port}"]


@pytest.mark.parametrize("alpn", [("http/1.1",), (), ("h2", "http/1.1")], ids=str)
async def test_all_other_tls_is_handed_over_untouched(stage: Stage, alpn: tuple[str, ...]) -> None:
    if "h2" in alpn:
        # The server may pick h2 of what is offered; this one speaks HTTP/1.1 alone.
        stage.backend.context.set_alpn_protocols(["http/1.1"])
    own, seen = await http_get(stage, *alpn)
    assert (own, seen) == ("127.0.0.1", "127.0.0.1")
    assert stage.backend.peers == []


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 100,
        b"\x16\x03\x01\xff\xff",
        os.urandom(20_000).replace(b"\x16", b""),
    ],
    ids=["plain http", "zeros", "long record", "noise"],
)
async def test_what_is_not_tls_is_dropped(stage: Stage, data: bytes) -> None:
    reader, writer = await stage.connect_raw()
    writer.write(data)
    assert await dropped(reader)
    writer.close()
    assert await echo(stage) == b"hello"


async def test_half_a_hello_that_ends_is_dropped(stage: Stage) -> None:
    reader, writer = await stage.connect_raw()
    writer.write(client_hello(["h2"])[:100])
    writer.write_eof()
    assert await dropped(reader)
    writer.close()
    assert stage.backend.peers == []


@pytest.mark.parametrize("pieces", ["bytes", "records"])
async def test_hello_in_pieces_arrives_whole(stage: Stage, pieces: str) -> None:
    hello = client_hello(["h2"])
    data = in_records(hello, 100) if pieces == "records" else hello
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", stage.front.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        step = 1 if pieces == "bytes" else 50
        for start in range(0, len(data), step):
            await loop.sock_sendall(client, data[start : start + step])
            await asyncio.sleep(0)
        answer = await loop.sock_recv(client, 5)
    # The server's own handshake record: it got the hello and has chosen.
    assert answer[:2] == b"\x16\x03"


async def test_slow_reader_gets_all_of_20_mb_and_holds_nobody_up(stage: Stage) -> None:
    stage.backend.download = os.urandom(1 << 20) * 20
    reader, writer = await stage.connect("h2")
    writer.write(b"download")
    digest, size = hashlib.sha256(), 0
    while size < len(stage.backend.download):
        part = await reader.read(64 << 10)
        assert part
        digest.update(part)
        size += len(part)
        if size % (1 << 20) < len(part):  # while this reader rests, others are served
            assert await echo(stage) == b"hello"
    writer.close()
    assert digest.digest() == hashlib.sha256(stage.backend.download).digest()


async def test_large_upload_arrives_whole(stage: Stage) -> None:
    payload = os.urandom(1 << 20) * 3
    assert await echo(stage, payload) == payload


async def test_end_of_the_client_reaches_the_server_and_files_return(stage: Stage) -> None:
    _, stays = await stage.connect("h2")
    start = stage.files()
    clients = [await stage.connect("h2") for _ in range(30)]
    assert stage.files() == start + 60
    for number, (_, writer) in enumerate(clients):
        if number % 2:
            writer.transport.abort()
        else:
            writer.close()
    for _ in clients:
        await stage.backend.ended.get()
    for _ in range(10):
        await http_get(stage, "http/1.1")
        reader, writer = await stage.connect_raw()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await dropped(reader)
        writer.close()
    async with asyncio.timeout(10):
        while stage.files() != start:  # every round trip gives the front time to close what is over
            assert await echo(stage) == b"hello"
            await stage.backend.ended.get()
    stays.close()


async def test_killed_front_is_noticed(stage: Stage) -> None:
    os.kill(stage.front.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=f"in front of port {stage.front.port} has ended \\(signal 9\\)"):
        await stage.front.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_for_the_group_do_not_cut_clients_off(stage: Stage, number: int) -> None:
    assert await echo(stage) == b"hello"
    os.kill(stage.front.pid, number)
    assert await echo(stage) == b"hello"


async def test_stop_ends_the_process_and_frees_the_port(stage: Stage) -> None:
    reader, writer = await stage.connect("h2")
    await stage.front.stop()
    await stage.front.wait()
    with pytest.raises(OSError):
        await stage.connect("h2")
    assert await dropped(reader)
    writer.close()
    assert not Path(f"/proc/{stage.front.pid}").exists()
    again = FrontProcess.start(
        "127.0.0.1", stage.front.port, stage.backend.path, lambda client: client.close()
    )
    await again.stop()


async def test_front_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SUPPORT / "front_parent.py"),
        str(tmp_path / "x.sock"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    watched = os.pidfd_open(pid)
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watched, gone.set)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        await gone.wait()
    loop.remove_reader(watched)
    os.close(watched)


async def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as caught:
            FrontProcess.start("127.0.0.1", port, tmp_path / "x.sock", lambda client: client.close())
    assert str(caught.value) == (
        f"cannot listen: 127.0.0.1:{port} is in use by another program; stop it, or set"
        " KUMA_DP_SERVER_PORT to a free port"
    )


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 70_000), ("192.0.2.1", 0)])
async def test_address_that_cannot_be_had_is_one_clear_line(tmp_path: Path, address: str, port: int) -> None:
    with pytest.raises(UserError, match=f"^cannot listen: .*{port} .*KUMA_DP_SERVER_PORT"):
        FrontProcess.start(address, port, tmp_path / "x.sock", lambda client: client.close())


async def test_ipv6_wildcard_serves_both_families(tmp_path: Path) -> None:
    front = FrontProcess.start("::", 0, tmp_path / "absent.sock", lambda client: client.close())
    for host in ("127.0.0.1", "::1"):
        reader, writer = await asyncio.open_connection(host, front.port)
        writer.write(b"GET")
        assert await dropped(reader)
        writer.close()
    await front.stop()
