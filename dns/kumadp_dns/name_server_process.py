"""The agent's side of the name server: makes its tables, keeps its sockets, replaces a worker that ended."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kumadp_dns.figures import Snapshot, decode, merge
from kumadp_dns.serving import control, restart
from kumadp_dns.serving.sockets_server import Sockets, bind
from kumadp_dns.serving.worker_process import WorkerProcess
from kumamesh.errors import UserError

if TYPE_CHECKING:
    from kumadp_dns.answers.document import Document
    from kumadp_dns.answers.table import Refused, Table

__all__ = ["Applied", "Limits", "NameServer", "Sockets", "bind"]

RESOLV_CONF = Path("/etc/resolv.conf")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What it allows its clients."""

    tcp_connections: int = 1_024
    tcp_idle_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Applied:
    """A table that answers. `refused` are the first of the `refusals` entries that are not used."""

    names: int
    refused: tuple[Refused, ...]
    refusals: int


@dataclass(frozen=True, slots=True)
class _Held:
    """The last table, for workers to come."""

    serial: int
    taken_at: float
    file: int


class NameServer:
    """Takes over the sockets. `start` it on the main thread; `supervise` must run there until `close`."""

    def __init__(
        self,
        sockets: Sockets,
        *,
        resolv_conf: Path = RESOLV_CONF,
        upstream_port: int = 53,
        batched: bool = True,
        limits: Limits = Limits(),
    ) -> None:
        """`upstream_port` is that of the servers in resolv.conf. Without `batched` no use is made of
        recvmmsg and sendmmsg, as on systems that have none."""
        self.loaded = asyncio.Event()
        """Names are answered from a first table."""
        self._sockets = sockets
        self._resolv_conf, self._upstream_port = resolv_conf, upstream_port
        self._batched, self._limits = batched, limits
        self._process: WorkerProcess | None = None
        self._down_since: float | None = None
        self._ends: deque[float] = deque(maxlen=16)
        self._applying = asyncio.Lock()
        self._table: _Held | None = None
        self._serials = itertools.count(1)
        self._settled: asyncio.Future[None] | None = None
        self._before, self._running = Snapshot(), Snapshot()

    @property
    def port(self) -> int:
        return self._sockets.port

    @property
    def addresses(self) -> tuple[str, ...]:
        """That it listens on."""
        return self._sockets.addresses

    @property
    def pid(self) -> int | None:
        """Of the child process that forks workers."""
        return self._process.pid if self._process else None

    @property
    def worker(self) -> int | None:
        """Process id of the worker, None while there is none that answers."""
        return self._process.worker if self._process else None

    def start(self) -> None:
        """Raises OSError."""
        table = self._table
        if not self._process:
            self._process = WorkerProcess()
        start = control.Start(
            resolv_conf=str(self._resolv_conf),
            upstream_port=self._upstream_port,
            batched=self._batched,
            tcp_limit=self._limits.tcp_connections,
            tcp_idle_s=self._limits.tcp_idle_s,
            serial=table.serial if table else 0,
            taken_at=table.taken_at if table else 0.0,
        )
        files = [sock.fileno() for sock in self._sockets.all]
        self._process.send(start, [*files, *([table.file] if table else [])])

    async def supervise(self) -> None:
        """Replaces the worker whenever it has ended. Runs until it is cancelled."""
        while True:
            reason = await self._end()
            now = time.monotonic()
            self._down_since = self._down_since or now
            self._ends.append(now)
            pause = restart.pause(self._ends, now)
            if pause:
                log.warning("the name server keeps ending (%s); it is started in %.1f s", reason, pause)
                await asyncio.sleep(pause)
            try:
                self.start()
            except OSError as error:
                log.warning("the name server cannot be started: %s", error.strerror or error)
            if not pause:
                log.warning("the name server has ended (%s) and was started again", reason)

    async def apply(self, document: Document) -> Applied:
        """Returns when all answers come from this document's names. Raises UserError when they cannot."""
        async with self._applying:
            taken_at = time.monotonic()
            table, file = await asyncio.to_thread(_made, document)
            held = _Held(next(self._serials), taken_at, file)
            stale, self._table = self._table, held
            self._settled = asyncio.get_running_loop().create_future()
            if self._process:
                self._process.send(control.NewTable(held.serial, held.taken_at), [held.file])
            try:
                await self._settled
            except UserError:
                stale, self._table = held, stale
                raise
            finally:
                if stale:
                    os.close(stale.file)
            self.loaded.set()
            return Applied(table.names, table.refused, table.refusals)

    def figures(self) -> Snapshot:
        """What all workers have told until now; they tell once a second."""
        return merge(self._before, self._running)

    async def close(self) -> None:
        """The last that happens: from now on nobody answers."""
        if self._process:
            await self._process.stop()
            self._process = None
        self._sockets.close()
        if self._table:
            os.close(self._table.file)
            self._table = None

    async def _end(self) -> str:
        """Of the worker, and why."""
        if not self._process:
            return "it was not started"
        reason = await self._process.ended(self._hear)
        if not self._process.is_alive():
            self._process.close()
            self._process = None
        self._before, self._running = merge(self._before, self._running), Snapshot()
        return reason

    def _hear(self, frame: control.Frame) -> None:
        match frame:
            case control.Told(figures):
                self._running = decode(figures)
            case control.Line(level, text):
                log.log(_LEVELS.get(level, logging.INFO), "%s", text)
            case control.Applied(serial):
                self._settle(serial, None)
            case control.Unusable(serial, reason):
                self._settle(serial, UserError(f"the name server cannot use its new names: {reason}"))
            case control.Serving() if self._down_since is not None:
                gap_ms = round((time.monotonic() - self._down_since) * 1_000)
                self._down_since = None
                log.info("names are answered again", extra={"after_ms": gap_ms})

    def _settle(self, serial: int, problem: UserError | None) -> None:
        settled, held = self._settled, self._table
        if settled and held and held.serial == serial and not settled.done():
            settled.set_exception(problem) if problem else settled.set_result(None)


def _made(document: Document) -> tuple[Table, int]:
    """The table, and a file in memory that holds it and cannot be changed. In a thread: 100,000 names take a
    second."""
    from kumadp_dns.answers.build import build
    from kumadp_dns.answers.table import dump

    table = build(document)
    with contextlib.ExitStack() as opened:
        file = os.memfd_create("kuma-dp names", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        opened.callback(os.close, file)
        with open(file, "wb", closefd=False) as memory:
            memory.write(dump(table))
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        opened.pop_all()
        return table, file
