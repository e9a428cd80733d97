"""Loads a REST API over connections that are kept, as light as Python allows.

Run as `python rest_load.py PORT CONNECTIONS SECONDS`. On stdin comes one line of JSON for each connection: a
list of `[METHOD, PATH, BODY]` that it repeats, waiting for each answer. Every `@` in a body is another digit
every second time. On stdout goes one line, a list of the seconds that each request took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

HEADER_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answered: asyncio.Future[None]
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(ConnectionError("the server has closed the connection"))

    def exchange(self, request: bytes) -> asyncio.Future[None]:
        self._received.clear()
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(HEADER_END)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        _, _, length = head.partition(b"content-length: ")
        if len(self._received) < end + len(HEADER_END) + int(length.partition(b"\r\n")[0]):
            return
        if head.split(b" ", 2)[1] not in (b"200", b"201"):
            self._answered.set_exception(AssertionError(bytes(self._received[:1000]).decode()))
        else:
            self._answered.set_result(None)


def encoded(method: str, path: str, body: str) -> bytes:
    data = body.encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def repeat(port: int, requests: list[list[str]], until: float, times: list[float]) -> None:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    rounds = [
        [encoded(method, path, body.replace("@", digit)) for method, path, body in requests] for digit in "01"
    ]
    turn = 0
    while time.monotonic() < until:
        for request in rounds[turn]:
            begin = time.perf_counter()
            await connection.exchange(request)
            times.append(time.perf_counter() - begin)
        turn = 1 - turn
    connection.transport.close()


async def main(port: int, connections: int, seconds: float) -> None:
    lines = [json.loads(sys.stdin.readline()) for _ in range(connections)]
    times: list[float] = []
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for requests in lines:
            group.create_task(repeat(port, requests, until, times))
    print(json.dumps(times))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
