"""The parent's side of the front: binds the port, starts the process, takes over HTTP, notices death."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from kumacp.listen_server import listen
from kumamesh.errors import UserError
from kumamesh.os_process import raise_file_limit

STOP_S = 5.0
"""How long the process may take to end after it was told."""
PORT_VARIABLE = "KUMA_DP_SERVER_PORT"
FILES_PER_PROXY = 3
"""In the process that needs most, the front: two for the splice, and the connection for its bootstrap."""
ENOUGH_FILES = 1_000 * FILES_PER_PROXY

log = logging.getLogger(__name__)

Handover = Callable[[socket.socket], None]
"""Takes over an accepted, untouched, non-blocking TCP socket of a client that speaks HTTP over TLS."""


class FrontProcess:
    """Made by `start` on the main thread: the process is killed when the thread that made it ends."""

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket, port: int, http_handover: Handover
    ) -> None:
        self.port = port
        self._process = process
        self._control = control
        self._http_handover = http_handover
        self._stopping = False
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(control, self._receive)

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    def start(
        cls, listen_address: str, port: int, grpc_socket_path: str | Path, http_handover: Handover
    ) -> FrontProcess:
        """Listen and start the process; clients may connect from now on, port 0 takes a free one. Raises
        UserError when the port cannot be had."""
        files = raise_file_limit()  # the gRPC server holds the other end of every splice
        if files < ENOUGH_FILES:
            log.warning(
                "only %d files may be open at once, which is enough for about %d proxies; raise the limit"
                " (ulimit -n, or LimitNOFILE of systemd)",
                files,
                files // FILES_PER_PROXY,
            )
        listener = listen(listen_address, port, port_variable=PORT_VARIABLE)
        control, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        try:
            process = _spawn(listener, remote, str(grpc_socket_path))
            return cls(process, control, listener.getsockname()[1], http_handover)
        finally:
            listener.close()
            remote.close()

    async def wait(self) -> None:
        """Until `stop`; raises UserError when the process has ended by itself."""
        code = await asyncio.shield(self._ended)
        if not self._stopping:
            raise UserError(
                f"the process in front of port {self.port} has ended ({_reason(code)}); no proxy can connect"
                " any more: restart kuma-cp"
            )

    async def stop(self) -> None:
        """Stop listening, let the last bytes out, end the process."""
        self._stopping = True
        if not self._ended.done():
            self._control.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.shield(self._ended)
        except TimeoutError:
            self._process.kill()
            await self._ended

    def _receive(self) -> None:
        while True:
            try:
                message, files, _, _ = socket.recv_fds(self._control, 64, 16, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                message, files = b"", []
            if not message:
                self._end()
                return
            for file in files:
                client = socket.socket(fileno=file)
                client.setblocking(False)
                self._http_handover(client)

    def _end(self) -> None:
        """The process has closed its end, as its last act or by its death."""
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        try:
            code = self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._ended.set_result(code)


def _spawn(listener: socket.socket, remote: socket.socket, grpc_path: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "kumacp.front.worker"]
    command += ["--listen-fd", str(listener.fileno()), "--control-fd", str(remote.fileno())]
    command += ["--grpc-path", grpc_path, "--parent", str(os.getpid())]
    return subprocess.Popen(
        command,
        pass_fds=(listener.fileno(), remote.fileno()),
        stdin=subprocess.DEVNULL,
        # A Ctrl-C at the terminal is for the parent, which ends this process in order.
        start_new_session=True,
        # glibc gives every thread an arena of its own; one loop needs no more than two.
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
    )


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
