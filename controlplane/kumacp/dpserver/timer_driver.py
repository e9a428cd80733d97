"""Waits for the next moment that a pure schedule names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

RECHECK_S = 60.0
"""Somebody may set the clock, and the one that the event loop waits by stands still while the host sleeps."""


async def wait_until(moment: float | None, clock: Callable[[], float], event: asyncio.Event) -> None:
    """Return when `event` is set (it is cleared), when the clock has reached `moment` (None is never), or
    after a minute, so that the caller looks at the clock again."""
    try:
        async with asyncio.timeout(None if moment is None else min(max(0.0, moment - clock()), RECHECK_S)):
            await event.wait()
    except TimeoutError:
        return
    event.clear()


class Timer:
    """Calls `fire` when the moment that `next_at` gives is there. `changed` says that it is another one."""

    def __init__(
        self,
        next_at: Callable[[], float | None],
        fire: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._next_at = next_at
        self._fire = fire
        self._clock = clock
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        while True:
            moment = self._next_at()
            if moment is not None and moment <= self._clock():
                await self._fire()
            else:
                await wait_until(moment, self._clock, self._changed)
