"""The change feed of one process: every subscriber has its own bounded queue."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from kumacp.store.api import Change, Feed, FeedOverrun

MAX_BEHIND = 10_000
"""Changes that a subscriber may fall behind: at that point a new list is cheaper than the queue."""


class Subscription:
    """One subscriber's queue; iterating takes batches out of it."""

    def __init__(self) -> None:
        self._batches: deque[tuple[Change, ...]] = deque()
        self._behind = 0
        self._overrun = False
        self._closed = False
        self._wake = asyncio.Event()

    @property
    def behind(self) -> int:
        return self._behind

    def put(self, batch: tuple[Change, ...]) -> None:
        if self._overrun:
            return
        # A batch alone may be larger than the limit: the deletion of a large mesh.
        if self._batches and self._behind + len(batch) > MAX_BEHIND:
            self._batches.clear()
            self._behind = 0
            self._overrun = True
        else:
            self._batches.append(batch)
            self._behind += len(batch)
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[tuple[Change, ...]]:
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        while not self._batches:
            if self._overrun:
                raise FeedOverrun(f"more than {MAX_BEHIND} changes behind; list again")
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        batch = self._batches.popleft()
        self._behind -= len(batch)
        return batch


class ChangeFeed:
    """Hands committed batches to all subscribers."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False
        self.published: Counter[str] = Counter()

    def publish(self, batch: tuple[Change, ...]) -> None:
        if batch:
            self.published.update(change.operation.value for change in batch)
            for subscription in self._subscriptions:
                subscription.put(batch)

    @property
    def behind(self) -> int:
        return max((subscription.behind for subscription in self._subscriptions), default=0)

    @contextmanager
    def watch(self) -> Iterator[Feed]:
        subscription = Subscription()
        if self._closed:
            subscription.close()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """What was published can still be read; then iterating ends."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
