"""The process that answers: all of the name server but the table's making and its own repair.

It is forked from one that has everything imported and does nothing else: a new one answers after 15 ms
instead of 60, for 3 MB. Standard input of both is the socket to the agent, through which all the rest comes.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import signal
import socket
import time
from collections.abc import Generator, Sequence
from typing import NoReturn

from kumadp_dns.answers import table
from kumadp_dns.figures import Figures, encode
from kumadp_dns.forwarding.resolv_conf import ResolvConf
from kumadp_dns.forwarding.resolv_conf_disk import ResolvConfWatch
from kumadp_dns.forwarding.upstreams_client import Upstreams
from kumadp_dns.serving import control, udp_server
from kumadp_dns.serving.loop_worker import EpollLoop
from kumadp_dns.serving.resolver import Resolver
from kumadp_dns.serving.tcp_server import Limits, TcpServer
from kumamesh.errors import one_line
from kumamesh.line_budget import LineBudget
from kumamesh.os_process import die_with_parent, raise_file_limit

with contextlib.suppress(ImportError):  # an interpreter without ctypes
    import kumadp_dns.serving.batched_server  # noqa: F401 - here, and not by every worker

TELL_S = 1.0
"""How often the agent is told what has been counted. One that says nothing is taken to hang."""

_RESERVED_FILES = 256
"""For upstream servers, and for what is always open."""
_MAX_LINE_CHARS = 2_000


class Worker:
    """Serves until the agent closes its end, or is gone."""

    def __init__(self, agent: socket.socket, start: control.Start, sockets: Sequence[socket.socket]) -> None:
        self._agent = agent
        self._start = start
        self._lines = LineBudget()
        self._unsaid: control.Frame | None = None
        self._loading: Generator[None, None, None] | None = None
        self._loop = EpollLoop(self._bug)
        self._figures = Figures()
        watch = ResolvConfWatch(
            self._loop,
            start.resolv_conf,
            self._use_servers,
            self._note,
            port=start.upstream_port,
        )
        own = [sock.getsockname()[:2] for sock in sockets]
        self._upstreams = Upstreams(self._loop, self._figures, watch.conf, own, self._note)
        self._resolver = Resolver(self._figures, self._upstreams, time.monotonic)
        self._sockets = sockets

    def run(self, file: int | None) -> None:
        """`file` holds the table to begin with: nothing is answered before it is loaded, since what waits in
        the sockets was asked when there was one."""
        if file is not None:
            for _ in self._steps(control.NewTable(self._start.serial, self._start.taken_at), file):
                pass
        tcp = TcpServer(self._loop, self._resolver, self._limits())
        for sock in self._sockets:
            if sock.type == socket.SOCK_STREAM:
                tcp.serve(sock)
            else:
                read = udp_server.reader(sock, self._resolver, self._figures, self._start.batched)
                self._loop.watch(sock, read)
        self._agent.setblocking(False)
        self._loop.watch(self._agent, self._hear)
        gc.enable()
        self._say(control.Serving(os.getpid()))
        self._tell()
        self._loop.run()

    def _use_servers(self, conf: ResolvConf) -> None:
        self._upstreams.use(conf)

    def _limits(self) -> Limits:
        connections = min(self._start.tcp_limit, max(1, raise_file_limit() - _RESERVED_FILES))
        return Limits(connections, self._start.tcp_idle_s)

    def _hear(self) -> None:
        try:
            frame, files = _receive(self._agent)
        except BlockingIOError:
            return
        except OSError:
            frame, files = None, []
        match frame:
            case control.NewTable() if files:
                self._load(frame, files.pop())
            case _:  # also for want of a descriptor: the next worker begins with that table
                self._loop.stop()

    def _load(self, frame: control.NewTable, file: int) -> None:
        """Begin to take it up, instead of one that is still being taken up."""
        if self._loading:
            self._loading.close()
        self._loading = self._steps(frame, file)
        self._loop.call_at(self._loop.now(), self._load_more)

    def _load_more(self) -> None:
        """One piece; what has been asked meanwhile is answered before the next."""
        if self._loading:
            try:
                next(self._loading)
            except StopIteration:
                self._loading = None
            else:
                self._loop.call_at(self._loop.now(), self._load_more)

    def _steps(self, frame: control.NewTable, file: int) -> Generator[None, None, None]:
        try:
            loaded = yield from table.load(memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_READ)))
        except (ValueError, OSError) as error:
            self._say(control.Unusable(frame.serial, one_line(str(error))))
            return
        finally:
            os.close(file)
        self._resolver.use(loaded, frame.taken_at)
        self._say(control.Applied(frame.serial))

    def _tell(self) -> None:
        self._say(control.Told(encode(self._figures.snapshot())))
        self._loop.call_at(self._loop.now() + TELL_S, self._tell)

    def _note(self, kind: str, text: str, level: str = "info") -> None:
        """A line for the agent's log, unless there were too many of this kind."""
        line = self._lines.admit(kind, text, self._loop.now())
        if line is not None:
            self._say(control.Line(level, line[:_MAX_LINE_CHARS]))

    def _bug(self, error: Exception) -> None:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = (
            f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
        )
        kind = f"{type(error).__name__}{place}"
        text = f"a fault of the name server, please report it: {kind}: {one_line(str(error))}"
        self._note(kind, text, "warning")

    def _say(self, frame: control.Frame) -> None:
        """What the agent does not read in time is dropped, but not what it waits for."""
        try:
            self._agent.send(control.encode(frame))
        except BlockingIOError:
            if isinstance(frame, control.Applied | control.Unusable):
                self._unsaid = frame
                self._loop.watch(self._agent, self._hear, self._say_again)
        except OSError:
            self._loop.stop()  # the agent is gone

    def _say_again(self) -> None:
        self._loop.watch(self._agent, self._hear)
        unsaid, self._unsaid = self._unsaid, None
        if unsaid:
            self._say(unsaid)


def main() -> None:
    """Makes workers, one after the other, whenever the agent wants one."""
    # The agent ends all this in its own time: a signal for the whole group must not silence the names first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _die_with(os.getppid())
    gc.freeze()  # what is never looked at stays shared with the workers
    agent = socket.socket(fileno=0)
    while True:
        agent.setblocking(True)  # which the last worker has changed for both
        frame, files = _receive(agent)
        if frame is None:
            return
        own = os.getpid()
        worker = os.fork() if isinstance(frame, control.Start) else None
        if worker == 0:
            assert isinstance(frame, control.Start)
            _work(own, agent, frame, files)
        for file in files:
            os.close(file)
        if worker:
            _, status = os.waitpid(worker, 0)
            agent.send(control.encode(control.Ended(os.waitstatus_to_exitcode(status))))


def _work(parent: int, agent: socket.socket, start: control.Start, files: list[int]) -> NoReturn:
    _die_with(parent)
    table_file = files.pop() if start.serial else None
    Worker(agent, start, [socket.socket(fileno=file) for file in files]).run(table_file)
    os._exit(0)


def _die_with(parent: int) -> None:
    with contextlib.suppress(ImportError):  # without ctypes it ends when the agent's end is closed, too
        die_with_parent(parent)


def _receive(agent: socket.socket) -> tuple[control.Frame | None, list[int]]:
    """The next frame, and the descriptors beside it; None at the end."""
    data, files, _, _ = socket.recv_fds(
        agent, control.MAX_FRAME_BYTES, control.MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    return (control.decode(data) if data else None), files
