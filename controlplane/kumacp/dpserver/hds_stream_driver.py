"""One proxy's health discovery stream: what to check goes out, reports come in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from kumacp.dpserver.clock import Clock
from kumacp.dpserver.hds_wire import decode_report, encode_specifier
from kumacp.dpserver.health import Checks, HealthSettings, Report, Vantage, checks
from kumacp.dpserver.node import ProxyNode
from kumacp.dpserver.refusal import Refused
from kumacp.dpserver.stats import DpServerStats
from kumacp.dpserver.stream_driver import abort
from kumacp.dpserver.timer_driver import wait_until
from kumamesh.resource import Resource


class HealthStream:
    """`on_report` is awaited before the next message is read: a proxy that reports faster than can be written
    waits. A report that repeats the last one about an unchanged Dataplane is not even decoded."""

    def __init__(
        self,
        node: ProxyNode,
        at: Vantage,
        settings: HealthSettings,
        *,
        clock: Clock,
        stats: DpServerStats,
        on_report: Callable[[HealthStream, Report], Awaitable[None]],
    ) -> None:
        self.node = node
        self.at = at
        self.refusal: Refused | None = None
        self._settings = settings
        self._clock = clock
        self._stats = stats
        self._on_report = on_report
        self._dataplane: Resource | None = None
        self._judged: tuple[bytes, Resource | None] = (b"", None)
        self._wanted: Checks | None = None
        self._told = False
        self._read_all = False
        self._wake = asyncio.Event()

    def begin(self, dataplane: Resource) -> None:
        """The Dataplane as it was read. What `update` has said meanwhile is newer."""
        if not self._told:
            self.update(dataplane)

    def update(self, dataplane: Resource | None) -> None:
        """The Dataplane as it is stored now. While it is deleted, the proxy checks what it did before."""
        self._told = True
        self._dataplane = dataplane
        if dataplane is not None:
            self._wanted = checks(dataplane.spec, self.at, self._settings)
            self._wake.set()

    def end(self, refusal: Refused) -> None:
        if self.refusal is None:
            self.refusal = refusal
            self._wake.set()

    async def serve(self, context: Any) -> None:
        """Until the proxy leaves or `end` is called."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(context))
            try:
                await self._write(context)
            except grpc.aio.BaseError:
                return  # the connection is broken
            if self.refusal is not None:
                await abort(context, self.refusal, self._stats)

    async def _write(self, context: Any) -> None:
        sent: Checks | None = None
        not_before = self._clock.monotonic()
        while not self._read_all and self.refusal is None:
            due = self._wanted is not None and self._wanted != sent
            if due and self._clock.monotonic() >= not_before:
                assert self._wanted is not None
                sent = self._wanted
                not_before = self._clock.monotonic() + self._settings.pause
                self._stats.hds_specifiers += 1
                await context.write(encode_specifier(sent))
            else:
                await wait_until(not_before if due else None, self._clock.monotonic, self._wake)

    async def _read(self, context: Any) -> None:
        try:
            while (data := await context.read()) is not grpc.aio.EOF:
                self._stats.hds_reports += 1
                await self._take(data)
        except Refused as refusal:
            self.end(refusal)
        except grpc.aio.BaseError:
            return  # the writer has ended the stream, or the connection is broken
        self._read_all = True
        self._wake.set()

    async def _take(self, data: bytes) -> None:
        dataplane = self._dataplane
        last, of = self._judged
        if data == last and dataplane is of:
            return
        report = decode_report(data, self.node.id)
        if report is not None:
            await self._on_report(self, report)
            self._judged = data, dataplane
