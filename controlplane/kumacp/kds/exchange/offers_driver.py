"""What each peer is offered, kept current from the change feed: a change costs what changed, for each peer
that is concerned, and equal content is encoded once for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from kumacp.kds.protocol.codec import encode_resource, without_content
from kumacp.kds.protocol.parts import size_of
from kumacp.store.api import Change, Operation, Store, StoreUnavailable
from kumacp.store.following_driver import Following
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import XdsResource

log = logging.getLogger(__name__)

Touched = Mapping[str, frozenset[str]]
"""Names of resources that changed, appeared or went, by type."""

_MAX_VARIANTS = 8
"""Zones of different versions see a resource in different forms; there are few."""
_SLICE = 64
"""Resources encoded before others get their turn."""


class EncodedCache:
    """Encoded resources, by what they were made of. `max_bytes` is what one message can carry."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._made: dict[ResourceKey, tuple[Resource, list[tuple[Resource, XdsResource]]]] = {}

    def encode(self, original: Resource, shown: Resource) -> XdsResource | None:
        """`shown` as it travels, which is what a peer sees of `original`; None if it cannot travel."""
        source, variants = self._made.get(original.key, (None, []))
        if source is not original:
            variants = []
        for known, made in variants:
            if known == shown:
                return made
        encoded = self._encode(shown)
        if encoded is not None and len(variants) < _MAX_VARIANTS:
            self._made[original.key] = original, [*variants, (shown, encoded)]
        return encoded

    def forget(self, key: ResourceKey) -> None:
        self._made.pop(key, None)

    def _encode(self, shown: Resource) -> XdsResource | None:
        try:
            encoded = encode_resource(shown)
        except ValueError as error:
            problem = str(error)
        else:
            if size_of(encoded) <= self._max_bytes:
                return encoded
            problem = f"it has {size_of(encoded)} bytes, and a message at most {self._max_bytes}"
        log.error(
            "a resource cannot be sent to other control planes, which keep what they have of it: %s",
            problem,
            extra=_described(shown.key),
        )
        return None


class Offers:
    """The live source of one peer. `transform` says what the peer sees of a resource, None for nothing.

    `keeps` tells that the peer keeps what it has of a resource that comes without content: then one that
    cannot be sent is still there in the first list.
    """

    def __init__(
        self,
        transform: Callable[[Resource], Resource | None],
        types: Sequence[str],
        cache: EncodedCache,
        *,
        keeps: bool = False,
    ) -> None:
        self._keeps = keeps
        self.types = frozenset(types)
        self._tables: dict[str, dict[str, XdsResource]] = {type_: {} for type_ in types}
        self._transform = transform
        self._cache = cache
        self._names: dict[ResourceKey, str] = {}

    @property
    def source(self) -> Mapping[str, Mapping[str, XdsResource]]:
        return self._tables

    def load(self, resources: Iterable[Resource]) -> Touched:
        return self._set((resource.key, resource) for resource in resources)

    def apply(self, changes: Iterable[Change]) -> Touched:
        return self._set((change.key, change.new) for change in changes)

    def _set(self, states: Iterable[tuple[ResourceKey, Resource | None]]) -> Touched:
        touched: dict[str, set[str]] = {}
        for key, resource in states:
            if key.type in self.types:
                names = self._set_one(key, resource)
                if names:
                    touched.setdefault(key.type, set()).update(names)
        return {type_: frozenset(names) for type_, names in touched.items()}

    def _set_one(self, key: ResourceKey, resource: Resource | None) -> set[str]:
        table, before = self._tables[key.type], self._names.get(key)
        try:
            shown = self._transform(resource) if resource is not None else None
            encoded = self._cache.encode(resource, shown) if resource is not None and shown else None
        except Exception:
            log.exception("a fault: the peer keeps what it has of a resource", extra=_described(key))
            return set()
        if shown is None:
            if before is None:
                return set()
            del self._names[key]
            table.pop(before, None)
            return {before}
        if encoded is None:
            if before is not None or not self._keeps:
                return set()
            encoded = without_content(shown)
        present = table.get(encoded.name)
        touched = set() if present is not None and present.version == encoded.version else {encoded.name}
        if before is not None and before != encoded.name:
            table.pop(before, None)
            touched.add(before)
        table[encoded.name] = encoded
        self._names[key] = encoded.name
        return touched


class OffersDriver:
    """Follows the store once for all peers. `load` first, then `run`."""

    def __init__(self, store: Store, types: Sequence[str], cache: EncodedCache) -> None:
        self._store = store
        self._types = tuple(types)
        self._cache = cache
        self._stored: dict[ResourceKey, Resource] = {}
        self._peers: dict[Offers, Callable[[Touched], None]] = {}
        self._following = Following(store, "resources to sync", read=self._read, take=self._take)

    async def load(self) -> None:
        """Take over all that is stored; raises StoreUnavailable."""
        await self._following.begin()

    async def run(self) -> None:
        """Until the store is closed. A read that fails changes nothing of what is offered."""
        await self._following.run()

    async def _read(self) -> None:
        listed = [item for type_ in self._types for item in await self._store.list(type_)]
        self._spread(_differences(self._stored, listed))

    def _take(self, batch: Sequence[Change]) -> None:
        self._spread([change for change in batch if self._is_news(change)])

    async def add(self, offers: Offers, on_touched: Callable[[Touched], None]) -> None:
        """Fill the offers, and keep them current from now on. They are complete when this returns; raises
        StoreUnavailable while nothing could be read yet."""
        if not self._following.begun:
            raise StoreUnavailable("what is stored was not read yet")
        self._peers[offers] = on_touched
        try:
            keys = [key for key in self._stored if key.type in offers.types]
            for start in range(0, len(keys), _SLICE):
                # As they are by now: what has changed since was applied already.
                now = (self._stored.get(key) for key in keys[start : start + _SLICE])
                on_touched(offers.load(resource for resource in now if resource is not None))
                await asyncio.sleep(0)
        except BaseException:
            self.remove(offers)
            raise

    def remove(self, offers: Offers) -> None:
        self._peers.pop(offers, None)

    def reconsider(self, concerned: Callable[[Resource], bool]) -> None:
        """What peers see of these resources may be different now, though they have not changed."""
        resources = [resource for resource in self._stored.values() if concerned(resource)]
        for offers, on_touched in list(self._peers.items()):
            if touched := offers.load(resources):
                on_touched(touched)

    def _is_news(self, change: Change) -> bool:
        """Whether the list that this began with is not newer."""
        if change.key.type not in self._types:
            return False
        known = self._stored.get(change.key)
        if known is None:
            return change.new is not None
        told = change.new or change.old
        return told is None or _edition(told) >= _edition(known)

    def _spread(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.new is None:
                self._stored.pop(change.key, None)
                self._cache.forget(change.key)
            else:
                self._stored[change.key] = change.new
        for offers, on_touched in list(self._peers.items()):
            if touched := offers.apply(changes):
                on_touched(touched)


def _differences(known: Mapping[ResourceKey, Resource], listed: Sequence[Resource]) -> list[Change]:
    now = {item.key: item for item in listed}
    gone = [Change(Operation.DELETE, key, item, None) for key, item in known.items() if key not in now]
    fresh = [item for key, item in now.items() if key not in known or _edition(known[key]) != _edition(item)]
    return gone + [Change(Operation.UPDATE, item.key, known.get(item.key), item) for item in fresh]


def _described(key: ResourceKey) -> dict[str, str]:
    return {"type": key.type, "mesh": key.mesh, "resource": key.name}


def _edition(resource: Resource) -> tuple[datetime, int]:
    return resource.creation_time, resource.version
