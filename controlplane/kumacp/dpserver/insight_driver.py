"""Writes the insights of connected proxies: at once when it matters, else every interval if they changed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from kumacp.dpserver.clock import Clock
from kumacp.dpserver.insight import (
    Certificate,
    Observation,
    all_ended,
    insight_key,
    proxy_version,
    traffic,
    updated,
    without_mtls,
)
from kumacp.dpserver.node import presentable
from kumacp.dpserver.stats import DpServerStats
from kumacp.dpserver.stream_driver import ProxyStream
from kumacp.store.api import Conflict, NotFound, Store, StoreUnavailable
from kumamesh.resource import Resource, ResourceKey

log = logging.getLogger(__name__)

_WRITERS = 4
_ATTEMPTS = 5


@dataclass(slots=True, eq=False)
class _Book:
    """What is known of one stream, and what of it was written last. `missing`: that is gone again, perhaps
    while it was being written."""

    stream: ProxyStream
    seen: Observation
    written: Observation | None = None
    busy: bool = False
    missing: bool = False


class InsightDriver:
    """Books of streams by subscription id."""

    def __init__(
        self, store: Store, *, control_plane_id: str, interval_s: float, clock: Clock, stats: DpServerStats
    ) -> None:
        self._store = store
        self._control_plane_id = control_plane_id
        self._interval_s = interval_s
        self._clock = clock
        self._stats = stats
        self._books: dict[str, _Book] = {}
        self._urgent: dict[str, None] = {}
        self._without_mtls: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._switched_off = asyncio.Event()
        self._all_closed = asyncio.Event()

    def open(self, stream: ProxyStream, token: str, *, mtls: bool) -> None:
        """A stream began; its insight is written at once. The token is kept out of the metadata; `mtls` says
        whether the mesh has it."""
        metadata = presentable(stream.node.metadata, token)
        seen = Observation(
            subscription_id=stream.subscription_id,
            control_plane_id=self._control_plane_id,
            connect_time=self._clock.utc(),
            version=proxy_version(metadata),
            metadata=metadata,
            inherits_mtls=mtls,
        )
        self._books[stream.subscription_id] = _Book(stream, seen)
        self._all_closed.clear()
        self.flush(stream.subscription_id)

    def flush(self, subscription_id: str) -> None:
        """Write what is known now."""
        if subscription_id in self._books:
            self._urgent[subscription_id] = None
            self._wake.set()

    def rewrite(self, subscription_id: str) -> None:
        """The stored insight is gone, though the stream is there."""
        book = self._books.get(subscription_id)
        if book is not None:
            book.missing = True
            self.flush(subscription_id)

    def certificate_accepted(self, subscription_id: str, certificate: Certificate) -> None:
        book = self._books.get(subscription_id)
        if book is not None:
            book.seen = replace(book.seen, certificate=certificate)
            self.flush(subscription_id)

    def mtls_switched_off(self, mesh: str) -> None:
        """No proxy of the mesh has a certificate any more, connected or not."""
        for subscription_id, book in self._books.items():
            if book.stream.node.key.mesh == mesh:
                book.stream.expect_certificate(None)
                book.seen = replace(book.seen, certificate=None, inherits_mtls=False)
                self.flush(subscription_id)
        self._without_mtls[mesh] = None
        self._switched_off.set()

    def close(self, subscription_id: str) -> None:
        """The stream is over."""
        book = self._books.get(subscription_id)
        if book is not None:
            book.seen = replace(book.seen, disconnect_time=self._clock.utc())
            self.flush(subscription_id)

    async def drained(self) -> None:
        """Wait until all streams are over, and that is written."""
        if self._books:
            await self._all_closed.wait()

    async def finish(self, proxy: ResourceKey) -> None:
        """Close what a control plane that is no more left open in the insight of a proxy."""
        stored = await self._find(insight_key(proxy))
        if stored is not None and stored.spec.online:
            await self._replace(replace(stored, spec=all_ended(stored.spec, self._clock.utc())))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._withdraw())
            for _ in range(_WRITERS):
                group.create_task(self._write_urgent())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            for subscription_id, book in self._books.items():
                if _observe(book) != book.written:
                    self.flush(subscription_id)

    async def _withdraw(self) -> None:
        """Take mTLS out of the insights of proxies that are not connected."""
        while True:
            await self._switched_off.wait()
            self._switched_off.clear()
            while self._without_mtls:
                mesh, _ = self._without_mtls.popitem()
                try:
                    await self._withdraw_from(mesh)
                except StoreUnavailable as error:
                    log.error("mTLS was not taken out of the insights of %s, trying again: %s", mesh, error)
                    self._without_mtls[mesh] = None
                    await asyncio.sleep(self._interval_s)

    async def _withdraw_from(self, mesh: str) -> None:
        connected = {insight_key(book.stream.node.key) for book in self._books.values()}
        for stored in await self._store.list("DataplaneInsight", mesh):
            if stored.spec.m_tls is not None and stored.key not in connected:
                await self._replace(replace(stored, spec=without_mtls(stored.spec)))

    async def _write_urgent(self) -> None:
        while True:
            book = self._next()
            if book is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._write(book)
            except StoreUnavailable as error:
                log.error("the insight of %s was not written: %s", book.stream.node.id, error)
            book.busy = False
            self._wake.set()
            if book.written is not None and book.written.disconnect_time is not None:
                self._forget(book)

    def _next(self) -> _Book | None:
        for subscription_id in self._urgent:
            book = self._books[subscription_id]
            if not book.busy:
                del self._urgent[subscription_id]
                book.busy = True
                return book
        return None

    async def _write(self, book: _Book) -> None:
        seen = _observe(book)
        if book.missing:
            book.written, book.missing = None, False
        if seen == book.written:
            return
        proxy = book.stream.node.key
        key = insight_key(proxy)
        for _ in range(_ATTEMPTS):
            stored = await self._find(key)
            spec = updated(stored.spec if stored else None, proxy.type, seen, self._clock.utc())
            try:
                if stored is None:
                    await self._store.create(Resource(key, spec), owner=proxy)
                else:
                    await self._store.update(replace(stored, spec=spec))
            except Conflict:
                continue
            except NotFound:
                pass  # the proxy was removed, and its insight with it
            else:
                self._stats.insight_writes += 1
            book.written = seen
            return

    def _forget(self, book: _Book) -> None:
        self._books.pop(book.stream.subscription_id, None)
        self._urgent.pop(book.stream.subscription_id, None)
        if not self._books:
            self._all_closed.set()

    async def _replace(self, insight: Resource) -> None:
        try:
            await self._store.update(insight)
        except (Conflict, NotFound):
            return  # somebody knows better
        except StoreUnavailable as error:
            log.error("the insight of %s.%s was not written: %s", insight.mesh, insight.name, error)

    async def _find(self, key: ResourceKey) -> Resource | None:
        try:
            return await self._store.get(key)
        except NotFound:
            return None


def _observe(book: _Book) -> Observation:
    session = book.stream.session
    return replace(book.seen, traffic=traffic(session.counters)) if session else book.seen
