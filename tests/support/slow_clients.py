"""Clients that are in no hurry, in a process of their own. `python slow_clients.py WAY PORT CA COUNT LIMIT`

Prints a line of JSON when all are as far as they mean to go, and one when the server has ended all of them,
or after LIMIT seconds. What trickles comes at a byte per 0.5 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

from client_hello import client_hello
from h2_client import DeltaConnection

_PAUSE_S = 0.5
_HEADERS = b"POST /bootstrap HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 10_000
_BODY = b"PUT /meshes/default/secrets/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
_BOOTSTRAP_BODY = b"POST /bootstrap HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """One connection."""

    def __init__(self, way: str, port: int, ca: str) -> None:
        self._way, self._port, self._ca = way, port, ca

    async def begin(self) -> Callable[[], Awaitable[None]]:
        """As far as the way goes; what is given back waits for the end."""
        if self._way.startswith("h2-") and self._way != "h2-half-preface":
            return await self._begin_h2()
        reader, writer = await self._connect()
        if self._way == "h2-half-preface":
            writer.write(b"PRI * HTTP/2.0\r\n")
        if self._way == "keep-alive":
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        trickle = {
            "hello-trickle": client_hello(["h2"]),
            "headers-trickle": _HEADERS,
            "tls-headers-trickle": _HEADERS,
            "body-trickle": b"{" * 10_000,
            "tls-body-trickle": b"{" * 10_000,
        }.get(self._way, b"")
        if self._way.endswith("body-trickle"):
            writer.write(_BODY + b"{" if self._way == "body-trickle" else _BOOTSTRAP_BODY + b"{")
        return lambda: self._wait((reader, writer), trickle)

    async def _connect(self) -> Stream:
        if not self._way.startswith(("tls-", "h2-")):
            return await asyncio.open_connection("127.0.0.1", self._port)
        alpn = ["h2"] if "h2" in self._way else []
        return await asyncio.open_connection(
            "localhost", self._port, ssl=_context(self._ca, alpn), ssl_handshake_timeout=60
        )

    async def _begin_h2(self) -> Callable[[], Awaitable[None]]:
        connection = DeltaConnection(self._port, _context(self._ca, ["h2"]))
        if self._way == "h2-silence":
            await connection.connect()
        else:
            await connection.open(streams=4)
        if self._way == "h2-stream":
            return connection.keep

        async def silent() -> None:
            while not connection.ended:
                await connection.swallow()

        return silent

    async def _wait(self, stream: Stream, trickle: bytes) -> None:
        reader, writer = stream
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(_send(writer, trickle))
            try:
                while await reader.read(65_536):
                    pass
            except (ConnectionError, ssl.SSLError):
                pass
            sender.cancel()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    for start in range(len(data)):
        writer.write(data[start : start + 1])
        await asyncio.sleep(_PAUSE_S)


_CONTEXTS: dict[tuple[str, ...], ssl.SSLContext] = {}


def _context(ca: str, alpn: list[str]) -> ssl.SSLContext:
    if tuple(alpn) not in _CONTEXTS:
        context = ssl.create_default_context(cafile=ca)
        if alpn:
            context.set_alpn_protocols(alpn)
        _CONTEXTS[tuple(alpn)] = context
    return _CONTEXTS[tuple(alpn)]


def bootstrap(port: int, ca: Path) -> int:
    """The status that an agent without a token gets."""
    context = ssl.create_default_context(cafile=str(ca))
    request = urllib.request.Request(
        f"https://localhost:{port}/bootstrap", b'{"name":"a","mesh":"default"}', method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def main() -> None:
    way, port, ca, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    begun, waits, refused, gate = time.monotonic(), [], 0, asyncio.Semaphore(200)

    async def begin() -> None:
        nonlocal refused
        async with gate:
            try:
                waits.append(await Client(way, port, ca).begin())
            except (OSError, EOFError, ssl.SSLError):
                refused += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(begin())
    opened = time.monotonic() - begun
    print(json.dumps({"open": len(waits), "refused": refused, "seconds": round(opened, 1)}), flush=True)
    ended = refused

    async def end(wait: Callable[[], Awaitable[None]]) -> None:
        nonlocal ended
        await wait()
        ended += 1

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(float(sys.argv[5])), asyncio.TaskGroup() as group:
            for wait in waits:
                group.create_task(end(wait))
    print(json.dumps({"ended": ended, "seconds": round(time.monotonic() - begun, 1)}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
