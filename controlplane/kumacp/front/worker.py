"""The front's process: accepts, peeks at the ClientHello, splices gRPC, hands the rest back to the parent.

It ends no TLS and holds no key. It dies with its parent: by the kernel's death signal, and when the control
socket is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import secrets
import signal
import socket
from collections.abc import Sequence

from kumacp.front.clienthello import MAX_HELLO_BYTES, Route, classify
from kumacp.front.peer import socket_name
from kumacp.front.splice_relay import splice
from kumamesh.os_process import die_with_parent, raise_file_limit

HANDSHAKE_LIMIT_S = 10.0
"""From accept to a route and a dialled gRPC server; a client sends its hello at once."""
MAX_CONNECTIONS = 10_000
"""Ten times the proxies that one control plane is built for; each costs two descriptors and 4 KB here.
Further clients wait in the listen backlog."""
ACCEPT_BATCH = 64
"""Connections accepted at a time, so that a storm of new ones does not hold up the old."""
SILENCE_S = 1.0
"""When no more connections may be open, those that have said nothing for so long make room for others."""
DRAIN_S = 1.0
"""How long the last bytes may take after the parent has closed the control socket."""

_RESERVED_FILES = 64
_FILES_PER_CONNECTION = 2
_RETRY_S = 0.05
_NOT_YET = (FileNotFoundError, ConnectionRefusedError, BlockingIOError)
"""The gRPC server is still starting, or its backlog is full: a Unix socket does not queue callers."""


class FrontWorker:
    """All connections of the port until they are spliced or handed over."""

    def __init__(self, listener: socket.socket, control: socket.socket, grpc_path: str, limit: int) -> None:
        self._listener = listener
        self._control = control
        self._grpc_path = grpc_path
        self._limit = limit
        self._open = 0
        self._unheard: dict[socket.socket, float] = {}  # accepted when; the oldest first
        self._accepting = False
        self._numbers = itertools.count(secrets.randbits(32))
        self._handing_over = asyncio.Lock()
        self._idle = asyncio.Event()

    async def run(self) -> None:
        """Until the parent closes the control socket."""
        async with asyncio.TaskGroup() as self._admissions:
            self._accept_more()
            while await _receive(self._control):
                pass
            self._accept_no_more()
            self._listener.close()
            await self._drained()
            raise SystemExit(0)

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                while self._open:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            pass

    def _accept_more(self) -> None:
        if not self._accepting and self._listener.fileno() >= 0:
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept_no_more(self) -> None:
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        for _ in range(ACCEPT_BATCH):
            if self._open >= self._limit:
                self._accept_no_more()
                self._make_room()
                return
            try:
                client, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors or memory: pause instead of spinning on a ready socket
                self._accept_no_more()
                asyncio.get_running_loop().call_later(1.0, self._accept_more)
                return
            client.setblocking(False)
            self._open += 1
            self._admissions.create_task(self._admit(client, address[0], address[1]))

    def _make_room(self) -> None:
        """Whoever holds connections open and sends nothing must not keep everybody else out."""
        loop = asyncio.get_running_loop()
        oldest = list(itertools.islice(self._unheard.items(), ACCEPT_BATCH))
        for client, since in oldest:
            if loop.time() - since < SILENCE_S:
                loop.call_at(since + SILENCE_S, self._accept_more)
                return
            del self._unheard[client]
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _ended(self) -> None:
        self._open -= 1
        self._idle.set()
        self._accept_more()

    async def _admit(self, client: socket.socket, host: str, port: int) -> None:
        server: socket.socket | None = None
        try:
            async with asyncio.timeout(HANDSHAKE_LIMIT_S):
                route = await self._heard(client)
                if route is Route.GRPC:
                    server = await self._dial(host, port)
                elif route is Route.HTTP:
                    await self._hand_over(client)
        except (OSError, TimeoutError):
            pass  # the client is gone, too slow or not served: nobody is left to tell
        if server is None:
            client.close()
            self._ended()
        else:
            await splice(client, server, self._ended)

    async def _heard(self, client: socket.socket) -> Route:
        self._unheard[client] = asyncio.get_running_loop().time()
        try:
            return await _route(client)
        finally:
            self._unheard.pop(client, None)

    async def _dial(self, host: str, port: int) -> socket.socket:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.setblocking(False)
            server.bind(b"\0" + socket_name(os.getpid(), next(self._numbers), host, port))
            while True:
                try:
                    server.connect(self._grpc_path)
                    return server
                except _NOT_YET:
                    await asyncio.sleep(_RETRY_S)
        except BaseException:
            server.close()
            raise

    async def _hand_over(self, client: socket.socket) -> None:
        async with self._handing_over:
            while True:
                try:
                    socket.send_fds(self._control, [b"h"], [client.fileno()])
                    return
                except BlockingIOError:
                    await _ready(self._control, write=True)


async def _route(client: socket.socket) -> Route:
    """Peeks until the hello is complete; the kernel wakes us only when enough bytes are there."""
    awaited = 0
    while True:
        try:
            data = client.recv(MAX_HELLO_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            await _ready(client)
            continue
        answer = classify(data)
        if isinstance(answer, Route):
            if awaited:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            return answer
        if not data or len(data) < awaited:  # readable without what was waited for: the client has closed
            return Route.DROP
        awaited = answer.total
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, awaited)
        await _ready(client)


async def _receive(control: socket.socket) -> bytes:
    while True:
        try:
            return control.recv(64)
        except BlockingIOError:
            await _ready(control)
        except OSError:
            return b""


async def _ready(sock: socket.socket, *, write: bool = False) -> None:
    """Until the socket can be read (or written)."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(sock, wake)
    try:
        await ready
    finally:
        remove(sock)


async def _serve(listen_fd: int, control_fd: int, grpc_path: str, limit: int) -> None:
    listener, control = socket.socket(fileno=listen_fd), socket.socket(fileno=control_fd)
    listener.setblocking(False)
    control.setblocking(False)
    await FrontWorker(listener, control, grpc_path, limit).run()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kumacp.front.worker")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--grpc-path", required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args(arguments)
    die_with_parent(options.parent)
    # The parent leaves in its own time: a signal for the whole group must not cut it off from its clients.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    files = raise_file_limit()
    limit = min(MAX_CONNECTIONS, (files - _RESERVED_FILES) // _FILES_PER_CONNECTION)
    gc.freeze()
    asyncio.run(_serve(options.listen_fd, options.control_fd, options.grpc_path, max(1, limit)))


if __name__ == "__main__":
    main()
