"""The asking side of one sync stream: asks for its types, and stores what comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from kumacp.kds.exchange.incoming import Writes
from kumacp.kds.exchange.pause_driver import Pause
from kumacp.kds.exchange.traffic import Traffic
from kumacp.kds.exchange.withheld import Withheld
from kumacp.kds.exchange.writes_driver import delete, write
from kumacp.kds.protocol.codec import decode_response, encode_request
from kumacp.kds.protocol.messages import Received
from kumacp.kds.protocol.parts import Assembly
from kumacp.kds.protocol.streams import Wire
from kumacp.kds.protocol.subscriber import Asked, Subscriber
from kumacp.store.api import Conflict, NotFound, Store
from kumamesh.resource import Resource, ResourceKey

log = logging.getLogger(__name__)

_LARGE_BYTES = 64 * 1024
"""From here on a message is read beside the event loop."""
_MANY = 200
_ATTEMPTS = 5
"""At writing what somebody else writes at the same time."""
_SHOWN = 5

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class Impatient(ValueError):
    """The other side sends more of a type before the last was answered."""

    def __init__(self, type_: str) -> None:
        super().__init__(f"more resources of type {type_} came before the last were answered")


class Intake(Protocol):
    """What one side makes of what it receives."""

    @property
    def owner(self) -> ResourceKey | None:
        """Of what is stored."""

    @property
    def by_name(self) -> bool:
        """Whether resources are stored under the names that they come with."""

    def note(self, received: Received) -> bool:
        """It has come; whether what came may be taken in now. What may not is kept, without an answer, until
        it may."""

    def decide(self, received: Received, stored: Sequence[Resource], *, full: bool) -> Writes:
        """Of `stored` there is all of the type if the state is full or `by_name` does not hold, else only
        what the response names. Called again when somebody else wrote meanwhile."""

    async def applied(self, received: Received, writes: Writes, *, full: bool) -> None:
        """It is stored, but not acknowledged yet."""


class Receiver:
    """`run` until the other side ends the stream."""

    def __init__(
        self,
        wire: Wire,
        subscriber: Subscriber,
        store: Store,
        intake: Intake,
        *,
        peer: str,
        pause: Pause | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.traffic = traffic or Traffic()
        self.withheld = Withheld()
        self._wire = wire
        self._subscriber = subscriber
        self._store = store
        self._intake = intake
        self._peer = peer
        self._pause = pause or Pause()
        self._assembly = Assembly()
        self._kept: dict[str, tuple[Received, bool]] = {}
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Raises MalformedMessage, TooManyParts, UnexpectedType, Impatient (all ValueErrors),
        StoreUnavailable, Conflict or NotFound when somebody else keeps writing the same, and whatever the
        wire raises."""
        for asked in self._subscriber.begin():
            await self._send(asked)
        while (data := await self._wire.read()) is not None:
            received = self._assembly.add(await _beside(len(data), _LARGE_BYTES, decode_response, data))
            if received is None:
                continue
            await self._pause.over()
            if received.type in self._kept:
                raise Impatient(received.type)
            self._kept[received.type] = (received, self._subscriber.receive(received))
            if self._intake.note(received):
                await self._answer_kept()

    async def _answer_kept(self) -> None:
        """In the order in which they came."""
        kept, self._kept = self._kept, {}
        for received, full in kept.values():
            writes = await self._take(received, full=full)
            errors = [*received.invalid, *writes.refused]
            self._note(received, errors)
            await self._send(self._subscriber.verdict(received, errors))

    async def release(self, type_: str | None = None) -> None:
        """Make the deletions that were withheld, of one type or of all (None)."""
        async with self._writing:
            await delete(self._store, self.withheld.take(type_))

    async def _take(self, received: Received, *, full: bool) -> Writes:
        async with self._writing:
            writes = await self._store_all(received, full=full)
            if full:
                self.withheld.replace(received.type, writes.withheld)
            else:
                self.withheld.confirm(received.type, _named(received))
        await self._intake.applied(received, writes, full=full)
        return writes

    async def _store_all(self, received: Received, *, full: bool) -> Writes:
        """Decided anew when somebody else wrote meanwhile."""
        for attempt in range(1, _ATTEMPTS + 1):
            stored = await self._read(received, full=full)
            writes = await _beside(
                len(received.resources) + len(stored),
                _MANY,
                lambda known: self._intake.decide(received, list(known.values()), full=full),
                stored,
            )
            try:
                await write(self._store, writes, stored, self._intake.owner)
            except (Conflict, NotFound) as error:
                if attempt == _ATTEMPTS:
                    raise
                log.debug("a synced resource was written by another: %s", error)
            else:
                return writes
        raise AssertionError("unreachable")

    async def _read(self, received: Received, *, full: bool) -> Mapping[ResourceKey, Resource]:
        """What is stored, as far as it can matter: a change costs what changed."""
        if full or not self._intake.by_name:
            return {item.key: item for item in await self._store.list(received.type)}
        stored = {}
        for key in {*_named(received), *received.removed}:
            try:
                stored[key] = await self._store.get(key)
            except NotFound:
                continue
        return stored

    async def _send(self, asked: Asked) -> None:
        await self._wire.write(encode_request(asked.request, asked.node))

    def _note(self, received: Received, errors: Sequence[str]) -> None:
        self.traffic.received[received.type] += 1
        shown = {"peer": self._peer, "type": received.type}
        if errors:
            self.traffic.rejected[received.type] += 1
            log.warning("resources of the other side were refused: %s", _first(errors), extra=shown)
        if received.passed_over:
            log.warning(
                "resources of the other side have fields that this version does not know, and were taken"
                " without these: %s",
                _first(received.passed_over),
                extra=shown,
            )


def _first(lines: Sequence[str]) -> str:
    more = f" (and {len(lines) - _SHOWN} more)" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more


def _named(received: Received) -> set[ResourceKey]:
    return {resource.key for resource in received.resources} | received.unread


async def _beside(size: int, limit: int, act: Callable[[_Given], _Made], value: _Given) -> _Made:
    """Run it, in a thread if there is much to do: other streams must not wait."""
    return act(value) if size <= limit else await asyncio.to_thread(act, value)
