"""Writes the insights of zones: at once when a stream comes or goes, else every interval if they changed."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kumacp.dpserver.clock import Clock
from kumacp.kds.at_global.zone_insight import (
    KEPT_SUBSCRIPTIONS,
    Observation,
    StreamKind,
    Subscription,
    Told,
    traffic,
    updated,
)
from kumacp.kds.at_global.zone_stream_driver import ZoneStream
from kumacp.kds.at_global.zones_driver import zone_key
from kumacp.store.api import Conflict, NotFound, Store, StoreUnavailable
from kumamesh.delta import Counters
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import KdsStream, ZoneInsight

log = logging.getLogger(__name__)

ZONE_INSIGHT = "ZoneInsight"
_ATTEMPTS = 5


@dataclass(slots=True, eq=False)
class _Live:
    """A subscription, with what counts its traffic while it is open."""

    seen: Subscription
    counters: Callable[[], Mapping[str, Counters]]


@dataclass(slots=True, eq=False)
class _Book:
    """What is known of one zone, and what of it was written last."""

    open: dict[ZoneStream, _Live] = field(default_factory=dict)
    over: list[Subscription] = field(default_factory=list)
    streams: dict[ZoneStream, KdsStream] = field(default_factory=dict)
    healthy_at: datetime | None = None
    written: Observation | None = None

    def observe(self) -> Observation:
        live = (replace(item.seen, traffic=traffic(item.counters())) for item in self.open.values())
        newest: dict[StreamKind, KdsStream] = {item.kind: seen for item, seen in self.streams.items()}
        return Observation((*self.over, *live), newest, self.healthy_at)


class ZoneInsights:
    """Books by zone. `instance_id` is that of this control plane."""

    def __init__(self, store: Store, *, instance_id: str, interval_s: float, clock: Clock) -> None:
        self._store = store
        self._instance_id = instance_id
        self._interval_s = interval_s
        self._clock = clock
        self._books: dict[str, _Book] = {}
        self._urgent: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    def stream_opened(self, stream: ZoneStream) -> None:
        """A stream of any kind began."""
        book = self._book(stream.zone)
        book.streams[stream] = KdsStream(global_instance_id=self._instance_id, connect_time=self._clock.utc())
        self._flush(stream.zone)

    def subscribed(
        self, stream: ZoneStream, told: Told, counters: Callable[[], Mapping[str, Counters]]
    ) -> None:
        """An open stream has become a subscription: its control plane has said who it is."""
        seen = Subscription(str(uuid.uuid4()), self._instance_id, self._clock.utc(), told)
        self._book(stream.zone).open[stream] = _Live(seen, counters)
        self._flush(stream.zone)

    def stream_closed(self, stream: ZoneStream) -> None:
        """A stream is over."""
        book = self._book(stream.zone)
        book.streams.pop(stream, None)
        live = book.open.pop(stream, None)
        if live is not None:
            over = replace(live.seen, traffic=traffic(live.counters()), disconnect_time=self._clock.utc())
            book.over = [*book.over, over][-KEPT_SUBSCRIPTIONS:]
        self._flush(stream.zone)

    def healthy(self, zone: str) -> None:
        """A control plane of the zone has called itself healthy; without any stream that is not noted."""
        if zone in self._books:
            self._books[zone].healthy_at = self._clock.utc()

    def healthy_at(self, zone: str) -> datetime | None:
        book = self._books.get(zone)
        return book.healthy_at if book else None

    async def adopt(self) -> None:
        """End the subscriptions that a killed control plane left open; raises StoreUnavailable."""
        for stored in await self._store.list(ZONE_INSIGHT):
            if stored.spec.online:
                spec = updated(stored.spec, Observation(), self._clock.utc())
                await self._store.update(replace(stored, spec=spec))

    async def drained(self) -> None:
        """Wait until all streams are over, and that is written."""
        await self._all_closed.wait()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._write_urgent())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            for zone, book in self._books.items():
                if book.observe() != book.written:
                    self._flush(zone)

    async def _write_urgent(self) -> None:
        while True:
            while self._urgent:
                zone = next(iter(self._urgent))
                del self._urgent[zone]
                if (book := self._books.get(zone)) is not None:
                    await self._write(zone, book)
            await self._wake.wait()
            self._wake.clear()

    async def _write(self, zone: str, book: _Book) -> None:
        seen = book.observe()
        if seen != book.written:
            try:
                await self._store_insight(zone, seen)
            except StoreUnavailable as error:
                log.error("the insight of a zone was not written: %s", error, extra={"zone": zone})
                return
        book.over = [item for item in book.over if item not in seen.subscriptions]
        lasting = tuple(item for item in seen.subscriptions if item.disconnect_time is None)
        book.written = replace(seen, subscriptions=lasting)
        if not (book.streams or book.open) and book.observe() == book.written:
            del self._books[zone]
            if not self._books:
                self._all_closed.set()

    async def _store_insight(self, zone: str, seen: Observation) -> None:
        key = ResourceKey(ZONE_INSIGHT, "", zone)
        for _ in range(_ATTEMPTS):
            stored = await self._find(key)
            spec: ZoneInsight = updated(stored.spec if stored else None, seen, self._clock.utc())
            try:
                if stored is None:
                    await self._store.create(Resource(key, spec), owner=zone_key(zone))
                else:
                    await self._store.update(replace(stored, spec=spec))
            except Conflict:
                continue
            except NotFound:
                pass  # the Zone was deleted, or is not made yet
            return

    async def _find(self, key: ResourceKey) -> Resource | None:
        try:
            return await self._store.get(key)
        except NotFound:
            return None

    def _book(self, zone: str) -> _Book:
        self._all_closed.clear()
        return self._books.setdefault(zone, _Book())

    def _flush(self, zone: str) -> None:
        self._urgent[zone] = None
        self._wake.set()
