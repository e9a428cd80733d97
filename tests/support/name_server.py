"""Name servers with their real worker, clients of theirs, and an upstream server that may say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset

from dns_queries import NAMES, document_of
from kumadp_dns.name_server_process import NameServer, bind

LOOPBACK = "127.0.0.1"
PATIENCE_S = 30.0
NOWHERE = Path("/nonexistent/resolv.conf")
OUTSIDE = "198.51.100.7"
"""What the upstream server answers for every name."""


@contextlib.asynccontextmanager
async def serving(
    names: Mapping[str, Sequence[str]] | None = NAMES,
    addresses: Sequence[str] = (LOOPBACK,),
    **options: Any,
) -> AsyncIterator[NameServer]:
    """On a free port, with these names applied, or none yet. Without upstream servers unless `resolv_conf`
    names some."""
    server = NameServer(bind(addresses, 0, exact=False), **{"resolv_conf": NOWHERE, **options})
    server.start()
    supervising = asyncio.create_task(server.supervise())
    try:
        if names is not None:
            await server.apply(document_of(names))
        yield server
    finally:
        supervising.cancel()
        await asyncio.wait([supervising])
        await server.close()
    assert supervising.cancelled(), supervising.exception()


class Upstream(asyncio.DatagramProtocol):
    """A DNS server that knows every name. `silent` ones keep the queries to themselves until `release`."""

    def __init__(self, silent: bool) -> None:
        self.asked: list[str] = []
        self._released = asyncio.Event()
        if not silent:
            self.release()
        self._answering: set[asyncio.Task[None]] = set()

    def release(self) -> None:
        self._released.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._answer(data, lambda reply: self._transport.sendto(reply, addr))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                self._answer(await reader.readexactly(size), lambda reply: writer.write(framed(reply)))
        writer.close()

    def _answer(self, data: bytes, send: Callable[[bytes], object]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name
        self.asked.append(name.to_text(omit_final_dot=True).lower())

        async def answer() -> None:
            await self._released.wait()
            response = dns.message.make_response(query)
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", OUTSIDE))
            send(response.to_wire())

        task = asyncio.create_task(answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)


@contextlib.asynccontextmanager
async def upstream(folder: Path, *, silent: bool = False) -> AsyncIterator[tuple[Upstream, dict[str, Any]]]:
    """With the options for `serving` that have queries forwarded to it."""
    loop = asyncio.get_running_loop()
    server = Upstream(silent)
    over_tcp = await asyncio.start_server(server.serve, LOOPBACK, 0)
    address = over_tcp.sockets[0].getsockname()
    over_udp, _ = await loop.create_datagram_endpoint(lambda: server, address)
    conf = folder / "resolv.conf"
    conf.write_text(f"nameserver {LOOPBACK}\n")
    try:
        yield server, {"resolv_conf": conf, "upstream_port": address[1]}
    finally:
        server.release()
        over_udp.close()
        over_tcp.close()


async def dig(port: int, *arguments: str, host: str = LOOPBACK) -> str:
    """What the real client says, tries over and all."""
    command = ["dig", f"@{host}", "-p", str(port), "+time=5", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode().strip()


def udp_client(port: int, host: str = LOOPBACK) -> socket.socket:
    """It takes answers from exactly where it asks."""
    client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(PATIENCE_S)
    client.connect((host, port))
    return client


def tcp_client(port: int, host: str = LOOPBACK) -> socket.socket:
    return socket.create_connection((host, port), PATIENCE_S)


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


def read_message(client: socket.socket) -> bytes:
    """One message of a TCP connection; b"" at its end."""
    head = _read(client, 2)
    return _read(client, int.from_bytes(head, "big")) if head else b""


def _read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            assert not data, "cut off"
            return b""
        data += more
    return data


async def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of the condition, while the loop goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while not (value := condition()):
            await asyncio.sleep(0.01)
        return value
