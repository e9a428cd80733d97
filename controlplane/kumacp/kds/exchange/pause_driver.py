"""A pause in the exchange with one zone: nothing is sent, nothing taken in, and nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Pause:
    """Shared by all streams of a zone. `begin` and `end` may be called any number of times."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._over.set()
        self._followers: set[asyncio.Event] = set()

    @property
    def holds(self) -> bool:
        return not self._over.is_set()

    def begin(self) -> None:
        self._over.clear()

    def end(self) -> None:
        self._over.set()
        for event in self._followers:
            event.set()

    async def over(self) -> None:
        """Returns at once when there is no pause."""
        await self._over.wait()

    @contextmanager
    def wakes(self, event: asyncio.Event) -> Iterator[None]:
        """Sets the event whenever a pause ends."""
        self._followers.add(event)
        try:
            yield
        finally:
            self._followers.discard(event)
