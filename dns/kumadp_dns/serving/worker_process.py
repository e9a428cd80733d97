"""The worker from its start to its end, as the agent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

from kumadp_dns.serving import control, restart
from kumamesh.errors import one_line

STOP_S = 1.0
"""How long it may take to end after it was told."""
LOOK_S = 2.0
"""How often it is looked at whether the worker has said anything."""

_ENTRY = (
    "import gc,sys;"
    "gc.disable();"  # until it serves: nothing that is made before is ever given back
    "sys.path+=[p for p in sys.argv[1:] if p not in sys.path];"
    "from kumadp_dns.serving.worker import main;main()"
)
_BARE = ("-I", "-S", "-c", _ENTRY)
"""Nothing but the standard library is looked for at the start, which makes it three times as quick."""
_INHERITED = ("LD_LIBRARY_PATH",)
"""Of the environment; the agent's may hold a token."""
_LAST_WORDS_BYTES = 4_096

Hear = Callable[[control.Frame], None]


class WorkerProcess:
    """The process that forks workers, and its worker. Make it on the main thread: the kernel kills both when
    the thread that made it ends."""

    def __init__(self) -> None:
        """Raises OSError."""
        self.worker: int | None = None
        """Process id, while it serves."""
        self._over = asyncio.Event()
        self._patience = restart.Patience()
        self._hangs = False
        self._code: int | None = None
        self._words_heard = 0
        with contextlib.ExitStack() as opened:
            self._control, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.enter_context(self._control)
            self._control.setblocking(False)
            self._words = os.memfd_create("kuma-dp name server", os.MFD_CLOEXEC)
            opened.callback(os.close, self._words)
            with remote:
                self._process = _spawned(remote, self._words)
            self._pidfd = os.pidfd_open(self._process.pid)
            opened.callback(os.close, self._pidfd)
            self._opened = opened.pop_all()

    @property
    def pid(self) -> int:
        """Of the process that forks workers."""
        return self._process.pid

    def send(self, frame: control.Frame, files: Sequence[int] = ()) -> None:
        """A worker that has ended hears nothing: the next one is told all it must know at its start."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._control, [control.encode(frame)], files)

    async def ended(self, hear: Hear) -> str:
        """Pass on what the worker says until it has ended; why it has."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._control, self._receive, hear)
        loop.add_reader(self._pidfd, self._over.set)
        try:
            await self._until_over()
        finally:
            loop.remove_reader(self._pidfd)
            loop.remove_reader(self._control)
        self._over.clear()
        self.worker = None
        code, self._code = self._code, None
        return self._reason(self._process.wait() if code is None else code)

    def is_alive(self) -> bool:
        """Whether another worker can be had from it."""
        return self._process.poll() is None

    async def stop(self) -> None:
        """Have all end, give everything back."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._pidfd, gone.set)
        try:
            async with asyncio.timeout(STOP_S):
                await gone.wait()
        except TimeoutError:
            self._process.kill()  # and the kernel its worker
        finally:
            loop.remove_reader(self._pidfd)
        self.close()

    def close(self) -> None:
        """Of a process that has ended, or is ending."""
        self._process.wait()
        self._opened.close()

    async def _until_over(self) -> None:
        """A worker that hangs is ended by the end of the process that it dies with, which may hang itself."""
        while not self._over.is_set():
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._over.wait()
            except TimeoutError:
                if self.worker and self._patience.look():
                    self._hangs = True
                    self._process.kill()

    def _receive(self, hear: Hear) -> None:
        try:
            data = self._control.recv(control.MAX_FRAME_BYTES)
            frame = control.decode(data)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            # Its end is next, if this is not the effect of it.
            asyncio.get_running_loop().remove_reader(self._control)
            self._process.kill()
            return
        self._patience.heard()
        match frame:
            case control.Ended(code):
                self._code = code
                self._over.set()
            case control.Serving(pid):
                self.worker = pid
        hear(frame)

    def _reason(self, code: int) -> str:
        if self._hangs:
            return f"it hung: nothing was heard of it for {LOOK_S * restart.LOOKS:.0f} s"
        if code < 0:
            return f"signal {-code}"
        size = os.fstat(self._words).st_size
        begin, self._words_heard = max(self._words_heard, size - _LAST_WORDS_BYTES), size
        words = os.pread(self._words, size - begin, begin).decode("utf-8", "replace")
        last = one_line(words.rstrip().rpartition("\n")[2])
        return f"exit code {code}" + (f": {last}" if last else "")


def _spawned(remote: socket.socket, words: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *_BARE, *filter(os.path.isabs, sys.path)],
        stdin=remote.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=words,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        process_group=0,  # a Ctrl-C at the terminal is for the agent, which closes the names last
    )
